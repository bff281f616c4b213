"""Which characters Amharic text is made of once it is normalised."""

from __future__ import annotations

import unicodedata

from xtts_plugins.amharic.punctuation import PUNCTUATION

ETHIOPIC_BLOCKS = (range(0x1200, 0x13A0), range(0x2D80, 0x2DE0))
"""Ethiopic with its supplement, and Ethiopic Extended, whose syllables occur in names."""

LETTERS = frozenset(
    character for block in ETHIOPIC_BLOCKS for character in map(chr, block) if unicodedata.category(character) == "Lo"
)
LATIN = frozenset("abcdefghijklmnopqrstuvwxyz")
"""XTTS knows them from its other languages, and Amharic texts spell foreign names with them."""

ALPHABET = LETTERS | LATIN | frozenset(PUNCTUATION) | {" "}
