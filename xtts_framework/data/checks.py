"""What is wrong with a clip: every check, its code and the words that explain it.

A row gets all its codes at once. Measuring (`find_recording`, `measure_recording`) answers with facts and with what
kept it from measuring; `check_limits` holds the facts against the configuration; `find_duplicates` compares clips.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandera.polars as pa
import polars as pl
import soundfile

from xtts_framework.audio.reading import count_missing_bytes, decode_blocks
from xtts_framework.config import MODEL_MAX_TEXT_IDS, ValidationConfig


@dataclass(frozen=True)
class Problem:
    """A reason to refuse a row.

    Args:
        code: snake_case, as in `rejects.csv` and docs/data.md.
        detail: what was found and what was expected, on one line.
    """

    code: str
    detail: str


@dataclass(frozen=True)
class Measurement:
    """What a recording is. Fields are None as far as it could not be read.

    Args:
        sha256: of the file's bytes, hexadecimal.
        samples: per channel, counted while decoding.
        finite: no sample is NaN or infinite.
        problem: what kept it from being measured.
    """

    sha256: str | None = None
    samples: int | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None
    finite: bool | None = None
    problem: Problem | None = None

    @property
    def duration_s(self) -> float | None:
        """Seconds; None also for a recording without samples, which is not a short one."""
        return self.samples / self.sample_rate_hz if self.samples and self.sample_rate_hz else None


def find_recording(dataset: Path, file: str) -> str | Problem:
    """Find the recording that a row names: relative to the dataset or to its `wavs/`, with or without `.wav`.

    Args:
        dataset: folder, resolved (no symbolic links).
        file: as written in the metadata.

    Returns:
        its POSIX path relative to the dataset; or the problem: no such file, or one outside of the dataset, which is
        never opened.
    """
    if not file:
        return Problem("missing_audio", "the line names no recording")
    if file.startswith("/"):
        return Problem("outside_dataset", f"{file} is an absolute path; name it relative to the dataset folder")
    spellings = [file] if file.lower().endswith(".wav") else [file, f"{file}.wav"]
    names = [posixpath.normpath(f"{folder}{name}") for folder in ("", "wavs/") for name in spellings]
    inside = [name for name in names if name != ".." and not name.startswith("../")]
    found = [name for name in inside if os.path.isfile(dataset / name)]  # noqa: PTH113 (Path raises on long names)
    for name in found:
        if Path(os.path.realpath(dataset / name)).is_relative_to(dataset):
            return name
    if found or len(inside) < len(names):
        return Problem("outside_dataset", f"{found[0] if found else file} leads out of the dataset folder")
    return Problem("missing_audio", f"no such file; looked for {', '.join(names)}")


def measure_recording(path: Path) -> Measurement:
    """Hash and decode a recording once, a block at a time."""
    try:
        with path.open("rb", buffering=0) as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
            missing = count_missing_bytes(stream.fileno())
            stream.seek(0)
            if not size:
                return _unreadable("the file is empty", sha256)
            if missing:
                return _unreadable(f"truncated: {missing} bytes that its header promises are missing", sha256)
            return _decode(stream.fileno(), sha256)
    except OSError as error:
        return _unreadable(f"{error.strerror or error}")


def check_limits(measured: pl.DataFrame, limits: ValidationConfig) -> Iterator[tuple[int, Problem]]:
    """Hold what was measured against the limits; nulls were not measured and are not held against a row.

    Args:
        measured: `samples`, `duration_s`, `sample_rate_hz`, `finite`, `normalized`; one row per row of the metadata.

    Yields:
        index of a row and a problem it has.
    """
    # A character is at worst one token, and the language tag is one more.
    max_characters = MODEL_MAX_TEXT_IDS - 1
    shortest, longest, lowest_hz = limits.min_duration_s, limits.max_duration_s, limits.min_sample_rate_hz
    schema = pa.DataFrameSchema(
        {
            "samples": pa.Column(pl.Int64, pa.Check.gt(0, error="empty_audio"), nullable=True),
            "duration_s": pa.Column(
                pl.Float64,
                [pa.Check.ge(shortest, error="too_short"), pa.Check.le(longest, error="too_long")],
                nullable=True,
            ),
            "sample_rate_hz": pa.Column(pl.Int64, pa.Check.ge(lowest_hz, error="low_sample_rate"), nullable=True),
            "finite": pa.Column(pl.Boolean, pa.Check.eq(True, error="non_finite_samples"), nullable=True),
            "normalized": pa.Column(
                pl.String,
                [
                    pa.Check.str_length(min_value=1, error="empty_text"),
                    pa.Check.str_length(max_value=max_characters, error="text_too_long"),
                ],
                nullable=True,
            ),
        }
    )
    details = {
        "empty_audio": "the recording has no samples",
        "too_short": f"{{:.2f}} s, shorter than {shortest:g} s",
        "too_long": f"{{:.2f}} s, longer than {longest:g} s",
        "low_sample_rate": f"{{}} Hz, below {lowest_hz} Hz",
        "non_finite_samples": "has samples that are NaN or infinite",
        "empty_text": "nothing is left to say once the text is normalised",
        "text_too_long": f"more than {max_characters} characters, which may be more than the model can read",
    }
    try:
        schema.validate(measured, lazy=True)
    except pa.errors.SchemaErrors as errors:
        for index, column, code in errors.failure_cases.select("index", "column", "check").iter_rows():
            yield index, Problem(code, details[code].format(measured[column][index]))


def find_duplicates(measured: pl.DataFrame, problems: Sequence[Sequence[Problem]]) -> Iterator[tuple[int, Problem]]:
    """Of several rows with one recording the first stays, unless it is refused for another reason.

    Args:
        measured: `line`, `file`, `text`, `audio_sha256`.
        problems: what is known against each row so far.

    Yields:
        index of a row and a problem it has.
    """
    kept: dict[str, tuple[int, str, str]] = {}
    for index, (sha256, *row) in enumerate(measured.select("audio_sha256", "line", "file", "text").iter_rows()):
        if sha256 is None:
            continue
        if sha256 not in kept:
            if not problems[index]:
                kept[sha256] = (row[0], row[1], row[2])
            continue
        line, file, text = kept[sha256]
        if file != row[1]:
            yield index, Problem("duplicate_audio", f"the same recording as {file} in line {line}")
        else:
            said = "the same text" if text == row[2] else f"another text: {text}"
            yield index, Problem("duplicate_file", f"listed already in line {line}, with {said}")


def _decode(file_descriptor: int, sha256: str) -> Measurement:
    samples, finite = 0, True
    try:
        with soundfile.SoundFile(file_descriptor, closefd=False) as sound:
            for block_SC in decode_blocks(sound):
                samples += len(block_SC)
                finite = finite and bool(np.isfinite(block_SC).all())
            promised, sample_rate_hz, channels = sound.frames, sound.samplerate, sound.channels
    except soundfile.SoundFileError:
        return _unreadable("damaged, or not audio", sha256)
    if samples < promised:
        return _unreadable(f"truncated: {samples} of the {promised} samples that its header promises", sha256)
    return Measurement(sha256, samples, sample_rate_hz, channels, finite)


def _unreadable(detail: str, sha256: str | None = None) -> Measurement:
    return Measurement(sha256, problem=Problem("unreadable_audio", detail))
