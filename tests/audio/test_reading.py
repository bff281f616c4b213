"""Recordings are read as coqui reads them, whatever their format, and damage is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from xtts_framework.audio.reading import BLOCK_VALUES, read_audio
from xtts_framework.errors import UserError


def write_noise(path: Path, samples: int = 4410, *, rate_hz: int = 22050, channels: int = 1, subtype: str = "") -> None:
    noise = np.random.default_rng(samples).uniform(-0.5, 0.5, (samples, channels))
    soundfile.write(path, noise, rate_hz, subtype=subtype or None)


def test_samples_at_the_wanted_rate_are_those_in_the_file(tmp_path: Path) -> None:
    write_noise(tmp_path / "a.wav", subtype="PCM_16")
    expected, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    samples = read_audio(tmp_path / "a.wav")
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, expected)


def test_channels_are_averaged_and_then_clipped(tmp_path: Path) -> None:
    stereo = np.array([[0.5, -0.25], [4.0, 0.0], [-4.0, 0.0], [3.0, -3.0]], dtype=np.float32)
    soundfile.write(tmp_path / "a.wav", stereo, 22050, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), np.float32([0.125, 1.0, -1.0, 0.0]))


@pytest.mark.parametrize("recorded_hz", [16000, 24000, 44100, 48000])
def test_a_tone_keeps_its_pitch_phase_and_level_when_resampled(tmp_path: Path, recorded_hz: int) -> None:
    def tone(rate_hz: int) -> np.ndarray:
        return 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)

    soundfile.write(tmp_path / "a.wav", tone(recorded_hz), recorded_hz, subtype="FLOAT")
    samples = read_audio(tmp_path / "a.wav")
    assert len(samples) == 22050
    interior = slice(500, -500)
    np.testing.assert_allclose(samples[interior], tone(22050)[interior], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "PCM_24"), ("a.flac", "PCM_16"), ("a.ogg", "VORBIS"), ("a.mp3", "MPEG_LAYER_III"), ("a.aiff", "PCM_16")],
)
def test_usual_formats_are_read(tmp_path: Path, name: str, subtype: str) -> None:
    write_noise(tmp_path / name, 22050, channels=2, subtype=subtype)
    assert len(read_audio(tmp_path / name)) == 22050


def test_a_recording_longer_than_a_block_is_read_whole(tmp_path: Path) -> None:
    write_noise(tmp_path / "a.wav", BLOCK_VALUES + 7, subtype="PCM_16")
    expected, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), expected)


def test_no_samples_are_no_error(tmp_path: Path) -> None:
    write_noise(tmp_path / "a.wav", 0, rate_hz=48000)
    assert read_audio(tmp_path / "a.wav").shape == (0,)


def test_what_is_no_audio_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio at all")
    with pytest.raises(UserError, match=r"text\.wav: cannot be read as audio"):
        read_audio(tmp_path / "text.wav")
    with pytest.raises(UserError, match=r"gone\.wav: no such recording"):
        read_audio(tmp_path / "gone.wav")


def test_samples_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.1, np.nan, 0.1]), 22050, subtype="FLOAT")
    with pytest.raises(UserError, match="NaN or infinite"):
        read_audio(tmp_path / "a.wav")
