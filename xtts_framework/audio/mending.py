"""What can be mended in a recording without hearing it: silence at its ends, an offset, a low level.

Tensor legend: S samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xtts_framework.audio.levels import measure_levels
from xtts_framework.audio.reading import Samples
from xtts_framework.config import ValidationConfig

MARGIN_S = 0.2
"""Silence that stays before and after the speech: soft onsets and the last breath."""
SPEECH_LEVEL_DBFS = -23.0
HIGHEST_PEAK = 10 ** (-1 / 20)
"""1 dB below full scale."""


@dataclass(frozen=True)
class Mended:
    """Float32 [samples] and what was done to them, in words; nothing done: the samples as they were."""

    samples_S: Samples
    done: list[str]


def mend(samples_S: Samples, sample_rate_hz: int, limits: ValidationConfig) -> Mended:
    """Mend what breaks the limits.

    Args:
        samples_S: mono, finite, at least one.
        limits: `max_dc_offset`, `max_edge_silence_s`, `min_level_dbfs`.
    """
    done: list[str] = []
    levels = measure_levels(samples_S, sample_rate_hz)
    if levels.dc_offset > limits.max_dc_offset:
        samples_S = samples_S - samples_S.mean(dtype=np.float64).astype(np.float32)
        done.append(f"centred, it was off by {levels.dc_offset:.3f}")
    if levels.speech_share > 0:
        start_s = _surplus(levels.leading_silence_s, limits)
        end_s = _surplus(levels.trailing_silence_s, limits)
        for seconds, place in ((start_s, "start"), (end_s, "end")):
            if seconds:
                done.append(f"{seconds:.2f} s of silence cut off at its {place}")
        samples_S = samples_S[round(start_s * sample_rate_hz) : len(samples_S) - round(end_s * sample_rate_hz)]
        if levels.level_dbfs < limits.min_level_dbfs:
            gain = min(
                10 ** ((SPEECH_LEVEL_DBFS - levels.level_dbfs) / 20), HIGHEST_PEAK / float(np.abs(samples_S).max())
            )
            samples_S = samples_S * np.float32(gain)
            done.append(f"made {20 * np.log10(gain):.1f} dB louder")
    return Mended(samples_S, done)


def _surplus(silence_s: float, limits: ValidationConfig) -> float:
    """Seconds to cut off where silence is too long: all but the margin."""
    return max(0.0, silence_s - MARGIN_S) if silence_s > limits.max_edge_silence_s else 0.0
