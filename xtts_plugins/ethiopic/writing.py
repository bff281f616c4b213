"""How Ethiopic text is tidied up: letters, marks and spaces. Short rules, each with the examples it is for."""

from __future__ import annotations

import re
import unicodedata

from xtts_plugins.ethiopic.letters import LETTER
from xtts_plugins.ethiopic.marks import ETHIOPIC_MARKS, LATIN_MARKS, PAIRS, REPLACEMENTS, WORDSPACE

WORDSPACES = re.compile(
    rf"(?P<clock>(?<=\d){WORDSPACE}(?: ?(?=\d\d)|(?=\d)))"
    rf"|(?P<colon>(?<=\w){WORDSPACE}(?= ))"
    rf"|(?P<stop>{WORDSPACE}{WORDSPACE}+)|(?P<preface>{WORDSPACE}-)|{WORDSPACE}"
)
DECIMAL_DIGIT = re.compile(r"[^\D0-9]")
SPACE_BEFORE_MARK = re.compile(f" (?=[{ETHIOPIC_MARKS}.,!?:;)])")
PAIR = re.compile("|".join(map(re.escape, PAIRS)))
BULLET_WITHIN = re.compile(r"(?<=\w) ?• ?(?=\w)")
LEADING_MARKS = re.compile(r"""(?:^|(?<= ))["'(.]["'(. ]*(?=(\S))""")
STOP_AND_SPACE = re.compile(r"\. ?")
ELLIPSIS_BEFORE_LETTER = re.compile(r"(?<!\.)\.\.++(?=[^\W_])")
REPEATED_MARK = re.compile(rf"([{ETHIOPIC_MARKS}{re.escape(LATIN_MARKS.strip('()'))}])\1+")
STOP_BETWEEN_SCRIPTS = re.compile(rf"(?<=[a-z])\.(?=[{LETTER}])|(?<=[{LETTER}])\.(?=[a-z])")
MARK_BEFORE_LETTER = re.compile(rf"(?<=[{ETHIOPIC_MARKS})])(?=[^\W\d_])|(?<=[^\W_])(?=\()")

FRACTION_SIGNS = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8"}
FRACTION_SIGN = re.compile(f"[{''.join(FRACTION_SIGNS)}]")
WORDSPACE_READINGS = {"clock": ":", "stop": "።", "preface": "፦", "colon": "፥", None: " "}
FULL_WIDTH_TABLE = {point: point - 0xFEE0 for point in range(0xFF01, 0xFF5F)}
REPLACEMENT_TABLE = str.maketrans(
    {character: mark for mark, characters in REPLACEMENTS.items() for character in characters}
)


def plain_digits(text: str) -> str:
    """Full-width forms narrow, digits of other scripts as `0` to `9`, `½` as `1/2`."""
    text = text.translate(FULL_WIDTH_TABLE)
    text = FRACTION_SIGN.sub(lambda match: f" {FRACTION_SIGNS[match[0]]} ", text)
    return DECIMAL_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)


def replace_marks(text: str) -> str:
    """`«ሰላም»` -> `"ሰላም"`, `ሰላም…` -> `ሰላም...`"""
    return BULLET_WITHIN.sub("፣ ", text).translate(REPLACEMENT_TABLE)


def read_wordspaces(text: str) -> str:
    """`ሰላም፡ለዓለም፡፡` -> `ሰላም ለዓለም።`, `እነሱም፡-` -> `እነሱም፦`, `ዜና፡ ዛሬ` -> `ዜና፥ ዛሬ`, `2፡20፡51` -> `2:20:51`"""
    return WORDSPACES.sub(lambda match: WORDSPACE_READINGS[match.lastgroup], text)


def close_up_marks(text: str) -> str:
    """`ሰላም ።` -> `ሰላም።`"""
    return SPACE_BEFORE_MARK.sub("", text)


def drop_leading_stops(text: str) -> str:
    """`... ሰላም` -> `ሰላም`, `"... ሰላም` -> `"ሰላም`; but `.5` stays."""
    return LEADING_MARKS.sub(_drop_stops, text)


def _drop_stops(match: re.Match[str]) -> str:
    marks = match[0]
    point = "." if marks.endswith(".") and match[1].isdecimal() else ""
    return STOP_AND_SPACE.sub("", marks.removesuffix(point)) + point


def join_pairs(text: str) -> str:
    """`ሰላም::` -> `ሰላም።`, `እነሱም:-` -> `እነሱም፦`, `''ሰላም''` -> `"ሰላም"`"""
    return PAIR.sub(lambda match: PAIRS[match[0]], text)


def collapse_repeats(text: str) -> str:
    """`ሰላም!!!` -> `ሰላም!`, `ሰላም...` -> `ሰላም.`, `ሰላም...ነው` -> `ሰላም. ነው`"""
    text = ELLIPSIS_BEFORE_LETTER.sub(". ", text)
    return REPEATED_MARK.sub(r"\1", text)


def space_out_marks(text: str) -> str:
    """`መጣ።ሄደ` -> `መጣ። ሄደ`, `ሰላም(አዲስ)ነው` -> `ሰላም (አዲስ) ነው`, `ok.ሰላም` -> `ok. ሰላም`.

    Other full stops stay: they stand within abbreviations too.
    """
    return STOP_BETWEEN_SCRIPTS.sub(". ", MARK_BEFORE_LETTER.sub(" ", text))
