"""Pieces of regular expressions that several rules share.

Every rule looks at a bounded stretch of text and starts at a place of its own, so that a text of any length is read in
linear time: hence the look-behinds and the possessive quantifiers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from xtts_plugins.ethiopic.letters import LETTER
from xtts_plugins.ethiopic.lexicon import Lexicon

WORD_STARTS = rf"(?<![{LETTER}])"
WORD_ENDS = rf"(?![{LETTER}])"
NUMBER_STARTS = r"(?<![\d.,:/-])"
"""Not within a longer written form."""
AMOUNT = r"\d++(?:,\d{3}){0,4}+(?:\.\d++)?+"
NOTHING = "(?!)"
CONTEXT_WINDOW = 40
"""Characters before and after a number that may tell what it is."""


def any_of(words: Iterable[str]) -> str:
    """A regular expression for any of some words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word))) or NOTHING


def prefix_of(lexicon: Lexicon) -> str:
    """What may be written onto a word's beginning, `በ` in `በ2015`; or nothing."""
    return f"(?:{any_of(lexicon.prefixes)})?"


def affix_of(lexicon: Lexicon) -> str:
    """What may be written onto a number's end, `ቱ` in `56ቱ`, as the group `affix`; or nothing."""
    return rf"(?P<affix>(?:{lexicon.affixes}){WORD_ENDS})?"


def prefix_before(lexicon: Lexicon) -> re.Pattern[str]:
    """Finds, in the text before a number, a prefix that belongs to it."""
    return re.compile(rf"{WORD_STARTS}(?:{any_of(lexicon.prefixes)}) ?$")


def range_beginner(lexicon: Lexicon) -> Callable[[re.Match[str]], str]:
    """What to say before a range: `from_`, unless the text says it already: `በ` in `በ5-10`, `ከገጽ` in `ከገጽ 5-10`."""
    said = re.compile(rf"{WORD_STARTS}(?:(?:{any_of(lexicon.prefixes)}) ?|{lexicon.from_}[{LETTER}]+ )$")
    return lambda match: "" if said.search(before(match)) else lexicon.from_


def before(match: re.Match[str]) -> str:
    """The text that leads up to a match."""
    return match.string[max(0, match.start() - CONTEXT_WINDOW) : match.start()]


def after(match: re.Match[str]) -> str:
    """The text that follows a match."""
    return match.string[match.end() : match.end() + CONTEXT_WINDOW]
