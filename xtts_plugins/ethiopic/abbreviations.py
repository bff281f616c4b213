"""Abbreviations: letters with full stops or slashes between them."""

from __future__ import annotations

import re
from collections.abc import Callable

from xtts_plugins.ethiopic.forms import any_of
from xtts_plugins.ethiopic.letters import LETTER, VOWEL_ORDERS, any_ending, attach
from xtts_plugins.ethiopic.lexicon import Lexicon

SHORTEST_WORD = 3
"""Letters. A slash beside anything shorter is an abbreviation, known or not, and not a choice between words."""

SLASH = re.compile(rf"(?<![{LETTER}a-z])([{LETTER}a-z]++) ?/ ?(?=([{LETTER}a-z]++))")


def read_slashes(text: str) -> str:
    """`ፋይዘር/ባዮንቴክ` -> `ፋይዘር ባዮንቴክ`. A slash of an unknown abbreviation stays, for the check to refuse."""
    return SLASH.sub(lambda match: f"{match[1]} " if _are_words(match[1], match[2]) else match[0], text)


def _are_words(*parts: str) -> bool:
    return min(map(len, parts)) >= SHORTEST_WORD


def expander(lexicon: Lexicon) -> Callable[[str], str]:
    """The rule that writes out a language's abbreviations."""
    prefixes, affixes = any_of(lexicon.prefixes), lexicon.affixes
    by_consonants = {_consonants(key): (key[-1], expansion) for key, expansion in lexicon.abbreviations.items()}
    patterns = "|".join(
        _pattern(key, lexicon.abbreviations[key]) for key in sorted(lexicon.abbreviations, key=len, reverse=True)
    )
    abbreviation = re.compile(
        rf"(?<![{LETTER}a-z./])(?P<prefix>{prefixes})?(?P<key>{patterns})(?P<affix>{affixes})?(?![{LETTER}])(?P<stop>\.?)"
    )
    first_part = re.compile(
        rf"(?<![{LETTER}a-z./])(?P<prefix>{prefixes})?(?P<key>{any_of(lexicon.first_parts)})/(?=[{LETTER}]{{2}})"
    )

    def expand(match: re.Match[str]) -> str:
        written = match["key"].replace("/", ".")
        last, expansion = by_consonants[_consonants(written)]
        if written[-1] != last:
            expansion = attach(expansion, written[-1])
        stop = "" if "." in match["key"] else match["stop"]
        return f"{match['prefix'] or ''}{expansion}{match['affix'] or ''}{stop}"

    def expand_abbreviations(text: str) -> str:
        """`ዶ/ር` -> `ዶክተር`, `ዓ.ም.` -> `ዓመተ ምህረት`, `በት/ቤቱ` -> `በትምህርት ቤቱ`"""
        text = abbreviation.sub(expand, text)
        return first_part.sub(lambda match: f"{match['prefix'] or ''}{lexicon.first_parts[match['key']]} ", text)

    return expand_abbreviations


def _consonants(key: str) -> tuple[str, int]:
    """A key without the vowel of its last letter."""
    return key[:-1], ord(key[-1]) // VOWEL_ORDERS


def _pattern(key: str, expansion: str) -> str:
    """Either separator, and for the last letter any vowel, if the expansion ends in the same consonant."""
    varies = ord(key[-1]) // VOWEL_ORDERS == ord(expansion[-1]) // VOWEL_ORDERS
    return (any_ending(key) if varies else re.escape(key)).replace(r"\.", "[./]")
