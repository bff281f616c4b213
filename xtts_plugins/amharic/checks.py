"""Reasons to refuse an Amharic text."""

from __future__ import annotations

import regex

from xtts_framework.plugins import TextProblem, find_unknown_characters
from xtts_plugins.amharic.alphabet import ALPHABET

NUMBER = regex.compile(r"\p{N}+")
ETHIOPIC_LETTER = regex.compile(r"[\p{Ethiopic}&&\p{L}]", regex.V1)


def check(normalized: str) -> list[TextProblem]:
    if not normalized:
        return [TextProblem("empty_text", "nothing is left to say once the text is normalised")]
    return [
        *find_numbers(normalized),
        *find_wrong_script(normalized),
        *find_unknown_characters(NUMBER.sub("", normalized), ALPHABET),
    ]


def find_numbers(normalized: str) -> list[TextProblem]:
    """Digits and numerals of any script, Ethiopic ones included: `1`, `፲፱`, `²`, `Ⅳ`."""
    numbers = list(dict.fromkeys(NUMBER.findall(normalized)))
    if not numbers:
        return []
    return [TextProblem("digits", f"numbers are not read yet, write them in words: {', '.join(numbers)}")]


def find_wrong_script(normalized: str) -> list[TextProblem]:
    if ETHIOPIC_LETTER.search(normalized):
        return []
    return [TextProblem("wrong_script", "expected Amharic, found no Ethiopic letter")]
