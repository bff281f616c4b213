"""A recording that was cut is noticed wherever its container says how long it is, and a whole one is left alone."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from xtts_framework.audio.containers import MAX_CHUNKS, OGG_MAX_PAGE_BYTES, find_truncation, promises_samples
from xtts_framework.audio.reading import decode_blocks, open_sound, promised_samples

SAMPLES = 11000
CUTS = 60

PROMISES_ITS_END = {"WAV", "WAVEX", "RF64", "AIFF", "SVX", "AU", "W64", "CAF", "NIST", "OGG"}
PROMISES_SAMPLES = {"FLAC", "MP3"}
"""Whoever decodes them compares."""
REFUSED_WHEN_CUT = {"HTK"}
"""libsndfile looks whether the length in the header is that of the file."""
CUT_UNNOTICED = {"AVR", "MAT4", "MAT5", "MPC2K", "PAF", "PVF", "SDS", "IRCAM", "VOC", "WVE", "XI"}
NOT_A_FILE_ALONE = {"RAW", "SD2"}
"""Without a header, or with it in another file."""
PADDING_BYTES = 1
"""A chunk of odd length may be padded; the padding is no sound."""


def speak(samples: int = SAMPLES) -> np.ndarray:
    hum = 0.3 * np.sin(np.arange(samples) / 16)
    return hum + np.random.default_rng(samples).uniform(-0.1, 0.1, samples)


def write_in_every_format() -> Iterator[tuple[str, str]]:
    """All that libsndfile can write."""
    for container in soundfile.available_formats():
        for encoding in soundfile.available_subtypes(container):
            if container not in NOT_A_FILE_ALONE:
                yield container, encoding


def truncation_of(path: Path) -> str:
    with path.open("rb") as stream:
        return find_truncation(stream.fileno())


def truncation_in(folder: Path, content: bytes) -> str:
    path = folder / f"{uuid.uuid4()}"
    path.write_bytes(content)
    found = truncation_of(path)
    path.unlink()
    return found


def count_samples(path: Path) -> tuple[int, int]:
    """Decoded and promised."""
    with path.open("rb") as stream, open_sound(stream.fileno()) as sound:
        return sum(map(len, decode_blocks(sound))), promised_samples(sound)


def is_refused(path: Path) -> bool:
    """Whether decoding shows that a recording is not whole, or that nothing is left of it."""
    try:
        decoded, promised = count_samples(path)
    except soundfile.SoundFileError:
        return True
    return not decoded or decoded < promised


def places_to_cut(size: int) -> list[int]:
    return sorted({1, 2, 5, 20, 60, 100, *np.linspace(1, size - 1, CUTS, dtype=int).tolist(), size - 2, size - 1})


def run_ffmpeg(folder: Path, *options: str) -> None:
    soundfile.write(folder / "source.wav", speak(66150), 22050)
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, "-v", "error", "-y", "-i", "source.wav", *options], cwd=folder, check=True)


def pipe_from_ffmpeg(folder: Path, name: str, *options: str) -> Path:
    """ffmpeg writes into a pipe: it cannot go back to say how much it wrote."""
    soundfile.write(folder / "source.wav", speak(66150), 22050)
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", "source.wav", *options, "-"]
    (folder / name).write_bytes(subprocess.run(program, cwd=folder, check=True, capture_output=True).stdout)
    return folder / name


@pytest.mark.parametrize(("container", "encoding"), list(write_in_every_format()))
def test_a_cut_recording_is_noticed_as_far_as_its_container_allows(
    tmp_path: Path, container: str, encoding: str
) -> None:
    path = tmp_path / "whole"
    try:
        soundfile.write(path, speak(), 24000 if encoding == "OPUS" else 22050, format=container, subtype=encoding)
    except soundfile.SoundFileError:
        pytest.skip("libsndfile reads it, but does not write it")
    content = path.read_bytes()
    assert truncation_of(path) == ""
    cut = tmp_path / "cut"
    unnoticed = []
    for place in places_to_cut(len(content)):
        cut.write_bytes(content[:place])
        if not truncation_of(cut) and not is_refused(cut):
            unnoticed.append(place)
    if container in PROMISES_ITS_END:
        assert all(place >= len(content) - PADDING_BYTES for place in unnoticed)
    elif container in PROMISES_SAMPLES | REFUSED_WHEN_CUT:
        assert unnoticed == []
    else:
        assert container in CUT_UNNOTICED


@pytest.mark.parametrize(
    ("container", "endian"),
    [("WAV", "BIG"), ("AIFF", "LITTLE"), ("AU", "LITTLE"), ("AU", "BIG"), ("CAF", "LITTLE"), ("RF64", "LITTLE")],
)
def test_either_byte_order_is_understood(tmp_path: Path, container: str, endian: str) -> None:
    path = tmp_path / "a"
    soundfile.write(path, speak(), 22050, format=container, subtype="PCM_16", endian=endian)
    content = path.read_bytes()
    assert truncation_of(path) == ""
    assert truncation_in(tmp_path, content[:-100]) == "100 bytes that its header promises are missing"


@given(name=st.sampled_from(["a.wav", "a.aiff", "a.au", "a.w64", "a.caf", "a.rf64"]), missing=st.integers(0, 1000))
def test_every_missing_byte_of_sound_is_counted(whole_files: Path, name: str, missing: int) -> None:
    content = (whole_files / name).read_bytes()
    expected = f"{missing} bytes that its header promises are missing" if missing else ""
    assert truncation_in(whole_files, content[: len(content) - missing]) == expected


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    for name in ("wav", "aiff", "au", "w64", "caf", "rf64"):
        soundfile.write(folder / f"a.{name}", speak(500), 22050, subtype="PCM_16", format=name)
    soundfile.write(folder / "a.ogg", speak(66150), 22050, subtype="VORBIS")
    return folder


def test_a_length_that_a_pipe_could_not_know_is_not_missing(whole_files: Path, tmp_path: Path) -> None:
    content = bytearray((whole_files / "a.wav").read_bytes())
    for length in (0xFFFFFFFF, 0x7FFFFFFF - 36, 0x7FFFF000, 0):
        content[40:44] = length.to_bytes(4, "little")
        assert truncation_in(tmp_path, content) == ""


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.au", "a.w64", "a.flac", "a.rf64"])
def test_what_ffmpeg_writes_into_a_pipe_is_whole(tmp_path: Path, name: str) -> None:
    container = name.partition(".")[2]
    options = ["-rf64", "always", "-f", "wav"] if container == "rf64" else ["-f", container]
    path = pipe_from_ffmpeg(tmp_path, name, *options)
    assert truncation_of(path) == ""
    decoded, promised = count_samples(path)
    assert decoded >= promised
    assert decoded == 66150 or container == "rf64"  # libsndfile takes its unknown length for none


def test_a_large_wav_has_its_length_in_ds64(tmp_path: Path) -> None:
    run_ffmpeg(tmp_path, "-rf64", "always", "a.wav")
    content = (tmp_path / "a.wav").read_bytes()
    assert content[:4] == b"RF64"
    assert truncation_in(tmp_path, content) == ""
    assert truncation_in(tmp_path, content[:-7]) == "7 bytes that its header promises are missing"
    assert truncation_in(tmp_path, b"BW64" + content[4:-7]) == "7 bytes that its header promises are missing"


def test_bytes_after_the_sound_are_no_damage(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", speak(501), 22050, subtype="PCM_U8")
    soundfile.write(tmp_path / "a.ogg", speak(), 22050)
    wav, ogg = (tmp_path / "a.wav").read_bytes(), (tmp_path / "a.ogg").read_bytes()
    assert truncation_in(tmp_path, wav + b"LIST\x04\0\0\0INFO") == ""
    for appendix in (b"\0", b"TAG" + bytes(125), bytes(100_000), b"Ogre", ogg):
        assert truncation_in(tmp_path, ogg + appendix) == ""


def test_a_page_of_ogg_that_is_not_whole_is_noticed_wherever_it_ends(whole_files: Path, tmp_path: Path) -> None:
    """A cut between two pages is not: see `xtts_framework.audio.containers`."""
    content = (whole_files / "a.ogg").read_bytes()
    begin = content.rindex(b"OggS")
    assert truncation_in(tmp_path, content) == truncation_in(tmp_path, content[:begin]) == ""
    for end in [*range(begin + 1, begin + 200), *range(begin + 200, len(content), 97), len(content) - 1]:
        assert truncation_in(tmp_path, content[:end]) == "the last page of the Ogg stream is not whole", end
    assert truncation_in(tmp_path, content + content[:-1]) != "", "the second stream of two in a chain"


@pytest.mark.parametrize("codec", ["libopus", "libvorbis", "flac"])
def test_ogg_of_other_programs_is_whole_until_cut(tmp_path: Path, codec: str) -> None:
    run_ffmpeg(tmp_path, "-c:a", codec, "a.ogg")
    content = (tmp_path / "a.ogg").read_bytes()
    assert truncation_in(tmp_path, content) == ""
    assert truncation_in(tmp_path, content[:-1]) != ""


@pytest.mark.parametrize("quality", [("-b:a", "64k"), ("-q:a", "4")])
def test_an_mp3_without_a_length_header_is_decoded_whole_and_promises_nothing(
    tmp_path: Path, quality: tuple[str, str]
) -> None:
    """Recorders in web pages write none. libsndfile would decode less than half of the second."""
    run_ffmpeg(tmp_path, "-write_xing", "0", *quality, "a.mp3")
    tagged = (tmp_path / "a.mp3").read_bytes()
    untagged = tagged[tagged.index(b"\xff\xf3") :]
    picture = b"ID3\x03\0\0\0\x12\x4f\x40" + bytes(0x12 << 14 | 0x4F << 7 | 0x40)
    for content in (tagged, untagged, picture + untagged):
        (tmp_path / "a.mp3").write_bytes(content)
        with (tmp_path / "a.mp3").open("rb") as stream:
            assert not promises_samples(stream.fileno())
        decoded, promised = count_samples(tmp_path / "a.mp3")
        assert 66150 <= decoded < 66150 + 3 * 576
        assert promised == 0


def test_an_mp3_without_a_length_header_may_be_left_early_or_be_damaged(tmp_path: Path) -> None:
    """It is decoded from a pipe, which a thread fills."""
    path = tmp_path / "a.mp3"
    run_ffmpeg(tmp_path, "-write_xing", "0", "-b:a", "320k", "a.mp3")
    content = path.read_bytes()
    before = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    with path.open("rb") as stream, open_sound(stream.fileno()) as sound:
        assert len(sound.read(100)) == 100
    dice = random.Random(1)
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(dice.choice([1, 10, 1000])):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        path.write_bytes(damaged[: dice.choice([100, 2000, len(damaged)])])
        is_refused(path)
    assert (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == before


def test_an_mp3_with_a_length_header_promises_its_samples(tmp_path: Path) -> None:
    run_ffmpeg(tmp_path, "a.mp3")
    with (tmp_path / "a.mp3").open("rb") as stream:
        assert promises_samples(stream.fileno())
    assert count_samples(tmp_path / "a.mp3") == (66150, 66150)


MARKS = [
    b"RIFF",
    b"RIFX",
    b"RF64",
    b"BW64",
    b"FORM",
    b"caff",
    b"riff",
    b".snd",
    b"dns.",
    b"NIST_1A\n   1024\n",
    b"OggS",
]
PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [*MARKS, b"data", b"SSND", b"ds64", b"fmt ", b"WAVE", b"AIFF", bytes(4), bytes(8), b"\xff" * 4, b"\xff" * 8]
    ),
    st.sampled_from([b"sample_count -i 999999999999\n", b"channel_count -i 2\n", b"sample_n_bytes -i 2\n"]),
    st.integers(0, 2**64 - 1).map(lambda number: number.to_bytes(8, "little")),
)


@given(mark=st.sampled_from(MARKS), pieces=st.lists(PIECES, max_size=40))
def test_no_content_raises(whole_files: Path, mark: bytes, pieces: list[bytes]) -> None:
    assert isinstance(truncation_in(whole_files, mark + b"".join(pieces)), str)


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF" + bytes(2**20),
        b"FORM" + bytes(2**20),
        b"caff" + bytes(2**20),
        b"riff" + bytes(2**20),
        b"OggS" * 2**18,
        b"OggS" + bytes(2**20),
        b"RIFF\0\0\0\0WAVE" + b"LIST\0\0\0\0" * 2**17,
        b"RF64\0\0\0\0WAVE" + b"ds64\0\0\0\0" * 2**17,
    ],
)
def test_reads_are_few_and_small_whatever_the_content(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(content)
    reads: list[int] = []
    pread = os.pread

    def count(file_descriptor: int, size: int, position: int) -> bytes:
        reads.append(size)
        return pread(file_descriptor, size, position)

    monkeypatch.setattr(os, "pread", count)
    truncation_of(tmp_path / "a")
    assert len(reads) <= 2 * MAX_CHUNKS + 2
    assert sum(reads) <= OGG_MAX_PAGE_BYTES + 24 * MAX_CHUNKS + 1024
