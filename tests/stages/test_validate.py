"""Every row is accepted or refused with all its reasons; nothing is lost, changed, or read outside of the dataset."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest
import soundfile
from pydantic import ValidationError

from xtts_framework.config import ValidateConfig
from xtts_framework.data.manifest import MANIFEST
from xtts_framework.errors import UserError
from xtts_framework.files import read_json
from xtts_framework.layout import DatasetFolder
from xtts_framework.locks import alone
from xtts_framework.stages.validate import LOCK_FILE, validate

RATE_HZ = 22050
LETTERS = "ሀለሐመሠረሰሸቀበተቸኀነኘአከኸወዐዘዠየደጀገጠጨጰጸፀፈፐ"


def distinct_text(number: int) -> str:
    return f"ሰላም {LETTERS[number // len(LETTERS)]}{LETTERS[number % len(LETTERS)]}"


def write_noise(path: Path, seed: int, seconds: float = 1.0, rate_hz: int = RATE_HZ, **options: Any) -> None:
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate_hz))
    soundfile.write(path, noise, rate_hz, **options)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six good clips."""
    folder = tmp_path / "dataset"
    (folder / "wavs").mkdir(parents=True)
    for number in range(6):
        write_noise(folder / "wavs" / f"clip{number}.wav", number)
    (folder / "metadata.csv").write_text("".join(f"clip{n}.wav|{distinct_text(n)}\n" for n in range(6)))
    return folder


@pytest.fixture
def run(
    dataset: Path, tmp_path: Path
) -> Callable[..., tuple[DatasetFolder, dict[str, Any], dict[int, dict[str, str]]]]:
    """Validates `dataset`; returns the results, `validation.json` and the rejects by line."""

    def run(**options: Any) -> tuple[DatasetFolder, dict[str, Any], dict[int, dict[str, str]]]:
        out = DatasetFolder(tmp_path / "results" / "datasets" / "d")
        config = ValidateConfig.model_validate({"dataset": {"path": dataset, "language": "am", **options}})
        validate(config, out)
        return out, read_json(out.validation), read_rejects(out)

    return run


def read_rejects(out: DatasetFolder) -> dict[int, dict[str, str]]:
    return read_rows_of(out.rejects)


def read_rows_of(path: Path) -> dict[int, dict[str, str]]:
    """Rows of `rejects.csv` or `warnings.csv` by line."""
    with path.open(encoding="utf-8", newline="") as stream:
        return {int(row["line"]): row for row in csv.DictReader(stream)}


def write_speech(path: Path, seed: int, *, before_s: float = 0, gain: float = 1.0) -> None:
    """Two seconds that pass for clean speech: a tone that swells and fades, its pitch by `seed`; silence before it."""
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    sound = 0.2 * np.sin(2 * np.pi * (150 + 10 * seed) * time_s) * (1.001 + np.cos(2 * np.pi * 5 * time_s))
    soundfile.write(path, np.concatenate([np.zeros(round(before_s * RATE_HZ)), gain * sound]), RATE_HZ)


def add_rows(dataset: Path, *rows: str) -> None:
    with (dataset / "metadata.csv").open("a", encoding="utf-8") as stream:
        stream.writelines(f"{row}\n" for row in rows)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_good_rows_become_the_manifest(run: Any, dataset: Path) -> None:
    out, validation, rejects = run()
    manifest = pl.read_parquet(out.manifest)
    assert manifest.columns == list(MANIFEST.columns)
    assert manifest["clip_id"].to_list() == [f"clip{number}" for number in range(6)]
    assert manifest.row(0, named=True) | {"split": "train"} == {
        "clip_id": "clip0",
        "line": 1,
        "file": "wavs/clip0.wav",
        "audio_sha256": hashlib.sha256((dataset / "wavs" / "clip0.wav").read_bytes()).hexdigest(),
        "duration_s": 1.0,
        "sample_rate_hz": RATE_HZ,
        "channels": 1,
        "text": distinct_text(0),
        "normalized": distinct_text(0),
        "speaker": "",
        "language": "am",
        "split": "train",
    }
    assert manifest["split"].value_counts().sort("split").rows() == [("eval", 3), ("train", 3)]
    assert rejects == {}
    assert {key: validation[key] for key in ("rows", "accepted", "rejected", "codes", "train", "eval")} == {
        "rows": 6,
        "accepted": 6,
        "rejected": 0,
        "codes": {},
        "train": 3,
        "eval": 3,
    }
    assert validation["duration_s"] == {"train": 3.0, "eval": 3.0}
    assert sum(validation["histograms"]["duration_s"]["counts"]) == 6
    assert sum(validation["histograms"]["characters_per_second"]["counts"]) == 6


def test_every_fault_has_its_code_and_a_row_has_all_of_its_codes(run: Any, dataset: Path) -> None:
    wavs = dataset / "wavs"
    write_noise(wavs / "short.wav", 10, seconds=0.2, rate_hz=8000)
    write_noise(wavs / "long.wav", 11, seconds=12)
    write_noise(wavs / "none.wav", 12, seconds=0)
    write_noise(wavs / "cut.wav", 13)
    (wavs / "cut.wav").write_bytes((wavs / "cut.wav").read_bytes()[:-100])
    (wavs / "text.wav").write_text("not audio")
    (wavs / "empty.wav").touch()
    write_noise(dataset.parent / "outside.wav", 14)
    soundfile.write(wavs / "nan.wav", np.full(RATE_HZ, np.nan), RATE_HZ, subtype="FLOAT")
    (wavs / "copy.wav").write_bytes((wavs / "clip0.wav").read_bytes())
    expected = {
        "short.wav|በ፩፪ ሰላም": {"too_short", "low_sample_rate", "malformed_numeral"},
        "long.wav|ሰላም": {"too_long", "length_mismatch"},
        "none.wav|ሰላም": {"empty_audio"},
        "cut.wav|ሰላም": {"truncated_audio"},
        "text.wav|": {"unreadable_audio", "empty_text"},
        "empty.wav|ሰላም": {"unreadable_audio"},
        "nan.wav|ሰላም": {"non_finite_samples"},
        "copy.wav|ሰላም": {"duplicate_audio"},
        "clip1.wav|ሌላ": {"duplicate_file"},
        "gone.wav|ሰላም": {"missing_audio"},
        "../outside.wav|ሰላም": {"outside_dataset"},
        "/etc/hostname|ሰላም": {"outside_dataset"},
        f"gone2.wav|{'ሀ' * 500}": {"missing_audio", "text_too_long"},
        "clip2.wav|ሰላም|ዓለም|x|y": {"wrong_field_count"},
        "lonely": {"wrong_field_count"},
    }
    add_rows(dataset, *expected)
    out, validation, rejects = run()
    assert {line: set(row["codes"].split(";")) for line, row in rejects.items()} == dict(
        enumerate(expected.values(), start=7)
    )
    assert pl.read_parquet(out.manifest)["line"].to_list() == [1, 2, 3, 4, 5, 6]
    assert (validation["rows"], validation["accepted"], validation["rejected"]) == (21, 6, 15)
    assert sum(validation["codes"].values()) == sum(map(len, expected.values()))
    assert rejects[20]["detail"] == ("expected 2 or 3 fields separated by '|', found 5. clip2.wav|ሰላም|ዓለም|x|y")
    assert validation["examples"]["too_long"] == [
        {"line": 8, "file": "long.wav", "detail": "12.00 s, longer than 11.6 s"}
    ]


@pytest.fixture
def speech(dataset: Path) -> Path:
    """The same six clips, of clean speech."""
    for number in range(6):
        write_speech(dataset / "wavs" / f"clip{number}.wav", number)
    return dataset


def test_clean_speech_has_no_warnings(run: Any, speech: Path) -> None:
    out, validation, _ = run()
    assert read_rows_of(out.warnings) == {}
    assert (validation["warnings"], validation["warned"]) == ({}, 0)


def test_warnings_name_rows_that_train_with_what_was_measured(run: Any, speech: Path) -> None:
    write_speech(speech / "wavs" / "clip2.wav", 2, before_s=3)
    write_speech(speech / "wavs" / "clip3.wav", 3, gain=0.02)
    add_rows(speech, "gone.wav|2015 ሰላም")
    out, validation, rejects = run()
    warnings = read_rows_of(out.warnings)
    assert {line: row["codes"] for line, row in warnings.items()} == {3: "leading_silence", 4: "low_level"}
    assert float(warnings[3]["leading_silence_s"]) == pytest.approx(3, abs=0.05)
    assert float(warnings[4]["level_dbfs"]) == pytest.approx(-48.5, abs=1)
    assert warnings[3]["duration_s"] == "5.0"
    assert set(rejects) == {7}
    assert pl.read_parquet(out.manifest)["line"].to_list() == [1, 2, 3, 4, 5, 6]
    assert validation["warnings"] == {"leading_silence": 1, "low_level": 1}
    assert (validation["accepted"], validation["warned"]) == (6, 2)
    assert {problem["code"] for problem in validation["dataset"]} == {"few_clips", "few_minutes"}


def test_the_configuration_decides_what_a_finding_means(run: Any, speech: Path) -> None:
    write_speech(speech / "wavs" / "clip2.wav", 2, before_s=3)
    write_speech(speech / "wavs" / "clip3.wav", 3, gain=0.02)
    out, validation, rejects = run(validation={"severity": {"leading_silence": "reject", "low_level": "ignore"}})
    assert {line: row["codes"] for line, row in rejects.items()} == {3: "leading_silence"}
    assert read_rows_of(out.warnings) == {}
    assert validation["accepted"] == 5
    with pytest.raises(ValidationError, match="missing_audio"):
        run(validation={"severity": {"missing_audio": "warn"}})


def test_worst_rows_come_first_and_can_be_heard(run: Any, speech: Path) -> None:
    for number, seconds in enumerate((2, 4, 3)):
        write_speech(speech / "wavs" / f"clip{number}.wav", number, before_s=seconds)
    out, validation, _ = run()
    assert [row["line"] for row in validation["examples"]["leading_silence"]] == [2, 3, 1]
    page = out.validation_page.read_text(encoding="utf-8")
    assert page.count("<audio") == 3
    assert "There is a long silence before the speech." in page
    assert "<svg" in page


def test_sides_stay_when_rows_are_added_and_removed(run: Any, speech: Path) -> None:
    """Three of six are held out, and three of forty would be too few: a bound acts in both."""
    out, *_ = run()
    before = dict(pl.read_parquet(out.manifest).select("file", "split").iter_rows())
    for number in range(6, 40):
        write_speech(speech / "wavs" / f"clip{number}.wav", number)
        add_rows(speech, f"clip{number}.wav|{distinct_text(number)}")
    run()
    grown = dict(pl.read_parquet(out.manifest).select("file", "split").iter_rows())
    assert {file: grown[file] for file in before} == before
    assert list(grown.values()).count("eval") == 20
    lines = (speech / "metadata.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (speech / "metadata.csv").write_text("".join(reversed(lines[1:])), encoding="utf-8")
    run()
    shrunk = dict(pl.read_parquet(out.manifest).select("file", "split").iter_rows())
    assert shrunk == {file: side for file, side in grown.items() if file != "wavs/clip0.wav"}
    out.sides.unlink()
    run()
    assert out.sides.is_file()


def test_a_new_row_between_train_and_eval_is_refused(run: Any, speech: Path) -> None:
    metadata = "".join(f"clip{n}.wav|{distinct_text(n)}|film {n}\n" for n in range(6))
    (speech / "metadata.csv").write_text(f"audio_file|text|recording\n{metadata}", encoding="utf-8")
    out, *_ = run()
    sides = dict(pl.read_parquet(out.manifest).select("split", "line").iter_rows())
    train, held_out = sides["train"] - 2, sides["eval"] - 2
    write_speech(speech / "wavs" / "bridge.wav", 9)
    add_rows(speech, f"bridge.wav|{distinct_text(train)}|film {held_out}")
    _, validation, rejects = run()
    assert rejects[8]["codes"] == "in_train_and_eval"
    assert rejects[8]["detail"] == (
        f"its text {distinct_text(train)} trains, its recording film {held_out} is held out"
    )
    assert validation["rows"] == validation["accepted"] + validation["rejected"] == 7


def test_processes_find_what_threads_find(run: Any, speech: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_rows(speech, "gone.wav|ሰላም", "clip1.wav|this is english", "lonely")
    out, *_ = run()
    by_threads = contents(out.path)
    monkeypatch.setattr("xtts_framework.data.survey.ROWS_FOR_PROCESSES", 0)
    monkeypatch.setattr("xtts_framework.data.survey.ROWS_AT_ONCE", 2)
    run()
    assert contents(out.path) == by_threads


def test_speakers_come_from_coquis_header(run: Any, dataset: Path) -> None:
    rows = "".join(f"wavs/clip{n}.wav|{distinct_text(n)}|speaker{n % 2}\n" for n in range(6))
    (dataset / "metadata.csv").write_text(f"audio_file|text|speaker_name\n{rows}")
    out, validation, _ = run()
    assert pl.read_parquet(out.manifest)["speaker"].to_list() == ["speaker0", "speaker1"] * 3
    assert validation["speakers"] == {"speaker0": 3, "speaker1": 3}


def test_the_dataset_is_only_read_and_twice_gives_the_same_bytes(run: Any, dataset: Path) -> None:
    add_rows(dataset, "gone.wav|ሰላም", "clip1.wav|ሌላ")
    before = contents(dataset)
    out, *_ = run()
    first = contents(out.path)
    run()
    assert contents(dataset) == before
    assert contents(out.path) == first
    assert len(first) == 6


def test_a_dataset_without_a_good_row_is_refused_with_its_reasons(run: Any, dataset: Path, tmp_path: Path) -> None:
    out, *_ = run()
    (dataset / "metadata.csv").write_text("gone.wav|ሰላም\ngone.wav|2015\n")
    with pytest.raises(UserError) as error:
        run()
    assert "not one of 2 rows is fit for training" in str(error.value)
    assert "missing_audio: 2, such as line 1, gone.wav: no such recording" in str(error.value)
    assert str(out.rejects) in str(error.value)
    assert not out.manifest.exists()
    assert set(read_rejects(out)) == {1, 2}
    validation = read_json(out.validation)
    assert (validation["rows"], validation["accepted"], validation["rejected"], validation["train"]) == (2, 0, 2, 0)


def test_one_good_clip_alone_is_refused(run: Any, dataset: Path) -> None:
    (dataset / "metadata.csv").write_text("clip0.wav|ሰላም\n")
    with pytest.raises(UserError, match="two clips with different texts"):
        run()


def test_mistakes_of_the_whole_dataset_are_named(run: Any, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"elsewhere: no such folder; expected a dataset"):
        run(path=tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"other\.csv: cannot be read"):
        run(metadata="other.csv")
    with pytest.raises(UserError, match=r"language 'xx'.*\n?.*am"):
        run(language="xx")


def test_an_output_that_cannot_be_written_is_refused_before_the_work(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = ValidateConfig.model_validate({"dataset": {"path": dataset, "language": "am"}})
    with pytest.raises(UserError, match=r"file/results: results cannot be written there"):
        validate(config, DatasetFolder(tmp_path / "file" / "results"))


def test_results_never_go_into_the_dataset(run: Any, dataset: Path) -> None:
    before = contents(dataset)
    config = ValidateConfig.model_validate({"dataset": {"path": dataset, "language": "am"}})
    for out in (dataset, dataset / "checked"):
        with pytest.raises(UserError, match="which is only read"):
            validate(config, DatasetFolder(out))
    assert contents(dataset) == before


def test_two_at_once_do_not_mix_their_results(run: Any, tmp_path: Path) -> None:
    with (
        alone(tmp_path / "results" / "datasets" / "d" / LOCK_FILE, "xtts validate"),
        pytest.raises(UserError, match="another `xtts validate` is writing there"),
    ):
        run()


def test_metadata_that_leads_out_is_not_read(run: Any, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret.wav|ሰላም\n")
    (dataset / "metadata.csv").unlink()
    (dataset / "metadata.csv").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="leads out of the dataset folder"):
        run()


def test_silence_is_silent_and_nothing_else(run: Any, speech: Path) -> None:
    write_speech(speech / "wavs" / "clip2.wav", 2, gain=0)
    out, _, rejects = run()
    assert rejects[3]["codes"] == "mostly_silent"
    assert read_rows_of(out.warnings) == {}


def test_the_command_ends_in_a_message_and_imports_no_torch(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "validate.yaml").write_text(f"dataset: {{path: {dataset}, language: am}}\n")
    program = (
        "import sys; from xtts_framework.cli.main import main\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted({'torch', 'TTS', 'transformers'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, "validate", "--config", tmp_path / "validate.yaml", "--out"]
    done = subprocess.run([*command, tmp_path / "out"], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert "6 rows: 6 accepted (3 to train, 3 to evaluate, 0.00 h), 0 rejected" in done.stderr
    (dataset / "metadata.csv").unlink()
    failed = subprocess.run([*command, tmp_path / "out"], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ")
    assert "Traceback" not in failed.stderr


def test_the_demos_faulty_rows_are_refused_and_the_others_accepted(speech_dataset: Path, tmp_path: Path) -> None:
    out = DatasetFolder(tmp_path / "out")
    validate(ValidateConfig.model_validate({"dataset": {"path": speech_dataset, "language": "am"}}), out)
    assert pl.read_parquet(out.manifest)["line"].to_list() == list(range(1, 25))
    assert set(read_rejects(out)) == {25, 26, 27, 28, 29}


SLOW_STARTS = """
import multiprocessing.process, time
start = multiprocessing.process.BaseProcess.start
def slow(process):
    time.sleep(0.1)
    start(process)
    time.sleep(0.1)
multiprocessing.process.BaseProcess.start = slow
"""
"""Time enough for a signal to arrive in the middle of a start."""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_validation_leaves_no_process_no_half_written_file_and_no_traceback(
    speech: Path, tmp_path: Path, sent: signal.Signals, workers: int
) -> None:
    """Ctrl-C and a scheduler send to all processes of a job; somebody who kills it for good, to one."""
    add_rows(speech, *(f"clip{number % 6}.wav|{distinct_text(number % 900)}" for number in range(60_000)))
    out, log, site = tmp_path / "out", tmp_path / "log", tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SLOW_STARTS, encoding="utf-8")
    xtts = Path(sys.executable).with_name("xtts")
    command = [xtts, "validate", "--dataset", speech, "--language", "am", "--out", out]
    with log.open("wb") as stderr:
        environment = {**os.environ, "PYTHONPATH": str(site)}
        hears_ctrl_c = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - whoever runs the tests may not
        process = subprocess.Popen(
            command, env=environment, stderr=stderr, start_new_session=True, preexec_fn=hears_ctrl_c
        )
    children: list[psutil.Process] = []
    while len(children) < 1 + workers:  # a tracker of multiprocessing, then the workers
        assert process.poll() is None
        children = psutil.Process(process.pid).children()
        time.sleep(0.02)
    if sent == signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, sent)
    assert process.wait(timeout=60) == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[sent]
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    left = [out / "validate.lock"] if sent == signal.SIGKILL else []  # which the next run takes over
    assert [path for path in out.rglob("*") if path.is_file()] == left
    assert "Traceback" not in log.read_text(encoding="utf-8")
