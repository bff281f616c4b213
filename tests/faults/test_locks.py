"""One process at a time: the second is told who works where and since when, and nobody waits for the dead."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from xtts_framework.errors import UserError
from xtts_framework.locks import WITHOUT_LOCKS, alone

HOLD = """
import errno, fcntl, os, sys
from pathlib import Path
from xtts_framework.errors import UserError
from xtts_framework.locks import alone

def refuse(descriptor, operation):
    raise OSError(int(sys.argv[2]), os.strerror(int(sys.argv[2])))

if int(sys.argv[2]):
    fcntl.flock = refuse
try:
    with alone(Path(sys.argv[1]), "xtts train"):
        print("holding", flush=True)
        sys.stdin.read()
except UserError as error:
    print(f"refused: {error}", flush=True)
"""
WITH_LOCKS, NO_LOCKS = 0, min(WITHOUT_LOCKS)
"""What `flock` fails with in the process that holds."""
KINDS = pytest.mark.parametrize("failing", [WITH_LOCKS, *sorted(WITHOUT_LOCKS)])


@contextlib.contextmanager
def holding(lock: Path, failing: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that wants the lock, and the first it says; it lets go when its input ends."""
    command = [sys.executable, "-c", HOLD, str(lock), str(failing)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as p:
        assert p.stdout is not None
        yield p, p.stdout.readline().strip()


def said_by_next(lock: Path, failing: int) -> str:
    """All that a process says that wants the lock and lets go at once."""
    command = [sys.executable, "-c", HOLD, str(lock), str(failing)]
    return subprocess.run(command, input="", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


@KINDS
def test_the_second_is_told_who_works_where_and_since_when(tmp_path: Path, failing: int) -> None:
    lock = tmp_path / "train.lock"
    with holding(lock, failing) as (first, said):
        assert said == "holding"
        before = lock.read_bytes()
        refusal = said_by_next(lock, failing)
        assert re.search(
            rf"{tmp_path}: another `xtts train` is writing there: process {first.pid} on {socket.gethostname()} since "
            r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\n.*`kill \d+`",
            refusal,
        )
        assert lock.read_bytes() == before
        first.communicate("")
        assert first.returncode == 0
    assert list(tmp_path.iterdir()) == []
    assert said_by_next(lock, failing) == "holding\n"


@KINDS
def test_a_lock_of_a_killed_process_is_taken_over_and_named(tmp_path: Path, failing: int) -> None:
    lock = tmp_path / "train.lock"
    with holding(lock, failing) as (first, _):
        first.kill()
    assert f"process {first.pid}" in lock.read_text()
    said = said_by_next(lock, failing)
    assert f"{lock}: left behind by process {first.pid} on" in said and said.endswith("holding\n")
    assert list(tmp_path.iterdir()) == []


def test_without_locks_a_process_on_another_machine_is_left_to_a_person(tmp_path: Path) -> None:
    """Whether it still works cannot be told from here; training twice would cost more than asking."""
    lock = tmp_path / "train.lock"
    for left in ("process 1 on another-machine since 2026-01-01 10:00:00", ""):
        lock.write_text(left)
        said = said_by_next(lock, NO_LOCKS)
        assert said.startswith(f"refused: {lock}: made by {left or 'a process that has not written who it is'}.")
        assert f"If it has ended, remove {lock}" in said
        assert lock.read_text() == left
        lock.unlink()
    assert said_by_next(lock, NO_LOCKS) == "holding\n"


def test_without_locks_one_of_many_takes_over_what_a_dead_process_left(tmp_path: Path) -> None:
    lock = tmp_path / "train.lock"
    with holding(lock, NO_LOCKS) as (first, _):
        first.kill()
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(holding(lock, NO_LOCKS)) for _ in range(4)]
        assert sum(said.startswith("refused") for _, said in others) == 3
        assert sum(f"left behind by process {first.pid}" in said for _, said in others) == 1
        for other, _ in others:
            other.communicate("")


def test_a_lock_removed_between_opening_and_locking_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before ends just now: a lock on its removed file would shut out nobody."""
    lock = tmp_path / "train.lock"
    lock.touch()
    really, calls = os.open, []

    def removed_after_opening(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = really(path, flags, mode)
        if not calls:
            lock.unlink()
        calls.append(path)
        return descriptor

    monkeypatch.setattr(os, "open", removed_after_opening)
    with alone(lock, "xtts train"):
        assert len(calls) == 2 and str(os.getpid()) in lock.read_text()


def test_a_failure_lets_go(tmp_path: Path) -> None:
    lock = tmp_path / "train.lock"
    with pytest.raises(UserError, match="broken"), alone(lock, "xtts train"):
        raise UserError("broken")
    assert not lock.exists()
