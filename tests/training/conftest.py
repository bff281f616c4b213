"""Fixtures of the training tests."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_training import DATASET, ONE_EPOCH, XTTS, Prepared, config_with, prepare

from xtts_framework.layout import DatasetFolder, RunFolder


@pytest.fixture(scope="session")
def prepared(built_once: Callable[..., Path], speech_dataset: Path, tiny_base: Path) -> Prepared:
    folder = built_once("prepared_training", lambda folder: prepare(folder, speech_dataset, tiny_base))
    return Prepared(tiny_base, DatasetFolder(folder / "dataset"), RunFolder(folder / "run").vocab)


@pytest.fixture
def train_once(prepared: Prepared, tmp_path: Path) -> Callable[..., RunFolder]:
    """Train in this process in a new run folder; keyword arguments change the recipe."""
    from xtts_framework.stages.train import train

    def run_training(name: str = "run", *, device: str = "cpu", **changes: Any) -> RunFolder:
        run = prepared.new_run(tmp_path / name)
        train(config_with(**changes), prepared.base, run, {DATASET: prepared.dataset}, device=device)
        return run

    return run_training


@pytest.fixture(scope="module")
def trained_alone(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """One epoch, trained by one process."""
    run = prepared.new_run(tmp_path_factory.mktemp("trained_alone") / "run")
    finished = subprocess.run([XTTS, *prepared.command(run, ONE_EPOCH)], stderr=subprocess.PIPE, text=True)
    assert finished.returncode == 0, finished.stderr
    return run
