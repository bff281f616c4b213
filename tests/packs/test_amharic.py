"""The Amharic pack does what its page tells, and reads the news."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pages import PACKS, read_table
from tokenizers import Tokenizer

from xtts_framework.plugins import LanguagePack, TextProblem, load_plugins
from xtts_framework.text.tokenizer import UNKNOWN, encode_texts
from xtts_framework.text.vocabulary import Vocab, extend_vocab, read_vocab, row_count

ROOT = Path(__file__).parents[2]
DEMO_SENTENCES = ROOT / "xtts_framework" / "demo" / "amharic_sentences.txt"
SHARED_DATA = ROOT.parent / "shared" / "data"
REAL_VOCAB = SHARED_DATA / "xtts_vocab.json"
NEWS = SHARED_DATA / "am_news_sentences.txt"
needs_real_vocab = pytest.mark.skipif(not REAL_VOCAB.is_file(), reason="no XTTS vocabulary beside the repository")
needs_news = pytest.mark.skipif(not NEWS.is_file(), reason="no newspaper sentences beside the repository")

PAGE = "amharic.md"
RULES = read_table(PAGE, "rule", "written", "becomes")
OPTIONS = read_table(PAGE, "with", "written", "becomes")
AMBIGUITIES = read_table(PAGE, "written", "becomes", "because")
REFUSALS = read_table(PAGE, "code", "with", "written", "why")

# Every sound that several letters stand for, by the letter that `homophones: merge` leaves.
SERIES = {"ሀ": "ሐኀኸ", "ሰ": "ሠ", "አ": "ዐ", "ጸ": "ፀ"}
ORDERS = 7
LABIALISED = {"ኇ": "ሇ", "ሗ": "ኋ", "ሧ": "ሷ", "ፇ": "ጿ", "ዀ": "ኈ", "ዂ": "ኊ", "ዃ": "ኋ", "ዄ": "ኌ", "ዅ": "ኍ"}
MERGED = {
    chr(ord(other) + order): chr(ord(first) + order)
    for first, others in SERIES.items()
    for other in others
    for order in range(ORDERS)
} | LABIALISED


def amharic(**options: str) -> LanguagePack:
    return load_plugins().pack("am", options)


AMHARIC = amharic()
MERGING = amharic(homophones="merge")


def pack_with(options: str) -> LanguagePack:
    """`latin: spell` -> the pack with this option."""
    return amharic(**(yaml.safe_load(options) or {}))


def codes(pack: LanguagePack, text: str) -> list[str]:
    return [problem.code for problem in pack.check(text, pack.normalize(text))]


@pytest.mark.parametrize(("rule", "written", "becomes"), RULES)
def test_the_page_tells_what_becomes_of_a_text(rule: str, written: str, becomes: str) -> None:
    assert AMHARIC.normalize(written) == becomes


@pytest.mark.parametrize(("written", "becomes", "because"), AMBIGUITIES)
def test_the_page_tells_which_of_two_readings_is_taken(written: str, becomes: str, because: str) -> None:
    assert AMHARIC.normalize(written) == becomes
    assert because


@pytest.mark.parametrize(("options", "written", "becomes"), OPTIONS)
def test_the_page_tells_what_the_options_change(options: str, written: str, becomes: str) -> None:
    pack = pack_with(options)
    assert pack.normalize(written) == becomes
    assert codes(pack, written) == []


@pytest.mark.parametrize(("code", "options", "written", "why"), REFUSALS)
def test_the_page_tells_what_is_refused(code: str, options: str, written: str, why: str) -> None:
    assert codes(pack_with(options), written) == [code]


def test_the_page_has_a_row_for_every_reason() -> None:
    sources = [*(ROOT / "xtts_plugins" / "ethiopic").rglob("*.py"), ROOT / "xtts_framework/plugins/language_pack.py"]
    given_by_code = {
        code
        for source in sources
        for code in re.findall(r'(?:TextProblem|_refuse)\(\s*"(\w+)"', source.read_text(encoding="utf-8"))
    }
    assert {row[0] for row in REFUSALS} == given_by_code


def test_the_tables_are_read() -> None:
    """Guards the guards: an empty table would prove nothing."""
    assert len(RULES) > 90 and len(AMBIGUITIES) > 25 and len(OPTIONS) > 5 and len(REFUSALS) > 8


def test_the_refusal_shows_what_was_found() -> None:
    assert AMHARIC.check("", "አ/ጥ ሀለ ፩፪ ²") == [
        TextProblem("malformed_numeral", "not an Ethiopic number; write it in words: ፩፪"),
        TextProblem("unread_number", "no rule reads this number; write it in words: ²"),
        TextProblem("unknown_abbreviation", "abbreviation not known; write it out: አ/ጥ"),
    ]


def test_the_alphabet_holds_every_ethiopic_letter_and_only_assigned_characters() -> None:
    letters = {chr(point) for point in range(0x1200, 0x1390) if unicodedata.category(chr(point)) == "Lo"}
    assert letters | set("።፣፤፥፦፧፨ az\u135d\u135e\u135f") <= AMHARIC.alphabet
    assert all(unicodedata.name(character) for character in AMHARIC.alphabet)
    assert not any(unicodedata.category(character).startswith("N") for character in AMHARIC.alphabet)
    assert "፡" not in AMHARIC.alphabet


@needs_real_vocab
def test_the_latin_part_of_the_alphabet_is_known_to_the_base() -> None:
    known = json.loads(REAL_VOCAB.read_text("utf-8"))["model"]["vocab"]
    assert {character for character in AMHARIC.alphabet if character.isascii()} - {" "} <= known.keys()


@pytest.mark.parametrize(("written", "merged"), MERGED.items())
def test_every_letter_of_a_homophone_series_becomes_one(written: str, merged: str) -> None:
    assert MERGING.normalize(f"ለ{written}ለ") == f"ለ{merged}ለ"
    assert AMHARIC.normalize(f"ለ{written}ለ") == f"ለ{written}ለ"


def test_the_alphabet_has_what_merging_leaves_and_no_more() -> None:
    assert MERGING.alphabet == AMHARIC.alphabet - MERGED.keys()
    assert set(MERGED.values()) <= MERGING.alphabet


@given(st.text("ሀሐኀኸሰሠሧሷአዐዓጸፀፆሗኋ 0139፣/.፻ዶረም"))
def test_merging_keeps_what_else_is_read(text: str) -> None:
    merged = str.maketrans(MERGED)
    assert MERGING.normalize(text).translate(merged) == AMHARIC.normalize(text).translate(merged)


def test_a_merged_letter_gets_no_row_in_the_vocabulary() -> None:
    base: Vocab = read_vocab(REAL_VOCAB) if REAL_VOCAB.is_file() else _small_vocabulary()
    sentences = DEMO_SENTENCES.read_text("utf-8").splitlines()[:300]
    vocab, _ = extend_vocab(base, [(MERGING, map(MERGING.normalize, sentences))], 600, None)
    new = [token for token, index in vocab["model"]["vocab"].items() if index >= row_count(base)]
    assert len(new) == 600
    assert not [token for token in new if MERGED.keys() & set(token)]


def _small_vocabulary() -> Vocab:
    from xtts_framework.model.tiny import train_vocabulary

    return train_vocabulary()


@pytest.mark.parametrize("latin", ["reject", "spell"])
def test_without_latin_words_there_are_no_latin_letters_in_the_alphabet(latin: str) -> None:
    assert not {character for character in amharic(latin=latin).alphabet if character.isascii() and character.isalpha()}


def test_every_latin_letter_has_a_name() -> None:
    spelling = amharic(latin="spell")
    names = [spelling.normalize(letter) for letter in "abcdefghijklmnopqrstuvwxyz"]
    assert len(set(names)) == 26
    assert all(codes(spelling, f"ሰላም {letter}") == [] for letter in "abcdefghijklmnopqrstuvwxyz")


def test_sentences_are_split_at_amharic_marks() -> None:
    text = "ሰላም። እንዴት ነህ፧ ደህና! አለ፣ ሄደ እ.ን. ነው።"
    assert AMHARIC.split_sentences(text, 100) == ["ሰላም።", "እንዴት ነህ፧", "ደህና!", "አለ፣ ሄደ እ.ን. ነው።"]
    assert AMHARIC.split_sentences(text, 14) == ["ሰላም።", "እንዴት ነህ፧", "ደህና!", "አለ፣", "ሄደ እ.ን. ነው።"]


@pytest.mark.parametrize("pack", [AMHARIC, MERGING], ids=["keep", "merge"])
@given(numbers=st.lists(st.integers(0, 10**12), min_size=1, max_size=5), affix=st.sampled_from(["", "ኛው", "ን"]))
def test_a_sentence_is_never_divided_within_a_number(pack: LanguagePack, numbers: list[int], affix: str) -> None:
    spelt = [pack.normalize(f"በ{number}{affix}") for number in numbers]
    text = " ደብዳቤው ደረሰ ".join(spelt)
    pieces = pack.split_sentences(text, max(map(len, spelt)) + 10)
    assert " ".join(pieces) == text
    starts = {sum(len(piece) + 1 for piece in pieces[:index]) for index in range(1, len(pieces))}
    within = {
        start + offset + 1
        for start, number in zip(_starts(spelt, " ደብዳቤው ደረሰ "), spelt, strict=True)
        for offset, character in enumerate(number)
        if character == " "
    }
    assert not starts & within


def _starts(parts: list[str], between: str) -> list[int]:
    return [sum(len(part) + len(between) for part in parts[:index]) for index in range(len(parts))]


def test_the_sentences_of_the_demo_are_accepted() -> None:
    sentences = DEMO_SENTENCES.read_text("utf-8").splitlines()
    assert len(sentences) >= 300
    assert [sentence for sentence in sentences if codes(AMHARIC, sentence)] == []


@pytest.fixture(scope="module")
def news() -> list[tuple[str, str, list[TextProblem]]]:
    """Sentences, their readings and problems."""
    sentences = NEWS.read_text("utf-8").splitlines()
    readings = [(sentence, AMHARIC.normalize(sentence)) for sentence in sentences]
    return [(sentence, reading, AMHARIC.check(sentence, reading)) for sentence, reading in readings]


@needs_news
def test_few_news_are_refused_and_the_page_tells_why(news: list[tuple[str, str, list[TextProblem]]]) -> None:
    refused = [problems for _, _, problems in news if problems]
    assert len(refused) < len(news) / 100
    assert all(problem.code and problem.detail for problems in refused for problem in problems)
    by_code = Counter(problem.code for problems in refused for problem in problems)
    stated = re.search(
        r"In ([\d,]+) sentences of Amharic newspapers (\d+) .*?: (.*)\.", (PACKS / PAGE).read_text("utf-8")
    )
    assert stated is not None
    assert (int(stated[1].replace(",", "")), int(stated[2])) == (len(news), len(refused))
    assert {code: int(count) for count, code in re.findall(r"(\d+) for `(\w+)`", stated[3])} == by_code


@needs_news
def test_no_accepted_news_hold_a_numeral_or_lose_a_sentence(news: list[tuple[str, str, list[TextProblem]]]) -> None:
    accepted = [reading for _, reading, problems in news if not problems]
    assert not [reading for reading in accepted if any(map(str.isnumeric, reading))]
    assert min(map(len, accepted)) > 3
    assert [AMHARIC.normalize(reading) for reading in accepted] == accepted


@needs_news
@needs_real_vocab
@pytest.mark.parametrize("options", [{}, {"homophones": "merge", "latin": "spell"}], ids=["default", "merge, spell"])
def test_no_accepted_news_hold_an_unknown_token(options: dict[str, Any]) -> None:
    """The vocabulary has only characters here, and still none is missing."""
    pack = amharic(**options)
    readings = [(sentence, pack.normalize(sentence)) for sentence in NEWS.read_text("utf-8").splitlines()]
    accepted = [reading for sentence, reading in readings if not pack.check(sentence, reading)]
    vocab, _ = extend_vocab(read_vocab(REAL_VOCAB), [(pack, [])], 600, None)
    tokenizer = Tokenizer.from_str(json.dumps(vocab))
    assert not any(UNKNOWN in encoding.tokens for encoding in encode_texts(tokenizer, "am", accepted))
