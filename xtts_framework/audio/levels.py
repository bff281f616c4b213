"""How loud a recording is, where it is silent, and what is wrong with its samples. By energy alone, in one pass.

Levels are in dBFS: decibels relative to a full-scale sample, 0 at most. A frame is 20 ms of the channels' mean,
without its offset.

Array names carry their shape: S samples, C channels, F frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xtts_framework.audio.reading import Samples

FRAME_S = 0.02
FULL_SCALE = 0.999
"""A sample from here on may have been cut off; a clean recording touches it with single samples."""
QUIETEST_DBFS = -100.0
DIGITAL_SILENCE_DBFS = -90.0
"""No microphone is that quiet: somebody wrote zeros there, and they say nothing about the noise beside them."""
NO_SOUND_DBFS = -60.0
"""A recording whose loudest frames are below holds no speech. A quiet room on a good microphone is at about -60."""
ABOVE_FLOOR_DB = 10.0
DEEPEST_SPEECH_DB, LOUDEST_PAUSE_DB = 40.0, 20.0
"""Speech spans this much at most, and at least, below its loudest frames."""


@dataclass(frozen=True)
class Levels:
    """What the samples of a recording are like.

    Args:
        level_dbfs: RMS of its speech.
        noise_floor_dbfs: level that a hundredth of its frames stays below, digital silence left aside.
        speech_over_noise_db: the former above the latter, dB. With noise it is the signal-to-noise ratio; without,
            it is low only where somebody speaks without the shortest pause.
        speech_share: share of frames with speech, 0 to 1.
        leading_silence_s, trailing_silence_s: seconds before the first and after the last speech.
        clipped_share: share of samples in a row of two or more at full scale.
        dc_offset: mean sample, as a share of full scale; without sign.
        channel_difference: RMS of what the channels do not share, relative to their own: 0 for equal channels, 0.7 for
            two unrelated ones, 1 for two that cancel each other.
    """

    level_dbfs: float
    noise_floor_dbfs: float
    speech_over_noise_db: float
    speech_share: float
    leading_silence_s: float
    trailing_silence_s: float
    clipped_share: float
    dc_offset: float
    channel_difference: float


class LevelMeter:
    """Listens to a recording a block at a time. Holds 50 numbers per second."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._frame = max(1, round(FRAME_S * sample_rate_hz))
        self._sample_rate_hz = sample_rate_hz
        self._rest_S = np.zeros(0, np.float32)
        self._powers: list[npt.NDArray[np.float32]] = []
        self._samples = self._clipped = 0
        self._sum = self._own_power = self._unshared_power = 0.0
        self._was_full = False

    def hear(self, block_SC: Samples, mono_S: Samples) -> None:
        """Add the next block, finite samples [samples, channels], and the mean of its channels, [samples].

        Samples beyond full scale, which float files may hold, are cut off, as the model hears them.
        """
        block_SC, mono_S = np.clip(block_SC, -1.0, 1.0), np.clip(mono_S, -1.0, 1.0)
        self._samples += len(mono_S)
        self._sum += float(mono_S.sum(dtype=np.float64))
        if block_SC.shape[1] > 1:
            self._own_power += _power(block_SC)
            self._unshared_power += _power(block_SC - mono_S[:, None])
        self._count_clipped(block_SC)
        waiting_S = np.concatenate([self._rest_S, mono_S]) if len(self._rest_S) else mono_S
        whole = len(waiting_S) // self._frame * self._frame
        self._powers.append(_frame_powers(waiting_S[:whole].reshape(-1, self._frame)))
        self._rest_S = waiting_S[whole:]

    def _count_clipped(self, block_SC: Samples) -> None:
        if max(block_SC.max(), -block_SC.min()) < FULL_SCALE:
            self._was_full = False
            return
        full_S = np.any(np.abs(block_SC) >= FULL_SCALE, axis=1)
        after_full_S = np.concatenate([[self._was_full], full_S[:-1]])
        self._clipped += int((full_S & after_full_S).sum())
        self._was_full = bool(full_S[-1])

    def read(self) -> Levels:
        """What was heard so far; at least one sample."""
        if len(self._rest_S) and not any(map(len, self._powers)):
            self._powers.append(_frame_powers(self._rest_S[None]))
        levels_F = np.maximum(10 * np.log10(np.concatenate(self._powers) + 1e-20), QUIETEST_DBFS)
        speech_F = find_speech(levels_F)
        level = _mean_level(levels_F[speech_F] if speech_F.any() else levels_F)
        sounding_F = levels_F[levels_F > DIGITAL_SILENCE_DBFS]
        floor = float(np.percentile(sounding_F, 1)) if len(sounding_F) else QUIETEST_DBFS
        places = np.flatnonzero(speech_F)
        first, last = (int(places[0]), int(places[-1])) if len(places) else (len(levels_F), -1)
        frame_s = self._frame / self._sample_rate_hz
        return Levels(
            level_dbfs=level,
            noise_floor_dbfs=floor,
            speech_over_noise_db=level - floor,
            speech_share=float(speech_F.mean()),
            leading_silence_s=first * frame_s,
            trailing_silence_s=(len(levels_F) - 1 - last) * frame_s if len(places) else 0.0,
            clipped_share=self._clipped / self._samples,
            dc_offset=abs(self._sum / self._samples),
            channel_difference=(self._unshared_power / self._own_power) ** 0.5 if self._own_power > 0 else 0.0,
        )


def measure_levels(samples_S: Samples, sample_rate_hz: int) -> Levels:
    """Levels of a mono recording that is in memory, float32 [samples], at least one."""
    meter = LevelMeter(sample_rate_hz)
    meter.hear(samples_S[:, None], samples_S)
    return meter.read()


def find_speech(levels_F: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Which frames hold speech, as far as energy shows: loud enough, and not alone (a click is one frame).

    Args:
        levels_F: level of each frame, dBFS, [F].
    """
    floor, loudest = np.percentile(levels_F, [10, 95])
    threshold = np.clip(floor + ABOVE_FLOOR_DB, loudest - DEEPEST_SPEECH_DB, loudest - LOUDEST_PAUSE_DB)
    loud_F = levels_F > max(float(threshold), NO_SOUND_DBFS)
    if len(loud_F) < 3:
        return loud_F
    beside_F = np.zeros_like(loud_F)
    beside_F[1:] |= loud_F[:-1]
    beside_F[:-1] |= loud_F[1:]
    found: npt.NDArray[np.bool_] = loud_F & beside_F
    return found


def _frame_powers(frames_FS: Samples) -> npt.NDArray[np.float32]:
    """Mean square of each frame without its mean, [F]."""
    powers_F = np.einsum("fs,fs->f", frames_FS, frames_FS) / frames_FS.shape[1]
    varying_F: npt.NDArray[np.float32] = np.maximum(powers_F - frames_FS.mean(axis=1) ** 2, 0.0)
    return varying_F


def _mean_level(levels_F: npt.NDArray[np.floating]) -> float:
    return float(10 * np.log10(np.mean(10 ** (levels_F / 10))))


def _power(block: Samples) -> float:
    flat = block.ravel()
    return float(np.dot(flat, flat))
