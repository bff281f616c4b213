"""What the languages in Ethiopic script share: letters, marks, numerals, and how written forms become words.

A pack of such a language is a `Lexicon` (its words, as tables) and a subclass of `EthiopicPack`. Read `pack.py` first.
"""

from __future__ import annotations

from xtts_plugins.ethiopic.letters import expand_rows
from xtts_plugins.ethiopic.lexicon import Clock, Lexicon, Years
from xtts_plugins.ethiopic.numbers import NumberWords
from xtts_plugins.ethiopic.pack import EthiopicOptions, EthiopicPack
from xtts_plugins.ethiopic.phonemes import Phonemes

__all__ = ["Clock", "EthiopicOptions", "EthiopicPack", "Lexicon", "NumberWords", "Phonemes", "Years", "expand_rows"]
