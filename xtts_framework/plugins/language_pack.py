"""What a language pack is: an alphabet, a way to read text aloud, and reasons to refuse a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

API_VERSION = 1
"""Raised when a pack written for the last version could no longer work."""


@dataclass(frozen=True)
class TextProblem:
    """A reason to refuse a text.

    Args:
        code: snake_case; becomes the reject code.
        detail: what was found, for a person.
    """

    code: str
    detail: str


@dataclass(frozen=True)
class FreezingPlan:
    """Which parts of the model train. Data, so that it can be printed, overridden and compared.

    Args:
        frozen_blocks: GPT blocks that stay as they are, counted from 0.
        text_embedding, audio_embedding: whether the embedding and its positions train.
        heads: whether both heads and the final norms train.
        conditioning: whether the conditioning encoder and the perceiver train.
        reason: why, for the log.
    """

    frozen_blocks: tuple[int, ...]
    text_embedding: bool
    audio_embedding: bool
    heads: bool
    conditioning: bool
    reason: str


class NoOptions(BaseModel):
    """Options of a pack that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LanguagePack:
    """Base class of language packs; an instance is a language with its options.

    A pack sets `code`, `name`, `alphabet` and `normalize`; everything else has a default.

    Args:
        options: an instance of `Options`.
    """

    code: ClassVar[str]
    """Language code; its tag in the vocabulary is `[code]`."""
    name: ClassVar[str]
    """Name of the language, for people."""
    api_version: ClassVar[int] = API_VERSION
    """The API the pack was written for."""
    own_merges: ClassVar[bool] = False
    """Whether the vocabulary may gain merges made only of characters the base knows."""
    Options: ClassVar[type[BaseModel]] = NoOptions
    """Pydantic model of `language.options`; must forbid unknown keys."""
    sentence_marks: ClassVar[str] = ".!?"
    """Characters that end a sentence."""
    clause_marks: ClassVar[str] = ",;:"
    """Characters after which a long sentence may be cut."""

    def __init__(self, options: BaseModel) -> None:
        self.options = options

    @property
    def alphabet(self) -> frozenset[str]:
        """Every character that `normalize` may emit for acceptable text, the space included."""
        raise NotImplementedError

    def normalize(self, text: str) -> str:
        """Spell a sentence the way it is read aloud.

        Pure and idempotent; lower-cases cased scripts, so that `normalize(x.lower()) == normalize(x)`. Used in
        training and in synthesis alike.
        """
        raise NotImplementedError

    def check(self, raw: str, normalized: str) -> list[TextProblem]:
        """Reasons to refuse a text: it is empty, or has characters outside the alphabet."""
        if not normalized:
            return [TextProblem("empty_text", "nothing to read aloud is left")]
        return list(unknown_characters(normalized, self.alphabet))

    def split_sentences(self, text: str, max_characters: int) -> list[str]:
        """Cut a text into pieces of at most `max_characters`, at sentence ends, else at clause marks, else at spaces.

        No word is lost; only a word that is longer than a piece is cut itself.
        """
        sentences = _pieces_after(text, self.sentence_marks)
        return [piece for sentence in sentences for piece in self._shorten(sentence, max_characters)]

    def freezing_plan(self, training_clips: int, blocks: int) -> FreezingPlan:
        """What to freeze when a dataset is too small for the whole model.

        Args:
            training_clips: size of the dataset.
            blocks: number of GPT blocks.
        Returns:
            The lower two thirds of the blocks, the conditioning path and the audio embedding stay as they are: voice
            and sound are known already, the text is new.
        """
        frozen = blocks * 2 // 3
        return FreezingPlan(
            frozen_blocks=tuple(range(frozen)),
            text_embedding=True,
            audio_embedding=False,
            heads=True,
            conditioning=False,
            reason=f"{training_clips} training clips: the lower {frozen} of {blocks} blocks and the voice path stay",
        )

    def _shorten(self, sentence: str, max_characters: int) -> list[str]:
        if len(sentence) <= max_characters:
            return [sentence]
        words = [
            word[start : start + max_characters]
            for word in sentence.split()
            for start in range(0, len(word), max_characters)
        ]
        pieces = []
        while words:
            count = _longest_fit(words, max_characters)
            ends = [index for index in range(1, count + 1) if words[index - 1][-1] in self.clause_marks]
            if ends and count < len(words):
                count = ends[-1]
            pieces.append(" ".join(words[:count]))
            words = words[count:]
        return pieces


def unknown_characters(text: str, alphabet: frozenset[str]) -> Iterator[TextProblem]:
    """A problem that lists the characters of a text outside an alphabet, if there are any."""
    unknown = sorted(set(text) - alphabet)
    if unknown:
        shown = ", ".join(f"{_visible(character)} (U+{ord(character):04X})" for character in unknown[:10])
        more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        yield TextProblem("unknown_character", f"not in the alphabet: {shown}{more}")


def _pieces_after(text: str, marks: str) -> list[str]:
    """Split behind each run of marks that is followed by space or the end."""
    parts = re.split(rf"(?<=[{re.escape(marks)}])(?![{re.escape(marks)}])\s+", text.strip())
    return [part.strip() for part in parts if part.strip()]


def _longest_fit(words: list[str], max_characters: int) -> int:
    """How many of the words, at least one, fit into one piece."""
    length = -1
    for count, word in enumerate(words):
        length += 1 + len(word)
        if length > max_characters:
            return max(count, 1)
    return len(words)


def _visible(character: str) -> str:
    return character if character.isprintable() else "?"
