"""The 17 languages that XTTS-v2 speaks already, read by coqui's own cleaners: nothing is added to the vocabulary.

`languages.py` is the table of the languages, `cleaning.py` what becomes of a text, `coqui.py` where the cleaners come
from. `docs/packs/native.md` tells what works in which language.
"""

from __future__ import annotations

from xtts_framework.plugins import LanguagePack, hookimpl
from xtts_plugins.native.pack import PACKS


@hookimpl
def xtts_language_packs() -> list[type[LanguagePack]]:
    return list(PACKS)
