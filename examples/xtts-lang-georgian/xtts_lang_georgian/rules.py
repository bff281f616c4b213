"""How a Georgian text is spelt for the model: short rules in a fixed order, each with the examples it is for."""

from __future__ import annotations

import re

from xtts_framework.plugins import collapse_spaces, compose, lower_case, strip_invisible

from xtts_lang_georgian.numbers import MINUS, UNIT_SIGNS, cardinal, decimal, decline, ordinal, stem
from xtts_lang_georgian.writing import ABBREVIATIONS, LETTERS, OLD_LETTERS, REPLACEMENTS, SIGNS

OLD_LETTER_TABLE = str.maketrans(OLD_LETTERS)
MARK_TABLE = str.maketrans({character: mark for mark, written in REPLACEMENTS.items() for character in written})
SIGN_TABLE = str.maketrans({sign: f" {word} " for sign, word in SIGNS.items()})

SPACE_BEFORE_MARK = re.compile(r" (?=[.,!?:;)])")
REPEATED_MARK = re.compile(r"([.,!?:;'\"-])\1+")
ABBREVIATION = re.compile(
    r"(?<![\w.-])(?:"
    + "|".join(re.escape(key).replace(r"\.", r"\. ?").removesuffix(" ?") for key in ABBREVIATIONS)
    + r")(?![\w-])"
)

START = r"(?<![^\s\"(])"
END = r"(?=[.,!?:;)\"]*(?:\s|$))"
SIGN = "[" + "".join(UNIT_SIGNS) + "]"
GROUPED = re.compile(START + r"[0-9]{1,3}(?: [0-9]{3})+(?![0-9])")
SIGN_IN_FRONT = re.compile(rf"{START}({SIGN}) ?([0-9]+(?:[.,][0-9]+)*){END}")
SPACE_BEFORE_SIGN = re.compile(rf"(?<=[0-9]) (?={SIGN})")
YEAR = re.compile(START + r"([1-9][0-9]{0,3})(?= წელს)")
ORDINAL = re.compile(START + rf"(?:მე-([0-9]{{1,12}})|([0-9]{{1,12}})-(ე|ლი|ელი)){END}")
NUMBER = re.compile(
    START
    + r"(?P<minus>-)?(?P<whole>0|[1-9][0-9]{0,11})(?:[.,](?P<decimals>[0-9]{1,3}))?"
    + rf"(?P<sign>{SIGN})?(?:-(?P<ending>[{LETTERS}]+))?{END}"
)


def modernize_letters(text: str) -> str:
    """`ჴევი` -> `ხევი`"""
    return text.translate(OLD_LETTER_TABLE)


def replace_marks(text: str) -> str:
    """`„დიახ“ – თქვა` -> `"დიახ" - თქვა`"""
    return text.translate(MARK_TABLE)


def read_signs(text: str) -> str:
    """`კაბა №5` -> `კაბა  ნომერი 5`"""
    return text.translate(SIGN_TABLE)


def close_up_marks(text: str) -> str:
    """`რა ?` -> `რა?`"""
    return SPACE_BEFORE_MARK.sub("", text)


def collapse_repeats(text: str) -> str:
    """`რა?!!` -> `რა?!`"""
    return REPEATED_MARK.sub(r"\1", text)


def expand_abbreviations(text: str) -> str:
    """`ქ. თბილისი` -> `ქალაქ თბილისი`. At the end of a text the dot also ends the sentence: `და ა.შ.` keeps it."""
    return ABBREVIATION.sub(_expand_abbreviation, text)


def join_thousands(text: str) -> str:
    """`1 500 000` -> `1500000`"""
    return GROUPED.sub(lambda match: match[0].replace(" ", ""), text)


def move_signs(text: str) -> str:
    """`$5` and `5 $` -> `5$`"""
    return SPACE_BEFORE_SIGN.sub("", SIGN_IN_FRONT.sub(r"\2\1", text))


def read_years(text: str) -> str:
    """`2024 წელს` -> `ორი ათას ოცდაოთხ წელს`: the dative, in which a number before its noun has no ending."""
    return YEAR.sub(lambda match: stem(cardinal(int(match[1]))), text)


def read_ordinals(text: str) -> str:
    """`მე-20` -> `მეოცე`, `21-ე` -> `ოცდამეერთე`, `1-ლი` -> `პირველი`"""
    return ORDINAL.sub(_read_ordinal, text)


def read_numbers(text: str) -> str:
    """`-5` -> `მინუს ხუთი`, `3,5%-ით` -> `სამი მთელი ხუთი მეათედი პროცენტით`, `2024-ში` -> `ორი ათას ოცდაოთხში`"""
    return NUMBER.sub(_read_number, text)


RULES = (
    lower_case,
    strip_invisible,
    compose,
    modernize_letters,
    replace_marks,
    read_signs,
    collapse_spaces,
    close_up_marks,
    collapse_repeats,
    expand_abbreviations,
    join_thousands,
    move_signs,
    read_years,
    read_ordinals,
    read_numbers,
)
"""In order. Together idempotent, blind to case, total, linear in the length of the text."""


def _expand_abbreviation(match: re.Match[str]) -> str:
    words = ABBREVIATIONS[match[0].replace(" ", "")]
    ends_text = match[0].endswith(".") and match.end() == len(match.string)
    return f"{words}." if ends_text else words


def _read_ordinal(match: re.Match[str]) -> str:
    with_prefix, with_ending, ending = match.groups()
    number = int(with_prefix or with_ending)
    if (number == 1) != (ending in ("ლი", "ელი")):
        return match[0]
    return ordinal(number) or match[0]


def _read_number(match: re.Match[str]) -> str:
    """What is read, or what is written where we do not know: three decimals may be thousands, endings have limits."""
    whole, decimals, sign, ending = match.group("whole", "decimals", "sign", "ending")
    if decimals and len(decimals) == 3 and whole != "0":
        return match[0]
    words = decimal(int(whole), decimals) if decimals else cardinal(int(whole))
    if match["minus"]:
        words = f"{MINUS} {words}"
    if sign:
        words = f"{words} {UNIT_SIGNS[sign]}"
    if ending:
        return decline(words, ending) or match[0]
    return words
