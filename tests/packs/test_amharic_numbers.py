"""Amharic number words agree with num2words2, and Ethiopic numerals with Unicode's description of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from num2words2 import num2words
from pages import read_table

from xtts_framework.plugins import LanguagePack, load_plugins
from xtts_plugins.amharic.lexicon import NUMBERS

AMHARIC: LanguagePack = load_plugins().pack("am", {})
LARGEST = 10**12
DIFFERENCES = {theirs: ours for theirs, ours, _ in read_table("amharic.md", "num2words2", "here", "because")}
"""Every deliberate difference; the page gives the reason of each."""

POWERS = [10**power + step for power in range(3, 13) for step in (-1, 0, 1) if 10**power + step <= LARGEST]
NUMBERS_TO_COMPARE = [*range(2001), *POWERS, *(random.Random(power).randrange(10**power) for power in range(3, 13))]
ANY_NUMBER = st.integers(0, 12).flatmap(lambda power: st.integers(0, 10**power))
"""Short ones and long ones alike."""

SIGNS = "፩፪፫፬፭፮፯፰፱፲፳፴፵፶፷፸፹፺፻፼"


def theirs(number: int | Decimal, to: str) -> list[str]:
    return str(num2words(number, lang="am", to=to)).split()


def respelled(words: list[str]) -> str:
    """Their words, spelled the way the page says we do."""
    return " ".join(_respelled(word) for word in words)


def _respelled(word: str) -> str:
    if word in DIFFERENCES:
        return DIFFERENCES[word]
    if word.endswith("ኛ"):
        return f"{_respelled(word.removesuffix('ኛ'))}ኛ"
    return word


def read(text: str) -> str:
    """The reading of a text that is accepted."""
    reading = AMHARIC.normalize(text)
    assert AMHARIC.check(text, reading) == []
    return reading


@given(ANY_NUMBER)
@example(0)
@example(LARGEST)
def test_any_cardinal_is_that_of_num2words2_but_for_the_declared_words(number: int) -> None:
    assert read(str(number)) == respelled(theirs(number, "cardinal"))


@given(ANY_NUMBER)
@example(0)
@example(LARGEST)
def test_any_ordinal_is_that_of_num2words2_but_for_the_declared_words(number: int) -> None:
    assert read(f"{number}ኛ") == respelled(theirs(number, "ordinal"))


@pytest.mark.parametrize(("to", "spell"), [("cardinal", NUMBERS.spell_cardinal), ("ordinal", NUMBERS.spell_ordinal)])
def test_no_number_to_2000_and_beside_no_power_of_ten_differs_otherwise(to: str, spell: Callable[[int], str]) -> None:
    assert [n for n in NUMBERS_TO_COMPARE if spell(n) != respelled(theirs(n, to))] == []


def test_years_are_those_of_num2words2_until_2099() -> None:
    assert [year for year in range(101, 2100) if NUMBERS.spell_year(year) != respelled(theirs(year, "year"))] == []


@pytest.mark.parametrize(("year", "here", "there"), [(100, "መቶ", "አንድ መቶ"), (2100, "ሁለት ሺህ አንድ መቶ", "ሃያ አንድ መቶ")])
def test_years_that_num2words2_reads_otherwise_are_numbers_here(year: int, here: str, there: str) -> None:
    assert NUMBERS.spell_year(year) == NUMBERS.spell_cardinal(year) == here
    assert respelled(theirs(year, "year")) == there


@given(ANY_NUMBER, st.text("0123456789", min_size=1, max_size=8).filter(lambda decimals: set(decimals) != {"0"}))
def test_decimals_are_those_of_num2words2(whole: int, decimals: str) -> None:
    written = f"{whole}.{decimals}"
    assert read(written) == respelled(theirs(Decimal(written), "cardinal"))


def test_zeros_behind_the_point_are_read_where_num2words2_drops_them() -> None:
    assert read("5.0") == "አምስት ነጥብ ዜሮ"
    assert theirs(Decimal("5.0"), "cardinal") == ["አምስት"]


@given(ANY_NUMBER.filter(bool))
def test_negatives_are_those_of_num2words2(number: int) -> None:
    assert read(f"-{number}") == respelled(theirs(-number, "cardinal"))


def test_every_declared_difference_still_is_one() -> None:
    numbers = [*range(1, 1001), 10**6, 10**9, 10**12]
    used_there = {word for n in numbers for to in ("cardinal", "ordinal") for word in theirs(n, to)}
    used_here = {word for n in numbers for text in (f"{n}", f"{n}ኛ", f"-{n}") for word in read(text).split()}
    assert DIFFERENCES.keys() <= used_there | set(theirs(-1, "cardinal"))
    assert set(DIFFERENCES.values()) <= used_here
    assert not DIFFERENCES.keys() & used_here


@given(st.integers(0, LARGEST))
def test_thousands_separators_change_nothing(number: int) -> None:
    assert read(f"{number:,} ሰዎች") == read(f"{number} ሰዎች")


@given(st.text("0123456789", min_size=14, max_size=100))
def test_what_is_too_long_for_a_number_is_read_digit_by_digit(digits: str) -> None:
    words = read(digits).split()
    assert words == [NUMBERS.spell_cardinal(int(digit)) for digit in digits]


@pytest.mark.parametrize(
    ("numeral", "number"),
    [
        ("፩", 1),
        ("፲", 10),
        ("፻", 100),
        ("፻፩", 101),
        ("፲፱፻፹፯", 1987),
        ("፳፻፲፮", 2016),
        ("፼", 10_000),
        ("፩፼፲፩፻፲፩", 11_111),
        ("፪፻፼", 2_000_000),
        ("፻፼", 1_000_000),
        ("፼፼", 100_000_000),
        ("፻፳፫፼፵፭፻፷፯", 1_234_567),
    ],
)
def test_ethiopic_numerals_are_numbers(numeral: str, number: int) -> None:
    assert read(numeral) == NUMBERS.spell_cardinal(number)


def encode(number: int) -> str:
    """An Ethiopic numeral, made of its digits in pairs.

    Source: W3C, CSS Counter Styles Level 3, section 7.2, "Ethiopic Numeric Counter Style".
    """
    if number == 1:
        return "፩"
    pairs = list(_pairs(number))
    numeral = ""
    for place in reversed(range(len(pairs))):
        tens, units = divmod(pairs[place], 10)
        leads = place == len(pairs) - 1
        silent = pairs[place] == 0 or (pairs[place] == 1 and (leads or place % 2 == 1))
        digits = "" if silent else SIGNS[8 + tens] * bool(tens) + SIGNS[units - 1] * bool(units)
        hundred = "፻" if place % 2 == 1 and pairs[place] else ""
        myriad = "፼" if place % 2 == 0 and place else ""
        numeral += digits + hundred + myriad
    return numeral


def _pairs(number: int) -> Iterator[int]:
    while number:
        number, pair = divmod(number, 100)
        yield pair


@given(st.integers(1, LARGEST))
@example(1)
@example(100)
@example(LARGEST)
def test_any_number_comes_back_from_its_ethiopic_numeral(number: int) -> None:
    assert read(encode(number)) == NUMBERS.spell_cardinal(number)


@given(st.integers(10**13, 10**60))
def test_ethiopic_numerals_of_any_length_keep_all_their_digits(number: int) -> None:
    assert read(encode(number)) == NUMBERS.spell_digits(str(number))


@given(st.text(SIGNS, min_size=1, max_size=9))
@example("፩፪")
@example("፪፩፲")
@example("፲፲")
@example("፻፻")
@example("፩፻፻፼")
def test_any_sequence_of_numeral_signs_is_a_number_or_refused_as_malformed(numeral: str) -> None:
    text = f"ምዕራፍ {numeral}"
    problems = AMHARIC.check(text, AMHARIC.normalize(text))
    assert [problem.code for problem in problems] == ([] if is_well_formed(numeral) else ["malformed_numeral"])


def is_well_formed(numeral: str) -> bool:
    """Whether each pair is tens then units, and no group between two `፼` has more than one `፻`."""
    groups = [group.split("፻") for group in numeral.split("፼")]
    return all(len(group) <= 2 and all(map(_is_pair, group)) for group in groups)


def _is_pair(signs: str) -> bool:
    kinds = [SIGNS.index(sign) // 9 for sign in signs]
    return kinds in ([], [0], [1], [1, 0])


@pytest.mark.parametrize("signs", ["፼", "፩", "፩፻", "፩፻፼"])
def test_numerals_of_any_length_take_linear_time(signs: str) -> None:
    """A quadratic rule would take hours: so does turning 100,000 digits into a number."""
    reading = AMHARIC.normalize(f"ምዕራፍ {signs * (30_000 // len(signs))}")
    assert reading.startswith("ምዕራፍ ")
