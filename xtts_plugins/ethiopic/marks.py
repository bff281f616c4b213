"""Which marks a text may keep, and what becomes of the others."""

from __future__ import annotations

ETHIOPIC_MARKS = "።፣፤፥፦፧፨"
"""Full stop, comma, semicolon, colon, preface colon, question mark, paragraph separator."""

LATIN_MARKS = ".,!?:;-'\"()"
"""Those that every XTTS vocabulary has."""

WORDSPACE = "፡"
"""The old mark between words, today a space. Doubled it is a full stop, before a dash a preface colon."""

REPLACEMENTS = {
    "'": "‘’‚‛‹›′ʼʻ`´",
    '"': "“”„‟«»″",
    "-": "‐‑‒–—―−",
    "...": "…",
    "%": "٪",
    "/": "⁄∕",
    "°": "º˚",
    "(": "[{",
    ")": "]}",
    " ": "•·፠©®™",
}
"""Mark -> characters that are written for it."""

PAIRS = {
    "::": "።",
    ":-": "፦",
    "''": '"',
}
"""Two characters typed for one mark."""
