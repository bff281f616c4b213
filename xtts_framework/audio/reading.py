"""Reading recordings: mono, one sample rate, floats between -1 and 1, as coqui reads them; no FFmpeg."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from xtts_framework.errors import UserError

SAMPLE_RATE_HZ = 22050
"""The rate at which XTTS hears."""


def read_audio(path: Path, sample_rate_hz: int = SAMPLE_RATE_HZ) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Samples of a recording: [samples] float32, the mean of its channels, resampled, clipped to [-1, 1].

    Raises:
        UserError: missing, or not audio that libsndfile reads (WAV, FLAC, OGG, MP3).
    """
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise UserError(f"{path}: cannot be read as audio ({error}); expected WAV, FLAC, OGG or MP3.") from error
    mono = samples.mean(axis=1)
    if rate_hz != sample_rate_hz:
        mono = soxr.resample(mono, rate_hz, sample_rate_hz)
    clipped: np.ndarray[tuple[int], np.dtype[np.float32]] = np.clip(mono, -1.0, 1.0)
    return clipped
