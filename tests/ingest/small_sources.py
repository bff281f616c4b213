"""Small sources of every format, with real recordings, and what was made of them."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from xtts_framework.data.metadata import split_fields

RATE_HZ = 16000
TEXTS = ("ሰላም ለሁላችሁ።", "ዛሬ ዝናብ ጣለ።", "ቡናው ተፈልቷል፣ ኑ እንጠጣ!", "መጽሐፉን አስቀምጠው።")


def write_noise(path: Path, seconds: float, seed: int = 0, rate_hz: int = RATE_HZ, **options: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate_hz))
    soundfile.write(path, noise, rate_hz, **options)


def table(folder: Path) -> int:
    """The guide's format: file|text|normalized, and file|text."""
    for number in range(4):
        write_noise(folder / "wavs" / f"clip{number}.wav", 1, number)
    lines = [f"clip{number}.wav|{text}|{text}" for number, text in enumerate(TEXTS[:2])]
    lines += [f"wavs/clip{number + 2}|{text}" for number, text in enumerate(TEXTS[2:])]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 4


def common_voice(folder: Path) -> int:
    """validated.tsv and, of the same clips, train.tsv; MP3 recordings."""
    rows = []
    for number, text in enumerate(TEXTS):
        write_noise(folder / "clips" / f"common_voice_am_{number}.mp3", 1, number)
        rows.append(f"client{number % 2}\tcommon_voice_am_{number}.mp3\t{text}\t2\t0\tam")
    content = "client_id\tpath\tsentence\tup_votes\tdown_votes\tlocale\n" + "".join(f"{row}\n" for row in rows)
    (folder / "validated.tsv").write_text(content, encoding="utf-8")
    (folder / "train.tsv").write_text("\n".join(content.splitlines()[:3]) + "\n", encoding="utf-8")
    (folder / "reported.tsv").write_text("sentence\treason\nሰላም\tother\n", encoding="utf-8")
    return 4


def kaldi(folder: Path) -> int:
    """Segments of one long recording, whose path is that of another machine."""
    write_noise(folder / "wav" / "rec01.wav", 12)
    (folder / "wav.scp").write_text("rec01 /corpora/amharic/wav/rec01.wav\n", encoding="utf-8")
    lines = [f"utt{number} rec01 {3 * number:.2f} {3 * number + 2.5:.2f}\n" for number in range(4)]
    (folder / "segments").write_text("".join(lines), encoding="utf-8")
    (folder / "text").write_text("".join(f"utt{n} {text}\n" for n, text in enumerate(TEXTS)), encoding="utf-8")
    (folder / "utt2spk").write_text("".join(f"utt{n} spk{n % 2}\n" for n in range(4)), encoding="utf-8")
    return 4


def jsonl(folder: Path) -> int:
    """Two whole recordings, and two parts of a FLAC."""
    write_noise(folder / "long.flac", 8)
    for number in range(2):
        write_noise(folder / "audio" / f"{number}.ogg", 1, number)
    rows = [{"audio_filepath": f"audio/{n}.ogg", "text": TEXTS[n], "duration": 1.0} for n in range(2)]
    rows += [{"audio": "long.flac", "offset": 1 + 3 * n, "duration": 2.5, "sentence": TEXTS[2 + n]} for n in range(2)]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return 4


def subtitles(folder: Path) -> int:
    """Four sentences of which each can be a clip."""
    write_noise(folder / "talk.wav", 22)
    cues = [
        f"{n + 1}\n00:00:{5 * n + 1:02d},000 --> 00:00:{5 * n + 4:02d},000\n{text}\n" for n, text in enumerate(TEXTS)
    ]
    (folder / "talk.srt").write_text("\n".join(cues), encoding="utf-8")
    return 4


SOURCES: dict[str, Callable[[Path], int]] = {
    "table": table,
    "common-voice": common_voice,
    "kaldi": kaldi,
    "jsonl": jsonl,
    "subtitles": subtitles,
}
"""By format: writes a source into a folder; returns how many utterances it has, all good."""


def make(name: str, folder: Path) -> int:
    folder.mkdir(parents=True)
    return SOURCES[name](folder)


def read_rows(dataset: Path) -> list[dict[str, str]]:
    lines = (dataset / "metadata.csv").read_text(encoding="utf-8").splitlines()
    header = split_fields(lines[0])
    return [dict(zip(header, split_fields(line), strict=True)) for line in lines[1:]]


def read_left_out(dataset: Path) -> list[dict[str, str]]:
    with (dataset / "left_out.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
