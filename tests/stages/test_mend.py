"""A mended copy: every row accounted for, the dataset untouched, and what was mended passes the checks."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from xtts_framework.config import ValidateConfig
from xtts_framework.errors import UserError
from xtts_framework.files import read_json
from xtts_framework.layout import DatasetFolder
from xtts_framework.locks import alone
from xtts_framework.stages.mend import lock_of, write_mended_copy
from xtts_framework.stages.validate import validate

RATE_HZ = 22050
TEXTS = "ሰላም ዓለም", "እንዴት ነህ", "ደህና ነኝ", "መልካም ቀን", "እንገናኝ", "ቻው"


def speech(seed: int, rate_hz: int = RATE_HZ) -> np.ndarray:
    time_s = np.arange(2 * rate_hz) / rate_hz
    return 0.2 * np.sin(2 * np.pi * (150 + 10 * seed) * time_s) * (1.001 + np.cos(10 * np.pi * time_s))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A sound clip; long silences, quiet; 48 kHz stereo FLAC; an offset; 16 kHz; then rows that cannot be mended."""
    folder = tmp_path / "dataset"
    (folder / "wavs").mkdir(parents=True)
    wavs = folder / "wavs"
    soundfile.write(wavs / "sound.wav", speech(0), RATE_HZ)
    soundfile.write(
        wavs / "silent.wav", np.concatenate([np.zeros(3 * RATE_HZ), 0.01 * speech(1), np.zeros(60000)]), RATE_HZ
    )
    soundfile.write(wavs / "stereo.flac", np.stack([speech(2, 48000)] * 2, axis=1), 48000, subtype="PCM_24")
    soundfile.write(wavs / "offset.wav", speech(3) + 0.1, RATE_HZ)
    soundfile.write(wavs / "low.wav", speech(4, 16000), 16000)
    soundfile.write(wavs / "nan.wav", np.full(RATE_HZ, np.nan), RATE_HZ, subtype="FLOAT")
    names = ["sound", "silent", "stereo.flac", "offset", "low", "nan"]
    rows = [f"{name}|{text}|speaker" for name, text in zip(names, TEXTS, strict=True)]
    rows += ['sound.wav|"ሌላ | ጽሑፍ"|speaker', "gone|ሰላም|speaker", "one|two|three|four"]
    (folder / "metadata.csv").write_text("audio_file|text|speaker_name\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return folder


def config_of(dataset: Path) -> ValidateConfig:
    return ValidateConfig.model_validate({"dataset": {"path": dataset, "language": "am"}})


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_row_says_what_was_done_to_it(dataset: Path, tmp_path: Path) -> None:
    before = contents(dataset)
    write_mended_copy(config_of(dataset), tmp_path / "copy")
    assert contents(dataset) == before
    with (tmp_path / "copy" / "fixes.csv").open(encoding="utf-8", newline="") as stream:
        fixes = {int(row["line"]): row for row in csv.DictReader(stream)}
    assert set(fixes) == set(range(2, 11))
    assert fixes[2]["done"] == fixes[8]["done"] == ""
    assert "silence cut off at its start; 2.5" in fixes[3]["done"]
    assert "dB louder" in fixes[3]["done"]
    assert fixes[4]["done"] == "encoded again, from FLAC PCM_24; 2 channels averaged; resampled from 48000 Hz"
    assert fixes[5]["done"] == "centred, it was off by 0.100"
    assert fixes[6]["done"] == ""
    for line, code in ((7, "non_finite_samples"), (9, "missing_audio"), (10, "wrong_field_count")):
        assert fixes[line]["done"].startswith("left out: ")
        assert code in fixes[line]["done"]
        assert fixes[line]["new_file"] == ""


def test_the_copy_is_a_dataset_that_passes_what_was_mended(dataset: Path, tmp_path: Path) -> None:
    write_mended_copy(config_of(dataset), tmp_path / "copy")
    out = DatasetFolder(tmp_path / "results")
    validate(config_of(tmp_path / "copy"), out)
    manifest = pl.read_parquet(out.manifest)
    assert manifest["text"].to_list() == list(TEXTS[:5])
    assert set(manifest["speaker"]) == {"speaker"}
    assert manifest["sample_rate_hz"].to_list() == [RATE_HZ] * 4 + [16000]
    assert set(manifest["channels"]) == {1}
    validation = read_json(out.validation)
    assert validation["codes"] == {"duplicate_file": 1, "unknown_character": 1}
    assert not {"leading_silence", "trailing_silence", "low_level", "dc_offset"} & set(validation["warnings"])
    sound = (dataset / "wavs" / "sound.wav").read_bytes()
    assert (tmp_path / "copy" / "wavs" / "sound.wav").read_bytes() == sound


def test_rows_keep_all_their_columns(dataset: Path, tmp_path: Path) -> None:
    rows = "sound|calm|ሰላም 2|ሰላም ሁለት\nsilent|loud|ዓለም|\n"
    (dataset / "metadata.csv").write_text(f"audio_file|emotion_name|text|normalized\n{rows}", encoding="utf-8")
    write_mended_copy(config_of(dataset), tmp_path / "copy")
    assert (tmp_path / "copy" / "metadata.csv").read_text(encoding="utf-8").splitlines() == [
        "audio_file|emotion_name|text|normalized",
        "wavs/sound.wav|calm|ሰላም 2|ሰላም ሁለት",
        "wavs/silent.wav|loud|ዓለም|",
    ]
    (dataset / "metadata.csv").write_text("sound|ሰላም 2|ሰላም ሁለት\nsilent|ዓለም\n", encoding="utf-8")
    write_mended_copy(config_of(dataset), tmp_path / "headerless")
    assert (tmp_path / "headerless" / "metadata.csv").read_text(encoding="utf-8").splitlines() == [
        "wavs/sound.wav|ሰላም 2|ሰላም ሁለት",
        "wavs/silent.wav|ዓለም",
    ]


def test_nothing_is_ever_replaced(dataset: Path, tmp_path: Path) -> None:
    """Nor a copy: people correct texts in it."""
    write_mended_copy(config_of(dataset), tmp_path / "copy")
    first = contents(tmp_path / "copy")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    for out in (tmp_path / "copy", tmp_path / "letters", dataset, dataset / "copy", dataset.parent):
        with pytest.raises(UserError, match="choose"):
            write_mended_copy(config_of(dataset), out)
    assert contents(tmp_path / "copy") == first
    assert (tmp_path / "letters" / "love.txt").read_text() == "dear"
    assert not (dataset / "copy").exists()


def test_a_copy_that_another_process_writes_is_left_alone(dataset: Path, tmp_path: Path) -> None:
    with (
        alone(lock_of(tmp_path / "copy"), "xtts validate --fix"),
        pytest.raises(UserError, match="another `xtts validate --fix` is writing there"),
    ):
        write_mended_copy(config_of(dataset), tmp_path / "copy")


def test_a_copy_of_a_copy_mends_nothing(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mended_copy(config_of(dataset), tmp_path / "copy")
    capsys.readouterr()
    write_mended_copy(config_of(tmp_path / "copy"), tmp_path / "again")
    assert "6 rows, 0 mended, 0 left out" in capsys.readouterr().err
