"""What becomes of a text: a few rules, then coqui's cleaners until nothing changes any more."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

import regex

from xtts_plugins.native.coqui import load_cleaner

PASSES = 3
LONGEST_NUMBER = 60
"""Digits, dots and commas in a row. Coqui takes time quadratic in them, and no language names numbers that long."""
LONGEST_SENTENCE = 1000
"""Characters, in Chinese and Japanese, whose cleaners take time quadratic in the length of a sentence."""
SENTENCES_REMEMBERED = 10_000
"""The last pass over a text changes nothing, and checking the text repeats it."""

SHOWN_CHARACTERS = 60

NUMBERS = re.compile(rf"[0-9.,]{{{LONGEST_NUMBER + 1},}}")
SENTENCE_END = re.compile(r"((?<=[.!?…।؟]) |(?<=[。！？]) ?(?![ 。！？」』）”’]))")
NOT_PINYIN = re.compile(
    r"[\u2e80-\u9fff\uf900-\uffef\U00020000-\U0003ffff]"  # Chinese letters and marks
    r"|(?<![a-z])\d|[^\D1-5]|\d(?=\d)"  # a digit that is no tone
)
INVISIBLE = regex.compile(r"\p{Cf}+")
SPACE_BY_EURO = re.compile(r"(?<=[0-9]) (?=€)|(?<=€) (?=[0-9])")
DOTTED_I = re.compile("i\u0307+")


class NotCleanedError(ValueError):
    """Coqui's cleaners cannot read a text; the message says why, and what to do."""


def lower_case(text: str) -> str:
    """As XTTS does; in every language `I` becomes `i`, since the case must not matter."""
    return text.lower()


def drop_invisible(text: str) -> str:
    """Zero-width and bidirectional marks, soft hyphens."""
    return str(INVISIBLE.sub("", text))


def drop_inverted_exclamation_mark(text: str) -> str:
    """`¡Hola!` is `hola!`: XTTS's vocabulary has `¿`, but no `¡`."""
    return text.replace("¡", "")


def compose(text: str) -> str:
    """Unicode NFC; the dot that `İ` leaves over its lower case goes."""
    return unicodedata.normalize("NFC", DOTTED_I.sub("i", unicodedata.normalize("NFC", text)))


def collapse_spaces(text: str) -> str:
    """White space of any kind is one space."""
    return " ".join(text.split())


def join_euro(text: str) -> str:
    """`12,5 €` is `12,5€`, which the cleaners read; the vocabulary has no `€`."""
    return SPACE_BY_EURO.sub("", text)


PREPARING = (lower_case, drop_invisible, drop_inverted_exclamation_mark, compose, collapse_spaces, join_euro)
"""What is done to any text, before coqui's cleaners and after."""

Pass = Callable[[str], str]
"""Raises `NotCleanedError`."""


def clean(text: str, one_pass: Pass) -> str:
    """Clean a prepared text until nothing changes: German number words, for example, come in capitals at first.

    Args:
        one_pass: coqui's cleaners for a language.
    Raises:
        NotCleanedError: they fail, or still find something to change after `PASSES` passes.
    """
    if run := NUMBERS.search(text):
        raise NotCleanedError(f"{len(run[0])} digits, dots and commas in a row, expected at most {LONGEST_NUMBER}.")
    for _ in range(PASSES):
        before = text
        text = one_pass(text)
        for rule in PREPARING:
            text = rule(text)
        if text == before:
            return text
    raise NotCleanedError(f"it still changes after {PASSES} passes. Write numbers and symbols in words.")


def choose_pass(coqui_code: str) -> Pass:
    """One pass of coqui's cleaners for a language, sentence by sentence.

    Chinese and Japanese become Latin letters, which must not be read as Chinese or Japanese again: the tones of pinyin
    are digits.

    Raises:
        ModuleNotFoundError: coqui-tts is not as expected.
    """
    cleaner = load_cleaner()

    @lru_cache(SENTENCES_REMEMBERED)
    def clean_sentence(sentence: str) -> str:
        return cleaner(sentence, coqui_code)

    def clean_any(text: str) -> str:
        return "".join(_clean_sentences(text, clean_sentence))

    def clean_chinese(text: str) -> str:
        return "".join(_clean_sentences(text, clean_sentence, LONGEST_SENTENCE)) if NOT_PINYIN.search(text) else text

    def clean_japanese(text: str) -> str:
        return text if text.isascii() else " ".join(_clean_sentences(text, clean_sentence, LONGEST_SENTENCE))

    return {"zh": clean_chinese, "ja": clean_japanese}.get(coqui_code, clean_any)


def _clean_sentences(text: str, clean_sentence: Pass, longest: int | None = None) -> Iterator[str]:
    """Clean each sentence by itself; what stands between them stays."""
    for index, part in enumerate(SENTENCE_END.split(text)):
        if index % 2 == 1:
            yield part
            continue
        if longest is not None and len(part) > longest:
            raise NotCleanedError(f"a sentence of {len(part)} characters, expected at most {longest}. Divide it.")
        try:
            yield clean_sentence(part)
        except Exception as error:  # num2words, pypinyin and cutlet raise what they like
            reason = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise NotCleanedError(
                f"{part[:SHOWN_CHARACTERS]!r}: {reason}. Write numbers and symbols in words."
            ) from error
