"""One cluster and one project for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_project import CONFIG, Project
from small_slurm import Slurm, missing, running_slurm

from xtts_framework.layout import RunFolder


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    if reason := missing():
        pytest.skip(reason)
    with running_slurm() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def project(
    slurm: Slurm, tmp_path_factory: pytest.TempPathFactory, speech_dataset: Path, tiny_base: Path
) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("cluster") / "my-project"
    project = Project(folder, slurm)
    project.create(speech_dataset, tiny_base)
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    yield project
    project.stop_all()


@pytest.fixture(scope="session")
def undisturbed(project: Project) -> RunFolder:
    """The long run, trained by one job that nothing happens to."""
    project.finish("results/runs/long/summary.json")
    return RunFolder(shutil.copytree(project.long.path, project.folder / "undisturbed"))


@pytest.fixture
def long(project: Project, undisturbed: RunFolder) -> Iterator[RunFolder]:
    """The folder of the long run, as if it had never been trained."""
    project.forget_training(project.long)
    yield project.long
    project.stop_all()
