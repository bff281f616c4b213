"""Two numbers with a mark between them: scores, ranges, fractions."""

from __future__ import annotations

import re

from xtts_framework.plugins import Rule
from xtts_plugins.ethiopic.lexicon import Lexicon
from xtts_plugins.ethiopic.patterns import (
    AMOUNT,
    NOTHING,
    NUMBER_STARTS,
    WORD_STARTS,
    after,
    any_of,
    before,
    range_beginner,
)

DASHED_PAIR = re.compile(rf"{NUMBER_STARTS}({AMOUNT}) ?- ?({AMOUNT})(?![\d/:]|[.,]\d| ?- ?\d)")
RATIO = re.compile(rf"{NUMBER_STARTS}(\d{{1,3}}):(\d{{1,3}}(?:,\d{{3}})+|\d)(?![\d:/-]|[.,]\d)")
SPACED_SLASH = re.compile(r"(?<=\d)(?: / ?|/ )(?=\d)")
SLASH_BETWEEN_NUMBERS = re.compile(r"(?<=\d) ?/ ?(?=\d)")
DENOMINATORS = (*range(2, 11), 100, 1000)
"""Of fractions that are read as such; `40/60` is two numbers."""
HIGHEST_SCORE = 30
"""Where nothing but the numbers tells that it is a score."""
SCORE_DIGITS = 3
SCORE_WINDOW = 80
"""Characters around a pair in which a word about a game makes it a score."""


def score_reader(lexicon: Lexicon) -> Rule:
    """The rule that reads scores. A pair that descends or holds a zero is no range."""
    score = lexicon.score
    spelled = re.compile(rf"{NUMBER_STARTS}(\d{{1,3}}) {score} (?=\d{{1,3}}(?![\d/:.,]))")
    from_before = re.compile(rf"{WORD_STARTS}{lexicon.from_}$") if lexicon.from_ else re.compile(NOTHING)
    counted = re.compile(rf" (?:{any_of(lexicon.count_followers)})")
    word_of_game = re.compile(any_of(lexicon.score_words))

    def read_scores(text: str) -> str:
        """`2 ለ 1` -> `2 ለ1`, `4-2` -> `4 ለ2`; `1-3` only where the sentence speaks of a game."""
        text = spelled.sub(rf"\1 {score}", text)
        text = RATIO.sub(rf"\1 {score}\2", text)
        return DASHED_PAIR.sub(lambda match: f"{match[1]} {score}{match[2]}" if is_score(match) else match[0], text)

    def is_score(match: re.Match[str]) -> bool:
        if any(not number.isdecimal() or len(number) > SCORE_DIGITS for number in match.groups()):
            return False
        if from_before.search(before(match)) or counted.match(after(match)):
            return False
        around = match.string[max(0, match.start() - SCORE_WINDOW) : match.end() + SCORE_WINDOW]
        first, second = map(int, match.groups())
        return bool(word_of_game.search(around)) or (max(first, second) <= HIGHEST_SCORE and not 0 < first < second)

    return read_scores


def range_reader(lexicon: Lexicon) -> Rule:
    """The rule that reads what else has a dash between two numbers."""
    begin_range = range_beginner(lexicon)
    symbol = rf"({any_of(lexicon.currencies)})?"
    number = rf"({AMOUNT}(?: ?%|{lexicon.ordinal_affix})?)"
    dashed = re.compile(rf"{NUMBER_STARTS}{symbol}{number} ?- ?{number}(?![\d/:]|[.,]\d| ?- ?\d)")

    def read_ranges(text: str) -> str:
        """`ከ10-15` -> `ከ10 እስከ 15`, `10-15 ሰዎች` -> `ከ10 እስከ 15 ሰዎች`, `10% - 15%` -> `ከ10% እስከ 15%`"""
        return dashed.sub(spell, text)

    def spell(match: re.Match[str]) -> str:
        if descends(match[2], match[3]):
            return match[0]
        symbol, first, second = match.groups(default="")
        return f"{begin_range(match)}{first} {lexicon.to} {second}{symbol}"

    def descends(first: str, second: str) -> bool:
        """No range: `88-76`. But `1998-99` is one, its second year shortened."""
        return len(first) == len(second) and first.isdecimal() and second.isdecimal() and first > second

    return read_ranges


def fraction_reader(lexicon: Lexicon) -> Rule:
    """The rule that reads fractions, and the slash between other numbers."""
    numbers, clock = lexicon.numbers, lexicon.clock
    fraction = re.compile(
        rf"{NUMBER_STARTS}(?:(\d+) )?(\d{{1,3}})/(\d{{1,4}})(?:{lexicon.ordinal_affix})?(?![\d/]|[.,:-]\d)"
    )

    def read_fractions(text: str) -> str:
        """`3/4` -> `ሦስት አራተኛ`, `2 1/2` -> `2 ተኩል`, `1264/2014` -> `1264 ስላሽ 2014`"""
        text = SPACED_SLASH.sub(f" {lexicon.slash} ", text)
        text = fraction.sub(spell, text)
        return SLASH_BETWEEN_NUMBERS.sub(f" {lexicon.slash} ", text)

    def spell(match: re.Match[str]) -> str:
        whole, numerator, denominator = match[1], int(match[2]), int(match[3])
        if not 0 < numerator < denominator or denominator not in DENOMINATORS or "0" in (match[2][0], match[3][0]):
            return match[0]
        spelled = numbers.spell_fraction(numerator, denominator)
        if whole is None:
            return spelled
        if spelled == numbers.half:
            return f"{whole}{clock.and_ending} {clock.half_past}"
        return clock.add(whole, spelled)

    return read_fractions
