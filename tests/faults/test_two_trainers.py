"""Two `xtts train` on one run folder: the second refuses and says who works there; nobody waits for the dead."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from faults_tally import Tally
from staged_project import RUN, StagedProject, differences, log_of

ATTEMPTS, ATTEMPTS_IN_FULL = 1, 20


def stop_at_work(process: BaseProcess, lock: Path) -> None:
    """SIGSTOP when it holds the lock: it stays at work for as long as the second one needs."""
    while process.is_alive() and not (lock.is_file() and lock.read_text()):
        time.sleep(0.001)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)


def test_the_second_trainer_names_the_first_which_goes_on_undisturbed(
    project: StagedProject, tmp_path: Path, full: bool, tally: Callable[[str], Tally]
) -> None:
    refused, left = tally("two trainers at once"), tally("lock left by a killed trainer")
    for number in range(ATTEMPTS_IN_FULL if full else ATTEMPTS):
        place = project.copy("train", tmp_path / str(number))
        second = tmp_path / f"{number} for the second"
        second.symlink_to(place)  # the same folder, another log
        first = project.start("train", place)
        stop_at_work(first, place / RUN / "train.lock")
        assert first.pid is not None
        status, log = project.run("train", second), log_of(second).read_text()
        named = rf"another `xtts train` is writing there: process {first.pid} on {socket.gethostname()} since 20\d\d-"
        problems = [] if status == 1 and re.search(named, log) and "Traceback" not in log else [log]
        os.kill(first.pid, signal.SIGCONT)
        first.join()
        refused.count("second refused", problems + differences(place, project.after("train")))

        place = project.copy("train", tmp_path / f"{number} killed")
        first = project.start("train", place)
        stop_at_work(first, place / RUN / "train.lock")
        first.kill()
        first.join()
        status, log = project.run("train", place), log_of(place).read_text()
        named = f"train.lock: left behind by process {first.pid} on {socket.gethostname()} since "
        problems = [] if status == 0 and named in log else [log]
        left.count("taken over", problems + differences(place, project.after("train")))
