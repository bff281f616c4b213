"""The pack of a language that XTTS-v2 knows: the same class for all, one subclass for each row of the table."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from importlib.util import find_spec
from typing import ClassVar

from pydantic import BaseModel

from xtts_framework.plugins import LanguagePack, Rule, TextProblem, UserError
from xtts_plugins.native.cleaning import PREPARING, NotCleanedError, choose_pass, clean
from xtts_plugins.native.languages import LANGUAGES, Language


class NativePack(LanguagePack):
    """Reads a language as coqui does.

    Raises:
        UserError: the language needs a package that is not installed; the message tells how to install it.
    """

    api_version: ClassVar[int] = 1
    language: ClassVar[Language]

    def __init__(self, options: BaseModel) -> None:
        super().__init__(options)
        missing = [name for name in self.language.modules if find_spec(name) is None]
        if missing:
            raise UserError(
                f"{self.name} needs {', '.join(missing)}, which is not installed.\n"
                f"  Run `pip install 'xtts-framework[{self.language.extra}]'`."
            )
        self._one_pass = choose_pass(self.language.coqui_code)

    @property
    def alphabet(self) -> frozenset[str]:
        return frozenset(self.language.letters + self.language.marks)

    @property
    def rules(self) -> Sequence[Rule]:
        return (*PREPARING, self.apply_coqui_cleaners)

    def apply_coqui_cleaners(self, text: str) -> str:
        """Numbers, abbreviations and symbols in words; the text itself where the cleaners fail."""
        try:
            return clean(text, self._one_pass)
        except NotCleanedError:
            return text

    def check(self, raw: str, normalized: str) -> list[TextProblem]:
        try:
            clean(normalized, self._one_pass)
        except NotCleanedError as error:
            return [TextProblem("not_cleaned", f"coqui's cleaners for {self.name} fail: {error}")]
        if self.code == "ja" and normalized.count("?") > unicodedata.normalize("NFKC", raw).count("?"):
            return [TextProblem("not_romanised", "cutlet writes '?' for a character it cannot read")]
        if not any(character.isalpha() for character in normalized):
            return [TextProblem("empty_text", "no letter is left to say once the text is normalised")]
        return super().check(raw, normalized)

    def belong_together(self, left: str, right: str) -> bool:
        return left in self.language.abbreviations


def _make_pack(language: Language) -> type[NativePack]:
    attributes = {
        "__doc__": f"{language.name}, `{language.code}`.",
        "__module__": __name__,
        "code": language.code,
        "name": language.name,
        "language": language,
        "sentence_marks": language.sentence_marks,
        "clause_marks": language.clause_marks,
    }
    return type(language.name, (NativePack,), attributes)


PACKS: tuple[type[NativePack], ...] = tuple(map(_make_pack, LANGUAGES))
globals().update((pack.__name__, pack) for pack in PACKS)  # each is found by its name, as any class is
