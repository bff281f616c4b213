"""Every fault of a recording has its code, and nothing outside of the dataset is opened."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from xtts_framework.config import ValidationConfig
from xtts_framework.data.checks import Problem, check_limits, find_duplicates, find_recording, measure_recording

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
def test_a_truncated_recording_is_unreadable(tmp_path: Path, name: str, subtype: str) -> None:
    path = tmp_path / name
    soundfile.write(path, np.random.default_rng(1).uniform(-0.5, 0.5, RATE_HZ), RATE_HZ, subtype=subtype)
    assert measure_recording(path).problem is None
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    problem = measure_recording(path).problem
    assert problem is not None
    assert problem.code == "unreadable_audio"


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


def tabulate(**columns: list[object]) -> pl.DataFrame:
    measured: dict[str, list[object]] = {
        "samples": [RATE_HZ],
        "duration_s": [1.0],
        "sample_rate_hz": [RATE_HZ],
        "finite": [True],
        "normalized": ["ሰላም"],
    }
    schema = {
        "samples": pl.Int64,
        "duration_s": pl.Float64,
        "sample_rate_hz": pl.Int64,
        "finite": pl.Boolean,
        "normalized": pl.String,
    }
    return pl.DataFrame(measured | columns, schema=schema)


@pytest.mark.parametrize(
    ("column", "value", "codes"),
    [
        ("samples", 0, ["empty_audio"]),
        ("duration_s", 0.4999, ["too_short"]),
        ("duration_s", 0.5, []),
        ("duration_s", 11.6, []),
        ("duration_s", 11.601, ["too_long"]),
        ("sample_rate_hz", 15999, ["low_sample_rate"]),
        ("sample_rate_hz", 16000, []),
        ("finite", False, ["non_finite_samples"]),
        ("normalized", "", ["empty_text"]),
        ("normalized", "ሀ" * 400, []),
        ("normalized", "ሀ" * 401, ["text_too_long"]),
        ("duration_s", None, []),
        ("normalized", None, []),
    ],
)
def test_limits_hold_to_the_last_value(column: str, value: object, codes: list[str]) -> None:
    found = list(check_limits(tabulate(**{column: [value]}), ValidationConfig()))
    assert [problem.code for _, problem in found] == codes


def test_all_limits_that_a_row_breaks_are_told_at_once_with_its_values() -> None:
    row: dict[str, list[object]] = {"duration_s": [30.0], "sample_rate_hz": [8000], "finite": [False]}
    problems = {problem.code: problem.detail for _, problem in check_limits(tabulate(**row), ValidationConfig())}
    assert problems == {
        "too_long": "30.00 s, longer than 11.6 s",
        "low_sample_rate": "8000 Hz, below 16000 Hz",
        "non_finite_samples": "has samples that are NaN or infinite",
    }


def test_of_one_recording_the_first_sound_row_stays() -> None:
    measured = pl.DataFrame(
        {
            "line": [1, 2, 3, 4, 5],
            "file": ["a.wav", "a.wav", "copy.wav", "a.wav", "gone.wav"],
            "text": ["2 ብር", "ሁለት ብር", "ሁለት ብር", "ሌላ", "ሌላ"],
            "audio_sha256": ["x", "x", "x", "x", None],
        }
    )
    known = [[Problem("digits", "")], [], [], [], []]
    assert list(find_duplicates(measured, known)) == [
        (2, Problem("duplicate_audio", "the same recording as a.wav in line 2")),
        (3, Problem("duplicate_file", "listed already in line 2, with another text: ሁለት ብር")),
    ]
