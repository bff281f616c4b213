"""A run that has been trained and selected, and its bundle: built once, shared by all workers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from trained_run import TrainedRun, train


@pytest.fixture(scope="session")
def trained_run(built_once: Callable[..., Path], speech_dataset: Path, tiny_base: Path) -> TrainedRun:
    """Three checkpoints, the middle one selected; nothing exported yet."""

    def build(folder: Path) -> None:
        train(TrainedRun(folder, tiny_base, speech_dataset))

    folder = built_once("trained_run", build)
    return TrainedRun(folder, tiny_base, speech_dataset)


@pytest.fixture(scope="session")
def exported_run(built_once: Callable[..., Path], trained_run: TrainedRun) -> TrainedRun:
    """The same run with its bundle."""

    def build(folder: Path) -> None:
        from xtts_framework.stages.export import export

        shutil.copytree(trained_run.folder, folder, dirs_exist_ok=True)
        copy = TrainedRun(folder, trained_run.base, trained_run.recordings)
        export(copy.export_config, copy.base, copy.run, copy.datasets)

    folder = built_once("exported_run", build)
    return TrainedRun(folder, trained_run.base, trained_run.recordings)
