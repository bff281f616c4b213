"""Ethiopic numerals: `፲፱፻፹፯` is 1987. No zero and no places, but signs for 1 to 9, 10 to 90, 100 and 10,000."""

from __future__ import annotations

import re

VALUES = {chr(0x1369 + index): index + 1 for index in range(9)} | {
    chr(0x1372 + index): 10 * index + 10 for index in range(9)
}
"""`፩` to `፱`, `፲` to `፺`."""
HUNDRED = "፻"
TEN_THOUSAND = "፼"

NUMERAL = re.compile("[፩-፼]+")
BELOW_HUNDRED = "([፲-፺]?)([፩-፱]?)"
BELOW_TEN_THOUSAND = re.compile(f"(?:{BELOW_HUNDRED}({HUNDRED}))?{BELOW_HUNDRED}")


def read_numeral(numeral: str) -> str | None:
    """The decimal digits of an Ethiopic numeral of any length, or None when it is malformed.

    `፼` divides it into groups below 10,000, `፻` each group into two numbers below 100. Nothing before `፻` means one of
    it, nothing before the first `፼` likewise; an empty group after a `፼` is zero.

    Example:
        >>> read_numeral("፲፱፻፹፯"), read_numeral("፪፻፼"), read_numeral("፩፼፲፩፻፲፩"), read_numeral("፩፪")
        ('1987', '2000000', '11111', None)
    """
    groups: list[int] = []
    for group in numeral.split(TEN_THOUSAND):
        parts = BELOW_TEN_THOUSAND.fullmatch(group)
        if parts is None:
            return None
        tens, units, hundred, last_tens, last_units = (part or "" for part in parts.groups())
        hundreds = (_value(tens) + _value(units) or 1) if hundred else 0
        groups.append(100 * hundreds + _value(last_tens) + _value(last_units))
    return f"{groups[0] or 1}" + "".join(f"{group:04}" for group in groups[1:])


def read_ethiopic_numerals(text: str) -> str:
    """`በ፲፱፻፹፯` -> `በ1987`, `፫ኛ` -> `3ኛ`, `1፪` -> `1 2`. A malformed one stays, for the check to refuse."""
    return NUMERAL.sub(_replace_numeral, text)


def _replace_numeral(match: re.Match[str]) -> str:
    text, (start, end) = match.string, match.span()
    before = " " if start and text[start - 1].isdecimal() else ""
    after = " " if text[end : end + 1].isdecimal() else ""
    return f"{before}{read_numeral(match[0]) or match[0]}{after}"


def _value(sign: str) -> int:
    return VALUES[sign] if sign else 0
