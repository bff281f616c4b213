"""Levels are what they claim to be, to the frame and to the decibel, however the recording is cut into blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from xtts_framework.audio.levels import LevelMeter, Levels, measure_levels

RATE_HZ = 22050
DICE = np.random.default_rng(1)


def tone(seconds: float, level_dbfs: float) -> npt.NDArray[np.float32]:
    """A tone of 200 Hz with this RMS, swelling and fading ten times a second as speech does."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound = np.sin(2 * np.pi * 200 * time_s) * (1.05 + np.cos(2 * np.pi * 10 * time_s))
    return (sound * 10 ** (level_dbfs / 20) / np.sqrt(np.mean(sound**2))).astype(np.float32)


def silence(seconds: float) -> npt.NDArray[np.float32]:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def measure(*parts: npt.NDArray[np.float32]) -> Levels:
    return measure_levels(np.concatenate(parts), RATE_HZ)


@pytest.mark.parametrize("level_dbfs", [-12.0, -30.0, -50.0])
def test_level_and_noise_floor_are_in_decibels_of_full_scale(level_dbfs: float) -> None:
    speech = tone(3, level_dbfs)
    noise = (10 ** ((level_dbfs - 25) / 20) * DICE.normal(size=RATE_HZ)).astype(np.float32)
    found = measure(speech, noise)
    assert found.level_dbfs == pytest.approx(level_dbfs, abs=1)
    assert found.noise_floor_dbfs == pytest.approx(level_dbfs - 25, abs=1.5)
    assert found.speech_over_noise_db == pytest.approx(25, abs=1.5)


def test_zeros_do_not_hide_the_noise_beside_them() -> None:
    noisy = tone(3, -20) + (10 ** (-32 / 20) * DICE.normal(size=3 * RATE_HZ)).astype(np.float32)
    assert measure(silence(1), noisy, silence(1)).speech_over_noise_db == pytest.approx(12, abs=2)


def test_silence_is_measured_at_both_ends_to_the_frame() -> None:
    found = measure(silence(0.5), tone(2, -20), silence(1.5))
    assert found.leading_silence_s == pytest.approx(0.5, abs=0.04)
    assert found.trailing_silence_s == pytest.approx(1.5, abs=0.04)
    assert found.speech_share == pytest.approx(0.5, abs=0.03)


def test_quiet_background_is_silence_and_a_click_is_no_speech() -> None:
    background = (10 ** (-55 / 20) * DICE.normal(size=2 * RATE_HZ)).astype(np.float32)
    background[RATE_HZ] = 0.9
    found = measure(background, tone(2, -20))
    assert found.leading_silence_s == pytest.approx(2, abs=0.04)


@pytest.mark.parametrize("recording", [silence(2), (1e-4 * DICE.normal(size=RATE_HZ)).astype(np.float32)])
def test_a_recording_without_sound_has_no_speech(recording: npt.NDArray[np.float32]) -> None:
    assert measure(recording).speech_share == 0


def test_clipped_samples_are_counted_and_single_peaks_are_not() -> None:
    quiet = tone(1, -30)
    peaks = quiet.copy()
    peaks[::500] = 1
    assert measure(peaks).clipped_share == 0
    loud = np.clip(quiet * 100, -1, 1)
    full = np.abs(loud) >= 0.999
    assert measure(loud).clipped_share == pytest.approx((full[1:] & full[:-1]).mean(), abs=1e-4)


def test_offset_is_the_mean_sample_and_does_not_pass_for_sound() -> None:
    found = measure(silence(1) + np.float32(0.1), tone(1, -20) + np.float32(0.1))
    assert found.dc_offset == pytest.approx(0.1, abs=1e-3)
    assert found.leading_silence_s == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize(("second", "difference"), [(1.0, 0.0), (-1.0, 1.0), (0.0, 0.707)])
def test_channels_are_compared(second: float, difference: float) -> None:
    left = tone(1, -20)
    both_SC = np.stack([left, np.float32(second) * left], axis=1)
    meter = LevelMeter(RATE_HZ)
    meter.hear(both_SC, both_SC.mean(axis=1))
    assert meter.read().channel_difference == pytest.approx(difference, abs=0.01)


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=6))
def test_blocks_do_not_matter(lengths: list[int]) -> None:
    sound = np.clip(np.concatenate([silence(0.3), 30 * tone(1, -30), silence(0.4)]), -1, 1)
    meter = LevelMeter(RATE_HZ)
    start = 0
    for length in [*lengths, len(sound)]:
        block = sound[start : start + length]
        if len(block):
            meter.hear(block[:, None], block)
        start += length
    whole, parts = measure(sound), meter.read()
    for name in Levels.__dataclass_fields__:
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("samples", [1, 2, 440, 441, 442, 1000])
def test_the_shortest_recordings_can_be_measured(samples: int) -> None:
    assert measure(tone(1, -20)[:samples]).speech_share in (0, 1, pytest.approx(0.5))


def test_speech_of_espeak_is_sound_and_clean(speech_dataset: Path) -> None:
    for path in sorted((speech_dataset / "wavs").glob("*.wav"))[:10]:
        samples, rate_hz = soundfile.read(path, dtype="float32")
        found = measure_levels(samples, rate_hz)
        assert found.speech_share > 0.6
        assert found.speech_over_noise_db > 12
        assert found.clipped_share == 0
