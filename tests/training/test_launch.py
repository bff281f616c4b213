"""`xtts train` starts its own processes: signals reach all of them, and their exit status is that of the command."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from small_training import ONE_EPOCH, XTTS, Prepared, assert_same_curve, curve

from xtts_framework.files import read_json
from xtts_framework.layout import RunFolder

ENDS_WITHIN_S = 60
"""Far above what it takes, far below the five to thirty minutes after which torch would give up."""


@pytest.fixture
def start(prepared: Prepared, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    def start(run: RunFolder, *options: str) -> subprocess.Popen[str]:
        command = [XTTS, *prepared.command(run, ONE_EPOCH), *options]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=one_thread_each())

    return start


def one_thread_each() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def log_of(process: subprocess.Popen[str], *, exit_status: int) -> str:
    _, log = process.communicate(timeout=ENDS_WITHIN_S)
    assert process.returncode == exit_status, log
    return log


def log_after_killing(launcher: subprocess.Popen[str], ranks: list[psutil.Process]) -> str:
    """All its processes have ended, too, and none with a traceback."""
    launcher.kill()
    _, running = psutil.wait_procs(ranks, timeout=ENDS_WITHIN_S)
    assert not running
    log = log_of(launcher, exit_status=-signal.SIGKILL)
    assert "Traceback" not in log
    return log


def wait_for_update(run: RunFolder) -> None:
    while not (run.metrics.is_file() and '"train"' in run.metrics.read_text(encoding="utf-8")):
        time.sleep(0.005)


Start = Callable[..., subprocess.Popen[str]]


def test_two_processes_train_the_same_and_say_everything_once(
    prepared: Prepared, trained_alone: RunFolder, start: Start, tmp_path: Path
) -> None:
    both = prepared.new_run(tmp_path / "run")
    log = log_of(start(both, "--processes", "2"), exit_status=0)
    assert_same_curve(both, trained_alone)
    assert log.count("processes: 2; each computes its share of every update") == 1
    assert log.count("Step 3: LR dropped to 0.0005 (in force from step 4)") == 1
    assert log.count("Step 6: LR dropped to 0.00025 (in force from step 6)") == 1
    assert [record["lr"] for record in curve(both, "train")] == [1e-3, 1e-3, 5e-4, 2.5e-4, 2.5e-4]
    assert len(re.findall(r"^step \d+ .* loss .*clips/s", log, re.MULTILINE)) == 5
    summary = read_json(both.summary)
    assert summary["samples_seen"] == 20 and summary["stop_reason"] == "max_epochs 1 reached"


def test_launchers_of_two_nodes_meet_and_train_the_same(
    prepared: Prepared, trained_alone: RunFolder, start: Start, tmp_path: Path
) -> None:
    both = prepared.new_run(tmp_path / "run")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"127.0.0.1:{free.getsockname()[1]}"
    nodes = [start(both, "--processes=2", "--nodes=2", f"--rendezvous={meeting}") for _ in range(2)]
    logs = [log_of(node, exit_status=0) for node in nodes]
    assert_same_curve(both, trained_alone)
    assert "".join(logs).count("processes: 2;") == 1


def test_a_signal_makes_all_save_and_the_status_is_theirs(
    prepared: Prepared, trained_alone: RunFolder, start: Start, tmp_path: Path
) -> None:
    stopped = prepared.new_run(tmp_path / "run")
    process = start(stopped, "--processes", "2")
    wait_for_update(stopped)
    process.send_signal(signal.SIGTERM)
    log = log_of(process, exit_status=os.EX_TEMPFAIL)
    assert log.count("because of SIGTERM received") == 1
    assert "Traceback" not in log
    log_of(start(stopped, "--processes", "3"), exit_status=0)
    assert_same_curve(stopped, trained_alone)


def test_a_killed_process_ends_all_and_one_process_can_go_on(
    prepared: Prepared, trained_alone: RunFolder, start: Start, tmp_path: Path
) -> None:
    killed = prepared.new_run(tmp_path / "run")
    process = start(killed, "--processes", "2")
    wait_for_update(killed)
    ranks = psutil.Process(process.pid).children()
    ranks[1].kill()
    log = log_of(process, exit_status=1)
    assert "was ended by SIGKILL" in log or "another process of this training has ended" in log
    assert "Traceback" not in log
    assert not any(rank.is_running() for rank in ranks)
    log_of(start(killed), exit_status=0)
    assert_same_curve(killed, trained_alone)


def test_a_killed_launcher_leaves_nobody_training(
    prepared: Prepared, trained_alone: RunFolder, start: Start, tmp_path: Path
) -> None:
    orphaned = prepared.new_run(tmp_path / "run")
    process = start(orphaned, "--processes", "2")
    wait_for_update(orphaned)
    ranks = psutil.Process(process.pid).children()
    log = log_after_killing(process, ranks)
    assert log.count("because of SIGTERM received") == 1
    log_of(start(orphaned), exit_status=0)
    assert_same_curve(orphaned, trained_alone)


def test_a_launcher_killed_at_once_leaves_nobody_waiting(prepared: Prepared, start: Start, tmp_path: Path) -> None:
    """Its processes have not met yet, and would wait for each other for half an hour."""
    process = start(prepared.new_run(tmp_path / "run"), "--processes", "2")
    while len(ranks := psutil.Process(process.pid).children()) < 2:
        time.sleep(0.005)
    log_after_killing(process, ranks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--processes=3", "--nodes=2"], "--processes 3: cannot be divided among 2 nodes"),
        (["--processes=2", "--nodes=2"], "--nodes 2: not in a SLURM job"),
        (["--max-seconds=-60"], "--max-seconds -60: no time to train"),
    ],
)
def test_what_cannot_be_started_is_refused(
    prepared: Prepared, start: Start, tmp_path: Path, options: list[str], message: str
) -> None:
    log = log_of(start(prepared.new_run(tmp_path / "run"), *options), exit_status=1)
    assert log.startswith("error: ") and message in log
