"""Reasons to stop before the end: a signal, or a time limit that is about to be reached."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopRequest:
    """Asks the loop to save and stop at the next update.

    Args:
        max_seconds: seconds from now after which the process must have ended; None: no limit.
    """

    def __init__(self, max_seconds: float | None) -> None:
        self.started = time.monotonic()
        self._max_seconds = max_seconds
        self._signal: str | None = None

    def reason(self, *, reserve_s: float) -> str | None:
        """Why to stop now, or None.

        Args:
            reserve_s: seconds that one more update, an evaluation and the last save would take.
        """
        if self._signal:
            return f"{self._signal} received"
        if self._max_seconds is not None and time.monotonic() - self.started + reserve_s >= self._max_seconds:
            return f"the time limit of {self._max_seconds:g} s"
        return None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take note of signals instead of dying from them; a second Ctrl-C does end the process at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._take_note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take_note(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
