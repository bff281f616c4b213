"""Amharic, in Ethiopic script. The example to copy: tables are data, rules are short, their order is in one place."""

from __future__ import annotations

from xtts_framework.plugins import LanguagePack, hookimpl
from xtts_plugins.amharic.pack import Amharic


@hookimpl
def xtts_language_packs() -> list[type[LanguagePack]]:
    return [Amharic]
