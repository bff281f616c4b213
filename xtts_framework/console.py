"""What a person reads while a stage works: plain lines in logs, bars on a terminal. Everything goes to stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

PLAIN_INTERVAL_S = 10.0
_silent = False


def say(line: str) -> None:
    """Print one line of log."""
    if not _silent:
        print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def only_errors() -> Iterator[None]:
    """Say nothing meanwhile: one process of several speaks for all. Errors are not said but raised."""
    global _silent
    _silent = True
    try:
        yield
    finally:
        _silent = False


@contextlib.contextmanager
def progress(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Yield `advance(n)`. A rich bar on a terminal, otherwise a line every ten seconds and one at the end.

    Args:
        total: number of `unit`s (clips, rows, files) the work consists of.
    """
    show = _bar(description, total, unit) if sys.stderr.isatty() else _lines(description, total, unit)
    with show as advance:
        yield advance


@contextlib.contextmanager
def _bar(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)


@contextlib.contextmanager
def _lines(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    started = last = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last >= PLAIN_INTERVAL_S and done:
            last = now
            left = (now - started) / done * (total - done)
            say(f"{description}: {done}/{total} {unit}, about {left:.0f} s left")

    yield advance
    say(f"{description}: {done}/{total} {unit} in {time.monotonic() - started:.1f} s")
