"""Read recordings of any format that libsndfile knows: WAV, FLAC, Ogg, MP3 and others. No FFmpeg, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from xtts_framework.errors import UserError

Samples = npt.NDArray[np.float32]


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


def read_audio(path: Path, sample_rate_hz: int = 22050) -> Samples:
    """Read a recording as the model wants it: mono, resampled, within [-1, 1].

    Channels are averaged and samples clipped as coqui-tts 0.28.0 does (`load_audio`); the resampler is soxr's HQ.

    Returns:
        float32 [samples] at `sample_rate_hz`.

    Raises:
        UserError: no such file, libsndfile cannot decode it, or a sample is NaN or infinite.
    """
    try:
        channels_SC, recorded_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise _unreadable(path, error) from error
    mono_S: Samples = channels_SC.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono_S).all():
        raise UserError(f"{path}: has samples that are NaN or infinite. Export the recording again.")
    if recorded_hz != sample_rate_hz:
        mono_S = soxr.resample(mono_S, recorded_hz, sample_rate_hz, quality="HQ")
    return np.clip(mono_S, np.float32(-1.0), np.float32(1.0))


def probe_audio(path: Path) -> AudioProperties:
    """Read a recording's header, not its samples.

    Raises:
        UserError: no such file, or libsndfile does not know what it is.
    """
    try:
        header = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise _unreadable(path, error) from error
    return AudioProperties(header.frames, header.samplerate, header.channels)


def _unreadable(path: Path, error: Exception) -> UserError:
    if not path.is_file():
        return UserError(f"{path}: no such recording.")
    return UserError(
        f"{path}: cannot be read as audio ({error}). "
        f"Expected a format that libsndfile reads: {', '.join(sorted(soundfile.available_formats()))}."
    )
