"""A recording is found, hashed and measured, or has a code; nothing outside of the dataset is opened."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from xtts_framework.data.measuring import MAX_DECODED_S, Measurement, Problem, find_recording, measure_recording

RATE_HZ = 22050


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """`a.wav` beside the metadata, `b.wav` and `c.flac` in `wavs/`; `secret.wav` outside."""
    folder = tmp_path.resolve() / "dataset"
    (folder / "wavs").mkdir(parents=True)
    for name in ("a.wav", "wavs/b.wav", "wavs/c.flac", "../secret.wav"):
        soundfile.write(folder / name, np.full(RATE_HZ, 0.1), RATE_HZ)
    return folder


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("a.wav", "a.wav"),
        ("a", "a.wav"),
        ("b.wav", "wavs/b.wav"),
        ("b", "wavs/b.wav"),
        ("wavs/b", "wavs/b.wav"),
        ("./wavs/../a.wav", "a.wav"),
        ("c.flac", "wavs/c.flac"),
    ],
)
def test_a_file_is_found_with_and_without_suffix_and_folder(dataset: Path, written: str, found: str) -> None:
    assert find_recording(dataset, written) == found


def test_a_file_as_written_comes_before_one_in_wavs(dataset: Path) -> None:
    soundfile.write(dataset / "wavs" / "a.wav", np.zeros(9), RATE_HZ)
    assert find_recording(dataset, "a.wav") == "a.wav"


@pytest.mark.parametrize("written", ["", "gone.wav", "wavs", ".", "c", "x" * 5000, "a.wav/b.wav", "~/a.wav"])
def test_what_is_no_file_is_missing(dataset: Path, written: str) -> None:
    found = find_recording(dataset, written)
    assert isinstance(found, Problem)
    assert found.code == "missing_audio"


def test_what_lies_outside_is_refused_by_every_way_there(dataset: Path) -> None:
    secret = dataset.parent / "secret.wav"
    (dataset / "link.wav").symlink_to(secret)
    (dataset / "wavs" / "folder").symlink_to(dataset.parent)
    for written in (
        "../secret.wav",
        str(secret),
        "wavs/../../secret.wav",
        "link.wav",
        "folder/secret.wav",
        "../secret",
    ):
        found = find_recording(dataset, written)
        assert isinstance(found, Problem), written
        assert found.code == "outside_dataset", written


def test_a_link_within_the_dataset_is_followed(dataset: Path) -> None:
    (dataset / "wavs" / "again.wav").symlink_to(dataset / "a.wav")
    assert find_recording(dataset, "again") == "wavs/again.wav"


def test_a_recording_is_measured_by_its_samples_and_hashed_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros((11025, 2)), RATE_HZ)
    measured = measure_recording(path)
    assert measured.problem is None
    assert measured.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (measured.samples, measured.sample_rate_hz, measured.channels) == (11025, RATE_HZ, 2)
    assert (measured.duration_s, measured.finite) == (0.5, True)


@pytest.mark.parametrize(
    ("name", "subtype"), [("a.wav", "PCM_16"), ("a.aiff", "PCM_16"), ("a.flac", "PCM_16"), ("a.mp3", "MPEG_LAYER_III")]
)
def test_a_truncated_recording_is_noticed(tmp_path: Path, name: str, subtype: str) -> None:
    path = tmp_path / name
    soundfile.write(path, np.random.default_rng(1).uniform(-0.5, 0.5, RATE_HZ), RATE_HZ, subtype=subtype)
    assert measure_recording(path).problem is None
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    problem = measure_recording(path).problem
    assert problem is not None
    assert problem.code in ("truncated_audio", "unreadable_audio")


@pytest.mark.parametrize(
    ("content", "detail"),
    [(b"", "the file is empty"), (b"RIFF", "damaged, or not audio"), (b"text\n" * 99, "damaged, or not audio")],
)
def test_what_is_no_audio_is_unreadable(tmp_path: Path, content: bytes, detail: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    assert measure_recording(tmp_path / "a.wav").problem == Problem("unreadable_audio", detail)


def test_a_recording_that_vanishes_meanwhile_is_unreadable(tmp_path: Path) -> None:
    problem = measure_recording(tmp_path / "gone.wav").problem
    assert problem == Problem("unreadable_audio", "No such file or directory")


def measure(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, **options: str) -> Measurement:
    soundfile.write(path, samples, rate_hz, **options)
    return measure_recording(path)


def test_the_same_sound_has_the_same_content_in_any_lossless_file(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).integers(-9000, 9000, RATE_HZ, dtype=np.int16)
    wav = measure(tmp_path / "a.wav", samples)
    others = [
        measure(tmp_path / "a.flac", samples),
        measure(tmp_path / "float.wav", samples / 2**15, subtype="FLOAT"),
        measure(tmp_path / "stereo.wav", np.stack([samples, samples], axis=1)),
    ]
    assert {other.content_sha256 for other in others} == {wav.content_sha256}
    assert wav.sha256 not in {other.sha256 for other in others}
    assert measure(tmp_path / "b.wav", samples[:-1]).content_sha256 != wav.content_sha256
    assert measure(tmp_path / "c.wav", samples, 16000).content_sha256 != wav.content_sha256


def test_levels_are_measured_of_what_can_be_a_clip(tmp_path: Path) -> None:
    tone = 0.1 * np.sin(np.arange(RATE_HZ))
    sound = measure(tmp_path / "a.wav", np.stack([tone, np.zeros(RATE_HZ)], axis=1))
    assert sound.levels is not None
    assert sound.levels.channel_difference > 0.5
    assert measure(tmp_path / "long.wav", np.tile(tone, 61)).levels is None
    assert measure(tmp_path / "nan.wav", np.full(RATE_HZ, np.nan), subtype="FLOAT").levels is None


def test_hours_of_silence_in_a_few_kilobytes_are_not_decoded_to_their_end(tmp_path: Path) -> None:
    path = tmp_path / "bomb.flac"
    seconds = 2 * MAX_DECODED_S
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as sound:
        for _ in range(seconds):
            sound.write(np.zeros(8000))
    found = measure_recording(path)
    assert (found.problem, found.duration_s, found.levels) == (None, seconds, None)
