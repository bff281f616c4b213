"""300 sentences of real news whose readings were read critically, and must not change unnoticed.

`amharic_golden.tsv` has a row per sentence: its line in the news file, a hash of it, a hash of its whole reading, and
the stretches that are read otherwise than they are written. The sentences themselves are not ours to copy.

After reading a sentence again, rewrite its row (or add it) with `python tests/packs/test_amharic_golden.py LINE...`.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from xtts_framework.plugins import LanguagePack, load_plugins

GOLDEN = Path(__file__).with_name("amharic_golden.tsv")
NEWS = Path(__file__).parents[3] / "shared" / "data" / "am_news_sentences.txt"
BECOMES = " → "

AMHARIC: LanguagePack = load_plugins().pack("am", {})


@dataclass(frozen=True)
class Row:
    """A sentence of the news.

    Args:
        line: its number in the news file, from 1.
        sentence_hash, reading_hash: of what is written and of what is read.
        stretches: `written → read`, a few words each; read alone, they are read as in the sentence.
    """

    line: int
    sentence_hash: str
    reading_hash: str
    stretches: tuple[str, ...]

    def __str__(self) -> str:
        return "\t".join((str(self.line), self.sentence_hash, self.reading_hash, *self.stretches))


def parse_row(text: str) -> Row:
    line, sentence_hash, reading_hash, *stretches = text.split("\t")
    return Row(int(line), sentence_hash, reading_hash, tuple(stretches))


def hash_text(text: str) -> str:
    """The first 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_golden() -> list[Row]:
    return [parse_row(text) for text in GOLDEN.read_text("utf-8").splitlines()] if GOLDEN.exists() else []


def read_news() -> list[str]:
    return NEWS.read_text("utf-8").split("\n")


ROWS = read_golden()
needs_news = pytest.mark.skipif(not NEWS.exists(), reason="the news sentences are not at ../shared/data")


def test_three_hundred_sentences_were_read() -> None:
    assert len({row.line for row in ROWS}) == len(ROWS) >= 300


@pytest.mark.parametrize("row", [row for row in ROWS if row.stretches], ids=lambda row: f"line {row.line}")
def test_a_stretch_of_a_sentence_is_read_as_expected(row: Row) -> None:
    written = [stretch.split(BECOMES)[0] for stretch in row.stretches]
    assert tuple(f"{text}{BECOMES}{AMHARIC.normalize(text)}" for text in written) == row.stretches


@needs_news
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"line {row.line}")
def test_a_whole_sentence_is_read_as_expected(row: Row) -> None:
    sentence = read_news()[row.line - 1]
    assert hash_text(sentence) == row.sentence_hash, f"line {row.line} of {NEWS.name} is another sentence now"
    reading = AMHARIC.normalize(sentence)
    assert hash_text(reading) == row.reading_hash, (
        f"line {row.line} is read otherwise than before. Read it again; if it is right, "
        f"run `python tests/packs/test_amharic_golden.py {row.line}`.\n{sentence}\n{reading}"
    )


def make_row(line: int) -> Row:
    """The row of a sentence as the pack reads it today."""
    sentence = read_news()[line - 1]
    reading = AMHARIC.normalize(sentence)
    return Row(line, hash_text(sentence), hash_text(reading), tuple(find_stretches(sentence.split(), reading.split())))


def find_stretches(written: list[str], read: list[str]) -> Iterator[str]:
    """Each change, with just the words around it that it needs to be read so when it stands alone."""
    matcher = SequenceMatcher(None, written, read, autojunk=False)
    borders = {i + k: j + k for i, j, size in matcher.get_matching_blocks() for k in range(size + 1)}
    borders |= {0: 0, len(written): len(read)}
    shown = 0
    for kind, begin, end, _, _ in matcher.get_opcodes():
        if kind == "equal" or end <= shown:
            continue
        windows = ((i, j) for i in borders for j in borders if i <= begin and end <= j)
        for i, j in sorted(windows, key=lambda window: window[1] - window[0]):
            text, reading = " ".join(written[i:j]), " ".join(read[borders[i] : borders[j]])
            if reading and AMHARIC.normalize(text) == reading:
                yield f"{text}{BECOMES}{reading}"
                shown = j
                break


def rewrite_rows(lines: list[int]) -> None:
    rows = {row.line: row for row in ROWS} | {line: make_row(line) for line in lines}
    GOLDEN.write_text("".join(f"{row}\n" for _, row in sorted(rows.items())), "utf-8")


if __name__ == "__main__":
    rewrite_rows([int(argument) for argument in sys.argv[1:]])
