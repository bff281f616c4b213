"""Abbreviations: letters with full stops or slashes between them."""

from __future__ import annotations

import re

from xtts_framework.plugins import Rule
from xtts_plugins.ethiopic.letters import BARE_CONSONANT, LETTER, ROW, any_ending, attach
from xtts_plugins.ethiopic.lexicon import Lexicon
from xtts_plugins.ethiopic.patterns import WORD_ENDS, WORD_STARTS, any_of, prefix_of

SHORTEST_WORD = 3
"""Ethiopic letters. A slash beside fewer is an abbreviation, known or not, and not a choice between words."""

SLASH = re.compile(rf"(?<![{LETTER}a-z])([{LETTER}a-z]++) ?/ ?(?=([{LETTER}a-z]++)( ?\d)?)")
SLASH_BETWEEN_LIKES = re.compile(rf"((?<=[{LETTER}a-z]) ?/ ?(?=[{LETTER}a-z])|(?<=\d) ?/ ?(?=\d))|/")
LONGER = rf"\.[{LETTER}](?![{LETTER}a-z]| ?\W?\d)|/[{LETTER}]"
"""The abbreviation goes on: `አ.አ` within `አ.አ.ዩ`."""
ABBREVIATION_STARTS = rf"(?<![{LETTER}a-z./])"
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
    prefix = f"{ABBREVIATION_STARTS}(?P<prefix>{prefix_of(lexicon)})"
    words, first_parts, labels = lexicon.abbreviations, lexicon.first_parts, lexicon.number_labels
    by_consonants = {_consonants(key): word for key, word in words.items() if _varies(key, word)}
    keys = "|".join(_pattern(key, words[key]) for key in sorted(words, key=len, reverse=True))
    whole = re.compile(rf"{prefix}(?P<key>{keys})(?P<affix>{lexicon.affixes})?{WORD_ENDS}(?!{LONGER})(?P<stop>\.?)")
    first_part = re.compile(rf"{prefix}(?P<key>{any_of(first_parts)})/(?=[{LETTER}]{{3}}|[{LETTER}]+ ?\d)")
    label = re.compile(rf"{prefix}(?P<key>{any_of(labels)})\. ?(?=\d)")

    def expand_abbreviations(text: str) -> str:
        """`ዶ/ር` -> `ዶክተር`, `ዓ.ም.` -> `ዓመተ ምህረት`, `በት/ቤቱ` -> `በትምህርት ቤቱ`, `ቁ. 5` -> `ቁጥር 5`"""
        text = first_part.sub(lambda match: f"{match['prefix']}{first_parts[match['key']]} ", text)
        text = whole.sub(expand, text)
        return label.sub(lambda match: f"{match['prefix']}{labels[match['key']]} ", text)

    def expand(match: re.Match[str]) -> str:
        key = match["key"].replace("/", ".")
        word = words.get(key) or attach(by_consonants[_consonants(key)], key[-1])
        stop = "" if "." in match["key"] else match["stop"]
        return f"{match['prefix']}{word}{match['affix'] or ''}{stop}"

    return expand_abbreviations


def calendar_mover(lexicon: Lexicon) -> Rule:
    """The rule that gives a calendar's prefix to the year behind it."""
    calendars = any_of(lexicon.calendars)
    first_words = any_of(name.split()[0] for name in lexicon.calendars)
    said_twice = re.compile(rf"{WORD_STARTS}(?:{first_words}) (?={calendars})")
    with_prefix = re.compile(rf"{WORD_STARTS}({prefix_of(lexicon)})({calendars}) (?=\d)")

    def move_calendars(text: str) -> str:
        """`ከእንደ አውሮፓውያን አቆጣጠር 2014` -> `እንደ አውሮፓውያን አቆጣጠር ከ2014`"""
        return with_prefix.sub(r"\2 \1", said_twice.sub("", text))

    return move_calendars


def _consonants(key: str) -> tuple[str, int]:
    """A key without the vowel of its last letter."""
    return key[:-1], ord(key[-1]) // ROW


def _pattern(key: str, expansion: str) -> str:
    """Either separator, and for a last letter without vowel any vowel, if the expansion ends in that consonant."""
    return (any_ending(key) if _varies(key, expansion) else re.escape(key)).replace(r"\.", "[./]")


def _varies(key: str, expansion: str) -> bool:
    return ord(key[-1]) // ROW == ord(expansion[-1]) // ROW and ord(key[-1]) % ROW == BARE_CONSONANT
