"""One cluster and one project for all tests of this folder."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_project import CONFIG, LONG, Project
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
    """The long run, trained without a cluster and without interruption; its vocabulary was made on the cluster."""
    project.finish("results/runs/long/tokenizer/vocab.json", "results/datasets/amharic/features.parquet")
    run = RunFolder(project.folder / "undisturbed")
    shutil.copytree(project.long.path / "tokenizer", run.path / "tokenizer")
    command = [
        *("xtts", "train", "--config", project.long.path / "config" / "train.yaml", "--base", "bases/xtts-v2"),
        *("--out", run.path, "--dataset", "amharic=results/datasets/amharic"),
    ]
    done = subprocess.run(command, cwd=project.folder, env=project.environment, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture
def long(project: Project, undisturbed: RunFolder) -> RunFolder:
    """The folder of the long run, as if it had never been trained."""
    assert project.long.path.name == LONG
    project.forget_training(project.long)
    return project.long
