"""Georgian for xtts-framework. Read `pack.py` first, then `rules.py`; `writing.py` and `numbers.py` hold the tables."""

from __future__ import annotations

from xtts_framework.plugins import LanguagePack, hookimpl

from xtts_lang_georgian.pack import Georgian


@hookimpl
def xtts_language_packs() -> list[type[LanguagePack]]:
    return [Georgian]
