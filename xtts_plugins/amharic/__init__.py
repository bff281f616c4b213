"""The Amharic language pack, and the example to copy.

Read `pack.py` first, then `rules.py`; `alphabet.py` and `punctuation.py` are tables.
"""

from __future__ import annotations

from xtts_framework.plugins import LanguagePack, hookimpl
from xtts_plugins.amharic.pack import Amharic


@hookimpl
def xtts_language_packs() -> list[type[LanguagePack]]:
    return [Amharic]
