"""What a language is to the framework: one class. A pack subclasses `LanguagePack` and fills in what differs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from xtts_framework.plugins.sentences import split_text

API_VERSION = 1
"""Version of this class, which packs state; raised when a pack written for an older one would no longer work.

Hooks need none: their arguments only ever grow.
"""

Rule = Callable[[str], str]
"""One step of a normalisation: a named function from text to text."""

CODE_PATTERN = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True)
class TextProblem:
    """A reason to refuse a text.

    Args:
        code: snake_case; becomes the reject code in `rejects.csv`.
        detail: one sentence for a person: what was found, and what was expected.
    Raises:
        ValueError: the code is not snake_case.
    """

    code: str
    detail: str

    def __post_init__(self) -> None:
        if not CODE_PATTERN.fullmatch(self.code):
            raise ValueError(f"expected a snake_case code such as 'wrong_script', found {self.code!r}")


@dataclass(frozen=True)
class FreezingPlan:
    """Which parts of the model stay as they are. True means: it trains.

    Args:
        frozen_blocks: indices into the GPT's blocks (`gpt.gpt.h`), counted from 0, the input's side first.
        text_embedding: text tokens and their positions.
        audio_embedding: audio codes and their positions.
        heads: text head, audio head and the norms before them.
        conditioning: conditioning encoder and perceiver, what makes the voice.
        reason: for the log and `summary.json`.
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
    """Teaches the framework a language. One instance per language and options.

    A pack must give `code`, `name`, `alphabet`, and `rules` or `normalize`; everything else has a default.
    """

    code: ClassVar[str]
    """Language code, `am`; the vocabulary's tag is `[am]`."""
    name: ClassVar[str]
    """English name, `Amharic`."""
    api_version: ClassVar[int] = API_VERSION
    """The `API_VERSION` the pack was written for. State it as a number, so that it does not move with the framework."""
    own_merges: ClassVar[bool] = False
    """Learn merges of characters that the base knows, at the price that its own languages encode differently."""
    Options: ClassVar[type[BaseModel]] = NoOptions
    """What `language.options` of the configuration may hold; a pydantic model that forbids unknown keys."""

    sentence_marks: ClassVar[str] = ".!?…"
    """Characters that end a sentence."""
    clause_marks: ClassVar[str] = ",;:"
    """Characters that end a clause; where sentences too long to speak at once are divided first."""

    def __init__(self, options: BaseModel) -> None:
        self.options = options

    @property
    def alphabet(self) -> frozenset[str]:
        """Every character of a text that `check` accepts, space included. Each gets a row in the vocabulary."""
        raise NotImplementedError

    @property
    def rules(self) -> Sequence[Rule]:
        """What `normalize` does, in order. `xtts text` shows the effect of each rule under the name of its function."""
        raise NotImplementedError

    def normalize(self, text: str) -> str:
        """Spell a text the way the model reads it, in training and in speaking alike: by default, apply `rules`.

        Pure and total: the same result for the same text, on any text, however odd. Idempotent, and blind to case:
        `normalize(normalize(x)) == normalize(x) == normalize(x.lower())`. What it cannot read it leaves in place for
        `check` to refuse.
        """
        for rule in self.rules:
            text = rule(text)
        return text

    def check(self, raw: str, normalized: str) -> list[TextProblem]:
        """Reasons to refuse a text; none by default but `empty_text` and `unknown_character`.

        Args:
            raw: as the user wrote it.
            normalized: what `normalize` made of it.
        """
        if not normalized:
            return [TextProblem("empty_text", "nothing is left to say once the text is normalised")]
        return find_unknown_characters(normalized, self.alphabet)

    def belong_together(self, left: str, right: str) -> bool:
        """Whether a text must not be divided between two neighbouring words, as within a number. By default, never.

        Args:
            left: a word of a normalised text with its marks: `ሁለት` or `ሁለት፣`.
            right: the word after it.
        """
        return False

    def split_sentences(self, text: str, max_characters: int) -> list[str]:
        """Split a normalised text into sentences of at most `max_characters`, losing nothing but spaces.

        A longer sentence is divided after clause marks, where that is not enough at spaces, and a word that is longer
        by itself is cut. Words that belong together are only parted when they are longer by themselves.

        Raises:
            ValueError: `max_characters` below 1.
        """
        return split_text(text, max_characters, self.sentence_marks, self.clause_marks, self.belong_together)

    def freezing_plan(self, training_clips: int, blocks: int) -> FreezingPlan:
        """What to freeze when there are few clips: the lower two thirds of the blocks, the voice and the audio codes.

        Whether anything is frozen at all is decided by the configuration (`freezing.policy`, `freezing.threshold`).
        The lower blocks and the audio side hold what all languages share; text embedding, heads and the upper blocks
        have to learn the new one.

        Args:
            training_clips: clips of the training split.
            blocks: transformer blocks of the base, 30 in XTTS-v2.
        """
        frozen = 2 * blocks // 3
        return FreezingPlan(
            frozen_blocks=tuple(range(frozen)),
            text_embedding=True,
            audio_embedding=False,
            heads=True,
            conditioning=False,
            reason=f"{training_clips} training clips: lower {frozen} of {blocks} blocks, audio embedding and "
            "conditioning frozen",
        )


def find_unknown_characters(text: str, alphabet: AbstractSet[str]) -> list[TextProblem]:
    """At most one problem, `unknown_character`, that lists each character outside the alphabet once."""
    unknown = sorted(set(text) - alphabet)
    if not unknown:
        return []
    listed = ", ".join(map(_describe_character, unknown))
    return [TextProblem("unknown_character", f"not in the alphabet: {listed}")]


def _describe_character(character: str) -> str:
    """`'ß' (U+00DF)`, or the code point alone where printing the character would show nothing or fail."""
    point = f"U+{ord(character):04X}"
    return f"{character!r} ({point})" if character.isprintable() else point
