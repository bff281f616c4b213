"""Recordings as data: what a browser plays without a second file."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import soundfile
import soxr

SAMPLE_RATE_HZ = 24_000
MAX_DURATION_S = 30.0


def embed_audio(path: Path) -> str | None:
    """The recording as a `data:` address: MP3 (every browser plays it), mono, 24 kHz, about 6 kB per second.

    Returns:
        None if the file is missing or no audio; a report is no reason to fail.
    """
    try:
        with soundfile.SoundFile(path) as file:
            rate_hz = file.samplerate
            samples = file.read(int(MAX_DURATION_S * rate_hz), dtype="float32", always_2d=True).mean(axis=1)
    except (OSError, soundfile.LibsndfileError):
        return None
    if not samples.size:
        return None
    audible = np.clip(np.nan_to_num(samples), -1, 1)  # the MP3 encoder ends the process on a sample that is no number
    encoded = io.BytesIO()
    soundfile.write(encoded, soxr.resample(audible, rate_hz, SAMPLE_RATE_HZ), SAMPLE_RATE_HZ, format="MP3")
    return "data:audio/mpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
