"""What becomes of a text: a few rules, then coqui's cleaners until nothing changes any more."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from xtts_plugins.native.coqui import load_cleaner

PASSES = 3
LONGEST_NUMBER = 60
"""Digits, dots and commas in a row. Coqui takes time quadratic in them, and no language names numbers that long."""
LONGEST_SENTENCE = 1000
"""Characters, in Chinese and Japanese, whose cleaners take time quadratic in the length of a sentence."""

NUMBERS = re.compile(rf"[0-9.,]{{{LONGEST_NUMBER + 1},}}")
SENTENCE_END = re.compile(r"(?<=[。！？!?])( ?)(?![ 。！？!?」』）”’])")
NOT_PINYIN = re.compile(
    r"[\u2e80-\u9fff\uf900-\uffef\U00020000-\U0003ffff]"  # Chinese letters and marks
    r"|(?<![a-z])\d|[^\D1-5]|\d(?=\d)"  # a digit that is no tone
)
DOTTED_I = re.compile("i\u0307+")


class NotCleanedError(ValueError):
    """Coqui's cleaners cannot read a text."""


def lower_case(text: str) -> str:
    """As XTTS does; in every language `I` becomes `i`, since the case must not matter."""
    return text.lower()


def drop_invisible(text: str) -> str:
    """Zero-width and bidirectional marks, soft hyphens."""
    return "".join(character for character in text if unicodedata.category(character) != "Cf")


def compose(text: str) -> str:
    """Unicode NFC; the dot that `İ` leaves over its lower case goes."""
    return unicodedata.normalize("NFC", DOTTED_I.sub("i", unicodedata.normalize("NFC", text)))


def collapse_spaces(text: str) -> str:
    """White space of any kind is one space."""
    return " ".join(text.split())


PREPARING = (lower_case, drop_invisible, compose, collapse_spaces)
"""What is done to any text, before coqui's cleaners and after."""

Pass = Callable[[str], str]


def clean(text: str, one_pass: Pass) -> str:
    """Clean a prepared text until nothing changes: German number words, for example, come in capitals at first.

    Args:
        one_pass: coqui's cleaners for a language.
    Raises:
        NotCleanedError: they raise, or still find something to change after `PASSES` passes.
    """
    if run := NUMBERS.search(text):
        raise NotCleanedError(f"{len(run[0])} digits, dots and commas in a row, expected at most {LONGEST_NUMBER}")
    for _ in range(PASSES):
        before = text
        try:
            text = one_pass(text)
        except NotCleanedError:
            raise
        except Exception as error:  # num2words, pypinyin and cutlet raise what they like
            raise NotCleanedError(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        for rule in PREPARING:
            text = rule(text)
        if text == before:
            return text
    raise NotCleanedError(f"it still changes after {PASSES} passes")


def choose_pass(coqui_code: str) -> Pass:
    """One pass of coqui's cleaners for a language.

    Raises:
        ModuleNotFoundError: coqui-tts is not as expected.
    """
    cleaner = load_cleaner()

    def clean_once(text: str) -> str:
        return cleaner(text, coqui_code)

    def clean_chinese(text: str) -> str:
        return text if not NOT_PINYIN.search(text) else _clean_sentences(text, clean_once)

    def clean_japanese(text: str) -> str:
        return text if text.isascii() else _clean_sentences(text, clean_once, between=" ")

    return {"zh": clean_chinese, "ja": clean_japanese}.get(coqui_code, clean_once)


def _clean_sentences(text: str, clean_once: Pass, between: str | None = None) -> str:
    """Clean each sentence by itself.

    Args:
        between: what stands between two sentences afterwards; None: what stood there before.
    """
    sentences = SENTENCE_END.split(text)
    for index in range(0, len(sentences), 2):
        if len(sentences[index]) > LONGEST_SENTENCE:
            length = len(sentences[index])
            raise NotCleanedError(f"a sentence of {length} characters, expected at most {LONGEST_SENTENCE}")
        sentences[index] = clean_once(sentences[index])
    for index in range(1, len(sentences), 2):
        sentences[index] = sentences[index] if between is None else between
    return "".join(sentences)
