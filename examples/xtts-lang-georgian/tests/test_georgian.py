"""Georgian texts as they are written, and as they are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xtts_framework.plugins.testing import LanguagePackContract

from xtts_lang_georgian.pack import Georgian
from xtts_lang_georgian.writing import LETTERS, MARKS, REPLACEMENTS

GEORGIAN = Georgian(Georgian.Options())
WRITTEN = LETTERS + LETTERS.upper() + MARKS + "".join(REPLACEMENTS.values()) + " 0123456789%₾$€№\u00a0\u200b"
TEXTS = st.text() | st.text(alphabet=WRITTEN) | st.text(alphabet="015 .,-%$მე")

EXAMPLES = [
    ("  ᲡᲐᲥᲐᲠᲗᲕᲔᲚᲝ  ", "საქართველო"),
    ("„დიახ“ – თქვა მან…", '"დიახ" - თქვა მან.'),
    ("ჴევი და ჳაზი", "ხევი და ვიაზი"),
    ("სა\u00adქართ\u200bველო", "საქართველო"),
    ("რა ?!!", "რა?!"),
    ("ქ. თბილისი, იხ. გვ. 5", "ქალაქ თბილისი, იხილეთ გვერდი ხუთი"),
    ("ვაშლი, მსხალი და ა. შ.", "ვაშლი, მსხალი და ასე შემდეგ."),
    ("ე.წ. გმირი", "ეგრეთ წოდებული გმირი"),
    ("2024 წელს", "ორი ათას ოცდაოთხ წელს"),
    ("2024-ში, 8-მდე და 5-მდე", "ორი ათას ოცდაოთხში, რვამდე და ხუთამდე"),
    ("1990-იან წლებში", "ათას ცხრაას ოთხმოცდაათიან წლებში"),
    ("მე-20 საუკუნე, 21-ე დღე, 1-ლი კლასი", "მეოცე საუკუნე, ოცდამეერთე დღე, პირველი კლასი"),
    ("3,5%-ით", "სამი მთელი ხუთი მეათედი პროცენტით"),
    ("0,05", "ნული მთელი ხუთი მეასედი"),
    ("1 500 000 ლარი (98 ₾).", "ერთი მილიონ ხუთასი ათასი ლარი (ოთხმოცდათვრამეტი ლარი)."),
    ("$5 და 7 €", "ხუთი დოლარი და შვიდი ევრო"),
    ("-5 გრადუსი", "მინუს ხუთი გრადუსი"),
    ("№8", "ნომერი რვა"),
]


class TestGeorgian(LanguagePackContract):
    """What every pack promises, with the examples above."""

    pack = Georgian
    examples = EXAMPLES


@pytest.mark.parametrize(
    ("raw", "codes"),
    [
        ("", ["empty_text"]),
        ("…", ["empty_text"]),
        ("12.05.2024", ["digits"]),
        ("ანგარიში 2-1", ["digits"]),
        ("1.500 ლარი", ["digits"]),
        ("007", ["digits"]),
        ("5-ჭა", ["digits"]),
        ("მე-2000", ["digits"]),
        ("9" * 5000, ["digits"]),
        ("Ⅳ საუკუნე", ["digits"]),
        ("სს თბილისი", ["abbreviation"]),
        ("თბილისი, Tbilisi", ["unknown_character"]),
        ("ႠႡ", ["unknown_character"]),
        ("2-1 სს 🙂", ["digits", "abbreviation", "unknown_character"]),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(raw: str, codes: list[str]) -> None:
    assert [problem.code for problem in GEORGIAN.check(raw, GEORGIAN.normalize(raw))] == codes


@given(TEXTS)
def test_normalize_is_idempotent_and_blind_to_case(text: str) -> None:
    normalized = GEORGIAN.normalize(text)
    assert GEORGIAN.normalize(normalized) == normalized
    assert GEORGIAN.normalize(text.lower()) == normalized


@given(st.text(alphabet=WRITTEN))
def test_no_word_and_no_digit_is_lost(text: str) -> None:
    """What is said stands in the result, or refuses the text."""
    said = [word for word in GEORGIAN.normalize(text).split() if any(map(str.isalnum, word))]
    assert bool(said) == any(character.isalnum() or character in "№" for character in text)


def test_numbers_are_not_divided() -> None:
    assert GEORGIAN.split_sentences("ორი ათას ოცდაოთხში და მერე", 18) == ["ორი ათას ოცდაოთხში", "და მერე"]
    assert GEORGIAN.split_sentences("იყო ორი ათას ოცდაოთხში", 18) == ["იყო", "ორი ათას ოცდაოთხში"]
