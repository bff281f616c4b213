"""What people have becomes a dataset: every format, with what is typical of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from small_sources import RATE_HZ, SOURCES, TEXTS, contents, jsonl, kaldi, make, read_left_out, read_rows, write_noise
from small_sources import common_voice as write_common_voice

from xtts_framework.config import ValidateConfig
from xtts_framework.errors import UserError
from xtts_framework.layout import DatasetFolder
from xtts_framework.stages.ingest import ingest
from xtts_framework.stages.validate import validate


@pytest.mark.parametrize("name", SOURCES)
def test_every_format_is_recognised_becomes_clips_and_is_left_as_it_was(
    name: str, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "source"
    count = make(name, folder)
    before = contents(folder)
    done = ingest(folder, out)
    assert (done.read, done.added, done.clips, done.left_out) == (count, count, count, 0)
    assert f"read as {name} (" in capsys.readouterr().err
    rows = read_rows(out)
    assert [row["text"] for row in rows] == list(TEXTS)
    for row in rows:
        assert soundfile.info(out / row["audio_file"]).frames > 0
        assert row["source"].startswith("source/")
    assert len(list((out / "wavs").iterdir())) == count
    assert contents(folder) == before
    assert ingest(folder, tmp_path / "explicit", wanted=name).clips == count  # type: ignore[arg-type]


def test_what_is_written_is_accepted_by_validate_as_its_source_was(
    speech_dataset: Path, tmp_path: Path, out: Path
) -> None:
    ingest(speech_dataset, out)
    accepted = []
    for dataset in (speech_dataset, out):
        results = DatasetFolder(tmp_path / "results" / "datasets" / dataset.name)
        validate(ValidateConfig.model_validate({"dataset": {"path": dataset, "language": "am"}}), results)
        accepted.append(pl.read_parquet(results.manifest).select("clip_id", "audio_sha256", "normalized", "split"))
    assert accepted[0].equals(accepted[1])


def test_whole_recordings_are_copied_byte_for_byte(source: Path, out: Path) -> None:
    make("common-voice", source / "am")
    ingest(source / "am", out)
    copied = {path.name: path.read_bytes() for path in (out / "wavs").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in (source / "am" / "clips").iterdir()}


def test_segments_have_exactly_the_samples_of_their_times(source: Path, out: Path) -> None:
    kaldi(source)
    ingest(source, out)
    recorded, _ = soundfile.read(source / "wav" / "rec01.wav", dtype="int16")
    for number, row in enumerate(read_rows(out)):
        cut, rate_hz = soundfile.read(out / row["audio_file"], dtype="int16")
        assert rate_hz == RATE_HZ
        start = 3 * number * RATE_HZ
        assert np.array_equal(cut, recorded[start : start + round(2.5 * RATE_HZ)])
        assert row["audio_file"] == f"wavs/rec01-{3000 * number:07d}-{3000 * number + 2500:07d}.wav"
        assert (row["recording"], row["speaker_name"]) == ("source/wav/rec01.wav", f"spk{number % 2}")


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".flac"])
def test_segments_of_compressed_recordings_are_cut_at_their_times(suffix: str, source: Path, out: Path) -> None:
    """Clicks mark the seconds: those of a clip lie where they lay."""
    sound = np.zeros(10 * 44100)
    sound[44100 // 2 :: 44100] = 0.9
    soundfile.write(source / f"clicks{suffix}", np.stack([sound, sound], axis=1), 44100)
    rows = [{"audio": f"clicks{suffix}", "start": n, "end": n + 2, "text": f"ሰላም {n}"} for n in range(8)]
    (source / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert ingest(source, out).clips == 8
    for row in read_rows(out):
        cut, rate_hz = soundfile.read(out / row["audio_file"])
        assert (rate_hz, cut.ndim, len(cut)) == (44100, 1, 2 * 44100)
        loudest = np.abs(cut[:44100]).argmax(), 44100 + np.abs(cut[44100:]).argmax()
        assert loudest == pytest.approx((22050, 66150), abs=60)


def test_ljspeech_and_coqui_tables(source: Path, out: Path) -> None:
    for name in ("LJ001-0001", "LJ001-0002"):
        write_noise(source / "wavs" / f"{name}.wav", 1, len(name))
    (source / "metadata.csv").write_text("LJ001-0001|Chapter 2|Chapter two\nLJ001-0002|raw|\n")
    ingest(source, out)
    assert [(row["audio_file"], row["text"]) for row in read_rows(out)] == [
        ("wavs/LJ001-0001.wav", "Chapter two"),
        ("wavs/LJ001-0002.wav", "raw"),
    ]
    (source / "metadata.csv").write_text(
        "audio_file|text|speaker_name|emotion_name\nwavs/LJ001-0001.wav|hi|abebe|sad\n"
    )
    ingest(source, out.with_name("second"))
    (row,) = read_rows(out.with_name("second"))
    assert (row["text"], row["speaker_name"], row["recording"]) == ("hi", "abebe", "")


def test_common_voice_quotes_are_text_and_a_file_may_be_named(source: Path, out: Path) -> None:
    write_common_voice(source)
    lines = (source / "validated.tsv").read_text(encoding="utf-8").splitlines()
    rows = ['c\tcommon_voice_am_0.mp3\t"ሰላም" አለ\t1', 'c\tcommon_voice_am_1.mp3\t"ክፍት ጥቅስ', "c\tx.mp3", "c\t\tሰላም"]
    (source / "validated.tsv").write_text("\n".join([lines[0], *rows]) + "\n", encoding="utf-8")
    done = ingest(source, out)
    assert [row["text"] for row in read_rows(out)] == ['"ሰላም" አለ', '"ክፍት ጥቅስ']
    assert done.codes == {"malformed_row": 1, "missing_audio": 1}
    assert ingest(source / "train.tsv", out.with_name("second")).clips == 2


def test_kaldi_directories_without_segments_and_their_faults(source: Path, out: Path) -> None:
    write_noise(source / "a.wav", 1)
    (source / "wav.scp").write_text("u1 a.wav\nu2 sox x.wav -t wav - |\nu3 /elsewhere/b.wav\n")
    (source / "text").write_text("u1 ሰላም\nu1 ሌላ\nu2 ሰላም\nu3 ሰላም\nu4 ሰላም\nu5\n")
    done = ingest(source, out)
    assert [row["audio_file"] for row in read_rows(out)] == ["wavs/a.wav"]
    codes = {row["source"].partition("@")[0]: row["code"] for row in read_left_out(out)}
    assert codes == {
        "source/text:line 2": "duplicate_id",
        "source/u2": "command_not_run",
        "source/u3": "outside_source",
        "source/u4": "missing_audio",
        "source/u5": "no_text",
    }
    assert done.read == 6


def test_kaldi_segments_are_checked(source: Path, out: Path) -> None:
    kaldi(source)
    with (source / "segments").open("a") as stream:
        stream.write(
            "nan rec01 nan 2\nback rec01 3 2\nbefore rec01 -1 2\nlate rec01 11 14\nodd rec01\nsilent rec01 1 2\n"
        )
    with (source / "text").open("a") as stream:
        stream.writelines(f"{name} ሰላም\n" for name in ("nan", "back", "before", "late", "odd", "absent"))
    done = ingest(source, out)
    codes = {row["source"].partition("@")[0].partition("/")[2]: row["code"] for row in read_left_out(out)}
    assert codes == {
        "nan": "bad_times",
        "back": "bad_times",
        "before": "bad_times",
        "late": "beyond_end",
        "odd": "malformed_row",
        "absent": "missing_audio",
        "silent": "no_text",
    }
    assert (done.read, done.clips) == (11, 4)


def test_recordings_may_lie_in_another_folder(tmp_path: Path, source: Path, out: Path) -> None:
    kaldi(source)
    (tmp_path / "recordings" / "amharic").mkdir(parents=True)
    (source / "wav").rename(tmp_path / "recordings" / "amharic" / "wav")
    assert ingest(source, out, audio=tmp_path / "recordings").clips == 4
    assert {row["recording"] for row in read_rows(out)} == {"recordings/amharic/wav/rec01.wav"}


def test_jsonl_key_variants_and_faults(source: Path, out: Path) -> None:
    jsonl(source)
    good = [
        {"wav": "audio/0.ogg", "transcription": "ሀ"},
        {"path": "/data/x/audio/1.ogg", "transcript": "ለ", "speaker_id": 7},
        {"file": "long.flac", "start": 0, "end": 1.5, "text": "ሐ"},
        {"audio_file": "long.flac", "end": 2, "text": "መ"},
    ]
    bad = ['{"text": "x"}', '{"audio": "long.flac"}', "[1]", "{", '{"audio": 3, "text": "x"}']
    bad += ['{"audio": "long.flac", "text": "x", "offset": "soon", "duration": 1}']
    bad += ['{"audio": "long.flac", "text": "x", "offset": NaN, "duration": 1}']
    bad += ['{"audio": "long.flac", "text": "x", "offset": 1}', '{"audio": "long.flac", "text": " "}']
    (source / "manifest.jsonl").write_text("\n".join([*map(json.dumps, good), *bad]))
    done = ingest(source, out)
    assert [row["text"] for row in read_rows(out)] == ["ሀ", "ለ", "ሐ", "መ"]
    assert read_rows(out)[1]["speaker_name"] == "7"
    assert done.codes == {"malformed_row": 5, "bad_times": 3, "no_text": 1}


def test_names_are_safe_and_do_not_collide(source: Path, out: Path) -> None:
    names = [
        "ሀ/ክሊፕ 1.wav",
        "ለ/ክሊፕ 1.wav",
        "😀.wav",
        "🎈.wav",
        'a"b.wav',
        "a|b.wav",
        "line\nbreak.wav",
        "x" * 200 + ".wav",
    ]
    names += ["a.wav", "a.flac", "-rf.wav", "..hidden.wav", "a-b/c.wav", "a/b-c.wav"]
    rows = []
    for number, name in enumerate(names):
        write_noise(source / name, 0.5, number)
        rows.append(json.dumps({"audio": name, "text": f"ሰላም {number}"}))
    (source / "m.jsonl").write_text("\n".join(rows))
    done = ingest(source, out)
    assert done.clips == len(names)
    written = [row["audio_file"] for row in read_rows(out)]
    assert len({name.casefold() for name in written}) == len(names)
    for number, row in enumerate(read_rows(out)):
        name = row["audio_file"].removeprefix("wavs/")
        assert all(letter.isalnum() or letter in "-_." for letter in name)
        assert name[0] not in ".-"
        assert (out / row["audio_file"]).read_bytes() == (source / names[number]).read_bytes()
    assert written[0] == "wavs/ሀ-ክሊፕ_1.wav"


def test_what_may_be_two_formats_or_none_is_asked_about(source: Path, out: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)no format is recognised.*table: metadata\.csv.*subtitles: \.srt"):
        ingest(source, out)
    make("table", source / "both")
    kaldi(source / "both")
    with pytest.raises(UserError, match=r"(?s)2 ways; say which with --format.*table: metadata.csv.*kaldi: text"):
        ingest(source / "both", out)
    with pytest.raises(UserError, match=r"nothing that is read as jsonl\. Expected \.jsonl"):
        ingest(source / "both", out, wanted="jsonl")
    with pytest.raises(UserError, match="no such file or folder"):
        ingest(source / "nothing", out)
    assert not out.exists()


def test_a_file_in_another_encoding_is_named_with_line_and_byte(source: Path, out: Path) -> None:
    make("table", source / "t")
    (source / "t" / "metadata.csv").write_bytes(b"clip0.wav|good\nclip1.wav|caf\xe9\n")
    with pytest.raises(UserError, match=r"metadata\.csv line 2: byte 29 of the file \(0xE9\) is not UTF-8"):
        ingest(source / "t", out)
    kaldi(source)
    (source / "text").write_bytes(b"utt0 good\nutt1 caf\xe9\n")
    with pytest.raises(UserError, match=r"text line 2: byte 19 of the file \(0xE9\) is not UTF-8"):
        ingest(source, out, wanted="kaldi")


def test_the_dataset_must_not_lie_in_the_source(source: Path) -> None:
    make("table", source / "t")
    for out in (source / "t", source / "t" / "dataset"):
        with pytest.raises(UserError, match="is, or lies in, the source"):
            ingest(source / "t", out)
    with pytest.raises(UserError, match="is, or lies in, the source"):
        ingest(source / "t" / "metadata.csv", source / "t")
    (source / "recordings").mkdir()
    with pytest.raises(UserError, match="is, or lies in, the source"):
        ingest(source / "t" / "metadata.csv", source / "recordings" / "dataset", audio=source / "recordings")
    assert contents(source / "t").keys() == {"metadata.csv", *(f"wavs/clip{n}.wav" for n in range(4))}


def test_nothing_ingested_is_a_failure_with_its_reasons(source: Path, out: Path) -> None:
    (source / "metadata.csv").write_text("a.wav|ሰላም\n../b.wav|ሰላም\n")
    with pytest.raises(
        UserError, match=r"(?s)not one of 2 rows.*1 missing_audio, .*a\.wav: no such file.*1 outside_source"
    ):
        ingest(source, out)
    assert [row["code"] for row in read_left_out(out)] == ["missing_audio", "outside_source"]


def test_texts_are_on_one_line(source: Path, out: Path) -> None:
    write_noise(source / "a.wav", 1)
    (source / "m.jsonl").write_text(json.dumps({"audio": "a.wav", "text": 'ሀ\nለ\u2028ሐ\x00መ|"ሠ"'}))
    ingest(source, out)
    assert [row["text"] for row in read_rows(out)] == ['ሀ ለ ሐ መ|"ሠ"']
