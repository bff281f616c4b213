"""Damage, by dice: recordings, metadata files, names and traps that a dataset may hold. Everything follows a seed."""

from __future__ import annotations

import codecs
import io
import os
import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

LETTERS = "ሀለሐመሠረሰሸቀበተቸኀነኘአከኸወዐዘዠየደጀገጠጨጰጸፀፈፐ"

ORIGINALS = (
    ("WAV", "PCM_16", 16000, 1),
    ("WAV", "PCM_U8", 16000, 1),
    ("WAV", "PCM_24", 22050, 1),
    ("WAV", "PCM_32", 16000, 2),
    ("WAV", "FLOAT", 22050, 1),
    ("WAV", "DOUBLE", 16000, 1),
    ("WAV", "ULAW", 16000, 1),
    ("WAV", "ALAW", 16000, 1),
    ("WAV", "IMA_ADPCM", 16000, 1),
    ("WAV", "MS_ADPCM", 16000, 1),
    ("WAV", "GSM610", 16000, 1),
    ("WAVEX", "PCM_16", 16000, 6),
    ("RF64", "PCM_16", 16000, 1),
    ("W64", "PCM_16", 16000, 1),
    ("AIFF", "PCM_16", 16000, 1),
    ("AIFF", "FLOAT", 16000, 1),
    ("AU", "PCM_16", 16000, 1),
    ("CAF", "PCM_16", 16000, 1),
    ("CAF", "ALAC_16", 16000, 1),
    ("NIST", "PCM_16", 16000, 1),
    ("VOC", "PCM_16", 16000, 1),
    ("FLAC", "PCM_16", 16000, 1),
    ("FLAC", "PCM_24", 44100, 1),
    ("OGG", "VORBIS", 22050, 1),
    ("OGG", "OPUS", 24000, 1),
    ("MP3", "MPEG_LAYER_III", 22050, 1),
    ("MP3", "MPEG_LAYER_III", 44100, 2),
)
"""Container, encoding, Hz, channels."""
LARGE_ORIGINALS = (("WAV", "PCM_16", 192000, 1), ("WAV", "PCM_24", 48000, 6), ("FLAC", "PCM_24", 192000, 2))
"""Some hundred kilobytes each: a few of them do."""
LARGE_SHARE = 0.01
VERSIONS = 30
"""Different sounds of each original."""

MARKS = (
    b"RIFF",
    b"RIFX",
    b"RF64",
    b"FORM",
    b"caff",
    b"riff",
    b".snd",
    b"fLaC",
    b"OggS",
    b"ID3\x03",
    b"NIST_1A\n   1024\n",
)
CHUNKS = (b"fmt ", b"data", b"fact", b"COMM", b"SSND", b"ds64", b"desc", b"LIST", b"bext", b"cue ", b"smpl", b"PEAK")
LENGTHS = (0, 1, 3, 0x7FFFFFFF, 0x7FFFFF00, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)
SUFFIXES = (".wav", ".wav", ".wav", ".WAV", ".flac", ".ogg", ".mp3", ".txt", "", ".wav.wav", ".csv")

NAMES = (
    "a|b.wav",
    '"quoted".wav',
    'half".wav',
    "it's.wav",
    "two words.wav",
    "ሰላም ዓለም.wav",
    "እንኳን.ደህና.wav",
    "😀👩‍👩‍👧.wav",
    "e\u0301 decomposed.wav",
    "\u00e9 composed.wav",
    "right\u202eto left.wav",
    "zero\u200bwidth.wav",
    "line\u2028separator.wav",
    "next\u0085line.wav",
    "tab\tinside.wav",
    "bell\x07.wav",
    "-rf.wav",
    "--config.wav",
    "$(reboot).wav",
    "`reboot`.wav",
    "%s%n%d.wav",
    "{file}.wav",
    "<b>&amp;.wav",
    "back\\slash.wav",
    "..wav",
    "...",
    "~",
    "*.wav",
    "#comment.wav",
    "=1+1.wav",
    "a,b;c.wav",
    "CON.wav",
    "x" * 251 + ".wav",
)
"""Of good recordings, all of which a row can name."""
UNSPEAKABLE_NAMES = (b"new\nline.wav", b"return\r.wav", b"not utf-8 \xff\xfe.wav", b" spaces around.wav ")
"""Of recordings that no row can name."""


@dataclass(frozen=True)
class Original:
    """A whole recording, as bytes."""

    container: str
    encoding: str
    content: bytes


def make_originals(specifications: Sequence[tuple[str, str, int, int]], versions: int) -> list[Original]:
    """Noise in the rhythm of speech, 0.6 s long."""
    originals = []
    for number in range(versions):
        for container, encoding, rate_hz, channels in specifications:
            content = record(number, rate_hz, channels, container, encoding)
            originals.append(Original(container, encoding, content))
    return originals


def record(
    number: int,
    rate_hz: int = 16000,
    channels: int = 1,
    container: str = "WAV",
    encoding: str = "PCM_16",
    seconds: float = 0.6,
) -> bytes:
    """A recording that nothing is wrong with; another number is another recording."""
    places_S = np.arange(round(seconds * rate_hz)) / rate_hz
    loudness_S = 0.01 + 0.4 * np.maximum(0, np.sin(2 * np.pi * 5 * places_S + number))
    noise_S = np.random.default_rng(number).uniform(-1, 1, len(places_S)) * loudness_S
    stream = io.BytesIO()
    soundfile.write(stream, np.repeat(noise_S[:, None], channels, axis=1), rate_hz, encoding, format=container)
    return stream.getvalue()


def say_something(dice: random.Random) -> str:
    return "ሰላም " + "".join(dice.choices(LETTERS, k=dice.randint(3, 8)))


# Recordings


def damage_recording(original: Original, dice: random.Random) -> bytes:
    """One to three kinds of damage, or rarely none."""
    content = original.content
    for _ in range(dice.choice([0, 1, 1, 1, 2, 3])):
        content = dice.choice(RECORDING_DAMAGES)(content, dice)
    return content


def flip_bits(content: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(dice.choice([1, 1, 8, 64]) if content else 0):
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def overwrite_header(content: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(dice.randint(1, 6)):
        position = dice.randrange(min(len(damaged), 80) + 1)
        piece = dice.choice([dice.randbytes(1), dice.randbytes(2), dice.randbytes(4), bytes(4), b"\xff" * 4])
        damaged[position : position + len(piece)] = piece
    return bytes(damaged)


def cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.choice([dice.randint(0, len(content)), dice.randint(0, min(100, len(content)))])]


def cut_start(content: bytes, dice: random.Random) -> bytes:
    return content[dice.randint(0, min(4000, len(content))) :]


def remove(content: bytes, dice: random.Random) -> bytes:
    begin = dice.randint(0, len(content))
    return content[:begin] + content[begin + dice.choice([1, 2, 4, 100, 5000]) :]


def insert(content: bytes, dice: random.Random) -> bytes:
    begin = dice.choice([dice.randint(0, len(content)), dice.randint(0, min(64, len(content)))])
    return content[:begin] + dice.randbytes(dice.choice([1, 2, 4, 100, 5000])) + content[begin:]


def zero(content: bytes, dice: random.Random) -> bytes:
    begin = dice.randint(0, len(content))
    length = min(len(content) - begin, dice.choice([1, 100, 10_000, len(content)]))
    return content[:begin] + bytes(length) + content[begin + length :]


def change_mark(content: bytes, dice: random.Random) -> bytes:
    mark = dice.choice(MARKS)
    return mark + content[dice.choice([0, len(mark)]) :]


def declare_length(content: bytes, dice: random.Random) -> bytes:
    """Another length for one chunk: huge, zero or a little off."""
    places = [place for place in map(content.find, CHUNKS) if place >= 0]
    place = dice.choice(places) + 4 if places else 4
    length = dice.choice([*LENGTHS, len(content), len(content) + 1, dice.randrange(2**32)])
    declared = length.to_bytes(4, dice.choice(["little", "big"]))
    return content[:place] + declared + content[place + 4 :]


def declare_format(content: bytes, dice: random.Random) -> bytes:
    """Another encoding, number of channels, rate or size of a sample, in the header of a WAV file."""
    place = content.find(b"fmt ")
    if place < 0:
        return overwrite_header(content, dice)
    field, width, values = dice.choice(
        [
            (8, 2, [0, 1, 2, 3, 6, 7, 0x11, 0x31, 0x55, 0xFFFE, 0xFFFF]),
            (10, 2, [0, 1, 2, 3, 6, 255, 1024, 1025, 65535]),
            (12, 4, [0, 1, 2, 7999, 8000, 16000, 192000, 655350, 2**31 - 1, 2**31, 2**32 - 1]),
            (16, 4, [0, 1, 2**31, 2**32 - 1]),
            (20, 2, [0, 1, 2, 3, 4, 7, 8, 65535]),
            (22, 2, [0, 1, 7, 8, 12, 16, 24, 32, 33, 64, 65535]),
        ]
    )
    value = dice.choice(values).to_bytes(width, "little")
    return content[: place + field] + value + content[place + field + width :]


def poison_samples(content: bytes, dice: random.Random) -> bytes:
    """Floats that are no numbers, infinite or very large, where the samples of a WAV file are."""
    place = content.find(b"data")
    if place < 0:
        return flip_bits(content, dice)
    number = dice.choice([np.nan, np.inf, -np.inf, 1e30, -3e38, 1e-40, 1e300])
    kind = dice.choice(["<f4", "<f8"])
    with np.errstate(over="ignore"):
        poison = np.full(dice.choice([1, 1, 100, 10_000]), number).astype(kind).tobytes()
    begin = place + 8 + 8 * dice.randrange(500)
    return content[:begin] + poison[: max(0, len(content) - begin)] + content[begin + len(poison) :]


def repeat_chunk(content: bytes, dice: random.Random) -> bytes:
    found = [place for place in map(content.find, CHUNKS) if place >= 0]
    if not found:
        return content + content
    begin = dice.choice(found)
    chunk = content[begin : begin + dice.choice([8, 24, 36, 2000])]
    return content[:begin] + chunk * dice.choice([1, 2, 500]) + content[begin:]


def append(content: bytes, dice: random.Random) -> bytes:
    return content + dice.choice(
        [bytes(1), b"TAG" + bytes(125), dice.randbytes(3000), content, b"LIST\xff\xff\xff\xff"]
    )


def tag(content: bytes, dice: random.Random) -> bytes:
    """An ID3 tag before everything, as long as it says or not."""
    length = dice.choice([0, 10, 1000])
    declared = dice.choice([length, length, 2**28 - 1])
    size = bytes(declared >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes([dice.choice([2, 3, 4]), 0, 0]) + size + bytes(length) + content


def replace_by_text(content: bytes, dice: random.Random) -> bytes:
    return dice.choice(
        [
            b"",
            b"\0" * dice.choice([1, 44, 5000]),
            b"not audio at all\n" * 99,
            "ይህ ድምፅ አይደለም።\n".encode() * 99,
            b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n",
            b"#!/bin/sh\nreboot\n",
            b"PK\x03\x04" + dice.randbytes(500),
            b"\x89PNG\r\n\x1a\n" + dice.randbytes(500),
            b"\x00\x00\x00\x20ftypM4A " + dice.randbytes(500),
            dice.randbytes(dice.choice([1, 11, 12, 43, 44, 45, 4096])),
        ]
    )


RECORDING_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip_bits,
    flip_bits,
    overwrite_header,
    overwrite_header,
    cut,
    cut,
    cut_start,
    remove,
    insert,
    zero,
    change_mark,
    declare_length,
    declare_length,
    declare_format,
    declare_format,
    poison_samples,
    poison_samples,
    repeat_chunk,
    append,
    tag,
    replace_by_text,
)


# What is no recording, and the ways out of a dataset


def set_traps(dataset: Path, outside: Path) -> list[str]:
    """Put everything into a dataset that a file may be instead of a recording.

    Args:
        outside: a folder with the recording `secret.wav`, beside the dataset.

    Returns:
        how rows may name them; none of them is a clip.
    """
    wavs = dataset / "wavs"
    os.mkfifo(wavs / "fifo.wav")
    with socket.socket(socket.AF_UNIX) as listener:  # a socket's path must be short
        descriptor = os.open(wavs, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{descriptor}/socket.wav")
        os.close(descriptor)
    (wavs / "folder.wav").mkdir()
    links = {
        "loop.wav": "loop.wav",
        "ping.wav": "pong.wav",
        "pong.wav": "ping.wav",
        "dangling.wav": "nowhere.wav",
        "zeros.wav": "/dev/zero",
        "nothing.wav": "/dev/null",
        "terminal.wav": "/dev/stdin",
        "memory.wav": "/proc/self/mem",
        "passwords.wav": "/etc/passwd",
        "linked.wav": str(outside / "secret.wav"),
        "relative.wav": os.path.relpath(outside / "secret.wav", wavs),
        "twice.wav": "linked.wav",
        "up": str(outside),
        "around": "..",
        "root": "/",
        "piped.wav": "fifo.wav",
    }
    for name, target in links.items():
        (wavs / name).symlink_to(target)
    (dataset / "self").symlink_to(dataset)
    secret = outside / "secret.wav"
    ways = [
        "../outside/secret.wav",
        "../outside/secret",
        "../../outside/secret.wav",
        "wavs/../../outside/secret.wav",
        "./.././outside//secret.wav",
        f"../{dataset.name}/../outside/secret.wav",
        "../" * 40 + str(secret).lstrip("/"),
        str(secret),
        str(secret.with_suffix("")),
        f"/{secret}",
        f"{dataset}/../outside/secret.wav",
        "up/secret.wav",
        "up/secret",
        "wavs/up/secret.wav",
        "around/around/../outside/secret.wav",
        "around/wavs/up/secret.wav",
        "self/../outside/secret.wav",
        "self/self/self/wavs/up/secret.wav",
        "root/etc/passwd",
        f"root{secret}",
        f"file://{secret}",
        "..\\outside\\secret.wav",
        "%2e%2e/outside/secret.wav",
        "~/secret.wav",
        "fifo",
        "socket",
        "folder",
        "wavs",
        ".",
        "..",
        "/",
        "",
        "x" * 300,
        "x/" * 3000,
        "../" * 3000,
        "self/" * 60 + "wavs/fifo.wav",
        "\U0010ffff",
        *links,
        "fifo.wav",
        "socket.wav",
        "folder.wav",
    ]
    return [*ways, "metadata.csv"]


def plant_bombs(folder: Path) -> list[str]:
    """Small files that claim, or hold, far more sound than memory; returns their names."""
    bombs = {
        "silence.flac": lambda path: _write_silence(path, 16000, 1, hours=5),
        "wide.flac": lambda path: _write_silence(path, 655350, 8, hours=0.02),
        "silence.ogg": lambda path: _write_silence(path, 8000, 1, hours=0.3, encoding="VORBIS"),
        "silence.mp3": lambda path: _write_silence(path, 8000, 1, hours=0.3),
        "sparse.wav": _write_sparse,
        "promise.flac": _write_promise,
    }
    for name, plant in bombs.items():
        plant(folder / name)
    return list(bombs)


def _write_silence(path: Path, rate_hz: int, channels: int, hours: float, encoding: str | None = None) -> None:
    block_SC = np.zeros((2**18, channels), np.int16)
    with soundfile.SoundFile(path, "w", rate_hz, channels, encoding) as sound:
        for _ in range(int(hours * 3600 * rate_hz) // len(block_SC) + 1):
            sound.write(block_SC)


def _write_sparse(path: Path) -> None:
    """200 MB of samples that take no room on the disk."""
    size = 200 * 10**6
    header = bytearray(record(0)[:44])
    header[4:8], header[40:44] = (size + 36).to_bytes(4, "little"), size.to_bytes(4, "little")
    with path.open("wb") as stream:
        stream.write(header)
        stream.truncate(size + 44)


def _write_promise(path: Path) -> None:
    """A FLAC file whose header promises the largest number of samples there is, 2^36 - 1."""
    content = bytearray(record(0, container="FLAC"))
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)


# Metadata


def write_metadata(files: Sequence[str], dice: random.Random) -> bytes:
    """A metadata file as people write them: any layout, line end and encoding."""
    layout = dice.randrange(5)
    rows = []
    for file in files:
        text, quoted = say_something(dice), f'"{say_something(dice)} | ""{say_something(dice)}"""'
        rows.append(
            [
                f"{file}|{text}",
                f"{file}|{text}|{text}",
                f"{file}|{text}|speaker{dice.randrange(3)}",
                f"{text}|{file}|{dice.randrange(99)}|x",
                f'"{file}"|{quoted}',
            ][layout]
        )
    header = {2: ["audio_file|text|speaker_name"], 3: ["text|audio_file|recording|emotion_name"]}.get(layout, [])
    content = dice.choice(["\n", "\n", "\r\n", "\r"]).join([*header, *rows]) + dice.choice(["", "\n", "\n\n\n"])
    encoding = dice.choices(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"], [20, 5, 5, 1, 1])[0]
    return content.encode(encoding)


def damage_metadata(content: bytes, dice: random.Random) -> bytes:
    for _ in range(dice.choice([0, 1, 1, 2, 5])):
        content = dice.choice(METADATA_DAMAGES)(content, dice)
    if dice.random() < 0.5:  # one byte that is no UTF-8 refuses the whole file; the rows are to be read too
        content = content.decode(errors="ignore").replace("\0", "").encode()
    return content


def insert_piece(content: bytes, dice: random.Random) -> bytes:
    """A character or two that mean something to a parser, a normaliser, a shell or a page."""
    position = dice.randint(0, len(content))
    return content[:position] + dice.choice(PIECES) + content[position + dice.choice([0, 0, 1, 8]) :]


def insert_bomb(content: bytes, dice: random.Random) -> bytes:
    """Something long where something short is meant."""
    position = dice.randint(0, len(content))
    return content[:position] + dice.choice(TEXT_BOMBS) + content[position:]


def shuffle_lines(content: bytes, dice: random.Random) -> bytes:
    lines = content.split(b"\n")
    dice.shuffle(lines)
    return b"\n".join(lines)


def repeat_lines(content: bytes, dice: random.Random) -> bytes:
    lines = content.split(b"\n")
    return b"\n".join(lines + dice.choices(lines, k=dice.randint(1, 5)))


def add_way_out(content: bytes, dice: random.Random) -> bytes:
    way = dice.choice(
        ["../outside/secret.wav", "wavs/../../outside/secret", "/etc/passwd", "up/secret.wav", "fifo.wav", "wavs/fifo"]
    )
    text = dice.choice(["ሰላም", "", "ሀ" * 500, "፩፪፫፬", "12", "ሰላም|x|y|z"])
    return content + f"\n{way}|{text}\n".encode()


def add_mark(content: bytes, dice: random.Random) -> bytes:
    return dice.choice([codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE]) + content


def add_header(content: bytes, dice: random.Random) -> bytes:
    names = dice.choices(["audio_file", "file", "text", "normalized", "speaker_name", "x", ""], k=dice.randint(1, 5))
    return "|".join(names).encode() + b"\n" + content


PIECES = tuple(
    piece.encode() if isinstance(piece, str) else piece
    for piece in (
        *("|", "||", '"', '""', '|"', '"|', "\n", "\r", "\r\n", "\t", " ", "../", "/", "\\", "|\n", "\n|"),
        *("\u2028", "\u0085", "\x0b", "\x0c", "\x1c", "\u202e", "\u200b", "\u00ad", "\ufeff", "\ufffe", "\U0010ffff"),
        *("e\u0301", "፩፪፫", "፼፼፼", "12", "1e999", "-0", "½", "٣", "𝟗", "²", "12:99", "31/2/0", "ዓ.ም.", "%", "€5"),
        *("😀", "👩‍👩‍👧", "<script>", "&lt;", "{{1}}", "{file}", "%s", "$(x)", "[laugh]", "​", "[am]", "</s>"),
        *(b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf", b"\x1a", b"\x7f", b"\x1b[31m"),
    )
)
TEXT_BOMBS = tuple(
    piece.encode()
    for piece in ("9" * 5000, "፼" * 2000, "\u0301" * 5000, "|" * 3000, '"' * 3001, "ሀ" * 50_000, " " * 9999, "\n" * 999)
)
METADATA_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    insert_piece,
    insert_piece,
    insert_piece,
    insert_piece,
    insert_bomb,
    flip_bits,
    cut,
    remove,
    insert,
    zero,
    shuffle_lines,
    repeat_lines,
    add_way_out,
    add_way_out,
    add_mark,
    add_header,
    replace_by_text,
)
