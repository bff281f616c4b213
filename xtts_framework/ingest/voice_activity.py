"""Where somebody speaks in a recording, by silero-vad, which ships its model. Imports torch: only for transcripts.

The recording is decoded, resampled and listened to in blocks, so that memory stays bounded however long it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from xtts_framework.audio.reading import decode_blocks, open_sound

LISTENING_HZ = 16000
FRAME = 512
"""Samples that the model judges at once."""
MIN_PAUSE_S = 0.12
"""Shorter ones are closures of consonants."""
MIN_SPEECH_S = 0.1

Segments = npt.NDArray[np.float64]
"""[segments, 2]: start and end of speech, seconds, in order and apart."""


def find_speech(path: Path) -> tuple[Segments, float]:
    """Segments of speech, and the duration of the recording in seconds.

    Raises:
        soundfile.SoundFileError: it cannot be decoded.
        OSError: it cannot be opened.
    """
    import torch
    from silero_vad.utils_vad import get_speech_timestamps_from_probs  # type: ignore[import-untyped]

    model = _load_model()
    model.reset_states()
    probabilities: list[float] = []
    samples = 0
    rest_S = np.zeros(0, np.float32)
    with torch.inference_mode():
        for block_S in _resampled(path):
            samples += len(block_S)
            heard_S = np.concatenate([rest_S, block_S])
            frames_FS = heard_S[: len(heard_S) // FRAME * FRAME].reshape(-1, FRAME)
            rest_S = heard_S[frames_FS.size :]
            probabilities += [model(frame_S, LISTENING_HZ).item() for frame_S in torch.from_numpy(frames_FS)]
        if len(rest_S):
            last_S = np.pad(rest_S, (0, FRAME - len(rest_S)))
            probabilities.append(model(torch.from_numpy(last_S), LISTENING_HZ).item())
    found = get_speech_timestamps_from_probs(
        probabilities,
        sampling_rate=LISTENING_HZ,
        min_silence_duration_ms=round(MIN_PAUSE_S * 1000),
        min_speech_duration_ms=round(MIN_SPEECH_S * 1000),
        speech_pad_ms=0,
        audio_length_samples=samples,
    )
    segments = np.array([(each["start"], each["end"]) for each in found], np.float64).reshape(-1, 2)
    return segments / LISTENING_HZ, samples / LISTENING_HZ


def _resampled(path: Path) -> Iterator[npt.NDArray[np.float32]]:
    """Mono blocks at the rate that the model knows."""
    with path.open("rb") as stream, open_sound(stream.fileno()) as sound:
        resampler = soxr.ResampleStream(sound.samplerate, LISTENING_HZ, 1, dtype="float32", quality="HQ")
        for block_SC in decode_blocks(sound):
            yield resampler.resample_chunk(np.nan_to_num(block_SC.mean(axis=1)))
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


@cache
def _load_model() -> Any:
    from silero_vad import load_silero_vad  # type: ignore[import-untyped]

    return load_silero_vad()
