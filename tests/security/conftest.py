"""One finished workflow in which every name is odd and every secret is planted: run once, shared by all workers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from odd_workflow import OddWorkflow, run_workflow


@pytest.fixture(scope="session")
def odd_workflow(built_once: Callable[..., Path], speech_dataset: Path, tiny_base: Path) -> OddWorkflow:
    """Read-only by agreement: `copied` gives results to damage."""

    def build(folder: Path) -> None:
        run_workflow(OddWorkflow(folder), speech_dataset, tiny_base)

    return OddWorkflow(built_once("odd_workflow", build))


@pytest.fixture
def copied(odd_workflow: OddWorkflow, tmp_path: Path) -> OddWorkflow:
    """Results under plain names; files are links, so replace them, do not edit them."""
    copy = OddWorkflow(tmp_path / "copy", plain=True)
    copy.project.mkdir(parents=True)
    for name in ("dataset", "base", "results"):
        source, destination = getattr(odd_workflow, name), getattr(copy, name)
        shutil.copytree(source, destination, copy_function=lambda old, new: Path(new).hardlink_to(old))
    return copy
