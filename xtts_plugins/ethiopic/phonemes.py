"""Reads Ethiopic letters as phonemes, in the International Phonetic Alphabet (IPA), with the package epitran.

What it does to a text is told in `docs/packs/amharic-g2p.md`.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from xtts_framework.plugins import UserError

EJECTIVE = str.maketrans("ʼ", "ˀ")
"""IPA's apostrophe would be taken for a quotation mark; Unicode names `ˀ` as its other spelling."""

OA_LETTERS = {"ሇ": "ሆ", "ቇ": "ቆ", "ኇ": "ኆ", "ኯ": "ኮ", "ዏ": "ዎ", "ዯ": "ዮ", "ጏ": "ጎ", "ፇ": "ፆ"}
"""Rare letters for the vowel `oa`, all of which epitran lacks -> letters for `o`."""

LONGEST_WORD = 16
"""Letters. Epitran's time is quadratic in the length; what is longer is no word, and read in pieces."""
WORD = re.compile(f"[\u1200-\u135a\u1380-\u138f\u2d80-\u2dde\uab01-\uab2e]{{1,{LONGEST_WORD}}}")
"""All that epitran takes for a letter of a word, whether it knows its sound or not."""


@dataclass(frozen=True)
class Phonemes:
    """How the letters of a language sound.

    Args:
        epitran_code: epitran's name of the language and its script.
        alphabet: every character that a reading may have. U+0361 ties the two letters of an affricate: `t͡ʃ`.
        respellings: letters that sound right, by letters that epitran reads wrongly or not at all.
    """

    epitran_code: str
    alphabet: frozenset[str]
    respellings: Mapping[str, str] = field(default_factory=dict)

    def read(self, text: str) -> str:
        """Replace Ethiopic letters by their phonemes: `ሰላም ለዓለም።` -> `səlam ləaləm።`

        Everything else stays: marks, spaces, Latin letters, and the letters of other languages' sounds that epitran
        does not know, for `check` to refuse. So a text that has been read stays as it is.

        Args:
            text: normalised, numbers and abbreviations in words.
        """
        return WORD.sub(lambda word: _read_word(word[0], self.epitran_code), text.translate(self._table))

    @cached_property
    def _table(self) -> dict[int, str]:
        return str.maketrans(OA_LETTERS | dict(self.respellings))


def require_epitran() -> None:
    """Check that epitran is installed, without importing it.

    Raises:
        UserError: it is not; names the command that installs it.
    """
    if importlib.util.find_spec("epitran") is None:
        raise UserError(
            "frontend 'g2p' needs the package epitran, which is not installed.\n"
            "  Run `pip install 'xtts-framework[g2p]'`, or set the language's option `frontend` to 'bpe'."
        )


@lru_cache(maxsize=2**16)
def _read_word(word: str, epitran_code: str) -> str:
    reading: str = _load_epitran(epitran_code).transliterate(word)
    return reading.translate(EJECTIVE)


@lru_cache
def _load_epitran(code: str) -> Any:
    """Takes seconds, once. Importing epitran would set the root logger to DEBUG, unless that had a handler."""
    placeholder = logging.NullHandler()
    logging.getLogger().addHandler(placeholder)
    try:
        from epitran import Epitran
    finally:
        logging.getLogger().removeHandler(placeholder)
    return Epitran(code)
