"""Reasons to refuse an Ethiopic text."""

from __future__ import annotations

import re
from collections.abc import Iterable

import regex

from xtts_framework.plugins import TextProblem
from xtts_plugins.ethiopic.letters import ETHIOPIC_LETTER, LETTER
from xtts_plugins.ethiopic.numerals import NUMERAL

OTHER_NUMBER = regex.compile(r"[\p{N}--[፩-፼]]+", regex.V1)
ABBREVIATION = re.compile(rf"(?<![{LETTER}a-z/])[{LETTER}a-z]{{1,20}}+(?:/[{LETTER}a-z]{{1,20}}+)+")
LATIN_WORD = regex.compile(r"\p{Latin}+")
LISTED = 5
"""Findings named in one reason."""


def find_malformed_numerals(text: str) -> list[TextProblem]:
    """Ethiopic numerals that no number is written like: `፩፪`."""
    return _refuse("malformed_numeral", "not an Ethiopic number; write it in words", NUMERAL.findall(text))


def find_unread_numbers(text: str) -> list[TextProblem]:
    """Numbers that no rule reads: `²`, `Ⅳ`."""
    return _refuse("unread_number", "no rule reads this number; write it in words", OTHER_NUMBER.findall(text))


def find_unknown_abbreviations(text: str) -> list[TextProblem]:
    """What still has a slash between letters: `አ/ጥ`."""
    return _refuse("unknown_abbreviation", "abbreviation not known; write it out", ABBREVIATION.findall(text))


def find_latin(text: str) -> list[TextProblem]:
    """Latin words, for `latin: reject`."""
    return _refuse("latin", "Latin letters, which the option `latin: reject` refuses", LATIN_WORD.findall(text))


def find_mixed_words(mixed: Iterable[str]) -> list[TextProblem]:
    """Words of two scripts: `ጥqኣቶች`."""
    return _refuse("mixed_script", "letters of two scripts in one word; correct it", mixed)


def find_wrong_script(text: str, language: str) -> list[TextProblem]:
    if ETHIOPIC_LETTER.search(text):
        return []
    return [TextProblem("wrong_script", f"expected {language}, found no Ethiopic letter")]


def _refuse(code: str, complaint: str, findings: Iterable[str]) -> list[TextProblem]:
    distinct = list(dict.fromkeys(findings))
    if not distinct:
        return []
    more = f" and {len(distinct) - LISTED} more" if len(distinct) > LISTED else ""
    return [TextProblem(code, f"{complaint}: {', '.join(distinct[:LISTED])}{more}")]
