"""Read recordings of any format that libsndfile knows: WAV, FLAC, Ogg, MP3 and others. No FFmpeg, no torch.

Array names carry their shape: S samples, C channels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from xtts_framework.audio.rates import SAMPLE_RATE_HZ
from xtts_framework.errors import UserError

Samples = npt.NDArray[np.float32]

BLOCK_VALUES = 2**20
"""Samples times channels decoded at once: memory stays bounded however long a recording is."""

BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"RIFF": "little", b"RIFX": "big", b"FORM": "big"}
"""Containers of WAV and AIFF files, which consist of chunks: four letters, a length, that many bytes."""
SOUND_CHUNKS = (b"data", b"SSND")
UNKNOWN_LENGTH = 0x7FFF0000
"""Lengths from here on mean "until the end of the file": programs write them that write into a pipe."""
MAX_CHUNKS = 1000


@dataclass(frozen=True)
class AudioProperties:
    """What a recording's header says.

    Args:
        samples: per channel.
    """

    samples: int
    sample_rate_hz: int
    channels: int

    @property
    def duration_s(self) -> float:
        return self.samples / self.sample_rate_hz


def read_audio(path: Path, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Samples:
    """Read a recording as the model wants it: mono, resampled, within [-1, 1].

    Channels are averaged and samples clipped as coqui-tts 0.28.0 does (`load_audio`); the resampler is soxr's HQ.

    Returns:
        float32 [samples] at `sample_rate_hz`.

    Raises:
        UserError: no such file, libsndfile cannot decode it, or a sample is NaN or infinite.
    """
    try:
        with soundfile.SoundFile(path) as sound:
            recorded_hz = sound.samplerate
            blocks_S: list[Samples] = [block_SC.mean(axis=1) for block_SC in decode_blocks(sound)]
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(path, error) from error
    mono_S: Samples = np.concatenate([np.zeros(0, np.float32), *blocks_S])
    if not np.isfinite(mono_S).all():
        raise UserError(f"{path}: has samples that are NaN or infinite. Export the recording again.")
    if recorded_hz != sample_rate_hz:
        mono_S = soxr.resample(mono_S, recorded_hz, sample_rate_hz, quality="HQ")
    clipped_S: Samples = np.clip(mono_S, -1.0, 1.0)
    return clipped_S


def probe_audio(path: Path) -> AudioProperties:
    """Read a recording's header, not its samples.

    Raises:
        UserError: no such file, or libsndfile does not know what it is.
    """
    try:
        header = soundfile.info(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(path, error) from error
    return AudioProperties(header.frames, header.samplerate, header.channels)


def decode_blocks(sound: soundfile.SoundFile) -> Iterator[Samples]:
    """Yield float32 [samples, channels], a bounded number at a time, until the sound ends.

    Raises:
        soundfile.SoundFileError: the samples cannot be decoded.
    """
    frames = max(1, BLOCK_VALUES // sound.channels)
    while len(block_SC := sound.read(frames, dtype="float32", always_2d=True)):
        yield block_SC


def count_missing_bytes(file_descriptor: int) -> int:
    """How many bytes of sound the header of a WAV or AIFF file promises beyond the end of the file.

    libsndfile reads what is there and says nothing. 0 for a whole file, other formats and lengths marked as unknown.
    """
    size = os.fstat(file_descriptor).st_size
    order = BYTE_ORDERS.get(os.pread(file_descriptor, 4, 0))
    position = 12
    for _ in range(MAX_CHUNKS):
        chunk = os.pread(file_descriptor, 8, position)
        if order is None or len(chunk) < 8:
            return 0
        length = int.from_bytes(chunk[4:], order)
        end = position + len(chunk) + length
        if chunk[:4] in SOUND_CHUNKS:
            return max(0, end - size) if length < UNKNOWN_LENGTH else 0
        position = end + length % 2
    return 0


def _unreadable(path: Path, error: Exception) -> UserError:
    if not path.is_file():
        return UserError(f"{path}: no such recording.")
    return UserError(
        f"{path}: cannot be read as audio ({error}). Expected WAV, FLAC, Ogg, MP3 or another format of libsndfile."
    )
