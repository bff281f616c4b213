"""The demo dataset: natural sentences, the guide's layout, the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import pytest
import regex
import soundfile
from click.testing import CliRunner

from xtts_framework.cli.demo_data import command
from xtts_framework.errors import UserError
from xtts_framework.files import sha256_of
from xtts_framework.stages.demo_data import FAULTY_SENTENCES, MISSING_RECORDING, SPEAKERS, create_demo_data
from xtts_framework.stages.demo_data import demo_sentences as sentences


def rows_of(dataset: Path) -> list[list[str]]:
    return [line.split("|") for line in (dataset / "metadata.csv").read_text(encoding="utf-8").splitlines()]


def digests_of(dataset: Path) -> dict[str, str]:
    return {str(path.relative_to(dataset)): sha256_of(path) for path in dataset.rglob("*") if path.is_file()}


def test_there_are_over_three_hundred_different_amharic_sentences() -> None:
    assert len(sentences()) >= 320
    assert len(set(sentences())) == len(sentences())
    for sentence in sentences():
        assert regex.fullmatch(r"[\p{Ethiopic} ?!]+", sentence), sentence
        assert sentence[-1] in "።?!፧", sentence
        assert "  " not in sentence and sentence == sentence.strip()
    text = "".join(sentences())
    assert all(mark in text for mark in "።፣፤፧?!")


def test_the_layout_is_the_guides(speech_dataset: Path) -> None:
    rows = rows_of(speech_dataset)
    assert all(len(row) == 3 for row in rows)
    good, faulty = rows[:24], rows[24:]
    assert [text for _, text, _ in good] == sentences()[:24]
    assert {Path(file).stem.partition("_")[2] for file, _, _ in good} == set(SPEAKERS)
    assert len({file for file, _, _ in rows}) == len(rows)
    assert [text for _, text, _ in faulty] == [*FAULTY_SENTENCES, MISSING_RECORDING[1]]
    assert {path.name for path in (speech_dataset / "wavs").iterdir()} == {file for file, _, _ in rows[:-1]}
    for file, _, _ in good:
        info = soundfile.info(speech_dataset / "wavs" / file)
        assert (info.samplerate, info.channels, info.subtype) == (22050, 1, "PCM_16")
        assert 1.2 < info.duration < 8


def test_every_run_writes_the_same_bytes(speech_dataset: Path, tmp_path: Path) -> None:
    create_demo_data(tmp_path / "again", clips=24)
    assert digests_of(tmp_path / "again") == digests_of(speech_dataset)


def test_more_clips_than_sentences_times_speakers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give between 1 and"):
        create_demo_data(tmp_path / "data", clips=len(sentences()) * len(SPEAKERS) + 1)
    assert list(tmp_path.iterdir()) == []


def test_the_command_counts_what_it_made(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--out", str(tmp_path / "data"), "--clips", "2"])
    assert result.exit_code == 0, result.output
    assert "2 clips" in result.output and "5 rows that are faulty on purpose" in result.output
    assert len(rows_of(tmp_path / "data")) == 7
