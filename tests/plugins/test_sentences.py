"""A text of any length is spoken: divided where it hurts least, and nothing of it lost."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtts_framework.errors import UserError
from xtts_framework.model.inference import split_to_fit
from xtts_framework.plugins import LanguagePack, NoOptions
from xtts_framework.plugins.sentences import split_text

NUMBERS = frozenset({"one", "two", "hundred", "and"})
SENTENCE_MARKS, CLAUSE_MARKS = ".!?።", ",;፣"


def are_a_number(left: str, right: str) -> bool:
    return left in NUMBERS and right.rstrip(SENTENCE_MARKS + CLAUSE_MARKS) in NUMBERS


def split(text: str, limit: int) -> list[str]:
    return split_text(text, limit, SENTENCE_MARKS, CLAUSE_MARKS, are_a_number)


def runs_of(words: list[str]) -> list[list[str]]:
    """Words grouped by what belongs together."""
    runs: list[list[str]] = []
    for word in words:
        if runs and are_a_number(runs[-1][-1], word):
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


WORDS = st.sampled_from(["one", "two", "hundred", "and", "two,", "one።", "houses", "were", "sold.", "here,"])
ODD_TEXTS = st.text(alphabet="ab1.,!?\"'«»()- \u0301\u00a0\nሀ።፣", max_size=300) | st.text(max_size=100)


@given(ODD_TEXTS, st.integers(1, 8) | st.integers(1, 80))
def test_nothing_is_lost_but_spaces_and_every_piece_fits(text: str, limit: int) -> None:
    pieces = split(text, limit)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(piece) <= limit for piece in pieces)
    assert all(piece == piece.strip() for piece in pieces)


@given(st.lists(WORDS, min_size=1, max_size=40), st.integers(7, 40))
def test_a_number_is_divided_only_when_it_is_too_long_by_itself(words: list[str], limit: int) -> None:
    pieces = split(" ".join(words), limit)
    assert [word for piece in pieces for word in piece.split()] == words
    ends = {sum(len(piece.split()) for piece in pieces[: index + 1]) for index in range(len(pieces))}
    position = 0
    for run in runs_of(words):
        inside = set(range(position + 1, position + len(run)))
        assert not inside & ends or len(" ".join(run)) > limit
        position += len(run)


@given(st.lists(WORDS, min_size=1, max_size=40))
def test_with_room_enough_pieces_are_sentences(words: list[str]) -> None:
    for piece in split(" ".join(words), 10_000)[:-1]:
        assert piece[-1] in SENTENCE_MARKS
        assert not any(mark in piece[:-1] for mark in SENTENCE_MARKS)


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        ("we sold two hundred and one here", 16, ["we sold two", "hundred and one", "here"]),
        ("we sold two hundred and one here", 20, ["we sold", "two hundred and one", "here"]),
        ("two hundred houses", 17, ["two hundred", "houses"]),
        ("It was 1.5 or 10:30 then.", 10, ["It was 1.5", "or 10:30", "then."]),
        ("Ask J. R. Smith now. Go.", 100, ["Ask J. R. Smith now.", "Go."]),
        ("im Jahr z. B. zwei", 13, ["im Jahr", "z. B. zwei"]),
        ("እ.ኤ.አ. ነው። ሄደ።", 100, ["እ.ኤ.አ. ነው።", "ሄደ።"]),
    ],
)
def test_numbers_and_abbreviations_stay_whole(text: str, limit: int, pieces: list[str]) -> None:
    assert split(text, limit) == pieces


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("«ሄደ።» አለ።", ["«ሄደ።»", "አለ።"]),
        ("«ሄደ። » አለ።", ["«ሄደ። »", "አለ።"]),
        ('" ሄደ። " አለ።', ['" ሄደ። "', "አለ።"]),
        ("ሄደ። « ና።", ["ሄደ።", "« ና።"]),
        ('"Go! Come," he said.', ['"Go!', 'Come," he said.']),
        ("Well ! No", ["Well !", "No"]),
        ("! ?", ["! ?"]),
    ],
)
def test_a_mark_is_never_parted_from_its_text(text: str, pieces: list[str]) -> None:
    assert split(text, 100) == pieces


@pytest.mark.parametrize(
    ("word", "limit", "pieces"),
    [
        ("你好。我很好，谢谢", 5, ["你好。", "我很好，", "谢谢"]),
        ("你好。”我很好", 5, ["你好。”", "我很好"]),
        ("你好“我很好”", 3, ["你好", "“我很", "好”"]),
        ("ab12345cd", 6, ["ab", "12345c", "d"]),
        ("abc1.5", 5, ["abc", "1.5"]),
        ("123456789", 4, ["1234", "5678", "9"]),
        ("abe\u0301d", 3, ["ab", "e\u0301d"]),
        ("a\u0301\u0301\u0301\u0301", 2, ["a\u0301", "\u0301\u0301", "\u0301"]),
    ],
)
def test_a_word_that_is_too_long_is_cut_where_that_hurts_least(word: str, limit: int, pieces: list[str]) -> None:
    assert split(word, limit) == pieces


@pytest.mark.parametrize("piece", ["1", "one ", "a b, ", "! ", "J. ", "\u0301", "你，"])
def test_a_megabyte_takes_linear_time(piece: str) -> None:
    """A quadratic step would take hours, whether the pieces are many or long."""
    text = piece * (1_000_000 // len(piece))
    for limit, part in ((160, text), (50_000, text[:100_000])):
        pieces = split(part, limit)
        assert "".join(pieces).replace(" ", "") == part.replace(" ", "")
        assert max(map(len, pieces)) <= limit


def test_no_piece_is_marks_alone_in_ordinary_text() -> None:
    text = "Well ! he said - and went . " * 50 + '( ha ) " ho " … '
    for piece in split(text, 20):
        assert any(unicodedata.category(character)[0] == "L" for character in piece), piece


class Careless(LanguagePack):
    """Splits in a way of its own."""

    code = "xx"
    name = "Careless"

    def __init__(self, pieces: list[str]) -> None:
        super().__init__(NoOptions())
        self.pieces = pieces

    def split_sentences(self, text: str, max_characters: int) -> list[str]:
        return self.pieces


def test_a_pack_that_loses_text_when_it_splits_is_named() -> None:
    with pytest.raises(UserError, match="language pack 'xx', split_sentences"):
        split_to_fit(Careless(["one"]), "one two", lambda piece: True)


@pytest.mark.parametrize("pieces", [["one two"], ["one two", "one"], []])
def test_a_pack_that_never_makes_pieces_smaller_is_refused(pieces: list[str]) -> None:
    with pytest.raises(UserError, match=r"cannot be split|split_sentences"):
        split_to_fit(Careless(pieces), "one two", lambda piece: False)


def test_a_long_text_is_divided_until_it_fits() -> None:
    text = "one two, three. " * 20_000 + "x" * 1000
    pieces = split_to_fit(LanguagePack(NoOptions()), text, lambda piece: len(piece) <= 3)
    assert "".join(pieces) == text.replace(" ", "")
