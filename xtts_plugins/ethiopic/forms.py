"""Written forms with digits, rewritten step by step until plain numbers are left, which become words last.

Every rule looks at a bounded stretch of text and starts at a place of its own, so that a text of any length is read
in linear time. The words come from the language's `Lexicon`; the examples are Amharic.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from xtts_framework.plugins import Rule
from xtts_plugins.ethiopic.letters import LETTER, attach
from xtts_plugins.ethiopic.lexicon import Lexicon

NUMBER_STARTS = r"(?<![\d.,:/-])"
"""Not within a longer written form."""
AMOUNT = r"\d++(?:,\d{3}){0,4}+(?:\.\d++)?+"
CURRENCY_SYMBOLS = "$€£¥₹"

INITIAL_BEFORE_DIGIT = re.compile(rf"(?<![{LETTER}a-z])([{LETTER}a-z]{{1,2}})\.(?=\d)")
THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3}){1,4}(?![,.]?\d)|(?<![\d.,])\d{1,3}(?:,\d{3}){1,4}(?=\.\d)")
PHONE_NUMBER = re.compile(
    rf"{NUMBER_STARTS}(?<!\+)(?:\+\d{{1,3}}(?:[ -]?\d{{2,4}}){{2,5}}|0\d{{8,9}}|0\d{{1,3}}(?:[ -]\d{{2,4}}){{2,4}})(?![\d./:-])"
)
NUMERIC_DATE = re.compile(
    rf"{NUMBER_STARTS}(?:(\d{{1,2}})([/.-])(\d{{1,2}})\2(\d{{4}})|(\d{{4}})([/-])(\d{{1,2}})\6(\d{{1,2}}))(?![\d/-]|[.,]\d)"
)
SCORE_OR_RANGE = re.compile(rf"{NUMBER_STARTS}({AMOUNT}) ?- ?({AMOUNT})(?![\d/:]|[.,]\d| ?- ?\d)")
RATIO = re.compile(rf"{NUMBER_STARTS}(\d{{1,3}}):(\d)(?![\d:./,-])")
FRACTION = re.compile(rf"{NUMBER_STARTS}(?:(\d+) )?(\d{{1,3}})/(\d{{1,3}})(?![\d/]|[.,:-]\d)")
SLASH_BETWEEN_NUMBERS = re.compile(r"(?<=\d) ?/ ?(?=\d)")
SLASH_BESIDE_NUMBER = re.compile(r"(?<=\d) ?/ ?| ?/ ?(?=\d)")
SIGN = re.compile(r"(?<![\w.,)%-])([-+])(?=\d)")
MARK_WITHIN_NUMBERS = re.compile(r"(?<=\d)([,:;])(?=\d)")
FIRST_LIKELY_YEAR = 1800
"""A four-digit number below it is a year only where an era or a calendar says so."""
SCORE_LIMIT = 30
SCORE_WINDOW = 80
CONTEXT_WINDOW = 40
LAST_DAY = 31
LAST_MONTH = 13
"""Ethiopian years have thirteen months."""


def any_of(words: Iterable[str]) -> str:
    """A regular expression for any of some words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))


class FormReader:
    """Reads the written forms of one language.

    Args:
        lexicon: its words.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.numbers = lexicon.numbers
        prefixes = any_of(lexicon.prefixes)
        word = f"[{LETTER}]"
        affix = rf"(?P<affix>(?:{lexicon.affixes})(?!{word}))?"
        months = rf"(?<!{word})(?:{prefixes})?(?:{any_of(lexicon.months)})"
        scales = any_of(lexicon.scale_words)
        currencies = any_of(lexicon.currencies)

        letter_prefixes = any_of(prefix for prefix in lexicon.prefixes if len(prefix) == 1)
        self._spaced_prefix = re.compile(rf"(?<!{word})({letter_prefixes}) (?=\d)")
        self._spaced_ordinal = re.compile(rf"(?<=\d)[ -](?={lexicon.ordinal_affix})")
        self._hyphenated = re.compile(rf"({any_of(lexicon.hyphenated)}) ?- ?(?=\d)")
        self._word_before_digit = re.compile(rf"(?<![{LETTER}a-z])([{LETTER}a-z]++)(-?)(?=\d)")
        self._word_after_digit = re.compile(rf"(?<=\d)(-?)([{LETTER}]++|(?<!-)[a-z]++)")
        self._prefix = re.compile(prefixes)
        self._affix = re.compile(lexicon.affixes)
        self._phone_after_word = re.compile(
            rf"((?:{any_of(lexicon.phone_words)})[ :፦-]{{0,3}})(\d{{3,15}})(?![\d.,/:])"
        )
        self._month_day_year = re.compile(
            rf"({months}) (\d{{1,2}})(?: {lexicon.day} |[,፣] ?| ?[/.-] ?| )(?=\d{{4}}(?![\d/:-]|[.,]\d))"
        )
        self._day_year = re.compile(
            rf"{NUMBER_STARTS}(\d{{1,2}})/(\d{{4}})(?={word}{{0,4}} (?:{any_of(lexicon.eras)}))"
        )
        clock = lexicon.clock
        names = any_of((clock.hour, clock.second, *clock.other_spellings))
        self._time = re.compile(
            rf"{NUMBER_STARTS}(\d{{1,2}}):([0-5]\d)(?::([0-5]\d))?(\.\d+)?(?![\d:/-])(?: (?:{names})(?!{word}))?"
        )
        self._spelled_score = re.compile(rf"{NUMBER_STARTS}(\d{{1,3}}) {lexicon.score} (?=\d{{1,3}}(?![\d/:.,]))")
        self._score_word = re.compile(any_of(lexicon.score_words))
        self._year = re.compile(rf"{NUMBER_STARTS}(1[1-9]\d\d){affix}(?![\d/]|[.,:-]\d)")
        self._year_before = re.compile(
            rf"(?<!{word})(?:{prefixes})?(?:(?:{any_of(lexicon.year_contexts)}){word}{{0,4}}|{lexicon.day})[ ,]{{0,2}}(?:{prefixes})?$"
        )
        self._year_after = re.compile(rf" (?:{any_of(lexicon.eras)})")
        self._maybe_year_after = re.compile(rf" (?:{any_of(lexicon.year_followers)})")
        self._prefix_before = re.compile(rf"(?<!{word})(?:{prefixes}) ?$")
        counted = (*lexicon.units.values(), *lexicon.currencies.values(), *lexicon.count_followers)
        self._counted = re.compile(rf" (?:{any_of(counted)})")
        self._money_before = re.compile(
            rf"(?<![a-z])({currencies}) ?({AMOUNT})(?: ?({scales}|[a-z]+)(?![{LETTER}a-z]))?"
        )
        self._money_after = re.compile(rf"(?<![\d.,])({AMOUNT})((?: (?:{scales}))?) ?({currencies})(?![a-z])")
        self._cents = re.compile(rf"{NUMBER_STARTS}(\d+)\.(\d\d) ({any_of(lexicon.cents)})(?!{word})")
        self._unit = re.compile(rf"(?<![\d])({AMOUNT}) ?({any_of(lexicon.units)})(?![a-z\d²³]|{word})")
        self._scale_before = re.compile(rf"(?:{scales}) $")
        self._number = re.compile(rf"(?P<whole>\d+)(?P<dotted>(?:\.\d+)*){affix}")
        self._ordinal = re.compile(lexicon.ordinal_affix)

    @property
    def rules(self) -> Sequence[Rule]:
        """In order."""
        return (
            self.separate_digits,
            self.read_phone_numbers,
            self.read_dates,
            self.read_times,
            self.read_scores,
            self.read_ranges,
            self.read_fractions,
            self.read_years,
            self.join_thousands,
            self.read_money,
            self.read_units,
            self.read_signs,
            self.read_numbers,
        )

    def separate_digits(self, text: str) -> str:
        """`ሰኔ10` -> `ሰኔ 10`, `8ሺህ` -> `8 ሺህ`, `ኮቪድ-19` -> `ኮቪድ 19`; but `በ 10` -> `በ10`, `1000 ኛ` -> `1000ኛ`."""
        text = self._hyphenated.sub(r"\1 ", self._spaced_ordinal.sub("", text))
        text = INITIAL_BEFORE_DIGIT.sub(r"\1 ", text)
        text = self._word_after_digit.sub(self._part_after, text)
        text = self._word_before_digit.sub(self._part_before, text)
        return self._spaced_prefix.sub(r"\1", text)

    def _part_before(self, match: re.Match[str]) -> str:
        word, hyphen = match.groups()
        return match[0] if self._prefix.fullmatch(word) else f"{word} "

    def _part_after(self, match: re.Match[str]) -> str:
        _, word = match.groups()
        return str(word) if self._affix.fullmatch(word) else f" {word}"

    def join_thousands(self, text: str) -> str:
        """`10,000` -> `10000`"""
        return THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)

    def read_phone_numbers(self, text: str) -> str:
        """`0911-23-45-67` -> `ዜሮ ዘጠኝ አንድ አንድ …`, `ስልክ 8335` -> `ስልክ ስምንት ሦስት ሦስት አምስት`"""
        text = self._phone_after_word.sub(lambda match: match[1] + self.numbers.spell_digits(match[2]), text)
        return PHONE_NUMBER.sub(lambda match: self._spell_phone(match[0]), text)

    def _spell_phone(self, written: str) -> str:
        plus = f"{self.numbers.plus} " if written.startswith("+") else ""
        return plus + self.numbers.spell_digits(re.sub(r"\D", "", written))

    def read_dates(self, text: str) -> str:
        """`መስከረም 15/2015` -> `መስከረም 15 ቀን 2015`, `15/1/2015` -> `15፣ 1፣ 2015`. Calendars stay as written."""
        text = self._month_day_year.sub(rf"\1 \2 {self.lexicon.day} ", text)
        text = self._day_year.sub(rf"\1 {self.lexicon.day} \2", text)
        return NUMERIC_DATE.sub(self._list_date, text)

    def _list_date(self, match: re.Match[str]) -> str:
        year, first, second = (match[4], match[1], match[3]) if match[4] else (match[5], match[7], match[8])
        low, high = sorted((int(first), int(second)))
        if not (1 <= low <= LAST_MONTH and high <= LAST_DAY):
            return match[0]
        spelled_year = self.numbers.spell_year(int(year))
        return f"{first}፣ {second}፣ {spelled_year}" if match[4] else f"{spelled_year}፣ {first}፣ {second}"

    def read_times(self, text: str) -> str:
        """`2:30 ሰዓት` -> `2 ሰዓት ተኩል`, `2:14:04` -> `2 ሰዓት ከ14 ደቂቃ ከ4 ሰከንድ`. The clock stays as written."""
        return self._time.sub(self._spell_time, text)

    def _spell_time(self, match: re.Match[str]) -> str:
        first, second, third, decimals = match.groups()
        clock = self.lexicon.clock
        if decimals and third is None:  # minutes and seconds
            return f"{int(first)} {clock.minute} {clock.and_}{int(second)}{decimals} {clock.second}"
        hours = f"{int(first)} {clock.hour}"
        if third is None and second in ("30", "15"):
            return f"{hours} {clock.half_past if second == '30' else clock.quarter_past}"
        minutes = f" {clock.and_}{int(second)} {clock.minute}" if int(second) else ""
        seconds = f" {clock.and_}{int(third)}{decimals or ''} {clock.second}" if third and int(third) else ""
        return f"{hours}{minutes}{seconds}"

    def read_scores(self, text: str) -> str:
        """`2 ለ 1` -> `2 ለ1`, `4-2` -> `4 ለ2`; `1-3` only where the sentence speaks of a game."""
        text = self._spelled_score.sub(rf"\1 {self.lexicon.score}", text)
        text = RATIO.sub(rf"\1 {self.lexicon.score}\2", text)
        return SCORE_OR_RANGE.sub(lambda match: self._score(match) or match[0], text)

    def _score(self, match: re.Match[str]) -> str | None:
        first, second = match.groups()
        if not (first.isdecimal() and second.isdecimal() and int(first[:3]) <= SCORE_LIMIT and len(second) <= 2):
            return None
        ascends = 0 < int(first) < int(second)
        window = match.string[max(0, match.start() - SCORE_WINDOW) : match.end() + SCORE_WINDOW]
        if len(first) > 2 or (ascends and not self._score_word.search(window)):
            return None
        return f"{first} {self.lexicon.score}{second}"

    def read_ranges(self, text: str) -> str:
        """`ከ10-15` -> `ከ10 እስከ 15`, `10-15 ሰዎች` -> `ከ10 እስከ 15 ሰዎች`"""
        return SCORE_OR_RANGE.sub(self._range, text)

    def _range(self, match: re.Match[str]) -> str:
        has_prefix = self._prefix_before.search(match.string, max(0, match.start() - 5), match.start())
        from_ = "" if has_prefix else self.lexicon.from_
        return f"{from_}{match[1]} {self.lexicon.to} {match[2]}"

    def read_fractions(self, text: str) -> str:
        """`3/4` -> `ሦስት አራተኛ`, `2 1/2` -> `2 ተኩል`, `1264/2014` -> `1264 ስላሽ 2014`"""
        text = FRACTION.sub(self._spell_fraction, text)
        text = SLASH_BETWEEN_NUMBERS.sub(f" {self.lexicon.slash} ", text)
        return SLASH_BESIDE_NUMBER.sub(" ", text)

    def _spell_fraction(self, match: re.Match[str]) -> str:
        whole, numerator, denominator = match[1], int(match[2]), int(match[3])
        if not 0 < numerator < denominator:
            return match[0]
        fraction = self.numbers.spell_fraction(numerator, denominator)
        if whole is None:
            return fraction
        clock = self.lexicon.clock
        return f"{whole} {clock.half_past if denominator == 2 else clock.and_ + fraction}"

    def read_years(self, text: str) -> str:
        """`በ1974 ዓመተ ምህረት` -> `በአስራ ዘጠኝ መቶ ሰባ አራት ዓመተ ምህረት`; as in speech, years before 2000 count hundreds."""
        return self._year.sub(self._spell_year, text)

    def _spell_year(self, match: re.Match[str]) -> str:
        text, (start, end) = match.string, match.span()
        affix = match["affix"] or ""
        before, after = text[max(0, start - CONTEXT_WINDOW) : start], text[end : end + CONTEXT_WINDOW]
        stated = self._year_before.search(before) or self._year_after.match(after)
        hinted = self._prefix_before.search(before) or self._maybe_year_after.match(after)
        likely = int(match[1]) >= FIRST_LIKELY_YEAR and hinted and not self._counted.match(after)
        if not (stated or likely) or self._ordinal.match(affix):
            return match[0]
        return attach(self.numbers.spell_year(int(match[1])), affix)

    def read_money(self, text: str) -> str:
        """`$3.1 ሚሊዮን` -> `3.1 ሚሊዮን ዶላር`, `12.50 ብር` -> `12 ብር ከ50 ሳንቲም`"""
        text = self._money_before.sub(self._put_currency_last, text)
        text = self._money_after.sub(lambda match: f"{match[1]}{match[2]} {self.lexicon.currencies[match[3]]}", text)
        return self._cents.sub(self._spell_cents, text)

    def _put_currency_last(self, match: re.Match[str]) -> str:
        symbol, amount, scale = match.groups()
        name = self.lexicon.currencies[symbol]
        if scale is None:
            return f"{amount} {name}"
        latin_scales = {
            "k": self.numbers.thousand,
            "m": self.numbers.million,
            "mn": self.numbers.million,
            "million": self.numbers.million,
            "b": self.numbers.billion,
            "bn": self.numbers.billion,
            "billion": self.numbers.billion,
        }
        if scale in latin_scales or not scale.isascii():
            return f"{amount} {latin_scales.get(scale, scale)} {name}"
        return f"{amount} {name} {scale}"

    def _spell_cents(self, match: re.Match[str]) -> str:
        whole, hundredths, name = match.groups()
        if not int(hundredths):
            return f"{whole} {name}"
        return f"{whole} {name} {self.lexicon.clock.and_}{int(hundredths)} {self.lexicon.cents[name]}"

    def read_units(self, text: str) -> str:
        """`5 km` -> `5 ኪሎ ሜትር`, `25%` -> `25 በመቶ`"""
        text = self._unit.sub(lambda match: f"{match[1]} {self.lexicon.units[match[2]]}", text)
        return re.sub(
            r"(?<=\d) ?%", f" {self.lexicon.percent}", re.sub(r"(?<=\d) ?‰", f" {self.lexicon.permille}", text)
        )

    def read_signs(self, text: str) -> str:
        """`-5` -> `ነጌቲቭ 5`, `2+3=5` -> `2 ሲደመር 3 እኩል ይሆናል 5`, `#5` -> `ቁጥር 5`"""
        lexicon = self.lexicon
        text = re.sub(r"(?<=\d) ?\+ ?(?=\d)", f" {self.numbers.plus} ", text)
        text = re.sub(r"(?<=\d) ?= ?(?=\d)", f" {lexicon.equals} ", text)
        text = re.sub(r"(?<=\d) ?[×*] ?(?=\d)", f" {lexicon.times} ", text)
        text = re.sub(r"[#№] ?(?=\d)", f"{lexicon.number_sign} ", text)
        return SIGN.sub(lambda match: f"{self.numbers.minus if match[1] == '-' else self.numbers.plus} ", text)

    def read_numbers(self, text: str) -> str:
        """`42` -> `አርባ ሁለት`, `3.14` -> `ሦስት ነጥብ አንድ አራት`, `56ቱ` -> `ሃምሳ ስድስቱ`, `10ኛው` -> `አስረኛው`"""
        return self._number.sub(self._spell_number, MARK_WITHIN_NUMBERS.sub(r"\1 ", text))

    def _spell_number(self, match: re.Match[str]) -> str:
        numbers, affix = self.numbers, match["affix"] or ""
        continues = match["whole"].startswith("0") and self._scale_before.search(
            match.string[max(0, match.start() - CONTEXT_WINDOW) : match.start()]
        )
        words = numbers.spell_written(match["whole"].lstrip("0") or "0" if continues else match["whole"])
        groups = match["dotted"].split(".")[1:]
        if len(groups) == 1:
            words += f" {numbers.point} {numbers.spell_digits(groups[0])}"
        elif groups:
            words = f" {numbers.point} ".join([words, *map(numbers.spell_written, groups)])
        ordinal = self._ordinal.match(affix)
        if ordinal is None or groups:
            return attach(words, affix)
        return self._spell_ordinal(match["whole"]) + affix[ordinal.end() :]

    def _spell_ordinal(self, digits: str) -> str:
        number = int(digits) if len(digits) <= 13 else None
        numbers = self.numbers
        if number is None or number > 10**12:
            return numbers.ordinal_frame.format(numbers.spell_digits(digits))
        return numbers.spell_ordinal(number)
