"""Readings of texts, for a terminal: aligned, and with every invisible character spelled out."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import regex

from xtts_framework.config import MODEL_MAX_TEXT_IDS
from xtts_framework.text.reading import Reading, Step, find_unknown

if TYPE_CHECKING:
    from tokenizers import Encoding

INVISIBLE = regex.compile(r"[[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]--[ ]]|^ | $|(?<= ) ", regex.V1)
"""What shows nothing, or would move the terminal's cursor; of spaces those that one does not see."""
MOST_POINTS = 8
FOREIGN_VOCABULARY = "not in this vocabulary; was it made with other options?"
NO_VOCABULARY = "not shown; name a vocabulary with --vocab FILE or --bundle DIR"


def spell_invisible(text: str) -> str:
    """`ሰላም\u200b ` -> `ሰላም<U+200B><U+0020>`"""
    return str(INVISIBLE.sub(lambda match: f"<{_name_points(match[0])}>", text))


def name_characters(characters: Sequence[str]) -> str:
    """`ሠ (U+1220), ዐ (U+12D0)`"""
    return ", ".join(f"{spell_invisible(character)} ({_name_points(character)})" for character in characters)


def show_reading(reading: Reading, steps: Sequence[Step], encoding: Encoding | None) -> str:
    """Lines that show a reading.

    Args:
        steps: those of its steps to show.
        encoding: of the normalised text; None without a vocabulary.
    """
    rows = [("text", spell_invisible(reading.raw))]
    rows += [(f"  {step.rule}", spell_invisible(step.text) + _name_lookalikes(step)) for step in steps]
    rows.append(("normalized", spell_invisible(reading.normalized)))
    if reading.problems:
        rows += [("rejected", f"{problem.code}: {spell_invisible(problem.detail)}") for problem in reading.problems]
    elif encoding is None:
        rows.append(("tokens", NO_VOCABULARY))
    else:
        rows.append(("tokens", " ".join(map(spell_invisible, encoding.tokens))))
        rows.append(("ids", " ".join(map(str, encoding.ids))))
        if unknown := find_unknown(reading.normalized, encoding):
            rows.append(("unknown", f"{name_characters(unknown)}: {FOREIGN_VOCABULARY}"))
        rows.append(("count", f"{len(encoding.ids)} of at most {MODEL_MAX_TEXT_IDS} ids"))
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:{width}}  {shown}".rstrip() for label, shown in rows)


def _name_lookalikes(step: Step) -> str:
    """The code points that a step changed, when both texts look the same: `  (U+0065 U+0301 -> U+00E9)`."""
    before, after = step.before, step.text
    if before == after or unicodedata.normalize("NFC", before) != unicodedata.normalize("NFC", after):
        return ""
    start = _count_equal(before, after)
    end = _count_equal(before[:start:-1], after[:start:-1])
    changed = (text[start : len(text) - end] for text in (before, after))
    return f"  ({' -> '.join(map(_name_points, changed))})"


def _count_equal(left: str, right: str) -> int:
    """Length of the beginning that two texts share."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))


def _name_points(text: str) -> str:
    named = " ".join(f"U+{ord(character):04X}" for character in text[:MOST_POINTS])
    return f"{named} …" if len(text) > MOST_POINTS else named
