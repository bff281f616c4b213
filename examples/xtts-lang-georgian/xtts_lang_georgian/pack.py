"""Georgian, `ka`. What it does to a text is told in the README."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import ClassVar

from xtts_framework.plugins import LanguagePack, Rule, TextProblem, find_unknown_characters

from xtts_lang_georgian.numbers import begins_number, continues_number
from xtts_lang_georgian.rules import RULES
from xtts_lang_georgian.writing import LETTERS, MARKS, VOWELS

GEORGIAN_WORD = re.compile(f"[{LETTERS}]+")
OPENING = "\"'("


class Georgian(LanguagePack):
    """Georgian in Mkhedruli letters. No options."""

    code: ClassVar[str] = "ka"
    name: ClassVar[str] = "Georgian"
    api_version: ClassVar[int] = 1
    sentence_marks: ClassVar[str] = ".!?"
    clause_marks: ClassVar[str] = ",;:"

    @property
    def alphabet(self) -> frozenset[str]:
        return frozenset(LETTERS + MARKS + " ")

    @property
    def rules(self) -> Sequence[Rule]:
        return RULES

    def check(self, raw: str, normalized: str) -> list[TextProblem]:
        characters = "".join(character for character in set(normalized) if not character.isnumeric())
        return [
            *find_nothing_to_say(normalized),
            *find_numbers(normalized),
            *find_abbreviations(normalized),
            *find_unknown_characters(characters, self.alphabet),
        ]

    def belong_together(self, left: str, right: str) -> bool:
        """`ორი ათას | ოცი`"""
        return begins_number(left.lstrip(OPENING)) and continues_number(right)


def find_nothing_to_say(normalized: str) -> list[TextProblem]:
    """Texts without any letter or numeral: nothing, or marks alone."""
    if any(map(str.isalnum, normalized)):
        return []
    return [TextProblem("empty_text", "expected words, found none")]


def find_numbers(normalized: str) -> list[TextProblem]:
    """Numbers that no rule reads: `12.05.2024`, `2-1`, `007`, `Ⅳ`."""
    unread = [word for word in normalized.split() if any(map(str.isnumeric, word))]
    return [TextProblem("digits", f"not read yet, write it in words: {_list(unread)}")] if unread else []


def find_abbreviations(normalized: str) -> list[TextProblem]:
    """Words without a vowel, which no Georgian word is: `სს`, `წწ`."""
    unread = [word for word in GEORGIAN_WORD.findall(normalized) if not VOWELS.intersection(word)]
    return [TextProblem("abbreviation", f"without a vowel, write it in full: {_list(unread)}")] if unread else []


def _list(words: Iterable[str]) -> str:
    return ", ".join(map(repr, dict.fromkeys(words)))
