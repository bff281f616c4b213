"""Numbers as Georgian readers say them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtts_lang_georgian.numbers import LIMIT, cardinal, ordinal


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "ნული"),
        (8, "რვა"),
        (18, "თვრამეტი"),
        (20, "ოცი"),
        (21, "ოცდაერთი"),
        (35, "ოცდათხუთმეტი"),
        (40, "ორმოცი"),
        (57, "ორმოცდაჩვიდმეტი"),
        (60, "სამოცი"),
        (98, "ოთხმოცდათვრამეტი"),
        (100, "ასი"),
        (101, "ას ერთი"),
        (300, "სამასი"),
        (999, "ცხრაას ოთხმოცდაცხრამეტი"),
        (1000, "ათასი"),
        (1001, "ათას ერთი"),
        (2024, "ორი ათას ოცდაოთხი"),
        (21_000, "ოცდაერთი ათასი"),
        (1_000_000, "ერთი მილიონი"),
        (2_500_000, "ორი მილიონ ხუთასი ათასი"),
        (2_000_000_001, "ორი მილიარდ ერთი"),
    ],
)
def test_cardinals(number: int, words: str) -> None:
    assert cardinal(number) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, None),
        (1, "პირველი"),
        (2, "მეორე"),
        (8, "მერვე"),
        (9, "მეცხრე"),
        (11, "მეთერთმეტე"),
        (20, "მეოცე"),
        (21, "ოცდამეერთე"),
        (30, "ოცდამეათე"),
        (98, "ოთხმოცდამეთვრამეტე"),
        (100, "მეასე"),
        (101, "ას მეერთე"),
        (1000, "მეათასე"),
        (1921, "ათას ცხრაას ოცდამეერთე"),
        (2000, None),
    ],
)
def test_ordinals(number: int, words: str | None) -> None:
    assert ordinal(number) == words


@given(st.integers(0, LIMIT - 1), st.integers(0, LIMIT - 1))
def test_two_numbers_never_sound_alike(first: int, second: int) -> None:
    assert (cardinal(first) == cardinal(second)) == (first == second)


def test_below_a_thousand_no_two_numbers_sound_alike() -> None:
    assert len({cardinal(number) for number in range(1000)}) == 1000


@given(st.integers(0, 999) | st.integers(0, LIMIT - 1))
def test_cardinals_are_those_of_unicode_but_for_two_habits(number: int) -> None:
    """The Unicode consortium writes hundreds and what follows as one word, and eighteen as `თრვამეტი`."""
    rbnf = pytest.importorskip("unicode_rbnf", reason="the number rules of the Unicode consortium")
    theirs = rbnf.RbnfEngine.for_language("ka").format_number(number).text
    assert cardinal(number).replace(" ", "") == theirs.replace(" ", "").replace("თრვამეტი", "თვრამეტი")
