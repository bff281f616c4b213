"""Numbers as words, for languages that build them like Amharic: units, tens, hundreds, thousands, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from xtts_plugins.ethiopic.letters import attach

LARGEST = 10**12
"""Numbers above are read digit by digit."""
CENTURY_YEARS = range(1100, 2000)
"""Years that are read in hundreds: nineteen hundred ninety."""


@dataclass(frozen=True)
class NumberWords:
    """The number words of a language.

    Args:
        zero: 0.
        units: 1 to 9.
        tens: 10, 20, … 90.
        ten_before_unit: 10 within 11 to 19.
        hundred, thousand, million, billion, trillion: 100, 10^3, 10^6, 10^9, 10^12.
        point: what is said for the decimal point.
        minus: what is said before a negative number.
        plus: what is said before a number with a plus sign.
        and_ending: appended to every part of a number that has several; "" in Amharic.
        before_and_ending: what a word becomes before it, by that word, where it is not the word itself.
        without_one: words such as `hundred` that are said without `one`: hundred, two hundred.
        ordinals: ordinal numbers that are words of their own, by number.
        ordinal_endings: ordinal form of a number's last word, by that word.
        ordinal_frame: how any other number becomes an ordinal; `{}` is the number.
        half, quarter: 1/2, 1/4.
    """

    zero: str
    units: tuple[str, ...]
    tens: tuple[str, ...]
    ten_before_unit: str
    hundred: str
    thousand: str
    million: str
    billion: str
    trillion: str
    point: str
    minus: str
    plus: str
    ordinal_frame: str
    half: str
    quarter: str
    and_ending: str = ""
    before_and_ending: Mapping[str, str] = field(default_factory=dict)
    without_one: frozenset[str] = frozenset()
    ordinals: Mapping[int, str] = field(default_factory=dict)
    ordinal_endings: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def all_words(self) -> frozenset[str]:
        """Every word that a number may consist of, ordinals included."""
        ordinals = {*self.ordinals.values(), *self.ordinal_endings.values()}
        named = (self.zero, self.ten_before_unit, self.hundred, *self.scales.values(), self.point)
        plain = {*self.units, *self.tens, *named}
        return frozenset(plain | ordinals | {self._add_and(word) for word in plain})

    @cached_property
    def scales(self) -> dict[int, str]:
        """Powers of a thousand, largest first."""
        return {10**12: self.trillion, 10**9: self.billion, 10**6: self.million, 10**3: self.thousand}

    def spell_cardinal(self, number: int) -> str:
        """A whole number from 0 to `LARGEST`.

        Raises:
            ValueError: below 0 or above `LARGEST`.
        """
        if not 0 <= number <= LARGEST:
            raise ValueError(f"expected a number from 0 to {LARGEST}, found {number}")
        if number == 100:
            return self.hundred
        return self._join(self._parts(number)) if number else self.zero

    def spell_year(self, year: int) -> str:
        """`1987` -> nineteen hundred eighty-seven; from 2000 on like any number."""
        if year not in CENTURY_YEARS:
            return self.spell_cardinal(year)
        hundreds, rest = divmod(year, 100)
        return self._join([self._join(self._parts(hundreds)) + f" {self.hundred}", *self._parts(rest)])

    def spell_ordinal(self, number: int) -> str:
        """`21` -> twenty-first."""
        if number in self.ordinals:
            return self.ordinals[number]
        words = self.spell_cardinal(number)
        *others, last = words.split(" ")
        if last in self.ordinal_endings:
            return " ".join([*others, self.ordinal_endings[last]])
        return self.ordinal_frame.format(words)

    def spell_fraction(self, numerator: int, denominator: int) -> str:
        """`1/2` -> half, `2/3` -> two third."""
        if numerator == 1 and denominator in (2, 4):
            return self.half if denominator == 2 else self.quarter
        return f"{self.spell_cardinal(numerator)} {self.spell_ordinal(denominator)}"

    def spell_digits(self, digits: str) -> str:
        """`0911` -> zero nine one one."""
        return " ".join(self.units[int(digit) - 1] if digit != "0" else self.zero for digit in digits)

    def spell_written(self, digits: str) -> str:
        """A run of digits as a reader says it: as a number, or one by one when it is too long or opens with zeros.

        `04` is a number, since days and hours are written so; `00` and `007` are not.
        """
        if (digits.startswith("0") and len(digits) > 2) or digits == "00" or _is_too_large(digits):
            return self.spell_digits(digits)
        return self.spell_cardinal(int(digits))

    def add_affix(self, words: str, affix: str) -> str:
        """`ሃምሳ ስድስት` + `ቱ` -> `ሃምሳ ስድስቱ`; Tigrinya `ዕስራን ሓሙሽተን` + `ታት` -> `ዕስራን ሓሙሽታት`."""
        *others, last = words.split(" ")
        if affix and others and last not in self.scales.values():
            words = words.removesuffix(self.and_ending)
        return attach(words, affix)

    def spell_written_ordinal(self, digits: str) -> str:
        """A run of digits with the affix of an ordinal: `10` in `10ኛ`."""
        if _is_too_large(digits):
            return self.ordinal_frame.format(self.spell_digits(digits))
        return self.spell_ordinal(int(digits))

    def _parts(self, number: int) -> list[str]:
        """The words of a number above 0, in the groups that `and_ending` joins."""
        for value, scale in self.scales.items():
            if number >= value:
                count, rest = divmod(number, value)
                return [self._count(count, scale), *(self._parts(rest) if rest else [])]
        hundreds, rest = divmod(number, 100)
        tens, unit = divmod(rest, 10)
        parts = [self._count(hundreds, self.hundred)] if hundreds else []
        if tens == 1 and unit:
            return [*parts, f"{self.ten_before_unit} {self.units[unit - 1]}"]
        return [*parts, *self.tens[tens - 1 : tens], *self.units[unit - 1 : unit]]

    def _count(self, count: int, word: str) -> str:
        """`2`, `መቶ` -> `ሁለት መቶ`"""
        return word if count == 1 and word in self.without_one else f"{self._join(self._parts(count))} {word}"

    def _join(self, parts: list[str]) -> str:
        return " ".join(map(self._add_and, parts)) if len(parts) > 1 else "".join(parts)

    def _add_and(self, part: str) -> str:
        """Tigrinya `ክልተ ሚእቲ` -> `ክልተ ሚእትን`"""
        *others, last = part.split(" ")
        return " ".join([*others, attach(self.before_and_ending.get(last, last), self.and_ending)])


def _is_too_large(digits: str) -> bool:
    return len(digits) > len(str(LARGEST)) or int(digits) > LARGEST
