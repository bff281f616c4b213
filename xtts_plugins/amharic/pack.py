"""Amharic, `am`. What it does to a text is told in `docs/packs/amharic.md`."""

from __future__ import annotations

from typing import ClassVar

from xtts_plugins.amharic.lexicon import LEXICON
from xtts_plugins.ethiopic import EthiopicPack, Lexicon


class Amharic(EthiopicPack):
    """Amharic in Ethiopic script, with Latin letters where a text has them."""

    code: ClassVar[str] = "am"
    name: ClassVar[str] = "Amharic"
    api_version: ClassVar[int] = 1
    lexicon: ClassVar[Lexicon] = LEXICON
