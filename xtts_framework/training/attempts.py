"""Attempts at one training: an end to those that fail the same way again and again."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from xtts_framework.errors import UserError
from xtts_framework.files import read_json, write_json

SAME_FAILURES = 2
"""Attempts in a row that failed with the same error at the same step."""
VANISHED_WITHOUT_PROGRESS = 5
"""Attempts in a row that were killed without a trace before they saved anything."""


@contextlib.contextmanager
def recorded_attempt(path: Path, start_step: int, current_step: Callable[[], int]) -> Iterator[None]:
    """Record how this attempt ends.

    Args:
        path: JSON list of earlier attempts.
        start_step: step from which this attempt continues.
        current_step: gives the step at any time, for the record of a failure.
    Raises:
        UserError: the attempts before this one show that another one would fail as well.
    """
    attempts = _read_attempts(path)[-VANISHED_WITHOUT_PROGRESS:]
    _refuse_crash_loop(path, attempts, start_step)
    attempt: dict[str, Any] = {"start_step": start_step, "process": os.getpid(), "host": socket.gethostname()}
    attempts.append(attempt)
    write_json(path, attempts)
    try:
        yield
    except Exception as error:
        unfinished = isinstance(error, UserError) and error.exit_code == os.EX_TEMPFAIL
        failure = {"step": current_step(), "failure": f"{type(error).__name__}: {error}"}
        attempt |= {"end": "unfinished"} if unfinished else failure
        raise
    except BaseException as interruption:
        attempt["end"] = type(interruption).__name__
        raise
    else:
        attempt["end"] = "finished"
    finally:
        with contextlib.suppress(OSError):  # a full disk must not hide the error that it caused
            write_json(path, attempts)


def _refuse_crash_loop(path: Path, attempts: list[dict[str, Any]], start_step: int) -> None:
    failures = [(attempt.get("step"), attempt.get("failure")) for attempt in attempts[-SAME_FAILURES:]]
    if len(failures) == SAME_FAILURES and failures[0][1] and len(set(failures)) == 1:
        step, failure = failures[0]
        raise UserError(
            f"crash loop: the last {SAME_FAILURES} attempts both failed at step {step} with\n  {failure}\n"
            f"  Mend the cause, then remove {path} and start again: training continues from its last checkpoint."
        )
    vanished = [
        attempt
        for attempt in attempts[-VANISHED_WITHOUT_PROGRESS:]
        if not attempt.keys() & {"failure", "end"} and attempt["start_step"] == start_step
    ]
    if len(vanished) == VANISHED_WITHOUT_PROGRESS:
        raise UserError(
            f"crash loop: the last {VANISHED_WITHOUT_PROGRESS} attempts started at step {start_step} and were killed "
            "before they saved anything.\n  Usual causes: too little memory, a time limit shorter than "
            f"save_every_minutes. Mend the cause, then remove {path} and start again."
        )


def _read_attempts(path: Path) -> list[dict[str, Any]]:
    try:
        attempts: list[dict[str, Any]] = read_json(path)
    except (FileNotFoundError, UserError):
        return []
    return attempts
