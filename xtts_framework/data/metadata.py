"""Reads `metadata.csv`: which recordings a dataset has, and what is said in them.

One clip per line, fields separated by '|'. Two layouts: without a header, `file|text` or `file|text|normalized`, of
which `normalized`, when not empty, is what is spoken; or with a header that names the columns, coqui's
`audio_file|text|speaker_name` for example, in any order. What a person may expect of a quote is told in docs/data.md.
"""

from __future__ import annotations

import codecs
import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xtts_framework.errors import UserError

COLUMNS = {
    "audio_file": "file",
    "file": "file",
    "text": "text",
    "normalized": "normalized",
    "speaker_name": "speaker",
    "speaker": "speaker",
    "recording": "recording",
}
"""Names a header may use. Other columns, coqui's `emotion_name` for example, are read over."""
WITHOUT_HEADER = ("file", "text", "normalized")
SHOWN_LINES = 5
SHOWN_CHARACTERS = 200

FIELD = re.compile(r'[ \t]*"(?P<quoted>[^"]*(?:""[^"]*)*)"[ \t]*(?=\||\Z)|(?P<plain>[^|]*)')
"""A quoted field ends where its quote is followed by '|' or the end of the line; any other quote is text."""
LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class MetadataRow:
    """One line of the metadata that is not empty.

    Args:
        line: counted from 1, as an editor does.
        file: as written.
        text: what is spoken, as written, without surrounding spaces.
        speaker: "" when not given.
        recording: what the clip was cut from; "" when not given.
        fault: why the line cannot be understood, the line itself and what to do, on three lines; "" when it can.
        fields: all of them, as written.
    """

    line: int
    file: str
    text: str
    speaker: str
    recording: str = ""
    fault: str = ""
    fields: tuple[str, ...] = field(default=(), compare=False)


def read_metadata(path: Path) -> list[MetadataRow]:
    """Read all rows of a metadata file, those with a fault included, in order.

    Raises:
        UserError: no such file, another encoding than UTF-8 or marked UTF-16, a header without `text`, no rows, or
            not one row with the right number of fields.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "no regular file")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}). Expected a metadata file, one clip per line: file|text."
        ) from error
    rows = parse_metadata(content, path)
    if not rows:
        raise UserError(f"{path}: has no rows. Expected one clip per line: file|text or file|text|normalized.")
    if all(row.fault for row in rows):
        raise UserError(f"{path}: not one of {len(rows)} rows can be understood.\n{describe_faults(rows, path)}")
    return rows


def parse_metadata(content: bytes, source: Path) -> list[MetadataRow]:
    """Parse the bytes of a metadata file; `source` names it in errors.

    Raises:
        UserError: another encoding than UTF-8 or marked UTF-16, or a header without `text`.
    """
    lines = [(number, line) for number, line in enumerate(LINE_END.split(_decode(content, source)), 1) if line.strip()]
    if not lines:
        return []
    header = _read_header(lines[0][1], source)
    return [_read_row(number, line, header) for number, line in (lines[1:] if header else lines)]


def read_header(path: Path) -> list[str] | None:
    """The names of the columns as a metadata file writes them; None when its first line is a clip.

    Raises:
        UserError: as `read_metadata`.
    """
    lines = (line for line in LINE_END.split(_decode(path.read_bytes(), path)) if line.strip())
    first = next(lines, "")
    return split_fields(first) if first and _read_header(first, path) else None


def find_file_column(header: Sequence[str] | None) -> int:
    """Which column names the recordings, counted from 0, with these column names or without any."""
    return [COLUMNS.get(name.lower(), "") for name in header].index("file") if header else 0


def split_fields(line: str) -> list[str]:
    """Split a line at '|', except within a quoted field, where '""' stands for a quote.

    A field is quoted when it begins with a quote and the next single quote ends the field. Every other quote is text:
    `a.wav|"No," he said.|` has the text `"No," he said.`
    """
    fields: list[str] = []
    position = 0
    while position <= len(line):
        match = FIELD.match(line, position)
        assert match is not None, "FIELD matches the empty field too"
        quoted = match["quoted"]
        fields.append((match["plain"] if quoted is None else quoted.replace('""', '"')).strip())
        position = match.end() + 1
    return fields


def join_fields(fields: Sequence[str]) -> str:
    """A line of metadata; `split_fields` takes it apart again, but for spaces around a field.

    Raises:
        ValueError: a field with a line break, which no line can hold.
    """
    if any(LINE_END.search(field) for field in fields):
        raise ValueError(f"a field of the metadata must be on one line, found {fields!r}")
    return "|".join(
        '"{}"'.format(field.replace('"', '""')) if "|" in field or field.lstrip().startswith('"') else field
        for field in fields
    )


def describe_faults(rows: Sequence[MetadataRow], source: Path) -> str:
    """The first few faulty rows with their lines and what to do about them, for a person."""
    faults = [row for row in rows if row.fault]
    shown = [f"{source} line {row.line}: {row.fault}" for row in faults[:SHOWN_LINES]]
    if len(faults) > SHOWN_LINES:
        shown.append(f"… and {len(faults) - SHOWN_LINES} more such lines.")
    return "\n".join(shown)


def _read_header(line: str, source: Path) -> tuple[str, ...] | None:
    """What each column means ("" for a column that is read over), or None when the line is a clip."""
    names = [name.lower() for name in split_fields(line)]
    columns = tuple(COLUMNS.get(name, "") for name in names)
    if "audio_file" not in names and columns[:2] != ("file", "text"):
        return None
    for required in ("file", "text"):
        if columns.count(required) != 1:
            raise UserError(
                f"{source}: the header {line.strip()!r} must have one column for the {required}. "
                "Expected for example: audio_file|text|speaker_name."
            )
    return columns


def _read_row(number: int, line: str, header: tuple[str, ...] | None) -> MetadataRow:
    fields = split_fields(line)
    expected = (len(header),) if header else (2, 3)
    if len(fields) not in expected:
        return MetadataRow(number, fields[0], "", "", fault=_explain_field_count(line, expected, len(fields)))
    values: Mapping[str, str] = dict(zip(header or WITHOUT_HEADER, fields, strict=False))
    text = values.get("normalized") or values["text"]
    speaker, recording = values.get("speaker", ""), values.get("recording", "")
    return MetadataRow(number, values["file"], text, speaker, recording, fields=tuple(fields))


def _explain_field_count(line: str, expected: tuple[int, ...], found: int) -> str:
    shown = line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}…"
    remedy = (
        "If the text itself contains '|', quote the field."
        if found > max(expected)
        else "Write a clip on one line, with '|' between file and text."
    )
    return f"expected {' or '.join(map(str, expected))} fields separated by '|', found {found}.\n  {shown}\n  {remedy}"


def _decode(content: bytes, source: Path) -> str:
    """Text of a metadata file without its byte-order mark.

    Raises:
        UserError: names line and byte of what is neither UTF-8 nor marked UTF-16.
    """
    encoding, unit = "utf-8-sig", b"\n"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
        unit = "\n".encode("utf-16-le" if content.startswith(codecs.BOM_UTF16_LE) else "utf-16-be")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(_explain_encoding(content, error.start, unit, source)) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(
            f"{source} line {line}: byte {content.index(0) + 1} of the file (0x00) is no text: the file is damaged, or "
            "UTF-16 without a byte-order mark.\n  Expected UTF-8, or UTF-16 with one.\n"
            "  Take the byte out, or convert the file: iconv -f UTF-16LE -t UTF-8 metadata.csv > converted.csv"
        )
    return text


def _explain_encoding(content: bytes, position: int, line_end: bytes, source: Path) -> str:
    line = content.count(line_end, 0, position) + 1
    return (
        f"{source} line {line}: byte {position + 1} of the file (0x{content[position]:02X}) is not UTF-8 text.\n"
        "  Expected UTF-8, with or without a byte-order mark, or UTF-16 with one.\n"
        "  Save the file as UTF-8, or convert it from the encoding it has, LATIN1 or UTF-16LE for example: "
        "iconv -f LATIN1 -t UTF-8 metadata.csv > converted.csv"
    )
