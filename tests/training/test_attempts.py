"""No endless repetition of the same failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xtts_framework.errors import UserError
from xtts_framework.training.attempts import recorded_attempt


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
