"""The characters of an Amharic text, each of which gets a row in the vocabulary."""

from __future__ import annotations

import string
import unicodedata

from xtts_plugins.amharic.punctuation import ETHIOPIC_MARKS, LATIN_MARKS

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

ALPHABET = ETHIOPIC_LETTERS | {*ETHIOPIC_MARKS, *LATIN_MARKS, *string.ascii_lowercase, " "}
