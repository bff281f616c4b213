"""A language pack in Ethiopic script: the order of the rules, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xtts_framework.plugins import (
    LanguagePack,
    Rule,
    TextProblem,
    UserError,
    collapse_spaces,
    compose,
    find_unknown_characters,
    lower_case,
    strip_invisible,
)
from xtts_plugins.ethiopic import abbreviations, checks, latin, numerals, writing
from xtts_plugins.ethiopic.forms import form_rules
from xtts_plugins.ethiopic.letters import ETHIOPIC_LETTERS, LATIN_LETTERS, any_ending
from xtts_plugins.ethiopic.lexicon import Lexicon, respell
from xtts_plugins.ethiopic.marks import ETHIOPIC_MARKS, LATIN_MARKS
from xtts_plugins.ethiopic.patterns import prefix_of
from xtts_plugins.ethiopic.phonemes import require_epitran


class EthiopicOptions(BaseModel):
    """What a user may write under `language.options`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    homophones: Literal["keep", "merge"] = Field(
        "keep", description="Whether letters that sound alike, such as ሀ ሐ ኀ ኸ, become one."
    )
    latin: Literal["reject", "keep", "spell"] = Field(
        "keep", description="Latin words: refused, left as they are, or spelt letter by letter."
    )
    frontend: Literal["bpe", "g2p"] = Field(
        "bpe", description="What the model reads: the script, or phonemes (needs the extra `g2p`)."
    )

    @model_validator(mode="after")
    def _tell_letters_from_phonemes(self) -> EthiopicOptions:
        if self.frontend == "g2p" and self.latin == "spell":
            raise ValueError("latin 'spell' needs frontend 'bpe': phonemes are written with Latin letters too")
        return self


class EthiopicPack(LanguagePack):
    """A language is a subclass with a code, a name and a `lexicon`."""

    lexicon: ClassVar[Lexicon]
    Options = EthiopicOptions
    options: EthiopicOptions
    sentence_marks: ClassVar[str] = "።፧፨!?"
    clause_marks: ClassVar[str] = "፣፤፥፦,;"

    def __init__(self, options: EthiopicOptions) -> None:
        super().__init__(options)
        if options.frontend == "g2p":
            if self.lexicon.phonemes is None:
                raise UserError(f"{self.name} has no phonemes; set the language's option `frontend` to 'bpe'.")
            require_epitran()

    @cached_property
    def rules(self) -> Sequence[Rule]:
        last: list[Rule] = [writing.space_out_marks, collapse_spaces]
        if self.options.latin == "spell":
            # Again: what was Latin until now has given the second something to do.
            last = [latin.speller(self.lexicon.latin_letters), abbreviations.read_slashes, *last]
        if self.options.frontend == "g2p":
            # Again: phonemes are Latin letters, which a mark parts from Ethiopic ones that have none.
            last = [*last, self.read_phonemes, writing.space_out_marks]
        return (*self._reading_rules, *last)

    @cached_property
    def _reading_rules(self) -> Sequence[Rule]:
        """All that is said is in words after these, each word in the letters that the text has for it."""
        merges = self.options.homophones == "merge"
        lexicon: Lexicon = respell(self.lexicon, self._homophone_table) if merges else self.lexicon
        return (
            lower_case,
            strip_invisible,
            writing.plain_digits,
            compose,
            *([self.merge_homophones] if merges else []),
            writing.replace_marks,
            numerals.read_ethiopic_numerals,
            abbreviations.ampersand_reader(lexicon),
            abbreviations.remove_stray_slashes,
            writing.read_wordspaces,
            collapse_spaces,
            writing.close_up_marks,
            writing.space_out_marks,
            writing.drop_leading_stops,
            writing.join_pairs,
            writing.collapse_repeats,
            abbreviations.read_slashes,
            abbreviations.expander(lexicon),
            abbreviations.calendar_mover(lexicon),
            *form_rules(lexicon),
            abbreviations.read_latin_slashes,
            abbreviations.read_slashes,  # again: what was a number until now
        )

    def merge_homophones(self, text: str) -> str:
        """`ሠላም` -> `ሰላም`"""
        return text.translate(self._homophone_table)

    @cached_property
    def _homophone_table(self) -> dict[int, str]:
        return str.maketrans(dict(self.lexicon.homophones))

    def read_phonemes(self, text: str) -> str:
        """`ሰላም ለዓለም።` -> `səlam ləaləm።`"""
        assert self.lexicon.phonemes is not None, "asked for at set-up"
        return self.lexicon.phonemes.read(text)

    @cached_property
    def alphabet(self) -> frozenset[str]:
        marks = {*ETHIOPIC_MARKS, *LATIN_MARKS, " "}
        latin_letters = LATIN_LETTERS if self.options.latin == "keep" else frozenset()
        if self.options.frontend == "g2p" and self.lexicon.phonemes:
            return self.lexicon.phonemes.alphabet | marks | latin_letters
        merged = self.lexicon.homophones.keys() if self.options.homophones == "merge" else frozenset()
        return (ETHIOPIC_LETTERS - merged) | marks | latin_letters

    def check(self, raw: str, normalized: str) -> list[TextProblem]:
        if not normalized:
            return [TextProblem("empty_text", "nothing is left to say once the text is normalised")]
        spelling = self._spell(raw) if self._changes_letters else normalized
        problems = [
            *checks.find_malformed_numerals(spelling),
            *checks.find_unread_numbers(spelling),
            *checks.find_unknown_abbreviations(spelling),
            *checks.find_mixed_words(self._find_mixed_words(spelling)),
            *(checks.find_latin(spelling) if self.options.latin == "reject" else []),
            *checks.find_wrong_script(spelling, self.name),
        ]
        return problems or find_unknown_characters(normalized, self.alphabet)

    @property
    def _changes_letters(self) -> bool:
        return self.options.frontend == "g2p" or self.options.latin == "spell"

    def _spell(self, text: str) -> str:
        """A text before its letters change; that is where they can be checked."""
        for rule in self._reading_rules:
            text = rule(text)
        return text

    def belong_together(self, left: str, right: str) -> bool:
        return bool(self._number_word.fullmatch(left) and self._number_word.match(right))

    @cached_property
    def _number_word(self) -> re.Pattern[str]:
        """A number word, as `normalize` leaves it, with what may be written onto it."""
        words = "|".join(any_ending(self.normalize(word)) for word in self.lexicon.numbers.all_words)
        return re.compile(rf"{prefix_of(self.lexicon)}(?:{words})(?:{self.lexicon.affixes})?(?!\w)")

    @cached_property
    def _find_mixed_words(self) -> Callable[[str], list[str]]:
        return latin.mixed_word_finder(self.lexicon)
