"""Reads Ethiopic letters as phonemes, in the International Phonetic Alphabet (IPA), with the package epitran.

What it does to a text is told in `docs/packs/amharic-g2p.md`.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from functools import lru_cache
from typing import Any

from xtts_framework.plugins import UserError

AMHARIC, TIGRINYA = "amh-Ethi", "tir-Ethi"
"""Epitran's codes."""

PHONEMES = {
    AMHARIC: frozenset("abdefhijklmnoprstuvwxzŋəɡɨɲʃʒʷˀ\u0361"),
    TIGRINYA: frozenset("abdefhijklmnopqrstuvwxzħŋəɡɨɲʃʒʔʕʰʷˀ\u0361"),
}
"""Every character that a reading may have. U+0361 ties the two letters of an affricate: `t͡ʃ`."""

EJECTIVE = str.maketrans("ʼ", "ˀ")
"""IPA's apostrophe would be taken for a quotation mark; Unicode names `ˀ` as its other spelling."""

OA_LETTERS = {"ሇ": "ሆ", "ቇ": "ቆ", "ኇ": "ኆ", "ኯ": "ኮ", "ዏ": "ዎ", "ዯ": "ዮ", "ጏ": "ጎ", "ፇ": "ፆ"}
"""Rare letters for the vowel `oa`, all of which epitran lacks -> letters for `o`."""

RESPELLINGS = {
    AMHARIC: str.maketrans(
        OA_LETTERS
        | {"አ": "ኣ", "ዐ": "ዓ", "ሀ": "ሃ", "ሐ": "ሓ", "ኀ": "ኃ"}  # these say `a` in Amharic; epitran reads `ə`
        | {"ኧ": "አ"}  # the letter for a `ə` at the start of a word; epitran reads `wa`
        | {"ቈ": "ቆ", "ኈ": "ሆ", "ኰ": "ኮ", "ጐ": "ጎ"}  # ጐንደር is also written ጎንደር; epitran reads `ɡʷe`
        | {"ቊ": "ቁ", "ኊ": "ሁ", "ኍ": "ሁ", "ኲ": "ኩ"}  # ቊጥር is also written ቁጥር; epitran lacks these
        | {"ቌ": "ቁዌ", "ኌ": "ሁዌ", "ኴ": "ኩዌ", "ጔ": "ጉዌ"}  # `kˀʷe` and so on; epitran lacks these
    ),
    TIGRINYA: str.maketrans(OA_LETTERS),
}
"""Letters that epitran reads wrongly or not at all -> letters that sound right."""

LONGEST_WORD = 16
"""Letters. Epitran's time is quadratic in the length; what is longer is no word, and read in pieces."""
WORD = re.compile(f"[\u1200-\u135a\u1380-\u138f\u2d80-\u2dde\uab01-\uab2e]{{1,{LONGEST_WORD}}}")


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


def read_phonemes(text: str, epitran_code: str) -> str:
    """Replace Ethiopic letters by their phonemes: `ሰላም ለዓለም።` -> `səlam ləaləm።`

    All else stays: marks, spaces, Latin letters, and the letters of other languages that epitran does not know, for
    `check` to refuse. So a text that has been read is not changed again.

    Args:
        text: normalised, numbers and abbreviations in words.
        epitran_code: `AMHARIC` or `TIGRINYA`.
    """
    respelt = text.translate(RESPELLINGS[epitran_code])
    return WORD.sub(lambda word: _read_word(word[0], epitran_code), respelt)


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
