"""Small language packs and vocabularies for the tests of this folder."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any, ClassVar

from xtts_framework.plugins import LanguagePack, NoOptions

REAL_VOCAB = Path(__file__).parents[3] / "shared" / "data" / "xtts_vocab.json"
"""The vocabulary of an early XTTS-v2, where somebody has put it beside the repository; no part of the project."""

SPECIAL = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
PUNCTUATION = " .,!?'-"
ETHIOPIC = frozenset(
    chr(point)
    for first, last in ((0x1200, 0x1248), (0x1260, 0x1267), (0x1290, 0x1297), (0x1308, 0x130E), (0x1360, 0x137C))
    for point in range(first, last + 1)
)


class SmallPack(LanguagePack):
    """A pack that trusts its texts."""

    characters: ClassVar[frozenset[str]]

    def __init__(self) -> None:
        super().__init__(NoOptions())

    @property
    def alphabet(self) -> frozenset[str]:
        return self.characters

    def normalize(self, text: str) -> str:
        return " ".join(text.lower().split())


class Amharic(SmallPack):
    code = "am"
    name = "Amharic"
    characters = ETHIOPIC | set(PUNCTUATION)


class Swahili(SmallPack):
    """Spelt with letters that every base knows."""

    code = "sw"
    name = "Swahili"
    characters = frozenset(string.ascii_lowercase + PUNCTUATION)


class Yoruba(SmallPack):
    """Letters that every base knows, and some that it does not."""

    code = "yo"
    name = "Yoruba"
    characters = frozenset(string.ascii_lowercase + PUNCTUATION + "ẹọṣ")


AMHARIC = ["ሰላም ለሰላም ሁሉ።", "ሰላምሰላም ለሁሉም ሰላም።", "ሁሉም ሰላም ነበር።", "ሰላም፣ ሰላም ለሀገር።"]
SWAHILI = ["habari ya asubuhi", "asubuhi njema, habari", "habari ya jioni", "jioni njema ya habari"]
YORUBA = ["ọjọ kọọkan", "ẹ ku ọjọ kọọkan", "ọjọ ọjọ ẹṣẹ"]


def small_vocab() -> dict[str, Any]:
    """XTTS's file format in small: special tokens among the others, tags in both lists, a hole in the ids."""
    characters = [character for character in string.ascii_lowercase + PUNCTUATION if character != " "]
    merges = ["t h", "i n", "th e", "a n", "e r", "a r", "u b", "ar i"]
    tokens = [
        "[STOP]",
        "[UNK]",
        "[SPACE]",
        *characters,
        "[en]",
        "[START]",
        "[es]",
        *(m.replace(" ", "") for m in merges),
    ]
    ids = {token: index for index, token in enumerate(tokens)}
    ids |= {"[zh-cn]": len(tokens), "日": len(tokens) + 3}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, **SPECIAL, "content": token}
            for token, index in ids.items()
            if token.startswith("[") and len(token) > 1
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "[UNK]",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "vocab": ids,
            "merges": merges,
        },
    }


def write_vocab(path: Path, vocab: dict[str, Any]) -> Path:
    path.write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    return path
