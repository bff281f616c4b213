"""One trainer at a time, and no endless repetition of the same failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xtts_framework.errors import UserError
from xtts_framework.training.attempts import only_trainer, recorded_attempt

HOLD = """
import sys
from pathlib import Path
from xtts_framework.training.attempts import only_trainer
with only_trainer(Path(sys.argv[1])):
    print("holding", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that holds `tmp_path/lock`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "holding\n"
    return process


def test_second_trainer_is_told_who_works_where_and_since_when(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(UserError, match=rf"process {holder.pid} on \S+ since 20"), only_trainer(tmp_path / "lock"):
        pass
    holder.communicate()
    with only_trainer(tmp_path / "lock"):
        pass


def test_lock_of_a_killed_process_is_taken_over_and_named(
    tmp_path: Path, holder: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    holder.kill()
    holder.communicate()
    with only_trainer(tmp_path / "lock"):
        assert f"process {holder.pid}" in capsys.readouterr().err


def fail(path: Path, step: int, message: str) -> None:
    with pytest.raises(RuntimeError, match=message), recorded_attempt(path, 0, lambda: step):
        raise RuntimeError(message)


def finish(path: Path) -> None:
    with recorded_attempt(path, 0, lambda: 0):
        pass


def test_same_failure_twice_in_a_row_is_a_crash_loop(tmp_path: Path) -> None:
    path = tmp_path / "attempts.json"
    fail(path, 128, "boom")
    fail(path, 128, "boom")
    with pytest.raises(UserError, match=r"crash loop.*\n.*RuntimeError: boom"):
        finish(path)
    path.unlink()
    finish(path)


@pytest.mark.parametrize(("step", "message"), [(256, "boom"), (128, "another")])
def test_other_failures_are_no_crash_loop(tmp_path: Path, step: int, message: str) -> None:
    path = tmp_path / "attempts.json"
    fail(path, 128, "boom")
    fail(path, step, message)
    finish(path)


def test_saving_unfinished_is_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "attempts.json"
    for _ in range(3):
        with pytest.raises(UserError), recorded_attempt(path, 0, lambda: 0):
            raise UserError("unfinished", exit_code=os.EX_TEMPFAIL)
    finish(path)


def test_killed_attempts_count_only_after_five_without_progress(tmp_path: Path) -> None:
    path = tmp_path / "attempts.json"
    for start in (0, 128, 128, 128, 128):
        vanish(path, start)
    vanish(path, 128)
    with pytest.raises(UserError, match=r"last 5 attempts started at step 128 and were killed"):
        vanish(path, 128)


def vanish(path: Path, start_step: int) -> None:
    """An attempt that was killed: it had begun, and nothing was recorded of its end."""
    manager = recorded_attempt(path, start_step, lambda: start_step)
    manager.__enter__()
    begun = path.read_text(encoding="utf-8")
    manager.__exit__(None, None, None)
    path.write_text(begun, encoding="utf-8")
