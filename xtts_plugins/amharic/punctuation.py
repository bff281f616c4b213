"""One documented set of marks, and what is written instead of them in the wild."""

from __future__ import annotations

ETHIOPIC_MARKS = "።፣፤፥፦፧፨"
LATIN_MARKS = ".,!?:;-'\"()/"
PUNCTUATION = ETHIOPIC_MARKS + LATIN_MARKS
"""Every mark that normalised text may hold. The Latin ones are in XTTS's vocabulary."""

REPLACEMENTS: dict[str, str | int | None] = {
    **dict.fromkeys("“”„‟«»″〝〞＂", '"'),
    **dict.fromkeys("‘’‚‛‹›`´ʼ′＇", "'"),
    **dict.fromkeys("‐‑‒–—―−﹘﹣－", "-"),
    **dict.fromkeys("[{<（［｛＜", "("),
    **dict.fromkeys("]}>）］｝＞", ")"),
    **dict.fromkeys("\\⁄∕／＼", "/"),
    **dict.fromkeys("•·∙●▪◦፠_|~*", " "),
    "…": ".",
    "‥": ".",
    "！": "!",
    "？": "?",
    "，": ",",
    "：": ":",
    "；": ";",
    "．": ".",
    "؟": "?",
    "،": ",",
    "؛": ";",
}
"""Written -> read. What only decorates becomes a space."""

LENGTH_MARKS = frozenset("\u135d\u135e\u135f")
"""Gemination and vowel length, which ordinary spelling leaves out."""
