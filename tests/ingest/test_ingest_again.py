"""Ingesting again adds only what is new, whatever became of the source, the dataset, or the process meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from small_sources import SOURCES, contents, jsonl, kaldi, make, read_left_out, read_rows, subtitles, table, write_noise

from xtts_framework.config import ValidateConfig
from xtts_framework.data.metadata import read_metadata
from xtts_framework.errors import UserError
from xtts_framework.ingest import clips
from xtts_framework.layout import DatasetFolder
from xtts_framework.stages.ingest import LOCK_FILE, ingest
from xtts_framework.stages.validate import validate


def add_to_table(source: Path, *numbers: int) -> None:
    with (source / "metadata.csv").open("a", encoding="utf-8") as stream:
        for number in numbers:
            write_noise(source / "wavs" / f"new{number}.wav", 1, 100 + number)
            stream.write(f"new{number}.wav|አዲስ {number}\n")


@pytest.mark.parametrize("name", SOURCES)
def test_an_unchanged_source_changes_nothing_and_is_not_decoded(
    name: str, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = make(name, tmp_path / "source")
    ingest(tmp_path / "source", out)
    before, times = contents(out), {path: path.stat().st_mtime_ns for path in out.rglob("*")}

    def decode(*_: object) -> None:
        raise AssertionError("something is written")

    monkeypatch.setattr("xtts_framework.stages.ingest.write_clips", decode)
    done = ingest(tmp_path / "source", out)
    assert (done.read, done.kept, done.clips, done.left_out) == (count, count, 0, 0)
    assert contents(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times


def test_what_is_new_is_appended(source: Path, out: Path) -> None:
    table(source)
    ingest(source, out)
    before = (out / "metadata.csv").read_bytes()
    add_to_table(source, 1, 2)
    done = ingest(source, out)
    assert (done.read, done.kept, done.added) == (6, 4, 2)
    assert (out / "metadata.csv").read_bytes().startswith(before)
    assert [row["text"] for row in read_rows(out)][4:] == ["አዲስ 1", "አዲስ 2"]


def test_rows_edited_or_written_by_hand_are_kept_byte_for_byte(source: Path, out: Path) -> None:
    table(source)
    ingest(source, out)
    write_noise(out / "wavs" / "mine.wav", 1, 50)
    lines = (out / "metadata.csv").read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1].replace("ሰላም", "ሰላም ሰላም") + "\r"
    lines.insert(2, 'mine.wav|  "የእኔ|ነው"|me||')
    lines[4] = lines[4].replace("|wavs", "").replace("clip2", "x|clip2", 1)  # broken by hand: one field too many
    edited = "\ufeff" + "\n".join(lines)
    (out / "metadata.csv").write_bytes(edited.encode())
    add_to_table(source, 1)
    done = ingest(source, out)
    after = (out / "metadata.csv").read_bytes().decode()
    assert after.startswith(edited + "\n")
    assert (done.kept, done.added) == (4, 1)
    assert after.count("\n") == len(lines) + 1


def test_columns_added_by_hand_stay(source: Path, out: Path) -> None:
    table(source)
    ingest(source, out)
    lines = (out / "metadata.csv").read_text(encoding="utf-8").splitlines()
    columns = ["emotion|" + lines[0], *("calm|" + line for line in lines[1:])]
    (out / "metadata.csv").write_text("\n".join(columns) + "\n", encoding="utf-8")
    add_to_table(source, 1)
    assert ingest(source, out).added == 1
    rows = read_rows(out)
    assert [row["emotion"] for row in rows] == ["calm"] * 4 + [""]
    assert all(not row.fault for row in read_metadata(out / "metadata.csv"))


def test_a_changed_utterance_replaces_its_row(source: Path, out: Path) -> None:
    table(source)
    ingest(source, out)
    write_noise(source / "wavs" / "clip0.wav", 1.5, 77)
    text = (source / "metadata.csv").read_text(encoding="utf-8").replace("ዛሬ ዝናብ ጣለ", "ትናንት ዝናብ ጣለ")
    (source / "metadata.csv").write_text(text, encoding="utf-8")
    done = ingest(source, out)
    assert (done.kept, done.added, done.replaced) == (2, 0, 2)
    rows = read_rows(out)
    assert len(rows) == 4
    assert rows[1]["text"] == "ትናንት ዝናብ ጣለ።"
    assert (out / rows[0]["audio_file"]).read_bytes() == (source / "wavs" / "clip0.wav").read_bytes()
    # The clip as it was is not overwritten: whatever happens in between, a row never names another's recording.
    assert rows[0]["audio_file"] != "wavs/clip0.wav"
    assert ingest(source, out).clips == 0


def test_a_recording_that_was_only_copied_anew_keeps_its_clip(source: Path, out: Path) -> None:
    table(source)
    ingest(source, out)
    files = [row["audio_file"] for row in read_rows(out)]
    os.utime(source / "wavs" / "clip0.wav")
    done = ingest(source, out)
    assert (done.kept, done.replaced, done.clips) == (4, 0, 0)
    assert [row["audio_file"] for row in read_rows(out)] == files
    assert len(list((out / "wavs").iterdir())) == 4
    before = contents(out)
    ingest(source, out)
    assert contents(out) == before


def test_an_edited_row_outlives_a_change_of_its_utterance(
    source: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(source)
    ingest(source, out)
    text = (out / "metadata.csv").read_text(encoding="utf-8").replace("ሰላም ለሁላችሁ", "ሰላም ለሁሉ")
    (out / "metadata.csv").write_text(text, encoding="utf-8")
    os.utime(source / "wavs" / "clip0.wav")
    before = contents(out)
    done = ingest(source, out)
    assert (done.kept, done.edited, done.replaced) == (4, 1, 0)
    assert contents(out) == before
    assert "edited by hand: these stay" in capsys.readouterr().err


def test_a_vanished_utterance_keeps_its_row(source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(source)
    ingest(source, out)
    before = contents(out)
    lines = (source / "metadata.csv").read_text(encoding="utf-8").splitlines()
    (source / "metadata.csv").write_text("\n".join(lines[1:]) + "\n", encoding="utf-8")
    done = ingest(source, out)
    assert (done.read, done.kept, done.vanished) == (3, 3, 1)
    assert contents(out) == before
    assert "1 clips are of utterances that" in capsys.readouterr().err


@pytest.mark.parametrize("write", [kaldi, jsonl, subtitles])
def test_changed_times_replace_the_clip(write: object, source: Path, out: Path) -> None:
    write(source)  # type: ignore[operator]
    ingest(source, out)
    for name, old, new in (
        ("segments", "3.00 5.50", "3.10 5.60"),
        ("manifest.jsonl", '"offset": 4', '"offset": 4.5'),
        ("talk.srt", "00:00:06,000 --> 00:00:09,000", "00:00:06,500 --> 00:00:09,000"),
    ):
        if (source / name).exists():
            content = (source / name).read_text(encoding="utf-8")
            assert old in content
            (source / name).write_text(content.replace(old, new), encoding="utf-8")
    done = ingest(source, out)
    assert (done.read, done.kept) == (4, 3)
    assert done.replaced == 1
    assert len(read_rows(out)) == 4
    assert done.vanished == 0


def test_sources_of_one_name_are_not_confused(tmp_path: Path, out: Path) -> None:
    table(tmp_path / "one" / "data")
    ingest(tmp_path / "one" / "data", out)
    before = contents(out)
    other = tmp_path / "two" / "data"
    table(other)
    for number in range(4):
        write_noise(other / "wavs" / f"clip{number}.wav", 1.25, 40 + number)
    text = (other / "metadata.csv").read_text(encoding="utf-8")
    (other / "metadata.csv").write_text(text.replace("።", " ሌላ።").replace("!", " ሌላ!"), encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)4 of 4 utterances are called as in an earlier source 'data'.*--name"):
        ingest(other, out)
    assert contents(out) == before
    assert ingest(other, out, name="data2").added == 4
    names = [row["audio_file"] for row in read_rows(out)]
    assert names[4:] == [f"wavs/data2-clip{number}.wav" for number in range(4)]
    assert ingest(tmp_path / "one" / "data", out).kept == 4


def test_a_file_that_lies_in_the_way_is_not_overwritten(source: Path, out: Path) -> None:
    table(source)
    write_noise(out / "wavs" / "clip0.wav", 1, 99)
    mine = (out / "wavs" / "clip0.wav").read_bytes()
    ingest(source, out)
    assert (out / "wavs" / "clip0.wav").read_bytes() == mine
    row = read_rows(out)[0]
    assert (out / row["audio_file"]).read_bytes() == (source / "wavs" / "clip0.wav").read_bytes()


def test_a_dataset_of_somebody_else_is_refused(source: Path, out: Path) -> None:
    table(source)
    out.mkdir()
    (out / "metadata.csv").write_text("a.wav|ሰላም\n", encoding="utf-8")
    with pytest.raises(UserError, match="was not written by `xtts ingest`"):
        ingest(source, out)
    (out / "metadata.csv").write_bytes(b"audio_file|text|source\n\xff")
    with pytest.raises(UserError, match="byte 24 is not UTF-8"):
        ingest(source, out)


def test_what_was_left_out_is_tried_again_only_when_that_may_help(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(source)
    (source / "wavs" / "clip1.wav").rename(source / "clip1.away")
    (source / "wavs" / "clip2.wav").write_bytes(b"no sound at all")
    assert ingest(source, out).codes == {"missing_audio": 1, "unreadable_audio": 1}
    before = contents(out)
    tried: list[Path] = []
    write = clips.write_clips

    def spy(recording: Path, *rest: object) -> object:
        tried.append(recording)
        return write(recording, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("xtts_framework.stages.ingest.write_clips", spy)
    assert ingest(source, out).left_out == 2
    assert not tried
    assert contents(out) == before
    (source / "clip1.away").rename(source / "wavs" / "clip1.wav")
    write_noise(source / "wavs" / "clip2.wav", 1, 5)
    done = ingest(source, out)
    assert (done.added, done.left_out, len(tried)) == (2, 0, 2)
    assert read_left_out(out) == []


def test_rows_of_other_sources_stay_in_left_out(tmp_path: Path, out: Path) -> None:
    for name in ("a", "b"):
        table(tmp_path / name)
        with (tmp_path / name / "metadata.csv").open("a") as stream:
            stream.write("none.wav|x\n")
        ingest(tmp_path / name, out)
    ingest(tmp_path / "a", out)
    assert sorted(row["source"].partition("@")[0] for row in read_left_out(out)) == [
        "a/metadata.csv:line 5",
        "b/metadata.csv:line 5",
    ]


def test_nothing_moves_between_train_and_eval_when_a_source_grows(source: Path, out: Path, tmp_path: Path) -> None:
    kaldi(source)
    sides: list[dict[str, str]] = []
    options = {"min_duration_s": 0.1, "eval_min": 1}
    config = {"dataset": {"path": out, "language": "am", "validation": options}}
    for round_ in range(3):
        write_noise(source / "wav" / f"more{round_}.wav", 40, round_)
        with (source / "wav.scp").open("a") as scp, (source / "segments").open("a") as segments:
            scp.write(f"more{round_} /x/wav/more{round_}.wav\n")
            segments.writelines(f"m{round_}-{n} more{round_} {2 * n} {2 * n + 1.5}\n" for n in range(20))
        with (source / "text").open("a", encoding="utf-8") as text:
            text.writelines(f"m{round_}-{n} ሰላም {'ሀለሐመሠረሰሸቀበተቸኀነኘአከኸወዐ'[n]} {'ሀለሐ'[round_]}\n" for n in range(20))
        assert ingest(source, out).added == (24 if round_ == 0 else 20)
        results = DatasetFolder(tmp_path / "results" / "datasets" / "d")
        try:
            validate(ValidateConfig.model_validate(config), results)
        except UserError:
            pytest.skip("noise is no speech to this version of validate")
        sides.append(dict(pl.read_parquet(results.manifest).select("file", "split").iter_rows()))
    assert sides[0].items() <= sides[1].items() <= sides[2].items()


def test_a_killed_process_leaves_whole_files_and_the_next_one_finishes(source: Path, out: Path) -> None:
    """A real process, a real `kill -9`, while clips are being written; several times over."""
    count = 1800
    write_noise(source / "long.wav", count * 0.25 + 1)
    rows = [{"audio": "long.wav", "offset": n / 4, "duration": 0.25, "text": f"ሰላም {n}"} for n in range(count)]
    (source / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    program = "from xtts_framework.cli.main import main; main()"
    command = [sys.executable, "-c", program, "ingest", str(source), "--out", str(out)]
    killed = 0
    for target in (100, 1550):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list((out / "wavs").glob("long-*.wav"))) < target:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        if (out / "metadata.csv").exists():
            for row in read_metadata(out / "metadata.csv"):
                assert not row.fault
                assert (out / row.file).is_file()
        lengths = {path.stat().st_size for path in (out / "wavs").glob("long-*.wav")}
        assert lengths == {44 + 2 * 4000}
    assert killed == 2
    assert 0 < len(read_rows(out)) < count
    finished = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    assert f"{count} rows: " in finished.stderr
    assert [row["text"] for row in read_rows(out)] == [row["text"] for row in rows]
    assert len(list((out / "wavs").iterdir())) == count
    assert {path.name for path in out.iterdir()} == {"metadata.csv", "left_out.csv", "wavs"}


def test_two_at_once_in_one_dataset_are_refused(source: Path, out: Path) -> None:
    table(source)
    out.mkdir()
    program = (
        "import fcntl, os, sys, time\n"
        "fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)\n"
        "print('held', flush=True)\ntime.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(out / LOCK_FILE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UserError, match="another `xtts ingest` is writing there"):
            ingest(source, out)
        holder.kill()
    assert ingest(source, out).added == 4
