"""Recordings that libsndfile does not read: with a real FFmpeg, and without one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_sources import contents, read_left_out, read_rows, write_noise
from spoken_recordings import sentences, write_recording

from xtts_framework.errors import UserError
from xtts_framework.ingest.clips import probe_duration
from xtts_framework.ingest.ffmpeg import decode_container
from xtts_framework.ingest.voice_activity import find_speech
from xtts_framework.stages.ingest import ingest

CONTAINERS = {
    "a.m4a": ["-c:a", "aac"],
    "b.mp4": ["-f", "lavfi", "-i", "color=size=32x32:duration=3", "-c:a", "aac"],
    "c.webm": ["-c:a", "libopus"],
    "d.mka": ["-c:a", "flac"],
    "e.aac": ["-c:a", "aac"],
    "f.wma": ["-c:a", "wmav2"],
    "g.avi": ["-c:a", "pcm_s16le"],
    "h.flv": ["-c:a", "aac"],
    "i.ts": ["-c:a", "aac"],
    "-j k'ለ.mov": ["-c:a", "pcm_s16le"],
}
"""File name and how FFmpeg writes it."""


@pytest.fixture
def ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real FFmpeg, alone on the search path."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "ffmpeg"
    program.symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    monkeypatch.setenv("PATH", str(programs))
    return program


@pytest.fixture
def without_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))


def convert(ffmpeg: Path, wav: Path, path: Path, *options: str) -> None:
    command = [str(ffmpeg), "-nostdin", "-v", "error", "-i", f"file:{wav}", *options, f"file:{path}"]
    subprocess.run(command, check=True)


def write_manifest(source: Path, *rows: dict[str, object]) -> None:
    (source / "m.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def test_the_end_of_an_mp3_without_a_length_header_is_cut_and_heard(
    ffmpeg: Path, source: Path, out: Path, tmp_path: Path
) -> None:
    """libsndfile alone guesses a length from the first frames, and gives up there."""
    write_noise(tmp_path / "noise.wav", 3)
    convert(ffmpeg, tmp_path / "noise.wav", source / "a.mp3", "-write_xing", "0", "-q:a", "4")
    write_manifest(source, {"audio": "a.mp3", "offset": 2, "duration": 0.9, "text": "ሰላም"})
    assert ingest(source, out).codes == {}
    (row,) = read_rows(out)
    assert soundfile.info(out / row["audio_file"]).duration == pytest.approx(0.9, abs=1e-3)
    assert probe_duration(source / "a.mp3") is None
    assert find_speech(source / "a.mp3")[1] == pytest.approx(3, abs=0.1)


def test_other_containers_are_decoded_whole_and_in_parts(ffmpeg: Path, source: Path, out: Path, tmp_path: Path) -> None:
    write_noise(tmp_path / "noise.wav", 3, rate_hz=44100)
    for name, options in CONTAINERS.items():
        convert(ffmpeg, tmp_path / "noise.wav", source / name, *options)
    whole = [{"audio": name, "text": f"ሰላም {name}"} for name in CONTAINERS]
    parts = [{"audio": name, "offset": 1, "duration": 1, "text": f"ሰላም {name}"} for name in CONTAINERS]
    write_manifest(source, *whole, *parts)
    before = contents(source)
    done = ingest(source, out)
    assert done.codes == {}
    assert done.clips == 2 * len(CONTAINERS)
    for row in read_rows(out):
        header = soundfile.info(out / row["audio_file"])
        assert header.format == "WAV"
        assert header.subtype == "PCM_16"
        expected = 1 if row["recording"] else 3
        assert header.duration == pytest.approx(expected, abs=0.15 if expected == 3 else 1e-3)
    assert contents(source) == before
    assert not list(out.glob(".partial-*"))


def test_lossless_containers_are_decoded_exactly(ffmpeg: Path, source: Path, out: Path, tmp_path: Path) -> None:
    write_noise(tmp_path / "noise.wav", 2)
    convert(ffmpeg, tmp_path / "noise.wav", source / "a.mka", "-c:a", "flac")
    write_manifest(source, {"audio": "a.mka", "text": "ሰላም"}, {"audio": "a.mka", "start": 0.5, "end": 1, "text": "ሁለት"})
    ingest(source, out)
    recorded, _ = soundfile.read(tmp_path / "noise.wav", dtype="int16")
    whole, part = (soundfile.read(out / row["audio_file"], dtype="int16")[0] for row in read_rows(out))
    assert np.array_equal(whole, recorded)
    assert np.array_equal(part, recorded[8000:16000])


def test_without_ffmpeg_the_error_says_so(
    ffmpeg: Path, source: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_noise(tmp_path / "noise.wav", 2)
    convert(ffmpeg, tmp_path / "noise.wav", source / "a.m4a", "-c:a", "aac")
    write_manifest(source, {"audio": "a.m4a", "text": "ሰላም"})
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "no programs"))
        message = r"(?s)1 needs_ffmpeg.*MP4 \(M4A, MOV, 3GP\).*Install FFmpeg, or convert the recording to WAV or FLAC"
        with pytest.raises(UserError, match=message):
            ingest(source, out)
    assert [row["code"] for row in read_left_out(out)] == ["needs_ffmpeg"]
    assert ingest(source, out).added == 1  # once it is installed
    assert read_left_out(out) == []


def test_a_damaged_container_is_left_out_with_what_ffmpeg_says(
    ffmpeg: Path, source: Path, out: Path, tmp_path: Path
) -> None:
    write_noise(tmp_path / "noise.wav", 2)
    write_noise(source / "good.wav", 1)
    convert(ffmpeg, tmp_path / "noise.wav", source / "a.m4a", "-c:a", "aac")
    (source / "a.m4a").write_bytes((source / "a.m4a").read_bytes()[:200])
    write_manifest(source, {"audio": "a.m4a", "text": "ሰላም"}, {"audio": "good.wav", "text": "ሰላም"})
    ingest(source, out)
    (row,) = read_left_out(out)
    assert row["code"] == "unreadable_audio"
    assert "FFmpeg cannot decode it" in row["detail"]
    assert str(tmp_path) not in row["detail"]


def test_a_playlist_in_disguise_reads_no_other_file(ffmpeg: Path, source: Path, out: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    write_noise(secret, 2)
    write_noise(source / "good.wav", 1)
    playlists = {
        "hls.m4a": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "concat.m4a": f"ffconcat version 1.0\nfile '{secret}'\n",
        "list.mp4": f"file '{secret}'\n",
        "sdp.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    }
    for name, content in playlists.items():
        (source / name).write_text(content)
    write_manifest(source, *({"audio": name, "text": "ሰላም"} for name in [*playlists, "good.wav"]))
    done = ingest(source, out)
    assert done.codes == {"unreadable_audio": len(playlists)}
    # FFmpeg itself refuses, too, should one ever be taken for a container.
    for name in playlists:
        fault = decode_container(source / name, "a container", out / "x.wav")
        assert fault is not None
        assert fault.code == "unreadable_audio"
        assert not (out / "x.wav").exists() or (out / "x.wav").stat().st_size < 100


def test_a_program_that_is_no_ffmpeg_is_not_believed(source: Path, out: Path, ffmpeg: Path, tmp_path: Path) -> None:
    write_noise(tmp_path / "noise.wav", 2)
    write_noise(source / "good.wav", 1)
    convert(ffmpeg, tmp_path / "noise.wav", source / "a.m4a", "-c:a", "aac")
    ffmpeg.unlink()
    ffmpeg.write_bytes(b"\x7fELF nothing")
    ffmpeg.chmod(0o755)
    write_manifest(source, {"audio": "a.m4a", "text": "ሰላም"}, {"audio": "good.wav", "text": "ሰላም"})
    assert ingest(source, out).codes == {"needs_ffmpeg": 1}


def test_films_with_subtitles_and_talks_with_transcripts(ffmpeg: Path, source: Path, out: Path, tmp_path: Path) -> None:
    truth = write_recording(tmp_path / "talk.wav", sentences(8))
    convert(ffmpeg, tmp_path / "talk.wav", source / "film.mp4", *CONTAINERS["b.mp4"][:4], "-c:a", "aac", "-t", "20")
    (source / "film.srt").write_text(
        "1\n00:00:01,000 --> 00:00:04,000\nሰላም።\n\n2\n00:00:30,000 --> 00:00:33,000\nለዘላለም።\n", encoding="utf-8"
    )
    done = ingest(source, out)
    assert (done.added, done.codes) == (1, {"beyond_end": 1})
    convert(ffmpeg, tmp_path / "talk.wav", source / "talk.m4a", "-c:a", "aac")
    (source / "talk.txt").write_text("\n".join(spoken.text for spoken in truth), encoding="utf-8")
    talk = ingest(source, out, wanted="transcript", min_confidence=0.5)
    assert talk.added >= 6
    assert ingest(source / "talk.txt", out, min_confidence=0.5).kept == talk.added
    assert not list(out.glob(".partial-*"))
