"""What every pack gets from its base class."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtts_framework.plugins import FreezingPlan, LanguagePack, NoOptions, TextProblem


class Plain(LanguagePack):
    code = "xx"
    name = "Plain"

    @property
    def alphabet(self) -> frozenset[str]:
        return frozenset("ab. ")

    def normalize(self, text: str) -> str:
        return " ".join(text.lower().split())


PLAIN = Plain(NoOptions())
TEXTS = st.text() | st.text(alphabet="ab.,!?\"') \u00a0\n", max_size=200)


@given(TEXTS, st.integers(1, 6) | st.integers(1, 60))
def test_splitting_loses_nothing_but_spaces_and_keeps_the_limit(text: str, limit: int) -> None:
    pieces = PLAIN.split_sentences(text, limit)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(piece) <= limit for piece in pieces)
    assert all(piece == piece.strip() for piece in pieces)


@given(st.lists(st.text(alphabet="ab,", min_size=1, max_size=10), min_size=1), st.integers(10, 60))
def test_words_that_fit_are_never_cut(words: list[str], limit: int) -> None:
    pieces = PLAIN.split_sentences(" ".join(words), limit)
    assert [word for piece in pieces for word in piece.split()] == words


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        ("", 10, []),
        (" \n", 10, []),
        ("One. Two!", 100, ["One.", "Two!"]),
        ("Version 3.5 is out.", 100, ["Version 3.5 is out."]),
        ('He said "go." She went.', 100, ['He said "go."', "She went."]),
        ('(He said "go.") She went.', 100, ['(He said "go.")', "She went."]),
        ("(Why?) Because.", 100, ["(Why?)", "Because."]),
        ("one two, three four", 12, ["one two,", "three four"]),
        ("one, two, three four five", 12, ["one, two,", "three four", "five"]),
        ("one two three", 8, ["one two", "three"]),
        ("ab cd ef", 5, ["ab cd", "ef"]),
        ("ab cd ef", 4, ["ab", "cd", "ef"]),
        ("abcdefgh ij", 3, ["abc", "def", "gh", "ij"]),
        ("abcdefgh i", 4, ["abcd", "efgh", "i"]),
    ],
)
def test_sentences_come_first_then_clauses_then_words(text: str, limit: int, pieces: list[str]) -> None:
    assert PLAIN.split_sentences(text, limit) == pieces


def test_a_limit_below_one_character_is_refused() -> None:
    with pytest.raises(ValueError, match="max_characters"):
        PLAIN.split_sentences("a", 0)


def test_marks_are_the_packs_own() -> None:
    class Starred(Plain):
        sentence_marks = "*"

    assert Starred(NoOptions()).split_sentences("a. b* c]* d", 100) == ["a. b*", "c]*", "d"]


@pytest.mark.parametrize(("blocks", "frozen"), [(30, 20), (3, 2), (4, 2), (1, 0)])
def test_few_clips_freeze_the_lower_two_thirds_voice_and_audio_codes(blocks: int, frozen: int) -> None:
    plan = PLAIN.freezing_plan(training_clips=120, blocks=blocks)
    assert plan == FreezingPlan(
        frozen_blocks=tuple(range(frozen)),
        text_embedding=True,
        audio_embedding=False,
        heads=True,
        conditioning=False,
        reason=plan.reason,
    )
    assert "120 training clips" in plan.reason


def test_texts_are_refused_when_empty_or_outside_the_alphabet() -> None:
    assert PLAIN.check("A b.", "a b.") == []
    assert [problem.code for problem in PLAIN.check(" ", "")] == ["empty_text"]
    (problem,) = PLAIN.check("aßé", "aßé\u200b\ud800ß")
    assert problem == TextProblem(
        "unknown_character", "not in the alphabet: 'ß' (U+00DF), 'é' (U+00E9), U+200B, U+D800"
    )
    problem.detail.encode("utf-8")


@pytest.mark.parametrize("code", ["", "Two Words", "a;b", "a,b", "_a", "Große"])
def test_a_reject_code_is_snake_case(code: str) -> None:
    with pytest.raises(ValueError, match="snake_case"):
        TextProblem(code, "")
