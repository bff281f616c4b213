"""Abbreviations: letters with full stops or slashes between them."""

from __future__ import annotations

import re

from xtts_framework.plugins import Rule
from xtts_plugins.ethiopic.letters import BARE_CONSONANT, LETTER, ROW, any_ending, attach
from xtts_plugins.ethiopic.lexicon import Lexicon
from xtts_plugins.ethiopic.patterns import WORD_STARTS, any_of, prefix_of

SHORTEST_WORD = 3
"""Ethiopic letters. A slash beside fewer is an abbreviation, known or not, and not a choice between words."""

SLASH = re.compile(rf"(?<![{LETTER}a-z])([{LETTER}a-z]++) ?/ ?(?=([{LETTER}a-z]++)( ?\d)?)")
SLASH_BETWEEN_LIKES = re.compile(rf"((?<=[{LETTER}a-z]) ?/ ?(?=[{LETTER}a-z])|(?<=\d) ?/ ?(?=\d))|/")
LONGER = rf"\.[{LETTER}](?![{LETTER}a-z]| ?\d)|/[{LETTER}]"
"""The abbreviation goes on: `አ.አ` within `አ.አ.ዩ`."""
LATIN_SLASH = re.compile("(?<=[a-z]) ?/ ?(?=[a-z])")
LATIN_LETTER = re.compile("[a-z]")


def remove_stray_slashes(text: str) -> str:
    """`መስኮት/5` -> `መስኮት 5`: a slash that stands neither between two words nor between two numbers."""
    return SLASH_BETWEEN_LIKES.sub(lambda match: match[1] or " ", text)


def read_latin_slashes(text: str) -> str:
    """`tcp/ip` -> `tcp ip`, once units such as `km/h` are read."""
    return LATIN_SLASH.sub(" ", text)


def read_slashes(text: str) -> str:
    """`ፋይዘር/ባዮንቴክ` -> `ፋይዘር ባዮንቴክ`. The slash of an abbreviation or of a unit stays."""
    return SLASH.sub(lambda match: f"{match[1]} " if _parts_words(match) else match[0], text)


def _parts_words(slash: re.Match[str]) -> bool:
    left, right, number_after = slash.groups()
    if LATIN_LETTER.search(left + right):
        return not (left.isascii() and right.isascii())
    number_before = slash.string[slash.start() - 1 : slash.start()].isdecimal()
    return bool((len(left) >= SHORTEST_WORD or number_before) and (len(right) >= SHORTEST_WORD or number_after))


def ampersand_reader(lexicon: Lexicon) -> Rule:
    """The rule that reads `&`."""

    def read_ampersands(text: str) -> str:
        """`አበበ & ከበደ` -> `አበበ እና ከበደ`"""
        return text.replace("&", f" {lexicon.and_} ")

    return read_ampersands


def expander(lexicon: Lexicon) -> Rule:
    """The rule that writes out a language's abbreviations."""
    prefix, affixes = f"(?P<prefix>{prefix_of(lexicon)})", lexicon.affixes
    by_consonants = {
        _consonants(key): expansion for key, expansion in lexicon.abbreviations.items() if _varies(key, expansion)
    }
    patterns = "|".join(
        _pattern(key, lexicon.abbreviations[key]) for key in sorted(lexicon.abbreviations, key=len, reverse=True)
    )
    abbreviation = re.compile(
        rf"(?<![{LETTER}a-z./]){prefix}(?P<key>{patterns})(?P<affix>{affixes})?(?![{LETTER}]|{LONGER})(?P<stop>\.?)"
    )
    first_part = re.compile(rf"(?<![{LETTER}a-z./]){prefix}(?P<key>{any_of(lexicon.first_parts)})/(?=[{LETTER}]{{3}})")

    calendar = re.compile(rf"{WORD_STARTS}{prefix}(?P<calendar>{any_of(lexicon.calendars)}) (?=\d)")
    repeated = re.compile(
        rf"{WORD_STARTS}(?:{any_of(name.split()[0] for name in lexicon.calendars)}) (?={any_of(lexicon.calendars)})"
    )
    label = re.compile(rf"(?<![{LETTER}a-z./]){prefix}(?P<key>{any_of(lexicon.number_labels)})\. ?(?=\d)")

    def expand(match: re.Match[str]) -> str:
        written = match["key"].replace("/", ".")
        expansion = lexicon.abbreviations.get(written) or attach(by_consonants[_consonants(written)], written[-1])
        stop = "" if "." in match["key"] else match["stop"]
        return f"{match['prefix']}{expansion}{match['affix'] or ''}{stop}"

    def expand_abbreviations(text: str) -> str:
        """`ዶ/ር` -> `ዶክተር`, `በት/ቤቱ` -> `በትምህርት ቤቱ`, `ከእአአ 2014` -> `እንደ አውሮፓውያን አቆጣጠር ከ2014`"""
        text = first_part.sub(lambda match: f"{match['prefix']}{lexicon.first_parts[match['key']]} ", text)
        text = abbreviation.sub(expand, text)
        text = repeated.sub("", text)
        text = calendar.sub(lambda match: f"{match['calendar']} {match['prefix']}", text)
        return label.sub(lambda match: f"{match['prefix']}{lexicon.number_labels[match['key']]} ", text)

    return expand_abbreviations


def _consonants(key: str) -> tuple[str, int]:
    """A key without the vowel of its last letter."""
    return key[:-1], ord(key[-1]) // ROW


def _pattern(key: str, expansion: str) -> str:
    """Either separator, and for a last letter without vowel any vowel, if the expansion ends in that consonant."""
    return (any_ending(key) if _varies(key, expansion) else re.escape(key)).replace(r"\.", "[./]")


def _varies(key: str, expansion: str) -> bool:
    return ord(key[-1]) // ROW == ord(expansion[-1]) // ROW and ord(key[-1]) % ROW == BARE_CONSONANT
