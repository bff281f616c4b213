"""Hours of training in small: killed and continued again and again, while memory, files and disk stay as they were."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import yaml
from faults_tally import Tally
from staged_project import RUN, StagedProject, contents, log_of

from xtts_framework.files import read_json, sha256_of
from xtts_framework.layout import RunFolder

UPDATES, UPDATES_IN_FULL = 70, 1600
"""Each is followed by a checkpoint. In full: 13 minutes with the training it is compared with, on two busy cores."""
ATTEMPT, ATTEMPT_IN_FULL = (24, 32), (20, 200)
"""Checkpoints after which a process is killed, at least and at most."""
WARM_UP, FEWEST = 5, 16
"""Checkpoints of an attempt that are not compared, and how many more it takes to compare halves."""
MOST_GROWTH_BYTES = 40 * 10**6
"""From the median of the first half of an attempt to that of the second. What the allocator keeps wavers by half of it;
a copy of the model (10 MB) that stayed at each checkpoint would be twice as much in the shortest attempt."""

MOST_NEW_FILES = 2
"""As above; some files are open only now and then, and one that stayed open at each checkpoint would be eight."""


@dataclass(frozen=True)
class Sample:
    """A process just after a checkpoint.

    Args:
        memory: bytes that are resident.
        files: descriptors that are open.
        folders: checkpoints on disk.
        disk: bytes in them.
    """

    memory: int
    files: int
    folders: int
    disk: int


def step_of(folder: Path) -> int:
    return max((int(path.name.removeprefix("step-")) for path in folder.glob("*/step-*")), default=0)


def take_sample(process: psutil.Process, checkpoints: Path) -> Sample:
    sizes = []
    for parent, _, names in os.walk(checkpoints):  # passes over folders that are removed meanwhile
        for name in names if Path(parent).name.startswith("step-") else ():
            with contextlib.suppress(FileNotFoundError):
                sizes.append(Path(parent, name).stat().st_size)
    folders = len(list(checkpoints.glob("*/step-*")))
    return Sample(process.memory_info().rss, process.num_fds(), folders, sum(sizes))


def watch(process: BaseProcess, checkpoints: Path, most: int) -> list[Sample]:
    """A sample after each checkpoint, until there were so many or the process has ended; then it is killed."""
    samples: list[Sample] = []
    watched, seen = psutil.Process(process.pid), step_of(checkpoints)
    while process.is_alive() and len(samples) < most:
        if (step := step_of(checkpoints)) > seen:
            seen = step
            try:
                samples.append(take_sample(watched, checkpoints))
            except psutil.Error:
                break
        time.sleep(0.005)
    process.kill()
    process.join()
    return samples


def growth(samples: list[Sample], of: Callable[[Sample], int]) -> float:
    """From the median of the first half to that of the second."""
    half = len(samples) // 2
    return statistics.median(map(of, samples[half:])) - statistics.median(map(of, samples[:half]))


def configure(place: Path, **training: int) -> None:
    file = place / RUN / "config" / "train.yaml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    config["training"] |= training
    file.write_text(yaml.safe_dump(config), encoding="utf-8")


def test_memory_files_and_disk_stay_flat_over_kills_and_resumes(
    project: StagedProject, tmp_path: Path, full: bool, tally: Callable[[str], Tally]
) -> None:
    updates, length = (UPDATES_IN_FULL, ATTEMPT_IN_FULL) if full else (UPDATES, ATTEMPT)
    place, soaked = project.copy("train", tmp_path / "soak"), tally("soak: kill -9 of train, again and again")
    run = RunFolder(place / RUN)
    recipe = {"max_steps": 2 * updates, "eval_every_steps": 20, "log_every_updates": 1}
    configure(place, **recipe, save_every_steps=2)
    kept = yaml.safe_load((place / RUN / "config" / "train.yaml").read_text())["training"]
    dice, all_samples, growths = random.Random("soak"), [], []
    while not run.summary.exists():
        before = step_of(run.checkpoints)
        process = project.start("train", place)
        samples = watch(process, run.checkpoints, dice.randint(*length))
        problems = []
        if process.exitcode not in (0, -signal.SIGKILL):
            problems.append(f"exit status {process.exitcode}: {log_of(place).read_text()}")
        if step_of(run.checkpoints) < before:
            problems.append(f"was at step {before}, is at step {step_of(run.checkpoints)}")
        if len(settled := samples[WARM_UP:]) >= FEWEST:
            growths.append(memory := growth(settled, lambda sample: sample.memory))
            if memory > MOST_GROWTH_BYTES:
                problems.append(f"memory has grown by {memory / 1e6:.1f} MB over {len(settled)} checkpoints")
            if (files := growth(settled, lambda sample: sample.files)) > MOST_NEW_FILES:
                problems.append(f"{files:g} more open files over {len(settled)} checkpoints")
        soaked.count(f"attempt from step {before}", problems)
        all_samples += samples
        if problems:
            return
    assert growths and len(all_samples) >= updates / 2
    assert max(sample.folders for sample in all_samples) <= kept["keep_best"] + kept["keep_last"] + 1
    half = len(all_samples) // 2
    assert max(one.disk for one in all_samples[half:]) <= 1.01 * max(one.disk for one in all_samples[:half])
    grown = f"memory grew by {max(growths) / 1e6:.1f} MB at most"
    print(f"{soaked.attempts} attempts, {len(all_samples)} checkpoints; {grown}")
    uninterrupted = project.copy("train", tmp_path / "uninterrupted")
    configure(uninterrupted, **recipe, save_every_steps=2 * updates)
    assert project.run("train", uninterrupted) == 0
    assert weights_of(run) == weights_of(RunFolder(uninterrupted / RUN))
    curves = [contents(one / RUN / "training")["metrics.jsonl"] for one in (place, uninterrupted)]
    assert curves[0] == curves[1]


def weights_of(run: RunFolder) -> list[str]:
    last = run.path / read_json(run.summary)["checkpoints"][-1]["folder"]
    return [sha256_of(last / name) for name in ("model.safetensors", "optimizer.safetensors")]
