"""Metadata is read the way a person who wrote it expects, and what is not understood is shown with its line."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtts_framework.data.metadata import MetadataRow, join_fields, parse_metadata, read_metadata, split_fields
from xtts_framework.errors import UserError

SOURCE = Path("metadata.csv")


def parse(text: str) -> list[MetadataRow]:
    return parse_metadata(text.encode(), SOURCE)


def test_third_column_is_spoken_unless_empty() -> None:
    rows = parse("a.wav|በ1987 ዓ.ም.|በአስራ ዘጠኝ\nb.wav|ሰላም|\nc.wav|ዓለም\n")
    assert [(row.line, row.file, row.text) for row in rows] == [
        (1, "a.wav", "በአስራ ዘጠኝ"),
        (2, "b.wav", "ሰላም"),
        (3, "c.wav", "ዓለም"),
    ]


def test_a_header_decides_the_order_of_columns() -> None:
    rows = parse("speaker_name|text|audio_file|emotion_name\nአበበ|ሰላም|wavs/a.wav|calm\n")
    assert rows == [MetadataRow(2, "wavs/a.wav", "ሰላም", "አበበ")]


def test_a_header_of_the_guides_columns_is_no_clip() -> None:
    assert parse("file|text|normalized\na|x|y\n") == [MetadataRow(2, "a", "y", "")]


@pytest.mark.parametrize("header", ["audio_file|speaker_name", "audio_file|text|text", "text|audio_file|audio_file"])
def test_a_header_without_file_and_text_is_refused(header: str) -> None:
    with pytest.raises(UserError, match="must have one column for the"):
        parse(f"{header}\na|b\n")


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ('a.wav|"ሰላም|ዓለም"', ["a.wav", "ሰላም|ዓለም"]),
        ('a.wav|"ሰላም|ዓለም"|"x|y"', ["a.wav", "ሰላም|ዓለም", "x|y"]),
        ('a.wav|"ሰላም"', ["a.wav", "ሰላም"]),
        ('a.wav|"""Hi,"" she said|"', ["a.wav", '"Hi," she said|']),
        ('a.wav|"No," he said.|', ["a.wav", '"No," he said.', ""]),
        ('a.wav|He said "no"|x', ["a.wav", 'He said "no"', "x"]),
        ('a.wav|""ሰላም""|x', ["a.wav", '""ሰላም""', "x"]),
        ('a.wav|"ሰላም', ["a.wav", '"ሰላም']),
        ('a.wav|"', ["a.wav", '"']),
        ("a.wav | ሰላም ", ["a.wav", "ሰላም"]),
        ("|", ["", ""]),
    ],
)
def test_quotes_mean_what_a_person_expects(line: str, fields: list[str]) -> None:
    assert split_fields(line) == fields


FIELD = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs"])).filter(lambda field: field == field.strip())


@given(st.lists(FIELD, min_size=2, max_size=3))
def test_what_csv_writers_quote_is_read_back(fields: list[str]) -> None:
    line = io.StringIO()
    csv.writer(line, delimiter="|", quoting=csv.QUOTE_ALL, lineterminator="").writerow(fields)
    assert split_fields(line.getvalue()) == fields


@given(st.lists(st.text(st.sampled_from('"a፡ ')).map(lambda text: f"a.wav|x{text}x"), min_size=1))
def test_a_stray_quote_never_swallows_a_line(lines: list[str]) -> None:
    rows = parse("\n".join(lines))
    assert [row.text for row in rows] == [line.removeprefix("a.wav|") for line in lines]


@given(st.text(alphabet='a|"\n\r ሰ'))
def test_every_line_that_is_not_empty_is_one_row(text: str) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert [row.line for row in parse(text)] == [number for number, line in enumerate(lines, 1) if line.strip()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_encodings_with_a_mark_and_both_line_ends_read_alike(encoding: str, line_end: str) -> None:
    text = line_end.join(["a.wav|ሰላም ለዓለም", "", "b.wav|ዓለም", ""])
    rows = parse_metadata(text.encode(encoding), SOURCE)
    assert rows == [MetadataRow(1, "a.wav", "ሰላም ለዓለም", ""), MetadataRow(3, "b.wav", "ዓለም", "")]


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("a.wav|ok\nb.wav|café".encode("latin-1"), r"line 2: byte 19 of the file \(0xE9\)"),
        ("a.wav|ok".encode("utf-16-le"), r"line 1: byte 2 of the file \(0x00\)"),
        ("a.wav|ok\nb".encode("utf-16") + b"\x00\xd8", r"line 2: byte 23 of the file"),
    ],
)
def test_another_encoding_is_refused_with_line_and_byte(content: bytes, where: str) -> None:
    with pytest.raises(UserError, match=rf"metadata\.csv {where}[^\n]*\n.*Expected UTF-8[^\n]*\n.*iconv"):
        parse_metadata(content, SOURCE)


def test_a_wrong_field_count_shows_the_line_and_what_to_do() -> None:
    good, bad = parse("a.wav|ሰላም\naudio_041.wav|ሰላም|ዓለም|x|y\n")
    assert not good.fault
    assert bad.fault.split("\n") == [
        "expected 2 or 3 fields separated by '|', found 5.",
        "  audio_041.wav|ሰላም|ዓለም|x|y",
        "  If the text itself contains '|', quote the field.",
    ]


def test_a_file_of_which_nothing_is_understood_is_refused_with_its_first_lines(tmp_path: Path) -> None:
    metadata = tmp_path / "metadata.csv"
    metadata.write_text("".join(f"a{row}.wav,text\n" for row in range(8)))
    with pytest.raises(UserError) as error:
        read_metadata(metadata)
    message = str(error.value)
    assert "not one of 8 rows" in message
    assert f"{metadata} line 1: expected 2 or 3 fields separated by '|', found 1.\n  a0.wav,text\n" in message
    assert "3 more such lines" in message


def test_missing_and_empty_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read \(No such file"):
        read_metadata(tmp_path / "metadata.csv")
    (tmp_path / "metadata.csv").write_text("\n \n")
    with pytest.raises(UserError, match="has no rows"):
        read_metadata(tmp_path / "metadata.csv")


FIELD_TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20).map(str.strip)


@given(st.lists(FIELD_TEXT, min_size=1, max_size=4))
def test_fields_that_are_joined_come_apart_again(fields: list[str]) -> None:
    assert split_fields(join_fields(fields)) == fields


def test_a_line_break_cannot_be_joined() -> None:
    with pytest.raises(ValueError, match="must be on one line"):
        join_fields(["a.wav", "two\nlines"])


def test_a_recording_may_be_named() -> None:
    rows = parse("audio_file|text|recording\na.wav|ሰላም|interview 1\n")
    assert rows == [MetadataRow(2, "a.wav", "ሰላም", "", "interview 1")]


def test_a_pipe_in_place_of_metadata_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metadata.csv")
    with pytest.raises(UserError, match="no regular file"):
        read_metadata(tmp_path / "metadata.csv")
