"""Latin words within an Ethiopic text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from xtts_framework.plugins import Rule
from xtts_plugins.ethiopic.letters import LETTER
from xtts_plugins.ethiopic.lexicon import Lexicon
from xtts_plugins.ethiopic.patterns import any_of

LATIN_RUN = re.compile("[a-z]++")


def speller(names: Mapping[str, str]) -> Rule:
    """The rule that spells Latin words letter by letter."""

    def spell_latin(text: str) -> str:
        """`bbc` -> `ቢ ቢ ሲ`"""
        return LATIN_RUN.sub(lambda match: " ".join(names[letter] for letter in match[0]), text)

    return spell_latin


def mixed_word_finder(lexicon: Lexicon) -> Callable[[str], list[str]]:
    """Finds words whose letters belong to two scripts: `ጥqኣቶች`, but not `በfacebook`, which has a prefix."""
    mixed = re.compile(rf"(?<![{LETTER}a-z])(?!(?:{any_of(lexicon.prefixes)})[a-z])[{LETTER}]++[a-z][{LETTER}a-z]*")
    return lambda text: list(dict.fromkeys(mixed.findall(text)))
