"""What every pack in Ethiopic script promises about any text, whatever its options."""

from __future__ import annotations

import itertools
import re
import sys
import unicodedata

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xtts_framework.plugins import LanguagePack, load_plugins
from xtts_plugins.ethiopic import EthiopicPack

PLUGINS = load_plugins()
INSTALLED = {code for info in PLUGINS.infos for code in info.languages}
CODES = sorted({"am", "ti"} & INSTALLED)
VISIBLE_LETTER_OR_NUMBER = regex.compile(r"[[\p{L}\p{N}]--\p{Default_Ignorable_Code_Point}]", regex.V1)
LATIN_LETTER = re.compile("[a-z]")

SENTENCE_ENDS = ("። ", "፧ ", "! ", "? ", ". ")
KEPT_WORD = "ሙዚቃ"
"""No part of any written form, and no homophone in it."""


def ethiopic_pack(code: str, **options: str) -> EthiopicPack:
    pack = PLUGINS.pack(code, dict(options))
    assert isinstance(pack, EthiopicPack)
    return pack


DEFAULTS = [ethiopic_pack(code) for code in CODES]
PACKS = [
    ethiopic_pack(code, homophones=homophones, latin=latin)
    for code, homophones, latin in itertools.product(CODES, ("keep", "merge"), ("keep", "spell", "reject"))
]
EVERY_PACK = pytest.mark.parametrize(
    "pack", PACKS, ids=lambda pack: f"{pack.code}-{pack.options.homophones}-{pack.options.latin}"
)
FOR_SOME_TEXTS = settings(max_examples=50)
"""Of each pack: most rules are shared."""
EVERY_LANGUAGE = pytest.mark.parametrize("pack", DEFAULTS, ids=lambda pack: pack.code)


def pieces_of(pack: EthiopicPack) -> list[str]:
    """What written forms are made of."""
    words = pack.lexicon
    listed = (words.months, words.prefixes, words.units, words.currencies, words.scale_words, words.first_parts)
    return [
        *itertools.chain.from_iterable(listed),
        *words.abbreviations,
        *(key.replace(".", "/") for key in words.abbreviations),
        *words.phone_words,
        *words.eras,
        words.clock.hour,
        words.clock.second,
        words.day,
    ]


PIECES = sorted({piece for pack in DEFAULTS for piece in pieces_of(pack)})
DIGITS = [
    "0",
    "1",
    "2",
    "9",
    "10",
    "15",
    "30",
    "59",
    "100",
    "1,000",
    "007",
    "0911",
    "1990",
    "2015",
    "8335",
    "+251",
    "9" * 14,
]
AFFIXES = ["ኛ", "ቱ", "ዎቹ", "ን", "ም", "ኛው", "ይ"]
MARKS = list("።፣፤፥፦፧፨፡፠.,!?:;-'\"()[]«»“”–—…•/\\+=×*%‰$€#№°&_|\t\n  \u00a0")
NUMERALS = ["፩", "፲", "፻", "፼", "፱", "፲፱፻፹፯", "٣", "１", "²", "½", "Ⅳ", "④", "०"]
ODD = ["\u200b", "\u202e", "\u0301", "\u135f", "\u0344", "\ud800", "\udfff", "😀", "\x00", "\ufeff", "\U0010ffff"]
LATIN = ["ABC", "abc", "a", "é", "İ", "ß", "Σ", "ﬁ", "Ａ", "COVID"]
WORDS = ["ሰላም", "ለዓለም", "ሠ", "ዐ", "ውጤት", "ጨዋታ", "በላይ", "ሰዎች", "ጀምሮ", "ነው"]
PIECE = st.sampled_from([*PIECES, *WORDS]) | st.sampled_from([*DIGITS, *AFFIXES, *MARKS, *NUMERALS, *ODD, *LATIN])
TEXTS = st.lists(PIECE | st.characters(exclude_categories=()), max_size=12).map("".join) | st.text(
    st.characters(exclude_categories=())
)


@EVERY_PACK
@FOR_SOME_TEXTS
@given(text=TEXTS)
@example("a\u0301" * 40)
@example("a" + "\u0344" * 100)
@example("ΑΣ‹β")
@example("0ስ/ቁሀምሌ")
@example("0ግ/ማህበርሀ")
@example("0%ር/ ሰላም")
@example("30/m/mm")
@example("ሌ.ኮን.ዞA")
@example("\U00010d40")
def test_reading_twice_or_in_capitals_changes_nothing(pack: EthiopicPack, text: str) -> None:
    reading = pack.normalize(text)
    assert pack.normalize(reading) == reading
    assert pack.normalize(text.lower()) == reading


@EVERY_PACK
@FOR_SOME_TEXTS
@given(text=TEXTS)
def test_an_accepted_text_lies_in_the_alphabet_and_any_other_has_a_reason(pack: EthiopicPack, text: str) -> None:
    reading = pack.normalize(text)
    problems = pack.check(text, reading)
    for problem in problems:
        problem.detail.encode("utf-8")
    if not problems:
        assert set(reading) <= pack.alphabet
        assert not any(map(str.isnumeric, reading))


@EVERY_PACK
@FOR_SOME_TEXTS
@given(text=TEXTS)
def test_no_latin_letter_appears_that_was_not_there(pack: EthiopicPack, text: str) -> None:
    reading = unicodedata.normalize("NFKD", pack.normalize(text))
    there = unicodedata.normalize("NFKD", text.lower())
    assert set(LATIN_LETTER.findall(reading)) <= set(LATIN_LETTER.findall(there))


@EVERY_PACK
@FOR_SOME_TEXTS
@given(text=TEXTS)
@example("1")
@example("፼")
def test_what_has_a_letter_or_number_is_never_read_as_nothing(pack: EthiopicPack, text: str) -> None:
    assert bool(pack.normalize(text)) or not VISIBLE_LETTER_OR_NUMBER.search(text)


@EVERY_PACK
@FOR_SOME_TEXTS
@given(before=TEXTS, after=TEXTS)
@example("5/", "")
@example("", "/ት")
@example("$", "5")
def test_a_word_survives_whatever_stands_around_it(pack: EthiopicPack, before: str, after: str) -> None:
    assert KEPT_WORD in pack.normalize(f"{before} {KEPT_WORD} {after}")


@EVERY_LANGUAGE
@given(text=st.text('ሀለሐመሠረሰሸቀበተኀነአከወዐዘየደገጠጸፀፈፐሙዚቃጃኋቁዊ ።፣፤፦፧!?-"«»()', min_size=1))
def test_letters_without_numbers_and_abbreviations_stay_as_they_are(pack: EthiopicPack, text: str) -> None:
    assert re.findall(r"[^\W\d_]", pack.normalize(text)) == re.findall(r"[^\W\d_]", text)


@EVERY_LANGUAGE
def test_every_abbreviation_is_read_with_stops_and_with_slashes(pack: EthiopicPack) -> None:
    abbreviations = pack.lexicon.abbreviations
    for key, expansion in abbreviations.items():
        for written in {key, key.replace(".", "/"), f"{key}.", f"{key}።"}:
            text = f"ሙዚቃ {written} ሙዚቃ"
            assert pack.normalize(text) in (f"ሙዚቃ {expansion} ሙዚቃ", f"ሙዚቃ {expansion}{written[-1]} ሙዚቃ"), text
            assert pack.check(text, pack.normalize(text)) == [], text


@EVERY_LANGUAGE
@pytest.mark.parametrize("end", SENTENCE_ENDS)
def test_no_abbreviation_reaches_across_the_end_of_a_sentence(pack: EthiopicPack, end: str) -> None:
    written_with_spaces = [key for key in pack.lexicon.abbreviations if " " in key]
    for key in pack.lexicon.abbreviations:
        text = f"ሙዚቃ {key.replace(' ', '').replace('.', end)} ሙዚቃ"
        if end in text and not any(spaced in text for spaced in written_with_spaces):
            assert pack.normalize(text) == text


@EVERY_LANGUAGE
def test_no_abbreviation_is_found_within_a_word(pack: EthiopicPack) -> None:
    for key in pack.lexicon.abbreviations:
        text = f"ሙዚ{key}ቃ"
        assert pack.normalize(text).startswith(f"ሙዚ{key[0]}"), text


@EVERY_LANGUAGE
def test_every_unit_and_currency_is_read(pack: EthiopicPack) -> None:
    five = pack.normalize("5")
    for written, name in {**pack.lexicon.units, **pack.lexicon.currencies}.items():
        assert pack.normalize(f"ሙዚቃ 5 {written} ሙዚቃ") == f"ሙዚቃ {five} {name} ሙዚቃ"
        assert pack.normalize(f"5{written}") == f"{five} {name}"


@EVERY_LANGUAGE
@given(characters=st.lists(st.sampled_from("ሀ .:-'\"።፡፣"), min_size=4, max_size=4).map("".join))
def test_marks_in_any_order_are_tidied_in_one_go(pack: EthiopicPack, characters: str) -> None:
    reading = pack.normalize(characters)
    assert pack.normalize(reading) == reading


@EVERY_LANGUAGE
def test_every_character_there_is_can_be_read(pack: EthiopicPack) -> None:
    characters = (chr(point) for point in range(sys.maxunicode + 1))
    text = "ሀ".join(character for character in characters if unicodedata.category(character) not in ("Cn", "Co"))
    reading = pack.normalize(text)
    assert pack.normalize(reading) == reading == pack.normalize(text.lower())


@EVERY_PACK
def test_every_character_of_the_alphabet_survives_beside_a_letter(pack: EthiopicPack) -> None:
    beside = {character: pack.normalize(f"ሙ{character}") for character in pack.alphabet - {" "}}
    assert {character for character, reading in beside.items() if reading.replace(" ", "") != f"ሙ{character}"} == set()


@EVERY_LANGUAGE
@pytest.mark.parametrize(
    "piece",
    *[
        [
            "።",
            "፡ ",
            "'",
            ": -",
            "\u200b",
            "\ud800",
            "Σ'",
            "\u0327\u0301",
            "( ",
            "1,",
            "1-",
            "1/",
            "1:",
            "1 ",
            "በ1",
            "ት/",
        ]
    ],
)
def test_a_long_text_of_any_kind_is_read(pack: LanguagePack, piece: str) -> None:
    """A quadratic rule would take hours: so does NFC with 30,000 accents on one letter."""
    text = pack.normalize("ሀ" + piece * (30_000 // len(piece)))
    assert "".join(pack.split_sentences(text, 200)).replace(" ", "") == text.replace(" ", "")
