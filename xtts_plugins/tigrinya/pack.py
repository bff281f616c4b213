"""Tigrinya, `ti`. What it does to a text is told in `docs/packs/tigrinya.md`."""

from __future__ import annotations

from typing import ClassVar

from xtts_plugins.ethiopic import EthiopicPack, Lexicon
from xtts_plugins.tigrinya.lexicon import LEXICON


class Tigrinya(EthiopicPack):
    """Tigrinya in Ethiopic script, with Latin letters where a text has them."""

    code: ClassVar[str] = "ti"
    name: ClassVar[str] = "Tigrinya"
    api_version: ClassVar[int] = 1
    lexicon: ClassVar[Lexicon] = LEXICON
