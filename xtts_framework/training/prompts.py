"""Which part of a mel is the voice prompt, in frames. Source: coqui-tts 0.28.0, `get_prompt_slice`."""

from __future__ import annotations

import functools

from xtts_framework.audio.rates import FRAMES_PER_CODE, HOP, SAMPLE_RATE_HZ
from xtts_framework.training.sampling import draw

MIN_PROMPT_FRAMES = 3 * SAMPLE_RATE_HZ // HOP
MAX_PROMPT_FRAMES = 6 * SAMPLE_RATE_HZ // HOP
EVAL_PROMPT_FRAMES = int(4.5 * SAMPLE_RATE_HZ) // HOP


def training_prompt(seed: int, epoch: int, name: str, mel_frames: int) -> slice:
    """3 to 6 s anywhere in a clip; half of it where it is shorter than the length drawn."""
    choices = MAX_PROMPT_FRAMES - MIN_PROMPT_FRAMES + 1
    length = _cut(MIN_PROMPT_FRAMES + draw(seed, "prompt length", epoch, name) % choices, mel_frames)
    start = draw(seed, "prompt start", epoch, name) % (mel_frames - length + 1)
    return slice(start, start + length)


def eval_prompt(mel_frames: int) -> slice:
    """The first 4.5 s; half of a shorter clip."""
    return slice(0, _cut(EVAL_PROMPT_FRAMES, mel_frames))


@functools.cache
def mean_prompt_frames(mel_frames: int) -> int:
    """How long a training prompt of a clip is on average."""
    lengths = [_cut(length, mel_frames) for length in range(MIN_PROMPT_FRAMES, MAX_PROMPT_FRAMES + 1)]
    return round(sum(lengths) / len(lengths))


def codes_under(frames: slice) -> slice:
    """The codes that a slice of mel frames covers, wholly or in part."""
    return slice(frames.start // FRAMES_PER_CODE, -(-frames.stop // FRAMES_PER_CODE))


def _cut(length: int, mel_frames: int) -> int:
    return length if length <= mel_frames else max(1, mel_frames // 2)
