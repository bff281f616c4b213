"""Two numbers with a mark between them: scores, ranges, fractions."""

from __future__ import annotations

import re

from xtts_framework.plugins import Rule
from xtts_plugins.ethiopic.lexicon import Lexicon
from xtts_plugins.ethiopic.patterns import AMOUNT, NUMBER_STARTS, any_of, before, prefix_before

DASHED_PAIR = re.compile(rf"{NUMBER_STARTS}({AMOUNT}) ?- ?({AMOUNT})(?![\d/:]|[.,]\d| ?- ?\d)")
RATIO = re.compile(rf"{NUMBER_STARTS}(\d{{1,3}}):(\d)(?![\d:./,-])")
FRACTION = re.compile(rf"{NUMBER_STARTS}(?:(\d+) )?(\d{{1,3}})/(\d{{1,3}})(?![\d/]|[.,:-]\d)")
SLASH_BETWEEN_NUMBERS = re.compile(r"(?<=\d) ?/ ?(?=\d)")
HIGHEST_SCORE = 30
SCORE_WINDOW = 80
"""Characters around a pair in which a word about a game makes it a score."""


def score_reader(lexicon: Lexicon) -> Rule:
    """The rule that reads scores. A pair that descends or holds a zero is no range."""
    score = lexicon.score
    spelled = re.compile(rf"{NUMBER_STARTS}(\d{{1,3}}) {score} (?=\d{{1,3}}(?![\d/:.,]))")
    word_of_game = re.compile(any_of(lexicon.score_words))

    def read_scores(text: str) -> str:
        """`2 ለ 1` -> `2 ለ1`, `4-2` -> `4 ለ2`; `1-3` only where the sentence speaks of a game."""
        text = spelled.sub(rf"\1 {score}", text)
        text = RATIO.sub(rf"\1 {score}\2", text)
        return DASHED_PAIR.sub(lambda match: f"{match[1]} {score}{match[2]}" if is_score(match) else match[0], text)

    def is_score(match: re.Match[str]) -> bool:
        if any(not number.isdecimal() or len(number) > 2 for number in match.groups()):
            return False
        first, second = map(int, match.groups())
        if max(first, second) > HIGHEST_SCORE:
            return False
        around = match.string[max(0, match.start() - SCORE_WINDOW) : match.end() + SCORE_WINDOW]
        return not 0 < first < second or bool(word_of_game.search(around))

    return read_scores


def range_reader(lexicon: Lexicon) -> Rule:
    """The rule that reads what else has a dash between two numbers."""
    prefix = prefix_before(lexicon)

    def read_ranges(text: str) -> str:
        """`ከ10-15` -> `ከ10 እስከ 15`, `10-15 ሰዎች` -> `ከ10 እስከ 15 ሰዎች`"""
        return DASHED_PAIR.sub(spell, text)

    def spell(match: re.Match[str]) -> str:
        from_ = "" if prefix.search(before(match)) else lexicon.from_
        return f"{from_}{match[1]} {lexicon.to} {match[2]}"

    return read_ranges


def fraction_reader(lexicon: Lexicon) -> Rule:
    """The rule that reads fractions, and the slash between other numbers."""
    numbers, clock = lexicon.numbers, lexicon.clock

    def read_fractions(text: str) -> str:
        """`3/4` -> `ሦስት አራተኛ`, `2 1/2` -> `2 ተኩል`, `1264/2014` -> `1264 ስላሽ 2014`"""
        text = FRACTION.sub(spell, text)
        return SLASH_BETWEEN_NUMBERS.sub(f" {lexicon.slash} ", text)

    def spell(match: re.Match[str]) -> str:
        whole, numerator, denominator = match[1], int(match[2]), int(match[3])
        if not 0 < numerator < denominator:
            return match[0]
        fraction = numbers.spell_fraction(numerator, denominator)
        if whole is None:
            return fraction
        return f"{whole} {clock.half_past if fraction == numbers.half else clock.and_ + fraction}"

    return read_fractions
