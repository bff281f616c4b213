"""Dates, years and times of day. Neither calendars nor clocks are converted: they are read as written."""

from __future__ import annotations

import re

from xtts_framework.plugins import Rule
from xtts_plugins.ethiopic.letters import LETTER
from xtts_plugins.ethiopic.lexicon import Lexicon, Years
from xtts_plugins.ethiopic.patterns import (
    NUMBER_STARTS,
    WORD_ENDS,
    WORD_STARTS,
    affix_of,
    after,
    any_of,
    before,
    prefix_before,
    prefix_of,
    range_beginner,
)

HOURS = 24
LAST_DAY = 31
LAST_MONTH = 13
"""Ethiopian years have thirteen months."""
FIRST_LIKELY_YEAR = 1800
"""A four-digit number below it is a year only where a word beside it says so: an era, a calendar, a month."""

DAY_MONTH_YEAR = r"(?P<first>\d{1,2})(?P<mark>[/.-])(?P<second>\d{1,2})(?P=mark)(?P<last_year>\d{4})"
YEAR_MONTH_DAY = r"(?P<first_year>\d{4})(?P<dash>[/-])(?P<third>\d{1,2})(?P=dash)(?P<fourth>\d{1,2})"
NUMERIC_DATE = re.compile(rf"{NUMBER_STARTS}(?:{DAY_MONTH_YEAR}|{YEAR_MONTH_DAY})(?![\d/-]|[.,]\d)")

SPLIT_YEAR = re.compile(rf"{NUMBER_STARTS}((?:1[89]|20)\d\d)/(\d\d)(?![\d/]|[.,:-]\d)")
TIME_RANGE = re.compile(rf"{NUMBER_STARTS}(\d{{1,2}}:[0-5]\d) ?- ?(?=(\d{{1,2}}:[0-5]\d)(?![\d:]))")


def date_reader(lexicon: Lexicon) -> Rule:
    """The rule that reads days with their years."""
    day = lexicon.day
    month_day_year = re.compile(
        rf"({WORD_STARTS}{prefix_of(lexicon)}(?:{any_of(lexicon.months)}) \d{{1,2}})"
        rf"(?: {day} |[,፣] ?| ?[/.-] ?| )(?=\d{{4}}(?![\d/:-]|[.,]\d))"
    )
    day_year = re.compile(rf"{NUMBER_STARTS}(\d{{1,2}})/(\d{{4}})(?=[{LETTER}]{{0,4}} (?:{any_of(lexicon.eras)}))")
    document = re.compile(rf"(?:{any_of(lexicon.numbered_documents)})[{LETTER}]{{0,3}} $")

    days_of_month = re.compile(
        rf"({WORD_STARTS}{prefix_of(lexicon)}(?:{any_of(lexicon.months)}) \d{{1,2}}) ?- ?(\d{{1,2}})"
        r"[ /](?=\d{4}(?!\d))"
    )

    def read_dates(text: str) -> str:
        """`መስከረም 15/2015` -> `መስከረም 15 ቀን 2015`, `15/1/2015` -> `15፣ 1፣ ሁለት ሺህ አስራ አምስት`"""
        text = days_of_month.sub(rf"\1 {lexicon.to} \2 {day} ", text)
        text = month_day_year.sub(rf"\1 {day} ", text)
        text = day_year.sub(
            lambda match: match[0] if document.search(before(match)) else f"{match[1]} {day} {match[2]}", text
        )
        text = SPLIT_YEAR.sub(name_both_years, text)
        return NUMERIC_DATE.sub(list_numbers, text)

    def name_both_years(match: re.Match[str]) -> str:
        first, second = int(match[1]), int(match[2])
        return f"{lexicon.spell_year(first)} {lexicon.slash} {second}" if (first + 1) % 100 == second else match[0]

    def list_numbers(match: re.Match[str]) -> str:
        first, second = match["first"] or match["third"], match["second"] or match["fourth"]
        low, high = sorted((int(first), int(second)))
        if not (1 <= low <= LAST_MONTH and high <= LAST_DAY):
            return match[0]
        if match["last_year"]:
            return f"{first}፣ {second}፣ {lexicon.spell_year(int(match['last_year']))}"
        return f"{lexicon.spell_year(int(match['first_year']))}፣ {first}፣ {second}"

    return read_dates


def year_reader(lexicon: Lexicon, years: Years) -> Rule:
    """The rule that tells years from counts, and reads those before 2000 in hundreds, as in speech."""
    ordinal_affix = re.compile(lexicon.ordinal_affix)
    year = re.compile(rf"{NUMBER_STARTS}(1[1-9]\d\d){affix_of(lexicon)}(?![\d/]|[.,:-]\d)")
    prefix = prefix_of(lexicon)
    contexts = rf"(?:{any_of(years.contexts)})[{LETTER}]{{0,4}}|{lexicon.day}|{lexicon.slash}"
    stated_before = re.compile(rf"{WORD_STARTS}{prefix}(?:{contexts})[ ,]{{0,2}}{prefix}$")
    stated_after = re.compile(rf" (?:{any_of(lexicon.eras)})")
    hinted_before = prefix_before(lexicon)
    year_and = re.compile(rf"(?<!\d)1[89]\d\d {lexicon.and_} $")
    hinted_after = re.compile(rf" (?:{any_of(years.followers)})")
    counted = (*lexicon.units.values(), *lexicon.currencies.values(), *lexicon.count_followers)
    count_after = re.compile(rf" (?:{any_of(counted)})")

    def read_years(text: str) -> str:
        """`በ1974 ዓመተ ምህረት` -> `በአስራ ዘጠኝ መቶ ሰባ አራት ዓመተ ምህረት`; `1974 ሰዎች` is a count and stays."""
        return year.sub(spell, text)

    def spell(match: re.Match[str]) -> str:
        affix = match["affix"] or ""
        if ordinal_affix.match(affix) or not (is_stated(match) or is_likely(match)):
            return match[0]
        return lexicon.numbers.add_affix(lexicon.numbers.spell_year(int(match[1])), affix)

    def is_stated(match: re.Match[str]) -> bool:
        if match["affix"] and match["affix"].startswith(years.decade_affix) and match[1].endswith("0"):
            return True
        return bool(stated_before.search(before(match)) or stated_after.match(after(match)))

    def is_likely(match: re.Match[str]) -> bool:
        hinted = (
            hinted_before.search(before(match)) or year_and.search(before(match)) or hinted_after.match(after(match))
        )
        return bool(int(match[1]) >= FIRST_LIKELY_YEAR and hinted and not count_after.match(after(match)))

    return read_years


def time_reader(lexicon: Lexicon) -> Rule:
    """The rule that reads times of day, and times that a race took."""
    clock = lexicon.clock
    names = any_of((clock.hour, clock.second, *clock.other_spellings))
    said_before = rf"(?:{clock.hour} )?" if clock.time.startswith(clock.hour) else ""
    time = re.compile(
        rf"{said_before}{NUMBER_STARTS}(\d{{1,2}}):([0-5]\d)(?::([0-5]\d))?(\.\d+)?(?![\d:/-]|,\d)"
        rf"(?: (?:{names}){WORD_ENDS})?"
    )
    verse = re.compile(rf"({WORD_STARTS}(?:{any_of(lexicon.verse_books)})[{LETTER}]{{0,5}}\.? ?\d{{1,3}}):(?=\d)")
    begin_range = range_beginner(lexicon)

    def read_times(text: str) -> str:
        """`2:30 ሰዓት` -> `2 ሰዓት ተኩል`, `2:14:04` -> `2 ሰዓት ከ14 ደቂቃ ከ4 ሰከንድ`"""
        text = verse.sub(r"\1፥ ", text)
        text = TIME_RANGE.sub(part_range, text)
        return time.sub(spell, text)

    def part_range(match: re.Match[str]) -> str:
        return f"{begin_range(match)}{match[1]} {lexicon.to} "

    def spell(match: re.Match[str]) -> str:
        first, second, third, decimals = match.groups()
        if third is None and (decimals or int(first) > HOURS):  # minutes and seconds
            return clock.add(f"{int(first)} {clock.minute}", *count(f"{second}{decimals or ''}", clock.second))
        hours = clock.time.format(int(first))
        if third is None and second in ("15", "30"):
            part = clock.quarter_past if second == "15" else clock.half_past
            return f"{hours}{clock.and_ending} {part}"
        return clock.add(hours, *count(second, clock.minute), *count(f"{third or ''}{decimals or ''}", clock.second))

    def count(number: str, unit: str) -> list[str]:
        """A number without its leading zeros, and its unit; nothing for nothing."""
        return [f"{number.lstrip('0') if number.isdecimal() else number} {unit}"] if number.strip("0.") else []

    return read_times
