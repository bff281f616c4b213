"""The Tigrinya pack: what its page promises, its number words against two other sources, and that it is tables only."""

from __future__ import annotations

import ast
import itertools
import random
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from num2words2 import num2words
from pages import read_table

from xtts_framework.plugins import LanguagePack, load_plugins
from xtts_framework.plugins.testing import LanguagePackContract
from xtts_plugins.tigrinya.lexicon import ABBREVIATIONS, CURRENCIES, FIRST_PARTS, LATIN_LETTERS, LEXICON, MONTHS, UNITS
from xtts_plugins.tigrinya.pack import Tigrinya

PLUGINS = load_plugins()
TIGRINYA: LanguagePack = PLUGINS.pack("ti", {})
AMHARIC: LanguagePack = PLUGINS.pack("am", {})
FOLDER = Path(__file__).parents[2] / "xtts_plugins" / "tigrinya"

ROWS = [
    *((written, becomes) for _, written, becomes in read_table("tigrinya.md", "rule", "written", "becomes")),
    *((written, becomes) for written, becomes, _ in read_table("tigrinya.md", "written", "becomes", "unsure because")),
]
DIFFERENCES = read_table("tigrinya.md", "tigrinya-numbers", "here", "because")
"""Every deliberate difference, in the order in which they apply; the page gives the reason of each."""

LARGEST = 10**12
POWERS = [10**power + step for power in range(3, 13) for step in (-1, 0, 1) if 10**power + step <= LARGEST]
NUMBERS_TO_COMPARE = [
    *range(2001),
    *POWERS,
    *(random.Random(seed).randrange(10 ** (seed % 10 + 3)) for seed in range(2000)),
]


class TestTigrinya(LanguagePackContract):
    pack = Tigrinya
    examples = ROWS


def read(text: str) -> str:
    """The reading of a text that is accepted."""
    reading = TIGRINYA.normalize(text)
    assert TIGRINYA.check(text, reading) == []
    return reading


@pytest.mark.parametrize(("options", "written", "becomes"), read_table("tigrinya.md", "with", "written", "becomes"))
def test_the_page_tells_what_the_options_do(options: str, written: str, becomes: str) -> None:
    name, value = options.split(": ")
    assert PLUGINS.pack("ti", {name: value}).normalize(written) == becomes


@pytest.mark.parametrize("text", ["ሓሳብ ዝተመርጸ/ት ኣባል", "ተ/ማርያም መጺኡ"])
def test_what_cannot_be_known_is_refused_and_not_guessed(text: str) -> None:
    assert [problem.code for problem in TIGRINYA.check(text, TIGRINYA.normalize(text))] == ["unknown_abbreviation"]


def test_numbers_are_those_of_tigrinya_numbers_but_for_the_declared_words() -> None:
    theirs = pytest.importorskip("tigrinya_numbers", reason="tigrinya-numbers is not installed")
    unused = set(DIFFERENCES)
    for number in NUMBERS_TO_COMPARE:
        expected = theirs.num_to_cardinal(number)
        for row in DIFFERENCES:
            respelled = re.sub(rf"(?<!ዓሰርተ ){row[0]}", row[1], expected)  # not the ሓደ of ዓሰርተ ሓደ, eleven
            unused -= {row} if respelled != expected else set()
            expected = respelled
        assert read(str(number)) == expected
    assert not unused


def test_ordinals_are_those_of_tigrinya_numbers() -> None:
    theirs = pytest.importorskip("tigrinya_numbers", reason="tigrinya-numbers is not installed")
    for number in [*range(1, 60), *range(70, 100)]:
        assert read(f"{number}ይ") == theirs.num_to_ordinal(number)


SINGLE_WORDS = {
    num2words(number, lang="ti"): read(str(number))
    for number in (*range(1, 11), *range(20, 101, 10), 1000)  # num2words2 has another of the two words for 0
} | {num2words(10**6, lang="ti"): "ሚልዮን"}
"""Tigrinya words by their names in Latin letters."""
WITHOUT_AND = {f"{word}ን": word for word in SINGLE_WORDS.values()} | {"ሚእትን": "ሚእቲ"}


@given(st.integers(0, 9).flatmap(lambda power: st.integers(1, max(1, 10**power - 1))))
@example(10**9 - 1)
@example(1_001_001)
def test_the_words_of_a_number_stand_in_the_order_of_num2words2(number: int) -> None:
    theirs = [SINGLE_WORDS[word] for word in num2words(number, lang="ti").split() if word != "n"]
    ours = read(str(number)).removeprefix("ሓደ ") if 10**6 <= number < 2 * 10**6 else read(str(number))
    assert [WITHOUT_AND.get(word, word) for word in ours.split()] == theirs


@given(st.integers(0, 12).flatmap(lambda power: st.integers(0, 10**power)))
@example(LARGEST)
def test_all_parts_of_a_number_end_in_and_or_the_number_is_one_part(number: int) -> None:
    *others, last = read(str(number)).split()
    assert last.endswith("ን") or not any(word in WITHOUT_AND for word in others) or last in LEXICON.scale_words
    assert TIGRINYA.normalize(read(f"ብ{number}")) == f"ብ{read(str(number))}"


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("1960ታት", "ሽሕን ትሽዓተ ሚእትን ስሳታት"),
        ("25ን", "ዕስራን ሓሙሽተን"),
        ("5ን", "ሓሙሽተን"),
        ("2000000ን", "ክልተ ሚልዮንን"),
        ("3ቲኦም", "ሰለስቲኦም"),
    ],
)
def test_an_affix_takes_the_place_of_the_last_and(written: str, becomes: str) -> None:
    assert read(written) == becomes


def test_a_number_is_never_divided_between_sentences() -> None:
    words = read("987654321").split()
    assert all(TIGRINYA.belong_together(left, right) for left, right in itertools.pairwise(words))
    assert not TIGRINYA.belong_together("ሓደ", "ቤት")


def test_the_words_of_the_tables_are_read_as_they_stand() -> None:
    tables = (*ABBREVIATIONS.values(), *FIRST_PARTS.values(), *LATIN_LETTERS.values(), *UNITS.values())
    words = {*tables, *CURRENCIES.values(), *MONTHS, *LEXICON.eras, *LEXICON.numbers.all_words}
    assert {word for word in words if read(word) != word} == set()


def test_one_text_is_read_differently_in_the_two_languages() -> None:
    text = "ብ2015 25% ዶ/ር 3:16"
    assert AMHARIC.normalize(text) != TIGRINYA.normalize(text)
    merged = {code: PLUGINS.pack(code, {"homophones": "merge"}).normalize("ሓደ ዓመት ፀሓይ") for code in ("am", "ti")}
    assert merged == {"am": "ሃደ ኣመት ጸሃይ", "ti": "ሓደ ዓመት ጸሓይ"}


def test_phonemes_of_every_example_are_known() -> None:
    phonemic = PLUGINS.pack("ti", {"frontend": "g2p"})
    assert {written for written, _ in ROWS if phonemic.check(written, phonemic.normalize(written))} == set()


def test_the_pack_is_tables_only() -> None:
    """Whatever it shares with Amharic is in the Ethiopic room, and not here a second time."""
    nodes = [node for path in FOLDER.glob("*.py") for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    assert [getattr(function, "name", "lambda") for function in functions] == ["xtts_language_packs"]
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    own = {"xtts_plugins.tigrinya.lexicon", "xtts_plugins.tigrinya.pack"}
    assert imported - own == {"__future__", "typing", "xtts_framework.plugins", "xtts_plugins.ethiopic"}
