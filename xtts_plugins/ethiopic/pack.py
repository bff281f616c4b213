"""A language pack in Ethiopic script: the order of the rules, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xtts_framework.plugins import LanguagePack, Rule, TextProblem, find_unknown_characters
from xtts_plugins.ethiopic import abbreviations, checks, latin, numerals, phonemes, writing
from xtts_plugins.ethiopic.forms import form_rules
from xtts_plugins.ethiopic.letters import ETHIOPIC_LETTERS, LATIN_LETTERS, any_ending
from xtts_plugins.ethiopic.lexicon import Lexicon, respell
from xtts_plugins.ethiopic.marks import ETHIOPIC_MARKS, LATIN_MARKS
from xtts_plugins.ethiopic.patterns import prefix_of


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
    """A language is a subclass with a code, a name, a `lexicon` and a `phoneme_code`."""

    lexicon: ClassVar[Lexicon]
    phoneme_code: ClassVar[str]
    """Epitran's name of the language."""
    Options = EthiopicOptions
    options: EthiopicOptions
    sentence_marks: ClassVar[str] = "።፧፨!?"
    clause_marks: ClassVar[str] = "፣፤፥፦,;"

    def __init__(self, options: EthiopicOptions) -> None:
        super().__init__(options)
        if options.frontend == "g2p":
            phonemes.require_epitran()

    @cached_property
    def rules(self) -> Sequence[Rule]:
        if self.options.frontend == "bpe":
            return self._spelling_rules
        return (*self._spelling_rules, self.read_phonemes, writing.space_out_marks)

    @cached_property
    def _spelling_rules(self) -> Sequence[Rule]:
        options, merges = self.options, self.options.homophones == "merge"
        lexicon: Lexicon = respell(self.lexicon, self._homophone_table) if merges else self.lexicon
        return (
            writing.lower_case,
            writing.strip_invisible,
            writing.compose,
            *([self.merge_homophones] if merges else []),
            writing.replace_marks,
            numerals.read_ethiopic_numerals,
            abbreviations.remove_stray_slashes,
            writing.read_wordspaces,
            writing.collapse_spaces,
            writing.close_up_marks,
            writing.space_out_marks,
            writing.drop_leading_stops,
            writing.join_pairs,
            writing.collapse_repeats,
            abbreviations.read_slashes,
            abbreviations.expander(lexicon),
            *form_rules(lexicon),
            abbreviations.read_latin_slashes,
            *([latin.speller(lexicon.latin_letters)] if options.latin == "spell" else []),
            abbreviations.read_slashes,
            writing.space_out_marks,
            writing.collapse_spaces,
        )

    def merge_homophones(self, text: str) -> str:
        """`ሠላም` -> `ሰላም`"""
        return text.translate(self._homophone_table)

    @cached_property
    def _homophone_table(self) -> dict[int, str]:
        return str.maketrans(dict(self.lexicon.homophones))

    def read_phonemes(self, text: str) -> str:
        """`ሰላም ለዓለም።` -> `səlam ləaləm።`"""
        return phonemes.read_phonemes(text, self.phoneme_code)

    @cached_property
    def alphabet(self) -> frozenset[str]:
        marks = {*ETHIOPIC_MARKS, *LATIN_MARKS, " "}
        latin_letters = LATIN_LETTERS if self.options.latin == "keep" else frozenset()
        if self.options.frontend == "g2p":
            return phonemes.PHONEMES[self.phoneme_code] | marks | latin_letters
        merged = self.lexicon.homophones.keys() if self.options.homophones == "merge" else frozenset()
        return (ETHIOPIC_LETTERS - merged) | marks | latin_letters

    def check(self, raw: str, normalized: str) -> list[TextProblem]:
        if not normalized:
            return [TextProblem("empty_text", "nothing is left to say once the text is normalised")]
        spelling = normalized if self.options.frontend == "bpe" else self._spell(raw)
        problems = [
            *checks.find_malformed_numerals(spelling),
            *checks.find_unread_numbers(spelling),
            *checks.find_unknown_abbreviations(spelling),
            *checks.find_mixed_words(self._find_mixed_words(spelling)),
            *(checks.find_latin(spelling) if self.options.latin == "reject" else []),
            *checks.find_wrong_script(spelling, self.name),
        ]
        return problems or find_unknown_characters(normalized, self.alphabet)

    def _spell(self, text: str) -> str:
        """A text before it becomes phonemes; that is where letters can be checked."""
        for rule in self._spelling_rules:
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
