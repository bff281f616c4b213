"""One cluster, one project on its volume, and one workflow in it that is disturbed twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes_project import CONFIG, PLANTED, PROFILE, PROGRAMS, SETTINGS, SHIPPED, SNAKEMAKE, VOLUME
from small_kubernetes import Kubernetes, Pod, running_kubernetes

from xtts_framework.layout import RunFolder


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[Kubernetes]:
    claim, _ = VOLUME.split(":")
    with running_kubernetes(SETTINGS["kubernetes-shared-namespace"], claim) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def environment(kubernetes: Kubernetes) -> dict[str, str]:
    """For commands that should see this cluster, with a credential of object storage."""
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "KUBECONFIG": str(kubernetes.kubeconfig), "OMP_NUM_THREADS": "1", **PLANTED}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, speech_dataset: Path, tiny_base: Path) -> Path:
    """On the volume, with the profile that is shipped: only where the volume is mounted differs."""
    claim, _ = VOLUME.split(":")
    volume = tmp_path_factory.mktemp("volume")
    folder = volume / "my-project"
    new = [PROGRAMS / "xtts", "new", folder, "--language", "am", "--dataset", speech_dataset]
    subprocess.run(new, check=True, stdout=subprocess.DEVNULL)
    shutil.copytree(speech_dataset, folder / "my-dataset")
    shutil.copytree(tiny_base, folder / "bases" / "xtts-v2")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    assert SHIPPED.count(VOLUME) == 1
    (folder / PROFILE).write_text(SHIPPED.replace(VOLUME, f"{claim}:{volume}"), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def run(project: Path) -> RunFolder:
    return RunFolder(project / "results" / "runs" / "amharic")


@pytest.fixture(scope="session")
def finished(kubernetes: Kubernetes, environment: dict[str, str], project: Path, run: RunFolder) -> str:
    """What `snakemake` said up to a trained run. The first pods of validate and train are killed."""

    def disturb(pod: Pod) -> None:
        if len(kubernetes.pods_of(pod.rule)) > 1:
            return
        if pod.rule == "validate":
            pod.kill()
        if pod.rule == "train":
            threading.Thread(target=_kill_once_saved, args=(pod, run), daemon=True).start()

    kubernetes.on_start = disturb
    done = subprocess.run(
        [*SNAKEMAKE, "results/runs/amharic/summary.json"], cwd=project, env=environment, capture_output=True, text=True
    )
    kubernetes.on_start = lambda pod: None
    assert done.returncode == 0, done.stderr + "".join(pod.output for pod in kubernetes.pods)
    return done.stderr


def _kill_once_saved(pod: Pod, run: RunFolder) -> None:
    while pod.exit_code is None and not list(run.checkpoints.glob("*/step-*[1-9]*/COMPLETE")):
        time.sleep(0.01)
    pod.kill()
