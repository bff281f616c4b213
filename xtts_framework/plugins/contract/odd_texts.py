"""Texts that a pack has to bear: a fixed table of odd ones, and others drawn from the pack's own alphabet."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Set as AbstractSet

WHITE_SPACE = " \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2003\u200a\u2028\u2029\u202f\u205f\u3000"
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2069\ufeff\u00ad\ufe0f"
CONTROL = "\0\x01\x07\x08\x1b\x7f\x80\x9f"
LONE_SURROGATES = "\ud800\udbff\udc00\udfff"
DIGITS = "0123456789٠٣٩۴५०፩፲፼²½⅔Ⅷ①０９𝟗"
MARKS = ".,:;!?-–—…\"'«»“”‘’()[]{}<>/\\|@#%&*+=~^_$€£¥°§•¿¡。，、؟،;·"
LETTERS = "aZéÉßẞſ\u212aİıΣςσǅŉﬀﬃÅ\u212b㎐℃™ＡｚдЯألשלገሀ日本ក์हिन्दी가각"
ACCENTS = "\u0301\u0300\u0308\u0323\u0327\u0307\u0338\u20dd\u093c\u135d"
EMOJI = "😀👨\u200d👩\u200d👧🇪🇹👍🏽❤\ufe0f"

ODD_TEXTS = (
    "",
    *WHITE_SPACE,
    WHITE_SPACE,
    INVISIBLE,
    CONTROL,
    LONE_SURROGATES,
    *LONE_SURROGATES,
    "\udc00\ud800",
    "a\ud800b",
    "\U0010ffff\ufffe\uffff\ue000",
    DIGITS,
    MARKS,
    *MARKS,
    *DIGITS,
    LETTERS,
    *LETTERS,
    "ΑΣ ΑΣ. ΌΔΟΣ",
    "İSTANBUL ǅ ŉ ẞ",
    EMOJI,
    "a" + ACCENTS * 200,
    ACCENTS,
    ACCENTS[::-1] + "A" + ACCENTS,
    "e\u0301E\u0301 é É a\u0323\u0302 a\u0302\u0323",
    "\u202eabc\u202c \u2067ሰላም\u2069",
    "9" * 5000,
    "1," * 2500,
    "-" * 3000 + "1" + "." * 3000,
    "7፯٧７Ⅶ7.7፯,٧/７",
    "1.2.3.4 1,2,3 1:2:3 1-2-3 1/2/3 12:60 99:99 0000 00.00 -0 --5 +-3 1e9 0x1F",
    "3,14 3.14 1.000.000,00 1,000,000.00 1 000 000 5% 5 % 5‰ $5 5$ €1.50 2-1 1st 2nd 10ኛ",
    "http://example.com/?q=1&r=%20#x user@example.com C:\\path\\file.txt v1.2.3-rc4",
    "Hello, WORLD! Привет שלום مرحبا 你好 नमस्ते 안녕 สวัสดี ሰላም",
    "…" * 300 + "!" * 300 + "?" * 300,
    "((((([[[[[{{{{{\"\"\"\"\"'''''" * 20,
    "a" * 10_000,
    "A " * 5_000,
    "\n" * 10_000,
)
"""Reading one of them is not asked: they are refused or read, and no pack fails on them."""


def draw_texts(alphabet: AbstractSet[str], count: int, seed: int = 0) -> list[str]:
    """Texts of 1 to 40 signs: mostly of the alphabet, with capitals, digits, marks and stranger things between.

    The same arguments draw the same texts. Every other text is taken apart into letters and accents (NFD).
    """
    dice = random.Random(seed)
    own = sorted(alphabet) or ["a"]
    capitals = [character.upper() for character in own]
    kinds = (own, capitals, DIGITS, MARKS, ACCENTS, LETTERS, WHITE_SPACE, INVISIBLE + CONTROL, EMOJI + LONE_SURROGATES)
    rare = (60, 12, 8, 8, 3, 3, 4, 1, 1)
    texts = []
    for number in range(count):
        shares = (80, 8, 0, 0, 0, 0, 12, 0, 0) if number % 3 == 0 else rare
        signs = dice.choices(kinds, shares, k=dice.randint(1, 40))
        text = "".join(" " if kind is WHITE_SPACE and number % 3 == 0 else dice.choice(kind) for kind in signs)
        texts.append(unicodedata.normalize("NFD", text) if number % 2 else text)
    return texts


def long_texts(alphabet: AbstractSet[str], characters: int) -> dict[str, str]:
    """What it is made of -> a text of that many characters."""
    letters = "".join(sorted(character for character in alphabet if character.isalpha())) or "a"
    sentences = " ".join(draw_texts(alphabet, 200)).encode("utf-8", "replace").decode("utf-8")
    pieces = {
        "sentences": sentences,
        "letters without a space": letters,
        "digits": "1234567890",
        "numbers": "1,234.50 ",
        "one mark": ".",
        "spaces": " ",
        "one accent": "\u0301",
    }
    return {name: (piece * (characters // len(piece) + 1))[:characters] for name, piece in pieces.items()}
