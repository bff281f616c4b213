"""Digits and the letters written onto them, phone numbers, and numbers as words."""

from __future__ import annotations

import re

from xtts_framework.plugins import Rule
from xtts_plugins.ethiopic.letters import LETTER
from xtts_plugins.ethiopic.lexicon import Lexicon
from xtts_plugins.ethiopic.patterns import NUMBER_STARTS, affix_of, any_of, before

BARE_POINT = re.compile(r"(?<![\w.,)])\.(?=\d)")
POWER_OF_METRES = re.compile(r"(?<=\d)( ?[kcm]?m)([23])(?![\w.,])")
POWERS = {"2": "²", "3": "³"}
INITIAL_BEFORE_DIGIT = re.compile(rf"(?<![{LETTER}a-z])([{LETTER}a-z])\.(?=\d)")
STOP_BEFORE_DIGIT = re.compile(rf"(?<=[{LETTER}a-z])\.(?=\d)")
BRACKET_AFTER_DIGIT = re.compile(r"(?<=\d)\((?=\d)")
WORD_AFTER_DIGIT = re.compile(rf"(?<=\d)-?([{LETTER}]++)|(?<=\d)([a-z]++)")

GROUPS = r"(?<![\d.,])\d{1,3}(?:,\d{3}){1,4}"
THOUSANDS = re.compile(rf"{GROUPS}(?![,.]?\d)|{GROUPS}(?=\.\d)")
ROUND_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}([ .'])(?:\d{3}\1){0,3}000(?![\d]|[ .,]\d)")
"""Groups parted by spaces, full stops or apostrophes: several numbers or a decimal, perhaps, were they not round."""
MARK_WITHIN_NUMBERS = re.compile(r"(?<=\d)([,:;])(?=\d)")

INTERNATIONAL = r"\+\d{1,3}(?:[ -]?\d{1,4}){2,6}"
NATIONAL = r"0\d{8,9}|0\d{1,3}(?:[ -]\d{2,4}){2,4}"
SHORT_OR_GROUPED = r"\d{1,4}(?:[ -]\d{1,4}){1,6}|\d{3,15}"
PHONE_NUMBER = re.compile(rf"{NUMBER_STARTS}(?<!\+)(?:{INTERNATIONAL}|{NATIONAL})(?![\d./:-])")


def digit_separator(lexicon: Lexicon) -> Rule:
    """The rule that parts numbers from words, but for prefixes and affixes, which it joins to them."""
    letters = any_of(prefix for prefix in lexicon.prefixes if len(prefix) == 1)
    spaced_prefix = re.compile(rf"(?<![{LETTER}\d])({letters}) (?=-?\d)")
    spaced_ordinal = re.compile(rf"(?<=\d)[ -](?={lexicon.ordinal_affix})")
    signs = "".join(sign for sign in lexicon.currencies if len(sign) == 1)
    word_before_digit = re.compile(rf"(?<![{LETTER}a-z\d])([{LETTER}a-z]++)-?(?=[+#№%{re.escape(signs)}]?\d)")
    hyphenated = re.compile(rf"({any_of(lexicon.hyphenated)}) ?- ?(?=\d)")
    prefix, affix = re.compile(any_of(lexicon.prefixes)), re.compile(lexicon.affixes)

    def separate_digits(text: str) -> str:
        """`ሰኔ10` -> `ሰኔ 10`, `8ሺህ` -> `8 ሺህ`, `ኮቪድ-19` -> `ኮቪድ 19`; but `በ 10` -> `በ10`, `1000 ኛ` -> `1000ኛ`."""
        text = POWER_OF_METRES.sub(lambda match: match[1] + POWERS[match[2]], text)
        text = spaced_ordinal.sub("", text)
        text = hyphenated.sub(r"\1 ", text)
        text = BARE_POINT.sub("0.", text)
        text = INITIAL_BEFORE_DIGIT.sub(r"\1 ", text)
        text = STOP_BEFORE_DIGIT.sub(". ", text)
        text = BRACKET_AFTER_DIGIT.sub(" (", text)
        text = WORD_AFTER_DIGIT.sub(part_after, text)
        text = word_before_digit.sub(part_before, text)
        return spaced_prefix.sub(r"\1", text)

    def part_before(match: re.Match[str]) -> str:
        return match[0] if prefix.fullmatch(match[1]) else f"{match[1]} "

    def part_after(match: re.Match[str]) -> str:
        word = match[1] or match[2]
        if not affix.fullmatch(word):
            return f" {word}"
        followed = match.string[match.end() : match.end() + 1].isdecimal()  # 2ኛና3ኛ
        return f"{word} " if followed else word

    return separate_digits


def phone_reader(lexicon: Lexicon) -> Rule:
    """The rule that reads phone numbers digit by digit."""
    numbers = lexicon.numbers
    after_word = re.compile(rf"((?:{any_of(lexicon.phone_words)})[ :፦-]{{0,3}})({SHORT_OR_GROUPED})(?![\d/:]|[.,]\d)")

    def read_phone_numbers(text: str) -> str:
        """`0911-23-45-67` -> `ዜሮ ዘጠኝ አንድ አንድ …`, `ስልክ 8335` -> `ስልክ ስምንት ሦስት ሦስት አምስት`"""
        text = after_word.sub(lambda match: match[1] + spell_number(match[2]), text)
        return PHONE_NUMBER.sub(lambda match: spell_number(match[0]), text)

    def spell_number(written: str) -> str:
        plus = f"{numbers.plus} " if written.startswith("+") else ""
        return plus + numbers.spell_digits(re.sub(r"\D", "", written))

    return read_phone_numbers


def thousands_joiner(lexicon: Lexicon) -> Rule:
    """The rule that leaves no separators in numbers but the decimal point."""
    measure = rf" ?%| (?:{any_of((lexicon.percent, *lexicon.scale_words))})"
    decimal_comma = re.compile(rf"{NUMBER_STARTS}(\d+),(\d{{1,2}})(?={measure})")

    def join_thousands(text: str) -> str:
        """`10,000` -> `10000`, `10 000` -> `10000`; `6,5 በመቶ` -> `6.5 በመቶ`"""
        text = THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
        text = ROUND_THOUSANDS.sub(lambda match: match[0].replace(match[1], ""), text)
        return decimal_comma.sub(r"\1.\2", text)

    return join_thousands


def number_reader(lexicon: Lexicon) -> Rule:
    """The rule that makes words of all digits that are left."""
    numbers = lexicon.numbers
    number = re.compile(rf"(?P<whole>\d+)(?P<dotted>(?:\.\d+)*){affix_of(lexicon)}")
    ordinal_affix = re.compile(lexicon.ordinal_affix)
    point_before = re.compile(rf"\d {numbers.point} $")
    scale_before = re.compile(rf"(?:{any_of(lexicon.scale_words)}) $")

    def read_numbers(text: str) -> str:
        """`42` -> `አርባ ሁለት`, `3.14` -> `ሦስት ነጥብ አንድ አራት`, `56ቱ` -> `ሃምሳ ስድስቱ`, `10ኛው` -> `አስረኛው`"""
        return number.sub(spell, MARK_WITHIN_NUMBERS.sub(r"\1 ", text))

    def spell(match: re.Match[str]) -> str:
        whole, affix = match["whole"], match["affix"] or ""
        if whole.startswith("0") and scale_before.search(before(match)):  # 480 ሺህ 017
            whole = whole.lstrip("0") or "0"
        if point_before.search(before(match)):  # 2 ነጥብ 05
            return numbers.add_affix(numbers.spell_digits(whole), affix)
        fraction, *further = match["dotted"].split(".")[1:] or [""]
        ordinal = ordinal_affix.match(affix)
        if ordinal and not fraction:
            return numbers.spell_written_ordinal(whole) + affix[ordinal.end() :]
        words = [numbers.spell_written(whole)]
        if further:  # 1.617.2
            words += map(numbers.spell_written, [fraction, *further])
        elif fraction:
            words.append(numbers.spell_digits(fraction))
        return numbers.add_affix(f" {numbers.point} ".join(words), affix)

    return read_numbers
