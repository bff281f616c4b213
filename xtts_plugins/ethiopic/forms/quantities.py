"""Money, units of measure, and signs before and between numbers."""

from __future__ import annotations

import re

from xtts_framework.plugins import Rule
from xtts_plugins.ethiopic.letters import LETTER
from xtts_plugins.ethiopic.lexicon import Lexicon
from xtts_plugins.ethiopic.patterns import AMOUNT, NUMBER_STARTS, WORD_ENDS, WORD_STARTS, any_of, before, prefix_before

PERCENT_FIRST = re.compile(rf"(?<!\d)(?<!\d )% ?({AMOUNT})")
PERCENT = re.compile(r"(?<=\d) ?%")
PERMILLE = re.compile(r"(?<=\d) ?‰")
PLUS = re.compile(r"(?<=\d) ?\+ ?(?=\d)")
EQUALS = re.compile(r"(?<=\d) ?= ?(?=\d)")
TIMES = re.compile(r"(?<=\d) ?[×*] ?(?=\d)")
NUMBER_SIGN = re.compile(r"[#№] ?(?=\d)")
SIGN = re.compile(r"(?<![\w.,)%-])([-+])(?=\d)")
GLUE = re.compile(rf"[{LETTER}a-z.,:]$")
"""What a number must not touch unless it is a prefix."""


def money_reader(lexicon: Lexicon) -> Rule:
    """The rule that puts the currency's name where it is said, after the amount."""
    numbers, currencies = lexicon.numbers, lexicon.currencies
    latin_scales = {
        **dict.fromkeys(("k", "thousand"), numbers.thousand),
        **dict.fromkeys(("m", "mn", "million"), numbers.million),
        **dict.fromkeys(("b", "bn", "billion"), numbers.billion),
    }
    scales = any_of((*lexicon.scale_words, *latin_scales))
    scale = rf"(?: ?(?P<scale>{scales})(?![{LETTER}a-z]))?"
    currency = rf"(?P<currency>{any_of(currencies)})"
    symbol_first = re.compile(rf"(?<![a-z]){currency} ?(?P<amount>{AMOUNT}){scale}")
    symbol_last = re.compile(rf"(?<![\d.,])(?P<amount>{AMOUNT}){scale} ?{currency}(?![a-z])")
    prefix = prefix_before(lexicon)
    cents = re.compile(rf"{NUMBER_STARTS}(\d{{1,13}})\.(\d\d) ({any_of(lexicon.cents)}){WORD_ENDS}")
    cents_last = re.compile(rf"({any_of(lexicon.cents)}) (\d+)\.(\d\d)(?![\d.])")

    def read_money(text: str) -> str:
        """`$3.1 ሚሊዮን` -> `3.1 ሚሊዮን ዶላር`, `12.50 ብር` -> `12 ብር ከ50 ሳንቲም`"""
        text = symbol_first.sub(put_name_last, text)
        text = symbol_last.sub(put_name_last, text)
        text = cents_last.sub(spell_cents_last, text)
        return cents.sub(spell_cents, text)

    def put_name_last(match: re.Match[str]) -> str:
        scale = f" {latin_scales.get(match['scale'], match['scale'])}" if match["scale"] else ""
        glued = GLUE.search(before(match)) and not prefix.search(before(match))
        return f"{' ' if glued else ''}{match['amount']}{scale} {currencies[match['currency']]}"

    def spell_cents(match: re.Match[str]) -> str:
        whole, hundredths, name = match.groups()
        if not int(whole) and int(hundredths):
            return f"{int(hundredths)} {lexicon.cents[name]}"
        return lexicon.clock.add(f"{whole} {name}", *count_cents(hundredths, name))

    def spell_cents_last(match: re.Match[str]) -> str:
        name, whole, hundredths = match.groups()
        return lexicon.clock.add(f"{name} {whole}", *count_cents(hundredths, name))

    def count_cents(hundredths: str, name: str) -> list[str]:
        return [f"{int(hundredths)} {lexicon.cents[name]}"] if int(hundredths) else []

    return read_money


def unit_reader(lexicon: Lexicon) -> Rule:
    """The rule that reads symbols of units after a number."""
    unit = re.compile(rf"(?<!\d)({AMOUNT}) ?({any_of(lexicon.units)})(?![{LETTER}a-z\d²³])")

    def read_units(text: str) -> str:
        """`5 km` -> `5 ኪሎ ሜትር`, `25%` -> `25 በመቶ`"""
        text = unit.sub(lambda match: f"{match[1]} {lexicon.units[match[2]]}", text)
        text = PERCENT_FIRST.sub(rf"\1 {lexicon.percent}", text)
        text = PERCENT.sub(f" {lexicon.percent}", text)
        return PERMILLE.sub(f" {lexicon.permille}", text)

    return read_units


def sign_reader(lexicon: Lexicon) -> Rule:
    """The rule that reads signs of arithmetic."""
    numbers = lexicon.numbers
    sign_after_prefix = re.compile(rf"({WORD_STARTS}(?:{any_of(lexicon.prefixes)}))-(?=\d)")

    def read_signs(text: str) -> str:
        """`-5` -> `ነጌቲቭ 5`, `2+3=5` -> `2 ፕላስ 3 እኩል ይሆናል 5`, `#5` -> `ቁጥር 5`"""
        text = PLUS.sub(f" {numbers.plus} ", text)
        text = EQUALS.sub(f" {lexicon.equals} ", text)
        text = TIMES.sub(f" {lexicon.times} ", text)
        text = NUMBER_SIGN.sub(f"{lexicon.number_sign} ", text)
        text = sign_after_prefix.sub(rf"\1{numbers.minus} ", text)
        return SIGN.sub(lambda match: f"{numbers.minus if match[1] == '-' else numbers.plus} ", text)

    return read_signs
