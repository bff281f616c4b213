"""The Amharic pack: how a sentence becomes what is read aloud, and which sentences are refused.

Numbers are not read yet: a text with digits is refused (`digits`) rather than read in another language.
"""

from __future__ import annotations

import re
import unicodedata

from xtts_framework.plugins import LanguagePack, TextProblem
from xtts_framework.plugins.language_pack import unknown_characters
from xtts_plugins.amharic.alphabet import ALPHABET, LETTERS
from xtts_plugins.amharic.punctuation import LENGTH_MARKS, PUNCTUATION, REPLACEMENTS

INVISIBLE_CATEGORIES = {"Cc", "Cf"}
VARIATION_SELECTORS = range(0xFE00, 0xFE10)
FULL_STOP_IN_TWO = re.compile("[፡:][፡:]+")
SPACE_BEFORE_MARK = re.compile(r" +(?=[።፣፤፥፦፧፨.,!?:;])")
REPLACEMENT_TABLE = str.maketrans(REPLACEMENTS)
REPEATED_MARK = re.compile(rf"([{re.escape(PUNCTUATION)}])\1+")


class Amharic(LanguagePack):
    """Amharic. Source: docs/packs/amharic.md."""

    code = "am"
    name = "Amharic"
    sentence_marks = "።፧፨!?"
    clause_marks = "፣፤፥፦,;:"

    @property
    def alphabet(self) -> frozenset[str]:
        return ALPHABET

    def normalize(self, text: str) -> str:
        return normalize(text)

    def check(self, raw: str, normalized: str) -> list[TextProblem]:
        return check(normalized)


def normalize(text: str) -> str:
    """Spell a sentence the way it is read aloud. Idempotent, linear in the length of the text."""
    for rule in (lower_case, strip_invisible, compose, unify_punctuation, join_full_stops, space_words, attach_marks):
        text = rule(text)
    return text


def lower_case(text: str) -> str:
    """XTTS lower-cases at inference and has no capitals: `BBC ዜና` -> `bbc ዜና`."""
    return text.lower()


def strip_invisible(text: str) -> str:
    """Remove what has no width or only steers the direction of writing; control characters become spaces."""
    return "".join(" " if character.isspace() else character for character in text if not is_invisible(character))


def is_invisible(character: str) -> bool:
    if character.isspace():
        return False
    return (
        unicodedata.category(character) in INVISIBLE_CATEGORIES
        or ord(character) in VARIATION_SELECTORS
        or character in LENGTH_MARKS
    )


def compose(text: str) -> str:
    """One spelling for characters that can be written in two ways (NFC)."""
    return unicodedata.normalize("NFC", text)


def unify_punctuation(text: str) -> str:
    """Many quotation marks, dashes and brackets -> one of each: `«ሰላም»` -> `"ሰላም"`."""
    return text.translate(REPLACEMENT_TABLE)


def join_full_stops(text: str) -> str:
    """The full stop typed as two word spaces or colons: `ነው፡፡` and `ነው::` -> `ነው።`."""
    return FULL_STOP_IN_TWO.sub("።", text)


def space_words(text: str) -> str:
    """The old word space and every other white space: `ሰላም፡ዓለም` -> `ሰላም ዓለም`."""
    return " ".join(text.replace("፡", " ").split())


def attach_marks(text: str) -> str:
    """A mark belongs to the word before it, once: `ነው ። ።` -> `ነው።`, `ምን??` -> `ምን?`."""
    return REPEATED_MARK.sub(r"\1", SPACE_BEFORE_MARK.sub("", text))


def check(normalized: str) -> list[TextProblem]:
    """Why a normalised text cannot be read aloud as Amharic; empty when it can."""
    if not any(character.isalnum() for character in normalized):
        return [TextProblem("empty_text", "nothing to read aloud is left")]
    problems = []
    digits = {character for character in normalized if unicodedata.category(character).startswith("N")}
    if digits:
        problems.append(TextProblem("digits", f"write numbers as words: {' '.join(sorted(digits))}"))
    if not LETTERS & set(normalized):
        problems.append(TextProblem("wrong_script", "no Ethiopic letter; Latin transliteration is not Amharic"))
    problems += unknown_characters("".join(set(normalized) - digits), ALPHABET)
    return problems
