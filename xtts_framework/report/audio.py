"""Recordings as data: what a browser plays without a second file."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import soundfile
import soxr

from xtts_framework.audio.reading import Samples, decode_blocks, open_sound

SAMPLE_RATE_HZ = 24_000
MAX_DURATION_S = 30.0


def embed_audio(path: Path) -> str | None:
    """The recording as a `data:` address: MP3 (every browser plays it), mono, 24 kHz, about 6 kB per second.

    Returns:
        None if the file is missing or no audio; a report is no reason to fail.
    """
    try:
        with path.open("rb") as stream, open_sound(stream.fileno()) as sound:
            rate_hz = sound.samplerate
            samples_S = _read_beginning(sound, int(MAX_DURATION_S * rate_hz))
    except (OSError, soundfile.LibsndfileError):
        return None
    if not samples_S.size:
        return None
    audible = np.clip(np.nan_to_num(samples_S), -1, 1)  # the MP3 encoder ends the process on a sample that is no number
    encoded = io.BytesIO()
    soundfile.write(encoded, soxr.resample(audible, rate_hz, SAMPLE_RATE_HZ), SAMPLE_RATE_HZ, format="MP3")
    return "data:audio/mpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


def _read_beginning(sound: soundfile.SoundFile, samples: int) -> Samples:
    """So many samples at most, channels averaged, [S]; of any number of channels, not more memory than for one."""
    blocks, heard = [np.zeros(0, np.float32)], 0
    for block_SC in decode_blocks(sound):
        blocks.append(block_SC.mean(axis=1))
        heard += len(block_SC)
        if heard >= samples:
            break
    beginning_S: Samples = np.concatenate(blocks)[:samples]
    return beginning_S
