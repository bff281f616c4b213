"""Rules that nearly every pack begins with, ready to be listed among its own, in this order.

With them a pack is blind to case and to invisible characters, and takes any accents and spaces in linear time.
"""

from __future__ import annotations

import unicodedata

import regex

INVISIBLE = regex.compile(r"[[\p{Default_Ignorable_Code_Point}\p{Cc}]--\s]+", regex.V1)
LONG_ACCENTS = regex.compile(r"(\p{M}{30})\p{M}+")


def lower_case(text: str) -> str:
    """`BBC` -> `bbc`; XTTS knows no capitals. First: the lower case of some letters depends on their neighbours."""
    return text.lower()


def strip_invisible(text: str) -> str:
    """Zero-width and direction marks, soft hyphens, variation selectors, control characters but white space."""
    return str(INVISIBLE.sub("", text))


def compose(text: str) -> str:
    """Unicode NFC: `e` and its accent become `é`.

    Of more than 30 accents on one letter 30 stay: composing takes time quadratic in their number.
    """
    composed = unicodedata.normalize("NFC", LONG_ACCENTS.sub(r"\1", text))
    return str(LONG_ACCENTS.sub(r"\1", composed))


def collapse_spaces(text: str) -> str:
    """One space for any white space, none at the ends."""
    return " ".join(text.split())
