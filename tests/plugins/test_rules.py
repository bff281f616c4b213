"""The rules that the framework gives to packs: together blind to case, idempotent, linear in the length of a text."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtts_framework.plugins import collapse_spaces, compose, lower_case, strip_invisible

ACCENTS = "\u0300\u0301\u0323\u0344\u0345\u05bf"
TEXTS = st.text() | st.text(alphabet="aSΣİßǅ \t\n\u00a0\u00ad\u200b\u200f\ufe0f\x00" + ACCENTS)


def tidy(text: str) -> str:
    for rule in (lower_case, strip_invisible, compose, collapse_spaces):
        text = rule(text)
    return text


@given(TEXTS)
def test_together_they_are_idempotent_and_blind_to_case(text: str) -> None:
    tidied = tidy(text)
    assert tidy(tidied) == tidied
    assert tidy(text.lower()) == tidied


@pytest.mark.parametrize(
    ("written", "tidied"),
    [
        ("BBC", "bbc"),
        ("ΟΔΟΣ", "οδος"),
        ("so\u00adft\u200b \u202ehy\ufe0fphen\x07", "soft hyphen"),
        ("Cafe\u0301", "café"),
        (" a\u00a0\r\n\tb\u2003", "a b"),
        ("\u200b \x00", ""),
    ],
)
def test_each_does_what_it_says(written: str, tidied: str) -> None:
    assert tidy(written) == tidied


@given(st.text(alphabet="ae " + ACCENTS, max_size=29))
def test_fewer_than_thirty_accents_are_plain_nfc(text: str) -> None:
    assert compose(text) == unicodedata.normalize("NFC", text)


def test_a_letter_with_a_million_accents_takes_no_longer_than_other_text() -> None:
    started = time.process_time()
    assert len(compose("a" + "\u0301\u0323" * 500_000)) <= 31
    assert time.process_time() - started < 4
