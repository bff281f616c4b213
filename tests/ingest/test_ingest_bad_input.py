"""Whatever a source says: no file elsewhere is opened, no row is lost, nobody sees a traceback."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_sources import SOURCES, TEXTS, contents, make, read_left_out, read_rows, write_noise
from spoken_recordings import write_recording

from xtts_framework.data.metadata import read_metadata
from xtts_framework.errors import UserError
from xtts_framework.ingest.utterance import CODES
from xtts_framework.stages.ingest import ingest

ROUNDS = 330
NASTY = (
    "../../secret.wav",
    "/etc/passwd",
    "\x00",
    "|",
    '"',
    '""',
    "\t",
    "\n",
    "\r",
    "😀",
    "ሀለሐ",
    "nan",
    "-1",
    "1e400",
    "99999999999",
    "\\ud800",
    "{",
    "]",
    "-->",
    "00:00:01,000 --> 00:00:00,000",
    "\u2028",
    "\ufeff",
    "x" * 5000,
    " rm -rf x |",
    "#EXTM3U",
    "loop.wav",
    "link.wav",
    "fifo.wav",
)


def transcript(folder: Path) -> int:
    write_recording(folder / "talk.wav", TEXTS)
    (folder / "talk.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return len(TEXTS)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One source of each format, each with links that lead out, links that lead nowhere, and a pipe."""
    folder = tmp_path_factory.mktemp("templates")
    write_noise(folder / "secret.wav", 1)
    for name, write in {**SOURCES, "transcript": transcript}.items():
        (folder / name).mkdir()
        write(folder / name)
        (folder / name / "loop.wav").symlink_to("loop.wav")
        (folder / name / "link.wav").symlink_to(folder / "secret.wav")
        os.mkfifo(folder / name / "fifo.wav")
    return folder


def copy_source(template: Path, folder: Path) -> None:
    """Copy a source, its links as links and its pipe as a pipe."""
    folder.mkdir(parents=True)
    for path in sorted(template.rglob("*")):
        target = folder / path.relative_to(template)
        if path.is_symlink():
            target.symlink_to(path.readlink())
        elif path.is_dir():
            target.mkdir()
        elif path.is_fifo():
            os.mkfifo(target)
        else:
            shutil.copyfile(path, target)


def mutate(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    for _ in range(draw.randint(1, 4)):
        kind, place = draw.randrange(7), draw.randrange(len(lines))
        line = bytearray(lines[place])
        if kind == 0 and line:
            line[draw.randrange(len(line))] = draw.randrange(256)
        elif kind == 1:
            at = draw.randint(0, len(line))
            line[at:at] = draw.choice(NASTY).encode("utf-8", "surrogatepass")
        elif kind == 2:
            lines.insert(place, bytes(line))
        elif kind == 3:
            lines.pop(place)
        elif kind == 4:
            del line[draw.randint(0, len(line)) :]
        elif kind == 5:
            fields = bytes(line).replace(b"\t", b" ").replace(b"|", b" ").split(b" ")
            fields[draw.randrange(len(fields))] = draw.choice(NASTY).encode("utf-8", "surrogatepass")
            separator = draw.choice([b" ", b"|", b"\t", b","])
            line = bytearray(separator.join(fields))
        else:
            lines[place:] = lines[place:][::-1]
            line = bytearray(lines[place]) if place < len(lines) else line
        if kind not in (2, 3) and place < len(lines):
            lines[place] = bytes(line)
        lines = lines or [b""]
    return b"\n".join(lines)


def expected_rows(name: str, folder: Path) -> int | None:
    """How many utterances a source has, counted here in another way; None where that is not simple."""
    if name == "jsonl":
        text = (folder / "manifest.jsonl").read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        return sum(bool(line.strip()) for line in text.split("\n"))
    if name == "transcript":
        text = (folder / "talk.txt").read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        return sum(bool(line.strip()) for line in text.split("\n"))
    if name == "common-voice":
        text = (folder / "validated.tsv").read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        return sum(bool(line.strip()) for line in text.split("\n")[1:])
    return None


@pytest.mark.parametrize("seed", range(6))
def test_however_a_source_is_damaged_every_utterance_is_a_clip_or_left_out(
    seed: int, templates: Path, tmp_path: Path
) -> None:
    names = [*SOURCES, "transcript"]
    finished = 0
    for number in range(ROUNDS // 6):
        draw = random.Random(1000 * seed + number)
        name = names[number % len(names)]
        folder, out = tmp_path / str(number) / "source", tmp_path / str(number) / "dataset"
        copy_source(templates / name, folder)
        lists = [path for path in sorted(folder.iterdir()) if path.suffix not in (".wav", ".flac") and path.is_file()]
        damaged = draw.choice(lists)
        damaged.write_bytes(mutate(damaged.read_bytes(), draw))
        if draw.random() < 0.2:
            audio = draw.choice(
                [
                    path
                    for path in folder.rglob("*.*")
                    if path.suffix in (".wav", ".mp3", ".flac", ".ogg") and path.is_file() and not path.is_symlink()
                ]
            )
            content = bytearray(audio.read_bytes())
            content[draw.randrange(len(content))] ^= 255
            audio.write_bytes(content[: draw.randint(0, len(content))] if draw.random() < 0.5 else content)
        try:
            done = ingest(folder, out, wanted=name, min_confidence=0.3)  # type: ignore[arg-type]
        except UserError as error:
            assert str(folder.parent) in str(error)
            if "could be ingested" not in str(error):
                assert not (out / "metadata.csv").exists() or read_rows(out) == []
                continue
            assert read_left_out(out)
            continue
        finished += 1
        assert done.read == done.kept + done.added + done.replaced + done.left_out
        assert done.read == (expected_rows(name, folder) or done.read)
        rows = read_metadata(out / "metadata.csv")
        assert not any(row.fault for row in rows)
        assert len(rows) == done.clips == len({row.file for row in rows})
        assert all((out / row.file).is_file() for row in rows)
        left_out = read_left_out(out)
        assert {row["code"] for row in left_out} <= CODES.keys()
        assert name in ("subtitles", "transcript") or len(left_out) == done.left_out
        before = contents(out)
        again = ingest(folder, out, wanted=name, min_confidence=0.3)  # type: ignore[arg-type]
        assert (again.read, again.clips, again.left_out) == (done.read, 0, done.left_out)
        assert contents(out) == before
    assert finished > ROUNDS // 6 / 3


def test_nothing_outside_is_opened_because_a_row_says_so(templates: Path, tmp_path: Path) -> None:
    """An audit hook of the interpreter sees every file that is opened, by whomever."""
    secret = templates / "secret.wav"
    ways = [
        "../secret.wav",
        "../../templates/secret.wav",
        str(secret),
        f"file://{secret}",
        "link.wav",
        "folder/secret.wav",
        "loop.wav",
        "fifo.wav",
        f"audio/../../{secret.name}",
        "wavs/../../secret.wav",
    ]
    base = tmp_path / "corpus"
    for name in ("table", "common-voice", "kaldi", "jsonl"):
        copy_source(templates / name, base / name)
        (base / name / "folder").symlink_to(templates)
    write_noise(base / "secret.wav", 1)
    with (base / "table" / "metadata.csv").open("a") as stream:
        stream.writelines(f"{way}|ሰላም\n" for way in ways)
    with (base / "common-voice" / "validated.tsv").open("a") as stream:
        stream.writelines(f"c\t{way}\tሰላም\n" for way in ways)
    with (base / "jsonl" / "manifest.jsonl").open("a") as stream:
        stream.writelines(
            json.dumps({"audio": way, "text": "ሰላም", "offset": 0, "duration": 0.5}) + "\n" for way in ways
        )
    with (base / "kaldi" / "wav.scp").open("a") as stream:
        stream.writelines(f"w{number} {way}\n" for number, way in enumerate([*ways, f"cat {secret} |"]))
    with (base / "kaldi" / "segments").open("a") as stream:
        stream.writelines(f"w{number} w{number} 0 0.5\n" for number in range(len(ways) + 1))
    with (base / "kaldi" / "text").open("a") as stream:
        stream.writelines(f"w{number} ሰላም\n" for number in range(len(ways) + 1))
    program = """
import os, sys
from pathlib import Path
from xtts_framework.stages import ingest as stage
import soundfile, xtts_framework.ingest.subtitles, rich.progress
opened, started = [], []
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        opened.append(os.path.realpath(os.fsdecode(arguments[0])))
    if event in ("subprocess.Popen", "os.system", "os.exec", "socket.connect"):
        started.append(arguments)
source, out = Path(sys.argv[1]), Path(sys.argv[2])
sys.addaudithook(hook)
done = stage.ingest(source, out)
allowed = [os.path.realpath(source) + os.sep, os.path.realpath(out), os.path.realpath(sys.prefix), sys.base_prefix]
framework = os.path.dirname(os.path.dirname(os.path.realpath(stage.__file__)))
outside = [path for path in opened if not path.startswith((*allowed, framework))]
assert not started, started
assert 'torch' not in sys.modules
assert not outside, outside
assert any(path.startswith(os.path.realpath(source)) for path in opened)
print(done.read, done.left_out)
"""
    for name in ("table", "common-voice", "kaldi", "jsonl"):
        out = tmp_path / f"out-{name}"
        done = subprocess.run(
            [sys.executable, "-c", program, str(base / name), str(out)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        read, left_out = map(int, done.stdout.split())
        assert read - left_out == 4, name
        codes = {row["code"] for row in read_left_out(out)}
        assert codes <= {"outside_source", "missing_audio", "command_not_run", "duplicate_id"}
        assert "outside_source" in codes


@pytest.mark.parametrize("name", SOURCES)
def test_users_see_no_traceback(name: str, tmp_path: Path) -> None:
    make(name, tmp_path / "source")
    for path in (tmp_path / "source").iterdir():
        if path.is_file() and path.suffix not in (".wav", ".flac"):
            path.write_bytes(b"\xff\xfe\x00\xd8")
    program = "from xtts_framework.cli.main import main; main()"
    command = [sys.executable, "-c", program, "ingest", str(tmp_path / "source"), "--out", str(tmp_path / "o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") or "\nerror: " in done.stderr
    assert "Traceback" not in done.stderr
