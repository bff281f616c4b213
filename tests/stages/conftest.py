"""A run that has been trained and selected, and its bundle: built once, shared by all workers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from trained_run import TrainedRun, train

from xtts_framework.files import replacing_folder


@pytest.fixture(scope="session")
def trained_run(shared_folder: Path, speech_dataset: Path, tiny_base: Path) -> TrainedRun:
    """Three checkpoints, the middle one selected; nothing exported yet."""
    folder = shared_folder / "trained_run"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            with replacing_folder(folder) as partial:
                train(TrainedRun(partial, tiny_base, speech_dataset))
    return TrainedRun(folder, tiny_base, speech_dataset)


@pytest.fixture(scope="session")
def exported_run(shared_folder: Path, trained_run: TrainedRun) -> TrainedRun:
    """The same run with its bundle."""
    from xtts_framework.stages.export import export

    folder = shared_folder / "exported_run"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            with replacing_folder(folder) as partial:
                shutil.copytree(trained_run.folder, partial, dirs_exist_ok=True)
                copy = TrainedRun(partial, trained_run.base, trained_run.recordings)
                export(copy.export_config, copy.base, copy.run, copy.datasets)
    return TrainedRun(folder, trained_run.base, trained_run.recordings)
