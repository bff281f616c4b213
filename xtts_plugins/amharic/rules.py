"""How an Amharic text is spelt for the model: short rules in a fixed order, each with the examples it is for."""

from __future__ import annotations

import re
import unicodedata

import regex

from xtts_plugins.amharic.punctuation import ETHIOPIC_MARKS, LATIN_MARKS, PAIRS, REPLACEMENTS, WORDSPACE

INVISIBLE = regex.compile(r"[[\p{Default_Ignorable_Code_Point}\p{Cc}]--\s]+", regex.V1)
LONG_ACCENTS = regex.compile(r"(\p{M}{30})\p{M}+")
WORDSPACES = re.compile(f"({WORDSPACE}{WORDSPACE}+)|({WORDSPACE}-)|{WORDSPACE}")
SPACE_BEFORE_MARK = re.compile(f" (?=[{ETHIOPIC_MARKS}.,!?:;)])")
PAIR = re.compile("|".join(map(re.escape, PAIRS)))
REPEATED_MARK = re.compile(rf"([{ETHIOPIC_MARKS}{re.escape(LATIN_MARKS)}])\1+")
MARK_BEFORE_LETTER = re.compile(rf"(?<=[{ETHIOPIC_MARKS}])(?=[^\W\d_])")

REPLACEMENT_TABLE = str.maketrans(
    {character: mark for mark, characters in REPLACEMENTS.items() for character in characters}
)


def lower_case(text: str) -> str:
    """`BBC` -> `bbc`. First, since the lower case of some letters depends on their neighbours."""
    return text.lower()


def strip_invisible(text: str) -> str:
    """Zero-width and direction marks, soft hyphens, variation selectors, control characters but white space."""
    return str(INVISIBLE.sub("", text))


def compose(text: str) -> str:
    """Unicode NFC. Of more than 30 accents on one letter 30 stay: composing takes time quadratic in their number."""
    composed = unicodedata.normalize("NFC", LONG_ACCENTS.sub(r"\1", text))
    return str(LONG_ACCENTS.sub(r"\1", composed))


def replace_marks(text: str) -> str:
    """`«ሰላም»` -> `"ሰላም"`, `ሰላም…` -> `ሰላም.`"""
    return text.translate(REPLACEMENT_TABLE)


def read_wordspaces(text: str) -> str:
    """`ሰላም፡ለዓለም፡፡` -> `ሰላም ለዓለም።`, `እነሱም፡-` -> `እነሱም፦`"""
    return WORDSPACES.sub(lambda match: "።" if match[1] else "፦" if match[2] else " ", text)


def collapse_spaces(text: str) -> str:
    """One space for any white space, none at the ends."""
    return " ".join(text.split())


def close_up_marks(text: str) -> str:
    """`ሰላም ።` -> `ሰላም።`"""
    return SPACE_BEFORE_MARK.sub("", text)


def join_pairs(text: str) -> str:
    """`ሰላም::` -> `ሰላም።`, `እነሱም:-` -> `እነሱም፦`, `''ሰላም''` -> `"ሰላም"`"""
    return PAIR.sub(lambda match: PAIRS[match[0]], text)


def collapse_repeats(text: str) -> str:
    """`ሰላም!!!` -> `ሰላም!`, `ሰላም...` -> `ሰላም.`"""
    return REPEATED_MARK.sub(r"\1", text)


def space_out_marks(text: str) -> str:
    """`መጣ።ሄደ` -> `መጣ። ሄደ`. Ethiopic marks only: a Latin full stop also stands within abbreviations."""
    return MARK_BEFORE_LETTER.sub(" ", text)


RULES = (
    lower_case,
    strip_invisible,
    compose,
    replace_marks,
    read_wordspaces,
    collapse_spaces,
    close_up_marks,
    join_pairs,
    collapse_repeats,
    space_out_marks,
)
"""In order. Together idempotent, blind to case, total. Source: `docs/packs/amharic.md`."""
