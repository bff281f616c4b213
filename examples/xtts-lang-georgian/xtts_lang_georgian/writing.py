"""Letters, marks and abbreviations of Georgian."""

from __future__ import annotations

LETTERS = "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ"
"""The 33 letters of the modern alphabet, Mkhedruli. Capitals (Mtavruli) become these in lower case."""

VOWELS = frozenset("აეიოუ")

OLD_LETTERS = {"ჱ": "ეი", "ჲ": "ი", "ჳ": "ვი", "ჴ": "ხ", "ჵ": "ჰოი"}
"""Letters given up in 1879 -> how they are spelt since. Those of Mingrelian and Svan are not Georgian."""

MARKS = ".,!?:;-\"'()"
"""The marks that a text keeps; XTTS's own vocabulary has them."""

REPLACEMENTS = {
    '"': "„“”«»‟″",
    "'": "’‘‚‛′`´",
    "-": "‐‑‒–—―−",
    ".": "…",
    "(": "[{",
    ")": "]}",
}
"""Mark -> characters that people write for it."""

SIGNS = {"№": "ნომერი", "&": "და"}
"""Signs that are read as a word."""

ABBREVIATIONS = {
    "ა.შ.": "ასე შემდეგ",
    "ე.ი.": "ესე იგი",
    "ე.წ.": "ეგრეთ წოდებული",
    "ჩვ.წ.": "ჩვენი წელთაღრიცხვით",
    "ძვ.წ.": "ძველი წელთაღრიცხვით",
    "იხ.": "იხილეთ",
    "მაგ.": "მაგალითად",
    "გვ.": "გვერდი",
    "ქ.": "ქალაქ",
    "პროფ.": "პროფესორი",
    "ბ-ნი": "ბატონი",
    "ბ-ნმა": "ბატონმა",
    "ბ-ნის": "ბატონის",
    "ქ-ნი": "ქალბატონი",
    "ქ-ნმა": "ქალბატონმა",
    "ქ-ნის": "ქალბატონის",
    "მმ": "მილიმეტრი",
    "სმ": "სანტიმეტრი",
    "კმ": "კილომეტრი",
    "კგ": "კილოგრამი",
    "აშშ": "ამერიკის შეერთებული შტატები",
    "აშშ-ის": "ამერიკის შეერთებული შტატების",
    "აშშ-ში": "ამერიკის შეერთებულ შტატებში",
}
"""Abbreviation -> what is read. After the dots within one, a space may stand."""
