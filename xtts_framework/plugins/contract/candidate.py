"""A pack under examination: its alphabet, the texts it is given and what it makes of them, each worked out once."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from xtts_framework.plugins.contract.alone import Answer, load_alone
from xtts_framework.plugins.contract.odd_texts import ODD_TEXTS, draw_texts
from xtts_framework.plugins.contract.pace import find_slowness
from xtts_framework.plugins.discovery import describe_error
from xtts_framework.plugins.language_pack import LanguagePack, TextProblem

DRAWN_TEXTS = 300
FEW_TEXTS = 20
SHOWN_CHARACTERS = 60
SHOWN_BEFORE = 20
SHOWN_VALUES = 10


class Uncheckable(Exception):
    """A check cannot be made: something that it needs is broken, and reported by another check."""


@dataclass(frozen=True)
class Reading:
    """A text, and what the pack made of it."""

    raw: str
    normalized: str


@dataclass
class Candidate:
    """A pack under examination.

    Args:
        pack: the class.
        options: as under `language.options`.
        examples: texts, and how its author wants them read.
    """

    pack: type[LanguagePack]
    options: Mapping[str, Any] = field(default_factory=dict)
    examples: Sequence[tuple[str, str]] = ()

    def set_up(self) -> LanguagePack:
        """A new instance."""
        try:
            return self.pack(self.pack.Options.model_validate(dict(self.options)))
        except Exception as error:
            raise Uncheckable(f"the pack cannot be set up: {describe_error(error)}") from error

    @cached_property
    def instance(self) -> LanguagePack:
        return self.set_up()

    @cached_property
    def alphabet(self) -> AbstractSet[str]:
        """The pack's, if it is a set of strings that does not change."""
        try:
            alphabet: Any = self.instance.alphabet
            again: Any = self.set_up().alphabet
        except Exception as error:
            raise Uncheckable(f"the alphabet cannot be read: {describe_error(error)}") from error
        if not isinstance(alphabet, AbstractSet) or not all(isinstance(element, str) for element in alphabet):
            raise Uncheckable("the alphabet is no set of characters")
        if alphabet != again:
            raise Uncheckable("the alphabet changes")
        return alphabet

    @cached_property
    def texts(self) -> list[str]:
        """Odd texts, drawn texts and the author's examples, each once."""
        given = [raw for raw, _ in self.examples]
        return list(dict.fromkeys([*ODD_TEXTS, *draw_texts(self.alphabet, DRAWN_TEXTS), *given]))

    @cached_property
    def slowness(self) -> list[str]:
        """What takes too long."""
        return find_slowness(self.instance, self.alphabet)

    @cached_property
    def readings(self) -> list[Reading]:
        """Of all texts that the pack reads; those on which it fails have a check of their own."""
        if self.slowness:
            raise Uncheckable("the pack is too slow")
        readings = []
        for text in self.texts:
            normalized = self.normalize(text)
            if isinstance(normalized, str):
                readings.append(Reading(text, normalized))
        return readings

    @cached_property
    def steady_readings(self) -> list[Reading]:
        """The readings of a pack that reads the same text the same way."""
        if self.unsteady:
            raise Uncheckable("the pack reads one text in several ways")
        return self.readings

    @cached_property
    def unsteady(self) -> list[str]:
        """Texts that are read otherwise the second time, or by another instance; both read in another order."""
        return list(self._find_unsteady())

    def _find_unsteady(self) -> Iterator[str]:
        other = self.set_up()
        for reading in reversed(self.readings):
            again = self.normalize(reading.raw)
            if again != reading.normalized:
                first, second = show_apart(reading.normalized, again)
                yield f"normalize({show(reading.raw)}) gives {first}, the second time {second}"
                continue
            elsewhere = self.normalize(reading.raw, other)
            if elsewhere != again:
                here, there = show_apart(again, elsewhere)
                yield f"normalize({show(reading.raw)}) gives {here}, in another instance {there}"

    @cached_property
    def accepted(self) -> list[Reading]:
        """The readings in which the pack finds no problem."""
        _ = self.alphabet  # the default `check` needs it
        accepted = [reading for reading in self.steady_readings if self.check(reading) == []]
        if self.steady_readings and not accepted:
            last = self.steady_readings[-1]
            raise Uncheckable(f"the pack accepts no text; of {show(last.raw)} it says {self._show_refusal(last)}")
        return accepted

    def _show_refusal(self, reading: Reading) -> str:
        problems = self.check(reading)
        if not isinstance(problems, list) or not all(isinstance(problem, TextProblem) for problem in problems):
            return show(problems)
        return "; ".join(f"{problem.code}: {problem.detail}" for problem in problems)

    def normalize(self, text: str, instance: LanguagePack | None = None) -> Any:
        """What the pack makes of a text, or the exception it raises."""
        try:
            return (instance or self.instance).normalize(text)
        except Exception as error:
            return error

    def check(self, reading: Reading) -> Any:
        """The pack's problems with a text, or the exception it raises."""
        try:
            return self.instance.check(reading.raw, reading.normalized)
        except Exception as error:
            return error

    @cached_property
    def loaded_alone(self) -> Answer:
        """The pack, loaded in a process of its own without torch, where it reads a few texts."""
        return load_alone(self._target, self.options, draw_texts(self.alphabet, FEW_TEXTS))

    @cached_property
    def read_alone(self) -> Answer:
        """The same with all texts that it can read here."""
        return load_alone(self._target, self.options, [reading.raw for reading in self.readings])

    @property
    def _target(self) -> str:
        module, name = self.pack.__module__, self.pack.__qualname__
        if "<locals>" in name or module == "__main__":
            raise Uncheckable(f"no other process can import {module}.{name}; define it at the top of a module")
        return f"{module}:{name}"


def show(value: object) -> str:
    """A value for a person, shortened; what cannot be printed is escaped."""
    shown = repr(value)
    if len(shown) <= SHOWN_CHARACTERS:
        return shown
    length = f" ({len(value)} characters)" if isinstance(value, str) else ""
    return f"{shown[:SHOWN_CHARACTERS]}…{length}"


def show_apart(left: object, right: object) -> tuple[str, str]:
    """Two different values for a person. Texts begin shortly before they differ; look-alikes are escaped."""
    if not (isinstance(left, str) and isinstance(right, str)):
        return show(left), show(right)
    equal = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))
    start = max(0, len(list(equal)) - SHOWN_BEFORE)
    beginning = "…" if start else ""
    alike = unicodedata.normalize("NFC", left) == unicodedata.normalize("NFC", right)
    first, second = ((ascii if alike else repr)(text[start : start + SHOWN_CHARACTERS]) for text in (left, right))
    return f"{beginning}{first}", f"{beginning}{second}"


def show_all(values: Iterable[object]) -> str:
    """The same for several values."""
    listed = sorted(map(show, values))
    more = len(listed) - SHOWN_VALUES
    return ", ".join(listed[:SHOWN_VALUES]) + (f" and {more} more" if more > 0 else "")
