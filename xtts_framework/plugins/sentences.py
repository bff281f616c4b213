"""Dividing a text into pieces that the model can speak at once.

A text is words, and between two neighbours there is a joint. Sentences end at the strongest joints. A sentence that is
too long is divided at weaker ones, those of clauses first, then any space; what belongs together is divided last.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

CLOSING = "\"')]}»”’›"
"""What may stand between the mark that ends a sentence and the space after it."""
OPENING = "([{«“‘‹„‚"
INITIALS = re.compile(r"\W*([^\W\d_]\.)+")
"""`J.`, `z.B.`, `እ.ኤ.አ.`: a full stop that ends an abbreviation more often than a sentence."""


DIGIT_MARKS = ".,:/-"
"""Marks that may stand within a number: `1.5`, `10:30`."""


class Joint(IntEnum):
    """What lies between a word and the next: the higher, the better a place to divide."""

    TOGETHER = 0
    SPACE = 1
    CLAUSE = 2
    SENTENCE = 3


class Word(NamedTuple):
    """A word with its marks, and the joint after it."""

    text: str
    joint: Joint


def split_text(
    text: str,
    max_characters: int,
    sentence_marks: str,
    clause_marks: str,
    belong_together: Callable[[str, str], bool] = lambda left, right: False,
) -> list[str]:
    """Split into sentences, and those that are too long into clauses, words, cut words, whichever does first.

    Takes time linear in the length of the text.

    Args:
        max_characters: of a piece. Only what is longer by itself is divided where it belongs together, and within
            words; there between digits last.
        belong_together: whether the text must not be divided between two neighbouring words, marks included, such as
            those of a number, or an abbreviation and what it stands before.
    Returns:
        Pieces of 1 to `max_characters` characters; together, spaces aside, they are the text. `[]` for a blank text.
    Raises:
        ValueError: `max_characters` below 1.
    Example:
        >>> split_text("One, two, three. Four!", 9, ".!?", ",")
        ['One, two,', 'three.', 'Four!']
    """
    if max_characters < 1:
        raise ValueError(f"max_characters must be at least 1, found {max_characters}")
    words = _join_words(text.split(), sentence_marks, clause_marks, belong_together)
    pieces: list[str] = []
    for sentence in _divide(words, Joint.SENTENCE):
        pieces += _fill(_shrink(sentence, Joint.CLAUSE, max_characters), max_characters)
    return pieces


def _join_words(
    texts: Sequence[str], sentence_marks: str, clause_marks: str, belong_together: Callable[[str, str], bool]
) -> list[Word]:
    """Tell the joint after each word; the last one ends a sentence."""
    words = []
    last_mark = ""
    for left, right in itertools.pairwise(texts):
        bare = left.rstrip(CLOSING)
        last_mark = bare[-1:] or last_mark  # quotes that stand alone close what is before them
        if _stay_together(left, right) or INITIALS.fullmatch(bare) or belong_together(left, right):
            joint = Joint.TOGETHER
        elif last_mark and last_mark in sentence_marks:
            joint = Joint.SENTENCE
        elif last_mark and last_mark in clause_marks:
            joint = Joint.CLAUSE
        else:
            joint = Joint.SPACE
        words.append(Word(left, joint))
    return [*words, *(Word(text, Joint.SENTENCE) for text in texts[-1:])]


def _stay_together(left: str, right: str) -> bool:
    """Whether one of them is nothing but marks that belong to the other; alone they would be spoken as noise."""
    opens = all(character in OPENING for character in left)
    return opens or all(map(_is_mark, right))


def _divide(words: Iterable[Word], weakest: int) -> Iterator[list[Word]]:
    """Divide after each joint that is at least as strong as `weakest`."""
    part = []
    for word in words:
        part.append(word)
        if word.joint >= weakest:
            yield part
            part = []
    if part:
        yield part


def _shrink(words: Sequence[Word], weakest: int, max_characters: int) -> Iterator[str]:
    """Divide at `weakest`, and what is still too long at weaker joints, until all fit; spaces stay at the ends."""
    text = " ".join(word.text for word in words)
    if len(text) <= max_characters:
        yield f"{text} "
    elif len(words) == 1:
        yield from _cut(f"{text} ", max_characters)
    else:
        for part in _divide(words, weakest):
            yield from _shrink(part, weakest - 1, max_characters)


def _cut(word: str, max_characters: int) -> Iterator[str]:
    """Cut a word, and the space after it, where that hurts least."""
    start = 0
    while len(word) - start > max_characters + 1:
        end = _find_cut(word, start, start + max_characters)
        yield word[start:end]
        start = end
    yield word[start:]


def _find_cut(word: str, start: int, end: int) -> int:
    """The last place up to `end` after a mark, else not between digits nor before an accent, else `end`."""
    places = [place for place in range(end, start, -1) if not _is_one_sign(word[place - 1], word[place])]
    marks = (place for place in places if _is_mark(word[place - 1]))
    return next(marks, places[0] if places else end)


def _is_one_sign(left: str, right: str) -> bool:
    """Digits of one number with the marks in it, a letter and its accents, a word and the marks after it."""
    if right.isdigit():
        return left.isdigit() or left in DIGIT_MARKS
    return left in OPENING or _is_mark(right) or unicodedata.category(right)[0] == "M"


def _is_mark(character: str) -> bool:
    """Whether it belongs to what is before it."""
    return character not in OPENING and unicodedata.category(character)[0] == "P"


def _fill(parts: Iterable[str], max_characters: int) -> Iterator[str]:
    """Join neighbours as far as they fit, without the space at the end."""
    line: list[str] = []
    length = 0
    for part in parts:
        if line and length + len(part.rstrip(" ")) > max_characters:
            yield "".join(line).rstrip(" ")
            line, length = [], 0
        line.append(part)
        length += len(part)
    if line:
        yield "".join(line).rstrip(" ")
