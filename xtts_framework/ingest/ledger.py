"""metadata.csv as its own ledger: which utterances are clips already, and in which state of their source.

Every row that we write ends in `source`: `NAME/ID@AUDIO.SAID` or `NAME/ID@AUDIO.SAID.STATE`. AUDIO is a hash of the
recording's size and time of change, STATE of what else the boundaries depend on, SAID of the row itself: when it does
not fit its row any more, a person has edited the row, and it is theirs.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xtts_framework.data.metadata import join_fields, split_fields
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_file
from xtts_framework.ingest.utterance import Utterance, on_one_line

COLUMNS = ("audio_file", "text", "speaker_name", "recording", "source")
LEFT_OUT_COLUMNS = ("source", "recording", "code", "detail", "text", "confidence")
SOURCE = re.compile(r"(?P<key>.+)@(?P<audio>[0-9a-f]{8})\.(?P<said>[0-9a-f]{8})(?:\.(?P<state>[0-9a-f]{8}))?")
SPAN = re.compile(r"-(\d{7,})-(\d{7,})(?:\.[0-9a-f]{12})?$")


@dataclass(frozen=True)
class Stamp:
    """What the `source` of a row says.

    Args:
        key: identity of the utterance, its source's name first.
    """

    key: str
    audio: str
    said: str
    state: str = ""

    def __str__(self) -> str:
        return f"{self.key}@{self.audio}.{self.said}" + (f".{self.state}" if self.state else "")


@dataclass(frozen=True)
class Row:
    """A row of metadata.csv.

    Args:
        line: as it stands in the file, without its line end.
        file, recording: as written.
        stamp: None for a row that somebody wrote by hand.
        edited: whether somebody changed it since we wrote it.
    """

    line: str
    file: str = ""
    recording: str = ""
    stamp: Stamp | None = None
    edited: bool = True

    @property
    def span_ms(self) -> tuple[int, int] | None:
        """Where it was cut, by the name of its file."""
        span = SPAN.search(PurePosixPath(self.file).stem)
        return (int(span[1]), int(span[2])) if span else None


def stamp_utterance(source_name: str, utterance: Utterance, file_stem: str) -> Stamp:
    """The stamp of an utterance as it is now.

    Args:
        file_stem: name of its clip, of which only the times count.
    """
    text, speaker, recording = (on_one_line(each) for each in (utterance.text, utterance.speaker, utterance.recording))
    key = escape(f"{source_name}/{utterance.id}")
    state = _hash(utterance.state) if utterance.state else ""
    return Stamp(key, _hash_audio(utterance.audio), _hash_said(text, speaker, recording, file_stem), state)


def parse_stamp(source: str) -> Stamp | None:
    """The stamp that a `source` column holds, None when it holds none."""
    match = SOURCE.fullmatch(source)
    return Stamp(match["key"], match["audio"], match["said"], match["state"] or "") if match else None


class Ledger:
    """The rows of metadata.csv, in order; written back whole, those untouched byte for byte."""

    def __init__(self, path: Path) -> None:
        """Read it; a file that does not exist has no rows.

        Raises:
            UserError: it is not UTF-8, or its header lacks the columns of ours.
        """
        self._path = path
        self._columns: tuple[str, ...] = COLUMNS
        self._head = join_fields(COLUMNS) + "\n"
        self._rows: list[Row | None] = []
        self._places: dict[str, int] = {}
        self._by_recording: dict[str, list[int]] = {}
        self._claimed: set[int] = set()
        self._changed = not path.exists()
        if path.exists():
            self._read(path)

    def find(self, key: str) -> Row | None:
        """The row of an utterance; from now on it counts as one that the source still has."""
        place = self._places.get(key)
        if place is None:
            return None
        self._claimed.add(place)
        return self._rows[place]

    def find_edited(self, recording: str, span_ms: tuple[int, int]) -> Row | None:
        """A row edited by hand, of an utterance that the source has no longer, cut where this one would be."""
        rows = (self._rows[place] for place in self._vanished_at(recording, span_ms))
        return next((row for row in rows if row and row.edited), None)

    def put(self, utterance: Utterance, stamp: Stamp, file: str) -> int:
        """Add the row of a clip, or replace the one it had, and those of vanished utterances that it overlaps.

        Returns:
            how many rows it replaces.
        """
        texts = (utterance.text, utterance.speaker, utterance.recording)
        values = dict(zip(COLUMNS, (file, *(on_one_line(text) for text in texts), str(stamp)), strict=True))
        line = join_fields([values.get(column, "") for column in self._columns])
        row = Row(line, file, values["recording"], stamp, edited=False)
        replaced = 0
        if utterance.span_ms:
            for place in self._vanished_at(row.recording, utterance.span_ms):
                old = self._rows[place]
                if old and not old.edited and old.stamp and old.stamp.key != stamp.key:
                    self._rows[place] = None
                    del self._places[old.stamp.key]
                    replaced += 1
        if stamp.key in self._places:
            self._rows[self._places[stamp.key]] = row
            replaced += 1
        else:
            self._add(row)
            self._claimed.add(len(self._rows) - 1)
        self._changed = True
        return replaced

    def commit(self) -> None:
        """Write it as it is now, whole or not at all; an unchanged file is left alone."""
        if self._changed:
            text = self._head + "".join(f"{row.line}\n" for row in self._rows if row)
            with replacing_file(self._path) as partial:
                partial.write_bytes(text.encode("utf-8"))
        self._changed = False

    def names(self) -> Iterator[tuple[str, str]]:
        """Name of each clip's file without suffix, and the key of its utterance; "" for a row written by hand."""
        for row in self._rows:
            if row and row.file:
                yield PurePosixPath(row.file).stem, row.stamp.key if row.stamp else ""

    def stamps(self, prefix: str) -> Iterator[Stamp]:
        """Stamps of all rows whose key begins so."""
        return (row.stamp for row in self._rows if row and row.stamp and row.stamp.key.startswith(prefix))

    def count_vanished(self, prefix: str) -> int:
        """Rows of a source that has their utterances no longer."""
        return sum(
            bool(row and row.stamp and row.stamp.key.startswith(prefix)) and place not in self._claimed
            for place, row in enumerate(self._rows)
        )

    def __len__(self) -> int:
        return sum(row is not None for row in self._rows)

    def _read(self, path: Path) -> None:
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: byte {error.start + 1} is not UTF-8. Save it as UTF-8, then ingest again."
            ) from error
        lines = text.split("\n")
        columns = tuple(name.lower() for name in split_fields(lines[0].lstrip("\ufeff").rstrip("\r")))
        if not {"audio_file", "text", "source"} <= set(columns):
            raise UserError(
                f"{path}: was not written by `xtts ingest`: its header {lines[0].strip()[:100]!r} has no columns "
                "audio_file, text and source. Choose another folder with --out."
            )
        self._columns, self._head = columns, f"{lines[0]}\n"
        for line in lines[1:-1] if not lines[-1] else lines[1:]:
            self._add(self._read_row(line))
        self._changed = bool(lines[-1])  # the last line lacks its end

    def _read_row(self, line: str) -> Row:
        fields = split_fields(line.rstrip("\r"))
        if len(fields) != len(self._columns):
            stamps = [stamp for stamp in map(parse_stamp, fields) if stamp]
            return Row(line, fields[0], stamp=stamps[-1] if stamps else None)
        values = dict(zip(self._columns, fields, strict=True))
        stamp, file = parse_stamp(values["source"]), values["audio_file"]
        said = (values["text"], values.get("speaker_name", ""), values.get("recording", ""))
        edited = stamp is None or _hash_said(*said, PurePosixPath(file).stem) != stamp.said
        return Row(line, file, values.get("recording", ""), stamp, edited)

    def _add(self, row: Row) -> None:
        place = len(self._rows)
        self._rows.append(row)
        if row.stamp:
            self._places.setdefault(row.stamp.key, place)
        if row.recording and row.stamp:
            self._by_recording.setdefault(row.recording, []).append(place)

    def _vanished_at(self, recording: str, span_ms: tuple[int, int]) -> list[int]:
        """Places of rows whose utterances the source has no longer, cut from the recording where these times are."""
        places = []
        for place in self._by_recording.get(recording, ()):
            row = self._rows[place]
            span = row.span_ms if row else None
            if span and place not in self._claimed and span[0] < span_ms[1] and span_ms[0] < span[1]:
                places.append(place)
        return places


@dataclass(frozen=True)
class LeftOut:
    """A row of left_out.csv."""

    source: str
    recording: str
    code: str
    detail: str
    text: str
    confidence: str = ""


def read_left_out(path: Path) -> list[LeftOut]:
    """Rows of left_out.csv; none when there is no such file, or it is not one of ours (it is written anew anyway)."""
    try:
        content = path.read_text(encoding="utf-8")
        rows = list(csv.reader(io.StringIO(content), strict=True))
    except (OSError, ValueError, csv.Error):
        return []
    if not rows or tuple(rows[0]) != LEFT_OUT_COLUMNS:
        return []
    return [LeftOut(*row) for row in rows[1:] if len(row) == len(LEFT_OUT_COLUMNS)]


def is_confident(row: LeftOut, least: float) -> bool:
    """Whether what was left out for its confidence would not be with this least one."""
    try:
        return bool(row.confidence) and float(row.confidence) >= least
    except ValueError:
        return True


def write_left_out(path: Path, rows: Iterable[LeftOut]) -> None:
    """Write left_out.csv, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(LEFT_OUT_COLUMNS)
    for row in rows:
        values: Sequence[str] = (row.source, row.recording, row.code, row.detail, row.text, row.confidence)
        writer.writerow([on_one_line(value) for value in values])
    content = text.getvalue().encode("utf-8")
    if not path.is_file() or path.read_bytes() != content:
        with replacing_file(path) as partial:
            partial.write_bytes(content)


def escape(key: str) -> str:
    """A key as a field can hold it: what a line cannot, and spaces at its ends, become %XX."""
    inner = key.strip()
    start = key.index(inner)
    end = start + len(inner)
    return "".join(
        _percent(letter) if not start <= place < end or on_one_line(f"-{letter}-") != f"-{letter}-" else letter
        for place, letter in enumerate(key)
    )


def _percent(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))


def _hash_audio(path: Path | None) -> str:
    if path is None:
        return _hash("")
    try:
        status = os.stat(path)  # noqa: PTH116 (Path.stat raises on long names in some versions)
    except OSError:
        return _hash("")
    return _hash(f"{status.st_size} {status.st_mtime_ns}")


def _hash_said(text: str, speaker: str, recording: str, file_stem: str) -> str:
    span = SPAN.search(file_stem)
    return _hash("\n".join((text, speaker, recording, f"-{span[1]}-{span[2]}" if span else "")))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).hexdigest()
