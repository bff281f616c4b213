"""Amharic, `am`. What it does to a text is told in `docs/packs/amharic.md`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from xtts_framework.plugins import LanguagePack, Rule, TextProblem
from xtts_plugins.amharic import checks, rules
from xtts_plugins.amharic.alphabet import ALPHABET


class Amharic(LanguagePack):
    """Amharic in Ethiopic script, with Latin letters where a text has them. No options yet."""

    code: ClassVar[str] = "am"
    name: ClassVar[str] = "Amharic"
    api_version: ClassVar[int] = 1
    sentence_marks: ClassVar[str] = "።፧፨!?"
    clause_marks: ClassVar[str] = "፣፤፥፦,"

    @property
    def alphabet(self) -> frozenset[str]:
        return ALPHABET

    @property
    def rules(self) -> Sequence[Rule]:
        return rules.RULES

    def check(self, raw: str, normalized: str) -> list[TextProblem]:
        return checks.check(normalized)
