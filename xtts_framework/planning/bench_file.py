"""The bench file: one row per measurement of `xtts bench`; rows are added and never changed."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtts_framework.errors import UserError
from xtts_framework.locks import wait_for_lock

DEFAULT_FILE = Path("bench.csv")


@dataclass(frozen=True)
class BenchRow:
    """One measurement: a line of the bench file. Numbers are those of the timed updates."""

    date: str
    device: str
    cpu_threads: int
    xtts_framework: str
    torch: str
    cuda: str
    python: str
    coqui_tts: str
    shape: str
    layers: int
    channels: int
    parameters: int
    precision: str
    compile: bool
    activation_checkpointing: bool
    micro_batch_tokens: int
    samples: int
    updates: int
    update_s: float
    clips_per_s: float
    audio_hours_per_hour: float
    tokens_per_s: float
    gflop_per_clip: float
    mfu_percent: float
    peak_tflops: float
    peak_source: str
    padding_percent: float
    data_wait_percent: float
    peak_memory_gb: float
    command: str


COLUMNS = [field.name for field in dataclasses.fields(BenchRow)]


def describe_row(row: BenchRow) -> list[str]:
    """The measurement for people, a line each."""
    recomputed = "blocks recomputed" if row.activation_checkpointing else "activations stored"
    compiled = "compiled" if row.compile else "not compiled"
    return [
        f"model       {row.shape}: {row.layers} blocks x {row.channels} channels, {row.parameters / 1e6:.1f} M "
        "parameters, all of them training",
        f"device      {row.device}, {row.cpu_threads} CPU threads; torch {row.torch}, CUDA {row.cuda or 'none'}",
        f"settings    {row.precision}, {compiled}, {recomputed}, up to {row.micro_batch_tokens:,} tokens at once",
        f"measured    {row.updates} updates of {row.samples} clips, {row.update_s:g} s each",
        f"speed       {row.clips_per_s:g} clips/s, {row.audio_hours_per_hour:g} hours of audio per hour, "
        f"{row.tokens_per_s:,.0f} tokens/s",
        f"MFU         {row.mfu_percent:g} % of {row.peak_tflops:g} TFLOPS ({row.peak_source}); "
        f"{row.gflop_per_clip:g} GFLOP per clip",
        f"padding     {row.padding_percent:g} % of the rows that attention works on",
        f"data wait   {row.data_wait_percent:g} % of the time went by with reading and packing and nothing else",
        f"memory      {row.peak_memory_gb:g} GB at most, {'on the GPU' if row.cuda else 'the whole process'}",
    ]


def check_columns(file: Path) -> None:
    """Refuse a file to which no row can be added, before anything is measured.

    Raises:
        UserError: it exists and its first line is not the list of our columns.
    """
    if not file.exists() or (file.is_file() and file.stat().st_size == 0):
        return
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            header = next(csv.reader(stream), [])
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as a bench file: {error}. Name another with --out.") from error
    if header != COLUMNS:
        raise UserError(
            f"{file}: its columns are not those of `xtts bench` ({', '.join(header[:4])} …; expected "
            f"{', '.join(COLUMNS[:4])} …).\n"
            "  It was written by another version, or is another file. It stays as it is; name another with --out."
        )


def append_row(file: Path, row: BenchRow) -> None:
    """Add one line, and the header to a new file. One write at the end of the file: earlier rows are never touched."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a+b") as stream:
            wait_for_lock(stream.fileno())
            lines = io.StringIO()
            writer = csv.writer(lines, lineterminator="\n")
            end = stream.seek(0, os.SEEK_END)
            if end == 0:
                writer.writerow(COLUMNS)
            elif _last_byte(stream, end) != b"\n":
                lines.write("\n")
            writer.writerow(dataclasses.astuple(row))
            stream.write(lines.getvalue().encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        measured = "\n".join(f"  {line}" for line in describe_row(row))
        raise UserError(
            f"{file}: the row cannot be written: {error.strerror}. Name another file with --out. Measured was:\n"
            f"{measured}"
        ) from error


def read_rows(file: Path) -> list[dict[str, str]]:
    """All rows, as text, the oldest first; none where there is no file.

    Raises:
        UserError: not a bench file.
    """
    if not file.is_file():
        return []
    check_columns(file)
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _last_byte(stream: Any, end: int) -> bytes:
    stream.seek(end - 1)
    last: bytes = stream.read(1)
    return last
