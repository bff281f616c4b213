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
from xtts_framework.data.measuring import Problem, find_recording, measure_recording
from xtts_framework.data.metadata import MetadataRow, join_fields
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_folder
from xtts_framework.stages.validate import read_rows

HEADER = ("audio_file", "text", "speaker_name", "recording")
FIXES = "fixes.csv"


@dataclass(frozen=True)
class Fate:
    """What became of a row: its recording in the copy, "" when it is left out; what was done to it, or why not."""

    file: str
    done: str


def write_mended_copy(config: ValidateConfig, out: Path) -> None:
    """Write `metadata.csv`, `wavs/` and `fixes.csv`: a line for each row of the metadata, and what was done.

    Every recording becomes mono WAV of 16 bits at 22050 Hz, or at its own rate where that is lower; one that is so
    already and needs no mending is copied byte for byte.

    Args:
        out: new folder; one that an earlier call wrote is replaced.

    Raises:
        UserError: no dataset, unreadable metadata, or a folder that is not to be written.
    """
    dataset = config.dataset
    rows = read_rows(dataset)
    _require_own_folder(out, dataset.path)
    with replacing_folder(out) as copy:
        (copy / "wavs").mkdir()
        fates = _copy_recordings(rows, dataset.path.resolve(), copy, dataset.validation)
        _write_tables(copy, rows, fates)
    mended = sum(bool(fate.file and fate.done) for fate in fates)
    left_out = sum(not fate.file for fate in fates)
    say(f"{out}: {len(rows)} rows, {mended} mended, {left_out} left out; {out / FIXES} says what was done to each")


def _copy_recordings(rows: Sequence[MetadataRow], folder: Path, copy: Path, limits: ValidationConfig) -> list[Fate]:
    """What became of each row; a recording that several rows name is copied once, by the first."""
    found = [Problem("wrong_field_count", row.fault) if row.fault else find_recording(folder, row.file) for row in rows]
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
    if not measured.samples or not measured.levels or not measured.sample_rate_hz:
        return Fate("", "left out: empty, longer than a minute, or with samples that are no numbers")
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


def _write_tables(copy: Path, rows: Sequence[MetadataRow], fates: Sequence[Fate]) -> None:
    lines = [join_fields(HEADER)]
    with (copy / FIXES).open("w", encoding="utf-8", newline="") as stream:
        fixes = csv.writer(stream)
        fixes.writerow(["line", "file", "new_file", "done"])
        for row, fate in zip(rows, fates, strict=True):
            fixes.writerow([row.line, row.file, fate.file, fate.done])
            if fate.file:
                lines.append(join_fields([fate.file, row.text, row.speaker, row.recording]))
    (copy / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _require_own_folder(out: Path, dataset: Path) -> None:
    """Refuse to write into the dataset, around it, or over somebody's files."""
    copy, source = out.resolve(), dataset.resolve()
    if copy.is_relative_to(source) or source.is_relative_to(copy):
        raise UserError(f"{out}: lies in the dataset {dataset}, or around it; choose another folder for the copy.")
    if out.exists() and not (out / FIXES).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: exists and was not written by `xtts validate --fix`; choose a new folder.")
