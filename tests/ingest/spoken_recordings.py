"""Long recordings whose every sentence is known to begin and end where: spoken by espeak-ng, pauses between."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from xtts_framework.audio.espeak import EspeakVoice, speak
from xtts_framework.stages.demo_data import demo_sentences

RATE_HZ = 22050
QUIET = 200
"""Samples below are the silence that espeak-ng speaks around a sentence."""


@dataclass(frozen=True)
class Spoken:
    """A sentence, and where it is spoken, seconds."""

    text: str
    start_s: float
    end_s: float


@cache
def spoken(text: str, voice: EspeakVoice) -> np.ndarray:
    samples, rate_hz = speak(text, voice)
    assert rate_hz == RATE_HZ
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET)
    return samples[loud[0] : loud[-1] + 1]


def write_recording(
    path: Path,
    sentences: Sequence[str],
    seed: int = 0,
    pauses_s: tuple[float, float] = (0.35, 1.0),
    voice: EspeakVoice | None = None,
    **options: str,
) -> list[Spoken]:
    """Speak sentences one after the other; returns where each is."""
    draw = random.Random(seed)
    pieces, position, result = [], 0, []
    for sentence in sentences:
        pause = np.zeros(round(draw.uniform(*pauses_s) * RATE_HZ), np.int16)
        samples = spoken(sentence, voice or EspeakVoice("am", rate=140))
        start = position + len(pause)
        position = start + len(samples)
        pieces += [pause, samples]
        result.append(Spoken(sentence, start / RATE_HZ, position / RATE_HZ))
    pieces.append(np.zeros(RATE_HZ // 2, np.int16))
    soundfile.write(path, np.concatenate(pieces), RATE_HZ, **options)
    return result


def sentences(count: int, start: int = 0) -> list[str]:
    found = demo_sentences()
    return [found[(start + index) % len(found)] for index in range(count)]
