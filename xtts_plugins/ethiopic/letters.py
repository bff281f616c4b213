"""Letters of Ethiopic texts, and how words grow at their end."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping

import regex

ETHIOPIC_RANGES = (
    (0x1200, 0x135F),  # the syllables of Ge'ez, Amharic and Tigrinya; the three marks of length
    (0x1380, 0x138F),  # Ethiopic Supplement: syllables of Sebat Bet Gurage
    (0x2D80, 0x2DDF),  # Ethiopic Extended: syllables of Me'en, Blin and others, in names and loan words
)
"""First and last code point. Source: Unicode code charts, Ethiopic."""

ETHIOPIC_LETTERS = frozenset(
    chr(point)
    for first, last in ETHIOPIC_RANGES
    for point in range(first, last + 1)
    if unicodedata.category(chr(point)) in ("Lo", "Mn")  # the gaps between the rows are unassigned
)

LATIN_LETTERS = frozenset(string.ascii_lowercase)

LETTER = r"\u1200-\u135f\u1380-\u138f\u2d80-\u2ddf"
"""Inside a character class: any Ethiopic letter."""

ROW = 8
"""The syllables of one consonant fill a row of eight code points: seven vowels, then a labialised form."""
VOWELS = 7
BARE_CONSONANT = 5
"""Place within the row of the letter without vowel."""

ETHIOPIC_LETTER = regex.compile(f"[{LETTER}]")


def expand_rows(rows: Mapping[str, str]) -> dict[str, str]:
    """Letter -> letter, for all seven vowels, from first letter of a row -> first letter of another."""
    return {
        chr(ord(first) + vowel): chr(ord(other) + vowel) for first, other in rows.items() for vowel in range(VOWELS)
    }


def attach(word: str, affix: str) -> str:
    """Join a word and an affix, which may repeat the word's last consonant.

    `ሁለት` + `ቱ` -> `ሁለቱ`, `ሃያ` + `ዎቹ` -> `ሃያዎቹ`. `ን` alone is an ending of its own: `ሚሊዮን` + `ን` -> `ሚሊዮንን`.
    """
    repeats = affix not in ("", "ን") and _row(word[-1]) == _row(affix[0])
    return f"{word[:-1] if repeats else word}{affix}"


def any_ending(word: str) -> str:
    """A regular expression for a word with any vowel at its end: `ስድስት`, `ስድስቱ`."""
    row = _row(word[-1]) * ROW
    return f"{re.escape(word[:-1])}[{chr(row)}-{chr(row + ROW - 1)}]"


def _row(letter: str) -> int:
    return ord(letter) // ROW
