"""What is mended passes the checks afterwards; what is sound stays as it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from xtts_framework.audio.levels import measure_levels
from xtts_framework.audio.mending import MARGIN_S, SPEECH_LEVEL_DBFS, mend
from xtts_framework.config import ValidationConfig

RATE_HZ = 22050
LIMITS = ValidationConfig()
TIME_S = np.arange(2 * RATE_HZ) / RATE_HZ
SPEECH = (0.2 * np.sin(2 * np.pi * 200 * TIME_S) * (1.05 + np.cos(20 * np.pi * TIME_S))).astype(np.float32)


def silence(seconds: float) -> npt.NDArray[np.float32]:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def test_a_sound_recording_stays_bit_for_bit() -> None:
    samples = np.concatenate([silence(0.9), SPEECH, silence(0.9)])
    mended = mend(samples, RATE_HZ, LIMITS)
    assert mended.done == []
    assert np.array_equal(mended.samples_S, samples)


def test_long_silence_is_cut_off_to_a_margin_and_no_speech_with_it() -> None:
    mended = mend(np.concatenate([silence(3), SPEECH, silence(2)]), RATE_HZ, LIMITS)
    assert len(mended.samples_S) / RATE_HZ == pytest.approx(2 + 2 * MARGIN_S, abs=0.05)
    assert np.sum(mended.samples_S**2) == pytest.approx(np.sum(SPEECH**2), rel=1e-5)
    assert [words.split(" of ")[0] for words in mended.done] == ["2.80 s", "1.80 s"]


def test_quiet_speech_is_raised_to_the_usual_level_without_clipping() -> None:
    mended = mend(SPEECH * np.float32(0.01), RATE_HZ, LIMITS)
    assert measure_levels(mended.samples_S, RATE_HZ).level_dbfs == pytest.approx(SPEECH_LEVEL_DBFS, abs=0.5)
    peaky = SPEECH * np.float32(0.01)
    peaky[RATE_HZ] = 0.5
    assert np.abs(mend(peaky, RATE_HZ, LIMITS).samples_S).max() < 0.9


def test_an_offset_is_removed() -> None:
    mended = mend(SPEECH + np.float32(0.2), RATE_HZ, LIMITS)
    assert abs(mended.samples_S.mean()) < 1e-4
    assert mended.done == ["centred, it was off by 0.200"]


def test_nothing_is_cut_off_where_there_is_no_speech() -> None:
    assert len(mend(silence(5), RATE_HZ, LIMITS).samples_S) == 5 * RATE_HZ
