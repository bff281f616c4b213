"""What a language in Ethiopic script adds to the rules that all of them share: its words, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from xtts_plugins.ethiopic.numbers import NumberWords
from xtts_plugins.ethiopic.phonemes import Phonemes


@dataclass(frozen=True)
class Clock:
    """Words of the time of day, and of sums: hours and minutes, money and cents, a number and a fraction.

    Args:
        hour, minute, second: the units.
        time: an hour, `{}` being its number: `{} ሰዓት`.
        and_: prefix of what is added to something larger, `ከ` in `2 ሰዓት ከ20 ደቂቃ`.
        and_ending: ending of all parts of such a sum, `ን` in Tigrinya.
        half_past, quarter_past: what follows the hour, with all that joins it.
        other_spellings: of `hour` and `second`, as they follow a time in writing.
    """

    hour: str
    minute: str
    second: str
    time: str
    half_past: str
    quarter_past: str
    and_: str = ""
    and_ending: str = ""
    other_spellings: tuple[str, ...] = ()

    def add(self, first: str, *others: str) -> str:
        """`2 ሰዓት`, `20 ደቂቃ` -> `2 ሰዓት ከ20 ደቂቃ`; one part alone stays."""
        if not others:
            return first
        return " ".join([first + self.and_ending, *(f"{self.and_}{other}{self.and_ending}" for other in others)])


@dataclass(frozen=True)
class Years:
    """What tells a year from a count, for languages that read years in hundreds.

    Args:
        contexts: beginnings of words before a year.
        followers: words after a year: `on`, `since`.
        decade_affix: makes a year a decade, `ዎቹ` in `1990ዎቹ`.
    """

    contexts: tuple[str, ...]
    followers: tuple[str, ...]
    decade_affix: str


@dataclass(frozen=True, kw_only=True)
class Lexicon:
    """The words of a language that written forms are read with.

    Args:
        numbers: number words.
        clock: words of the time of day.
        prefixes: that are written onto a number, `በ` in `በ2015`.
        affixes: regular expression of what may follow a number, `ቱ` in `56ቱ`; anything else is a word of its own.
        ordinal_affix: regular expression of the affix that makes a number an ordinal; what follows it stays.
        months: names of months of any calendar, in every usual spelling.
        day: said between day and year of a date.
        numbered_documents: words before a number and a year that are no day: `law`, `number`.
        eras: as abbreviations expand to them: what follows a year.
        calendars: as abbreviations expand to them: what precedes a year, which then takes the prefix.
        years: None where years are read like any number.
        count_followers: words after a number that is a count, neither year nor score: `more than`, `people`.
        verse_books: names of books after which `3:16` is chapter and verse.
        from_: prefix of a range's beginning, `to`: word before its end.
        score: word or prefix between the numbers of a score.
        score_words: beginnings of words by which a score is told from a range.
        slash: said for a slash between two numbers that are neither date nor fraction.
        percent, permille: after a number.
        number_sign: said for `#` and `№` before a number.
        hyphenated: words that have a number behind a hyphen, which is no minus.
        phone_words: after which a number is read digit by digit.
        and_: said for `&`.
        equals, times: said for `=` and `×`.
        currencies: name by symbol or code, lower case.
        cents: name of the hundredth, by the currency's name.
        scale_words: `million` and the like, in every usual spelling: they stand between amount and currency.
        units: name by Latin or mixed symbol, lower case; read after a number only.
        abbreviations: expansion by abbreviation, written with `.` or `/`. Its last letter may carry any vowel, and
            affixes may follow.
        first_parts: expansion by what stands before a slash, `ት` in `ት/ቤት`; the part after it is a whole word.
        number_labels: expansion by what has a full stop and a number behind it, `ቁ` in `ቁ. 5`.
        latin_letters: name by Latin letter.
        phonemes: how its letters sound, for `frontend: g2p`; None where that is not known.
        homophones: letter by the letters that sound like it, for `homophones: merge`.
    """

    numbers: NumberWords
    clock: Clock
    prefixes: tuple[str, ...]
    affixes: str
    ordinal_affix: str
    months: tuple[str, ...]
    day: str
    numbered_documents: tuple[str, ...] = ()
    eras: tuple[str, ...]
    calendars: tuple[str, ...] = ()
    years: Years | None = None
    count_followers: tuple[str, ...] = ()
    verse_books: tuple[str, ...] = ()
    from_: str
    to: str
    score: str
    score_words: tuple[str, ...] = ()
    slash: str
    percent: str
    permille: str
    number_sign: str
    hyphenated: tuple[str, ...] = ()
    phone_words: tuple[str, ...] = ()
    and_: str
    equals: str
    times: str
    currencies: Mapping[str, str]
    cents: Mapping[str, str]
    scale_words: tuple[str, ...]
    units: Mapping[str, str]
    abbreviations: Mapping[str, str]
    first_parts: Mapping[str, str] = field(default_factory=dict)
    number_labels: Mapping[str, str] = field(default_factory=dict)
    latin_letters: Mapping[str, str]
    phonemes: Phonemes | None = None
    homophones: Mapping[str, str] = field(default_factory=dict)

    def spell_year(self, year: int) -> str:
        """In hundreds before 2000, in languages that do so; else like any number."""
        return self.numbers.spell_year(year) if self.years else self.numbers.spell_cardinal(year)


def respell(words: Any, table: dict[int, str]) -> Any:
    """A record, mapping, tuple or word with every letter replaced as `str.translate` does."""
    if isinstance(words, str):
        return words.translate(table)
    if isinstance(words, tuple | frozenset):
        return type(words)(respell(word, table) for word in words)
    if isinstance(words, Mapping):
        return {respell(key, table): respell(word, table) for key, word in words.items()}
    if is_dataclass(words) and not isinstance(words, type):
        return replace(words, **{one.name: respell(getattr(words, one.name), table) for one in fields(words)})
    return words
