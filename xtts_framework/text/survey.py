"""What a language pack makes of a whole corpus: what changed, what would be refused, how often."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xtts_framework.config import MODEL_MAX_TEXT_IDS
from xtts_framework.text.reading import Reading, find_unknown
from xtts_framework.text.showing import FOREIGN_VOCABULARY, name_characters, spell_invisible

if TYPE_CHECKING:
    from tokenizers import Encoding

WORD = re.compile(r"\w(?:[\w./-]*\w)?")
"""Without the marks around it; those within belong to abbreviations and numbers."""
EXAMPLES_PER_CODE = 5
SHOWN_WORDS = 20
SHOWN_CHARACTERS = 100
REMEMBERED_WORDS = 100_000
"""Of a corpus without end; the rarer half is forgotten when there are more."""


@dataclass
class Survey:
    """Counts of the lines added so far.

    Args:
        characters_before: of the accepted lines as written.
        characters_after: of the same lines normalised.
        rules: lines that each rule changed.
        rejects: lines by reject code; a line may have several.
        examples: of each code, the first few line numbers and details.
        words: words of accepted lines that are no longer in them once they are normalised.
        ids: text ids of the accepted lines, with a vocabulary.
        longest: number of ids of the longest line, and which it is.
        too_long: lines with more ids than the model takes.
        unknown: accepted lines by a character that the vocabulary lacks.
    """

    lines: int = 0
    changed: int = 0
    rejected: int = 0
    characters_before: int = 0
    characters_after: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    words: Counter[str] = field(default_factory=Counter)
    ids: int = 0
    longest: tuple[int, int] = (0, 0)
    too_long: int = 0
    unknown: Counter[str] = field(default_factory=Counter)

    def add(self, line: int, reading: Reading, encoding: Encoding | None) -> None:
        """Count a line, numbered from 1; without a vocabulary it has no encoding."""
        self.lines += 1
        self.rules.update({step.rule for step in reading.changes})
        for problem in reading.problems:
            examples = self.examples.setdefault(problem.code, [])
            if len(examples) < EXAMPLES_PER_CODE:
                examples.append((line, problem.detail))
        self.rejects.update(reading.rejects)
        if reading.problems:
            self.rejected += 1
            return
        self.changed += reading.normalized != reading.raw
        self.characters_before += len(reading.raw)
        self.characters_after += len(reading.normalized)
        self.words.update(set(WORD.findall(reading.raw)) - set(WORD.findall(reading.normalized)))
        if len(self.words) > REMEMBERED_WORDS:
            self.words = Counter(dict(self.words.most_common(REMEMBERED_WORDS // 2)))
        if encoding:
            ids = len(encoding.ids)
            self.ids += ids
            self.longest = max(self.longest, (ids, line))
            self.too_long += ids > MODEL_MAX_TEXT_IDS
            self.unknown.update(find_unknown(reading.normalized, encoding))

    def describe(self) -> str:
        """The counts, for a terminal."""
        return "\n".join(self._describe())

    def _describe(self) -> Iterator[str]:
        accepted = self.lines - self.rejected
        yield f"lines       {self.lines}"
        yield f"accepted    {accepted}{_share(accepted, self.lines)}, {self.changed} of them changed"
        yield f"rejected    {self.rejected}{_share(self.rejected, self.lines)}"
        yield f"characters  {self.characters_before} -> {self.characters_after} in the accepted lines"
        if self.ids:
            average = self.ids / accepted
            yield f"ids         {average:.1f} a line, {self.characters_after / self.ids:.2f} characters an id"
            most, line = self.longest
            yield f"longest     {most} ids in line {line}; {self.too_long} lines have more than {MODEL_MAX_TEXT_IDS}"
        if self.unknown:
            yield f"unknown     {name_characters(sorted(self.unknown)[:SHOWN_WORDS])}: {FOREIGN_VOCABULARY}"
        if self.rejects:
            yield "\nrejects, by line"
        for code, count in self.rejects.most_common():
            yield f"{count:8}  {code}"
            for line, detail in self.examples[code]:
                yield f"{'':10}line {line}: {spell_invisible(_shorten(detail))}"
        yield from _table("rules, by lines they changed", self.rules.most_common())
        yield from _table("words that changed most often, by line", self.words.most_common(SHOWN_WORDS))


def _table(title: str, counts: Sequence[tuple[str, int]]) -> Iterator[str]:
    if counts:
        yield f"\n{title}"
    for name, count in counts:
        yield f"{count:8}  {spell_invisible(_shorten(name))}"


def _share(count: int, lines: int) -> str:
    return f" ({100 * count / lines:.1f} %)" if lines else ""


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
