"""Whether a pack takes time linear in the length of a text: processor time, so that other processes do not count."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

from xtts_framework.plugins.language_pack import LanguagePack
from xtts_framework.plugins.odd_texts import long_texts

SECONDS_PER_MILLION_CHARACTERS = 4.0
"""What normalising, checking and splitting may take each. 1 MB of text is at most a million characters."""
LONGER = 8
CHARACTERS = (2**11, 2**11 * LONGER, 2**11 * LONGER**2)
UNMEASURABLE_S = 0.1
"""Below this a busy machine makes more of a difference than the pack."""
GROWTH = 3
"""A text `LONGER` times as long may take `LONGER * GROWTH` times as long. In quadratic time it takes `LONGER**2`."""
SENTENCE_CHARACTERS = 250


def find_slowness(pack: LanguagePack, alphabet: AbstractSet[str]) -> list[str]:
    """What takes too long, of the first kind of long text on which something does; no longer than needed to see it."""
    measured = (list(_measure(pack, alphabet, kind)) for kind in long_texts(alphabet, 1))
    return next(filter(None, measured), [])


def _measure(pack: LanguagePack, alphabet: AbstractSet[str], kind: str) -> Iterator[str]:
    """Read longer and longer texts of one kind, and stop at the first that takes too long."""
    last: dict[str, float] = {}
    for characters in CHARACTERS:
        text = long_texts(alphabet, characters)[kind]
        seconds = _time_reading(pack, text)
        if any(find_complaints(seconds, last, characters)):
            again = _time_reading(pack, text)
            seconds = {action: min(taken, again.get(action, taken)) for action, taken in seconds.items()}
        complaints = [f"{complaint} ({kind})" for complaint in find_complaints(seconds, last, characters)]
        yield from complaints
        if complaints:
            return
        last = seconds


def find_complaints(seconds: dict[str, float], last: dict[str, float], characters: int) -> Iterator[str]:
    """What takes longer than it may, by itself or compared with a text `LONGER` times shorter."""
    allowed = UNMEASURABLE_S + SECONDS_PER_MILLION_CHARACTERS * characters / 1e6
    for action, taken in seconds.items():
        if taken > allowed:
            yield f"{action}: {characters} characters take {taken:.2f} s, expected at most {allowed:.2f} s"
        elif action in last and taken > max(UNMEASURABLE_S, LONGER * GROWTH * last[action]):
            times = taken / last[action]
            yield f"{action}: {LONGER} times as many characters take {times:.0f} times as long, expected {LONGER}"


def _time_reading(pack: LanguagePack, text: str) -> dict[str, float]:
    """Processor seconds of each thing that is done to a text, as far as the pack bears it."""
    seconds = {}
    normalized = ""
    with contextlib.suppress(Exception):  # other checks tell

        def normalize() -> None:
            nonlocal normalized
            normalized = pack.normalize(text)

        seconds["normalize"] = _time(normalize)
        seconds["check"] = _time(lambda: pack.check(text, normalized))
        seconds["split_sentences"] = _time(lambda: pack.split_sentences(normalized, SENTENCE_CHARACTERS))
    return seconds


def _time(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started
