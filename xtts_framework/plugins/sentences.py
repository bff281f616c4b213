"""Dividing a text into pieces that the model can speak at once."""

from __future__ import annotations

import re

CLOSING = "\"')»”’"
"""What may stand between the mark that ends a sentence and the space after it."""


def split_text(text: str, max_characters: int, sentence_marks: str, clause_marks: str) -> list[str]:
    """Split into sentences, and those that are too long into clauses, words, cut words, whichever does first.

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
    pieces: list[str] = []
    for sentence in _split_after(sentence_marks, " ".join(text.split())):
        parts = [sentence]
        for divide in (
            lambda part: _split_after(clause_marks, part),
            str.split,
            lambda word: [word[start : start + max_characters] for start in range(0, len(word), max_characters)],
        ):
            parts = [finer for part in parts for finer in (divide(part) if len(part) > max_characters else [part])]
        pieces += _join_while_fitting(parts, max_characters)
    return pieces


def _split_after(marks: str, text: str) -> list[str]:
    """Split at spaces that follow a mark, or a mark and what closes a quotation."""
    return [part for part in re.sub(rf"([{re.escape(marks)}][{CLOSING}]*) ", r"\1\n", text).split("\n") if part]


def _join_while_fitting(parts: list[str], max_characters: int) -> list[str]:
    """Join neighbours with a space. A cut word stays cut: each of its pieces but the last fills a line by itself."""
    joined: list[str] = []
    for part in parts:
        if joined and len(joined[-1]) + 1 + len(part) <= max_characters:
            joined[-1] += f" {part}"
        else:
            joined.append(part)
    return joined
