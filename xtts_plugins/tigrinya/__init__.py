"""The Tigrinya language pack: `lexicon.py` holds its words, `xtts_plugins.ethiopic` the rules."""

from __future__ import annotations

from xtts_framework.plugins import LanguagePack, hookimpl
from xtts_plugins.tigrinya.pack import Tigrinya


@hookimpl
def xtts_language_packs() -> list[type[LanguagePack]]:
    return [Tigrinya]
