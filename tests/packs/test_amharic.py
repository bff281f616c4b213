"""The Amharic pack: what its page promises, and what the framework relies on for any text whatever."""

from __future__ import annotations

import itertools
import json
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xtts_framework.plugins import LanguagePack, TextProblem, load_plugins

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "packs" / "amharic.md").read_text("utf-8")
DEMO_SENTENCES = ROOT / "xtts_framework" / "demo" / "amharic_sentences.txt"
REAL_VOCAB = ROOT.parent / "shared" / "data" / "xtts_vocab.json"
NEWS = ROOT.parent / "shared" / "data" / "am_news_sentences.txt"

AMHARIC: LanguagePack = load_plugins().pack("am", {})
MARKS = "።፣፤፥፦፧፨፡፠.,!?:;-'\"()[]«»“”‘’‹›–…•"
TEXTS = st.text(alphabet=st.characters(exclude_categories=())) | st.text(
    alphabet=st.sampled_from(f"{MARKS} \t\n\u00a0\u200b\u0301ሀላA\u0130Σσ1፩")
)
ETHIOPIC_LETTERS = [chr(point) for point in range(0x1200, 0x1390) if unicodedata.category(chr(point)) == "Lo"]


def codes(text: str) -> list[str]:
    return [problem.code for problem in AMHARIC.check(text, AMHARIC.normalize(text))]


def table(heading: str) -> list[list[str]]:
    """Rows of the first table under a heading of the page, backticks removed and `\\u` escapes resolved."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    return [[_shown(cell) for cell in row] for row in rows]


def _shown(cell: str) -> str:
    cell = cell.strip().removeprefix("`").removesuffix("`")
    return re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), cell)


@pytest.mark.parametrize(("rule", "written", "becomes"), table("What becomes of a text"))
def test_the_page_tells_what_becomes_of_a_text(rule: str, written: str, becomes: str) -> None:
    assert AMHARIC.normalize(written) == becomes


@pytest.mark.parametrize(("code", "text", "why"), table("What is refused"))
def test_the_page_tells_what_is_refused(code: str, text: str, why: str) -> None:
    assert codes(text) == [code]


def test_the_page_has_a_row_for_every_reason() -> None:
    assert {code for code, _, _ in table("What is refused")} == {
        "empty_text",
        "digits",
        "wrong_script",
        "unknown_character",
    }


@given(TEXTS)
@example("a\u0301" * 40)
@example("a" + "\u0344" * 100)
@example("ΑΣ‹β")
def test_normalize_is_idempotent_and_blind_to_case(text: str) -> None:
    normalized = AMHARIC.normalize(text)
    assert AMHARIC.normalize(normalized) == normalized
    assert AMHARIC.normalize(text.lower()) == normalized


def test_normalize_is_idempotent_for_every_sequence_of_four_marks() -> None:
    for characters in itertools.product("ሀ .:-'\"።፡፣", repeat=4):
        normalized = AMHARIC.normalize("".join(characters))
        assert AMHARIC.normalize(normalized) == normalized, characters


def test_normalize_takes_every_character_there_is() -> None:
    text = "ሀ".join(map(chr, range(sys.maxunicode + 1)))
    normalized = AMHARIC.normalize(text)
    assert AMHARIC.normalize(normalized) == normalized == AMHARIC.normalize(text.lower())


@given(TEXTS)
def test_a_text_without_problems_lies_in_the_alphabet_and_any_other_has_a_reason(text: str) -> None:
    normalized = AMHARIC.normalize(text)
    problems = AMHARIC.check(text, normalized)
    readable = set(normalized) <= AMHARIC.alphabet and any("ሀ" <= character <= "ፚ" for character in normalized)
    assert bool(problems) != readable
    for problem in problems:
        problem.detail.encode("utf-8")


@given(st.text(alphabet=st.sampled_from("".join(ETHIOPIC_LETTERS)), min_size=1))
def test_letters_are_kept_as_they_are(text: str) -> None:
    assert AMHARIC.normalize(text) == text
    assert AMHARIC.check(text, text) == []


def test_the_alphabet_holds_every_ethiopic_letter_and_only_assigned_characters() -> None:
    assert set(ETHIOPIC_LETTERS) | set("።፣፤፥፦፧፨ az\u135d\u135e\u135f") <= AMHARIC.alphabet
    assert all(len(character) == 1 and unicodedata.name(character) for character in AMHARIC.alphabet)
    assert not any(unicodedata.category(character).startswith("N") for character in AMHARIC.alphabet)
    assert all(character == character.lower() for character in AMHARIC.alphabet)
    assert "፡" not in AMHARIC.alphabet


@pytest.mark.parametrize("character", sorted(AMHARIC.alphabet - {" "}))
def test_every_character_of_the_alphabet_survives_beside_a_letter(character: str) -> None:
    assert AMHARIC.normalize(f"ሀ{character}") == f"ሀ{character}"


@given(st.characters(categories=["Nd", "Nl", "No"]))
def test_numbers_of_every_script_are_refused_as_digits(number: str) -> None:
    assert codes(f"ሀ{number}") == ["digits"]


def test_the_refusal_shows_what_was_found() -> None:
    assert AMHARIC.check("", "ዶ/ር ß \ud800 12 ቤት 3") == [
        TextProblem("digits", "numbers are not read yet, write them in words: 12, 3"),
        TextProblem("unknown_character", "not in the alphabet: '/' (U+002F), 'ß' (U+00DF), U+D800"),
    ]


@pytest.mark.parametrize(
    "piece", [" ", "።", "፡ ", "'", ": -", "\u200b", "\ud800", "Σ'", "\u0327\u0301", "\u0344", "( ", "ሰላም። "]
)
def test_long_texts_of_any_kind_take_no_more_than_linear_time(piece: str) -> None:
    """A quadratic rule would take hours: so does NFC with 400,000 accents on one letter."""
    text = AMHARIC.normalize("ሀ" + piece * (400_000 // len(piece)))
    assert AMHARIC.normalize(text) == text
    assert "".join(AMHARIC.split_sentences(text, 200)).replace(" ", "") == text.replace(" ", "")


def test_sentences_are_split_at_amharic_marks() -> None:
    text = "ሰላም። እንዴት ነህ፧ ደህና! አለ፣ ሄደ እ.ኤ.አ. ነው።"
    assert AMHARIC.split_sentences(text, 100) == ["ሰላም።", "እንዴት ነህ፧", "ደህና!", "አለ፣ ሄደ እ.ኤ.አ. ነው።"]
    assert AMHARIC.split_sentences(text, 15) == ["ሰላም።", "እንዴት ነህ፧", "ደህና!", "አለ፣", "ሄደ እ.ኤ.አ. ነው።"]


def test_the_sentences_of_the_demo_are_accepted() -> None:
    sentences = DEMO_SENTENCES.read_text("utf-8").splitlines()
    assert len(sentences) >= 300
    assert [sentence for sentence in sentences if codes(sentence)] == []


@pytest.mark.skipif(not REAL_VOCAB.is_file(), reason="no XTTS vocabulary beside the repository")
def test_the_latin_part_of_the_alphabet_is_known_to_the_base() -> None:
    known = json.loads(REAL_VOCAB.read_text("utf-8"))["model"]["vocab"]
    latin = {character for character in AMHARIC.alphabet if character.isascii()} - {" "}
    assert latin <= known.keys()


@pytest.mark.skipif(not NEWS.is_file(), reason="no newspaper sentences beside the repository")
def test_real_sentences_are_refused_for_numbers_and_slashes_alone() -> None:
    sentences = NEWS.read_text("utf-8").splitlines()
    problems = [AMHARIC.check(sentence, AMHARIC.normalize(sentence)) for sentence in sentences]
    refused = [[problem.code for problem in found] for found in problems if found]
    by_code = [sum(code in found for found in refused) for code in ("digits", "unknown_character")]
    stated = re.search(
        r"In ([\d,]+) sentences of Amharic newspapers (\d+) .*?: (\d+) for digits, (\d+) for characters", PAGE
    )
    assert stated is not None
    assert [int(number.replace(",", "")) for number in stated.groups()] == [len(sentences), len(refused), *by_code]
    details = {problem.detail for found in problems for problem in found if problem.code == "unknown_character"}
    assert {character for detail in details for character in re.findall(r"U\+(\w+)", detail)} == {"002F", "005C"}
