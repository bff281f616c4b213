"""Whether a pack takes time linear in the length of a text: processor time, so that other processes do not count."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from xtts_framework.plugins.contract.odd_texts import long_texts
from xtts_framework.plugins.language_pack import LanguagePack

SECONDS_PER_MILLION_CHARACTERS = 4.0
"""What normalising, checking and splitting may take each. 1 MB of text is at most a million characters."""
LONGER = 6
CHARACTERS = (2**10, 2**10 * LONGER, 2**10 * LONGER**2)
UNMEASURABLE_S = 0.1
"""Below this a busy machine makes more of a difference than the pack."""
GROWTH = 3
"""A text `LONGER` times as long may take `LONGER * GROWTH` times as long. In quadratic time it takes `LONGER**2`."""
SENTENCE_CHARACTERS = 250


class Timing(NamedTuple):
    """Processor seconds that an action takes, and the characters that it reads."""

    seconds: float
    characters: int


def find_slowness(pack: LanguagePack, alphabet: AbstractSet[str]) -> list[str]:
    """What takes too long, of the first kind of long text on which something does; no longer than needed to see it."""
    measured = (list(_measure(pack, alphabet, kind)) for kind in long_texts(alphabet, 1))
    return next(filter(None, measured), [])


def _measure(pack: LanguagePack, alphabet: AbstractSet[str], kind: str) -> Iterator[str]:
    """Read longer and longer texts of one kind, and stop at the first that takes too long."""
    last: dict[str, Timing] = {}
    for characters in CHARACTERS:
        text = long_texts(alphabet, characters)[kind]
        timings = _time_reading(pack, text)
        if any(find_complaints(timings, last)):
            again = _time_reading(pack, text)
            timings = {action: min(timing, again.get(action, timing)) for action, timing in timings.items()}
        complaints = [f"{complaint} ({kind})" for complaint in find_complaints(timings, last)]
        yield from complaints
        if complaints:
            return
        last = timings


def find_complaints(timings: dict[str, Timing], last: dict[str, Timing]) -> Iterator[str]:
    """What takes longer than it may, by itself or compared with `last`, that of a text `LONGER` times shorter."""
    for action, (taken, characters) in timings.items():
        allowed = UNMEASURABLE_S + SECONDS_PER_MILLION_CHARACTERS * characters / 1e6
        if taken > allowed:
            yield f"{action}: {characters} characters take {taken:.2f} s, expected at most {allowed:.2f} s"
        elif action in last and taken > max(UNMEASURABLE_S, LONGER * GROWTH * last[action].seconds):
            times = taken / last[action].seconds
            yield f"{action}: {LONGER} times as many characters take {times:.0f} times as long, expected {LONGER}"


def _time_reading(pack: LanguagePack, text: str) -> dict[str, Timing]:
    """How long each thing takes that is done to a text, as far as the pack bears it."""
    timings = {}
    normalized = ""
    with contextlib.suppress(Exception):  # other checks tell

        def normalize() -> None:
            nonlocal normalized
            normalized = pack.normalize(text)

        timings["normalize"] = Timing(_time(normalize), len(text))
        checked = max(len(text), len(normalized))
        timings["check"] = Timing(_time(lambda: pack.check(text, normalized)), checked)
        timings["split_sentences"] = Timing(
            _time(lambda: pack.split_sentences(normalized, SENTENCE_CHARACTERS)), len(normalized)
        )
    return timings


def _time(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started
