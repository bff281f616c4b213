"""`xtts validate --fix`: a copy of a dataset in which what can be mended is mended. The dataset is only read."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import soundfile

from xtts_framework.audio.mending import mend
from xtts_framework.audio.rates import SAMPLE_RATE_HZ
from xtts_framework.audio.reading import read_audio
from xtts_framework.config import ValidateConfig, ValidationConfig
from xtts_framework.console import progress, say
from xtts_framework.data.manifest import name_clips
from xtts_framework.data.measuring import MAX_LEVELS_S, Problem, find_recording, measure_recording
from xtts_framework.data.metadata import MetadataRow, find_file_column, join_fields, read_header
from xtts_framework.data.survey import describe_fault
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_folder
from xtts_framework.locks import alone
from xtts_framework.stages.validate import read_rows

FIXES = "fixes.csv"


@dataclass(frozen=True)
class Fate:
    """What became of a row: its recording in the copy, "" when it is left out; what was done to it, or why not."""

    file: str
    done: str


def write_mended_copy(config: ValidateConfig, out: Path) -> None:
    """Write the metadata, `wavs/` and `fixes.csv`: a line for each row of the metadata, and what was done.

    Every recording becomes mono WAV of 16 bits at 22050 Hz, or at its own rate where that is lower; one that is so
    already and needs no mending is copied byte for byte. Rows keep all their columns, but name the new files.

    Args:
        out: new folder.

    Raises:
        UserError: no dataset, unreadable metadata, or a folder that exists or lies in the dataset.
    """
    dataset = config.dataset
    rows = read_rows(dataset)
    header = read_header(dataset.path / dataset.metadata)
    _require_new_folder(out, dataset.path)
    with alone(lock_of(out), "xtts validate --fix"), replacing_folder(out) as copy:
        (copy / "wavs").mkdir()
        fates = _copy_recordings(rows, dataset.path.resolve(), copy, dataset.validation)
        _write_metadata(copy / dataset.metadata, header, rows, fates)
        _write_fixes(copy / FIXES, rows, fates)
    mended = sum(bool(fate.file and fate.done) for fate in fates)
    left_out = sum(not fate.file for fate in fates)
    say(f"{out}: {len(rows)} rows, {mended} mended, {left_out} left out; {out / FIXES} says what was done to each")


def lock_of(out: Path) -> Path:
    """Held while a copy is written; beside the folder, which appears as a whole."""
    return out.parent / f".{out.name}.lock"


def _copy_recordings(rows: Sequence[MetadataRow], folder: Path, copy: Path, limits: ValidationConfig) -> list[Fate]:
    """What became of each row; a recording that several rows name is copied once, by the first."""
    found = [describe_fault(row) if row.fault else find_recording(folder, row.file) for row in rows]
    first_lines: dict[str, int] = {}
    for row, file in zip(rows, found, strict=True):
        if isinstance(file, str):
            first_lines.setdefault(file, row.line)
    names = name_clips(first_lines, first_lines.values())
    places = {file: f"wavs/{name}.wav" for file, name in zip(first_lines, names, strict=True)}

    def copy_one(file: str) -> Fate:
        return _copy(folder / file, copy, places[file], limits)

    fates = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress("fix", len(places), "recordings") as advance:
        for file, fate in zip(places, pool.map(copy_one, places), strict=True):
            fates[file] = fate
            advance(1)
    return [_leave_out(file) if isinstance(file, Problem) else fates[file] for file in found]


def _copy(source: Path, copy: Path, place: str, limits: ValidationConfig) -> Fate:
    """Mend one recording, or copy its bytes when nothing is to be done."""
    measured = measure_recording(source)
    if measured.problem:
        return _leave_out(measured.problem)
    if not measured.samples or not measured.sample_rate_hz:
        return _leave_out(Problem("empty_audio", "the recording has no samples"))
    if not measured.finite:
        return _leave_out(Problem("non_finite_samples", "has samples that are NaN or infinite"))
    if not measured.levels:
        return _leave_out(Problem("too_long", f"longer than {MAX_LEVELS_S} s"))
    rate_hz = min(measured.sample_rate_hz, SAMPLE_RATE_HZ)
    header = soundfile.info(source)
    mended = mend(read_audio(source, rate_hz), rate_hz, limits)
    done = [
        *([f"encoded again, from {header.format} {header.subtype}"] if not _is_plain_wav(header) else []),
        *([f"{header.channels} channels averaged"] if header.channels > 1 else []),
        *([f"resampled from {header.samplerate} Hz"] if header.samplerate != rate_hz else []),
        *mended.done,
    ]
    if done:
        soundfile.write(copy / place, mended.samples_S, rate_hz, subtype="PCM_16", format="WAV")
    else:
        shutil.copyfile(source, copy / place)
    return Fate(place, "; ".join(done))


def _is_plain_wav(header: soundfile._SoundFileInfo) -> bool:
    return header.format in ("WAV", "WAVEX") and header.subtype == "PCM_16"


def _leave_out(problem: Problem) -> Fate:
    return Fate("", f"left out: {problem.code}: {' '.join(problem.detail.split())}")


def _write_metadata(
    path: Path, header: Sequence[str] | None, rows: Sequence[MetadataRow], fates: Sequence[Fate]
) -> None:
    """The rows that are in the copy, as they were, but for the file."""
    lines = [join_fields(header)] if header else []
    place = find_file_column(header)
    for row, fate in zip(rows, fates, strict=True):
        if fate.file:
            lines.append(join_fields([*row.fields[:place], fate.file, *row.fields[place + 1 :]]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_fixes(path: Path, rows: Sequence[MetadataRow], fates: Sequence[Fate]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        fixes = csv.writer(stream)
        fixes.writerow(["line", "file", "new_file", "done"])
        fixes.writerows([row.line, row.file, fate.file, fate.done] for row, fate in zip(rows, fates, strict=True))


def _require_new_folder(out: Path, dataset: Path) -> None:
    """Refuse to write into the dataset, around it, or over anything: people go on working in a copy."""
    copy, source = out.resolve(), dataset.resolve()
    if copy.is_relative_to(source) or source.is_relative_to(copy):
        raise UserError(f"{out}: lies in the dataset {dataset}, or around it; choose another folder for the copy.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: exists already; choose a new folder for the copy, or remove it.")
