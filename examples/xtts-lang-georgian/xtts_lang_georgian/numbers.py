"""How Georgian numbers are read. Georgian counts in scores: 98 is `ოთხმოცდათვრამეტი`, four times twenty and eighteen."""

from __future__ import annotations

UNITS = (
    "ნული", "ერთი", "ორი", "სამი", "ოთხი", "ხუთი", "ექვსი", "შვიდი", "რვა", "ცხრა",
    "ათი", "თერთმეტი", "თორმეტი", "ცამეტი", "თოთხმეტი", "თხუთმეტი", "თექვსმეტი", "ჩვიდმეტი", "თვრამეტი", "ცხრამეტი",
)  # fmt: skip
SCORES = ("", "ოცი", "ორმოცი", "სამოცი", "ოთხმოცი")
HUNDRED = "ასი"
THOUSAND = "ათასი"
SCALES = ((10**9, "მილიარდი"), (10**6, "მილიონი"), (1000, THOUSAND))
LIMIT = 10**12
"""The first number without a reading: some call it a billion, others a trillion."""

WHOLE = "მთელი"
PARTS = ("მეათედი", "მეასედი", "მეათასედი")
"""Tenth, hundredth, thousandth."""

MINUS = "მინუს"
UNIT_SIGNS = {"%": "პროცენტი", "₾": "ლარი", "$": "დოლარი", "€": "ევრო"}

ENDINGS = {
    "მა": ("მა", "ამ"),
    "ს": ("ს", "ას"),
    "ის": ("ის", "ის"),
    "ით": ("ით", "ით"),
    "ად": ("ად", "ად"),
    "ში": ("ში", "აში"),
    "ზე": ("ზე", "აზე"),
    "თან": ("თან", "ასთან"),
    "დან": ("იდან", "იდან"),
    "იდან": ("იდან", "იდან"),
    "მდე": ("ამდე", "ამდე"),
    "ამდე": ("ამდე", "ამდე"),
    "თვის": ("ისთვის", "ისთვის"),
    "ისთვის": ("ისთვის", "ისთვის"),
    "ჯერ": ("ჯერ", "აჯერ"),
    "ვე": ("ივე", "ავე"),
    "იანი": ("იანი", "იანი"),
    "იან": ("იან", "იან"),
    "წლიანი": ("წლიანი", "აწლიანი"),
    "წლიან": ("წლიან", "აწლიან"),
}
"""Ending as written after a hyphen -> as spoken in place of a final `ი` (ხუთი), of a final `ა` (რვა, ცხრა)."""


def cardinal(number: int) -> str:
    """`2024` -> `ორი ათას ოცდაოთხი`.

    Args:
        number: 0 to `LIMIT` - 1.
    """
    words = []
    rest = number
    for scale, name in SCALES:
        count, rest = divmod(rest, scale)
        if count:
            counted = name if (count, name) == (1, THOUSAND) else f"{_below_thousand(count)} {name}"
            words.append(stem(counted) if rest else counted)
    if rest or not words:
        words.append(_below_thousand(rest))
    return " ".join(words)


def ordinal(number: int) -> str | None:
    """`1` -> `პირველი`, `8` -> `მერვე`, `21` -> `ოცდამეერთე`; None for 0 and for 2000, 3000 and so on."""
    if number == 1:
        return "პირველი"
    if number == 0 or (number % 1000 == 0 and number != 1000):
        return None
    before, joint, last = _divide_last(cardinal(number))
    return f"{before}{joint}მე{last[:-1]}ე"


def decimal(whole: int, decimals: str) -> str:
    """`3`, `25` -> `სამი მთელი ოცდახუთი მეასედი`. One to three decimals."""
    return f"{cardinal(whole)} {WHOLE} {cardinal(int(decimals))} {PARTS[len(decimals) - 1]}"


def decline(words: str, ending: str) -> str | None:
    """`ორი ათას ხუთი`, `ში` -> `ორი ათას ხუთში`; `რვა`, `მდე` -> `რვამდე`; None where we do not know."""
    forms = ENDINGS.get(ending)
    if forms is None or words[-1] not in "ია":
        return None
    return words[:-1] + forms["ია".index(words[-1])]


def stem(words: str) -> str:
    """`ათასი` -> `ათას`: the form before a smaller number and before a noun in the dative."""
    return words.removesuffix("ი")


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _below_hundred(rest)
    words = HUNDRED if hundreds == 1 else stem(UNITS[hundreds]) + HUNDRED
    return f"{stem(words)} {_below_hundred(rest)}" if rest else words


def _below_hundred(number: int) -> str:
    if number < 20:
        return UNITS[number]
    scores, rest = divmod(number, 20)
    return f"{stem(SCORES[scores])}და{UNITS[rest]}" if rest else SCORES[scores]


def _divide_last(words: str) -> tuple[str, str, str]:
    """`ას ოცდაერთი` -> `ას ოც`, `და`, `ერთი`; `ას ერთი` -> `ას`, ` `, `ერთი`."""
    joint = "და" if "და" in words.rpartition(" ")[2] else " "
    return words.rpartition(joint)


NUMBER_WORDS = frozenset(
    word
    for number in (*range(1000), *(scale for scale, _ in SCALES))
    for words in (cardinal(number), stem(cardinal(number)))
    for word in words.split()
) | {WHOLE, MINUS}
NUMBER_BEGINNINGS = tuple(stem(word) for word in (*UNITS, *SCORES[1:], HUNDRED, *(name for _, name in SCALES), WHOLE))


def begins_number(word: str) -> bool:
    """Whether a number may go on after this word."""
    return word in NUMBER_WORDS


def continues_number(word: str) -> bool:
    """Whether this word may go on with a number: `თხუთმეტში`, `მეათედი`, `მეორე`."""
    return word.startswith(("მე", *NUMBER_BEGINNINGS))
