"""What a row of the metadata names: the recording is found, hashed and measured in one pass; nothing is judged.

Nothing outside of the dataset folder is opened, nothing in it is changed, and memory is bounded for any file.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from xtts_framework.audio.containers import find_truncation
from xtts_framework.audio.levels import LevelMeter, Levels
from xtts_framework.audio.reading import decode_blocks, open_sound, promised_samples

MAX_DECODED_S = 600
"""What is longer is not listened to any further: it is no clip, and a few kilobytes may claim to be days of silence."""
MAX_LEVELS_S = 60
"""Levels are measured of recordings up to here: twice what the model can read."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a row.

    Args:
        code: snake_case, as in `rejects.csv` and docs/data.md.
        detail: what was found and what was expected, on one line.
        excess: how far beyond a limit, in its unit; ranks the worst of a code.
    """

    code: str
    detail: str
    excess: float = 0.0


@dataclass(frozen=True)
class Measurement:
    """What a recording is. Fields are None as far as it could not be read.

    Args:
        sha256: of the file's bytes, hexadecimal.
        content_sha256: of what is heard, channels averaged; equal for a copy in another lossless format.
        samples: per channel, counted while decoding.
        finite: no sample is NaN or infinite.
        levels: of finite recordings of up to `MAX_LEVELS_S`.
        problem: what kept it from being measured.
    """

    sha256: str | None = None
    content_sha256: str | None = None
    samples: int | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None
    finite: bool | None = None
    levels: Levels | None = None
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
    return Problem("missing_audio", f"no such recording; looked for {', '.join(names)}")


def measure_recording(path: Path) -> Measurement:
    """Hash and decode a recording once, a block at a time."""
    try:
        with path.open("rb", buffering=0) as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            if not stream.tell():
                return _refuse("unreadable_audio", "the file is empty", sha256)
            truncation = find_truncation(stream.fileno())
            if truncation:
                return _refuse("truncated_audio", truncation, sha256)
            return _listen(stream.fileno(), sha256)
    except OSError as error:
        return _refuse("unreadable_audio", f"{error.strerror or error}")


def _listen(file_descriptor: int, sha256: str) -> Measurement:
    try:
        with open_sound(file_descriptor) as sound:
            return _measure(sound, sha256)
    except soundfile.SoundFileError:
        return _refuse("unreadable_audio", "damaged, or not audio", sha256)


def _measure(sound: soundfile.SoundFile, sha256: str) -> Measurement:
    meter = LevelMeter(sound.samplerate)
    content = hashlib.sha256(f"{sound.samplerate} Hz".encode())
    samples, promised, finite = 0, promised_samples(sound), True
    for block_SC in decode_blocks(sound):
        mono_S = block_SC[:, 0] if sound.channels == 1 else block_SC.mean(axis=1)
        samples += len(mono_S)
        content.update(np.ascontiguousarray(mono_S).data)
        finite = finite and bool(np.isfinite(mono_S).all())
        if finite and samples <= MAX_LEVELS_S * sound.samplerate:
            meter.hear(block_SC, mono_S)
        if samples > MAX_DECODED_S * sound.samplerate:
            samples = max(samples, promised)
            break
    if samples < promised:
        detail = f"{samples} of the {promised} samples that its header promises"
        return _refuse("truncated_audio", detail, sha256)
    hearable = finite and 0 < samples <= MAX_LEVELS_S * sound.samplerate
    return Measurement(
        sha256,
        content.hexdigest(),
        samples,
        sound.samplerate,
        sound.channels,
        finite,
        levels=meter.read() if hearable else None,
    )


def _refuse(code: str, detail: str, sha256: str | None = None) -> Measurement:
    return Measurement(sha256, problem=Problem(code, detail))
