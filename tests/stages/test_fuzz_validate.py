"""Whatever lies in a dataset, validate ends, with every row accepted or refused with a code, and nothing else touched.

Everything is made by dice with a seed. With --full, 10,000 recordings and 10,000 metadata files; else fewer of these.
"""

from __future__ import annotations

import csv
import faulthandler
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fuzzing import (
    LARGE_ORIGINALS,
    LARGE_SHARE,
    NAMES,
    ORIGINALS,
    SUFFIXES,
    UNSPEAKABLE_NAMES,
    VERSIONS,
    damage_metadata,
    damage_recording,
    make_originals,
    plant_bombs,
    record,
    say_something,
    set_traps,
    write_metadata,
)
from opened_files import OpenedFiles

from xtts_framework.config import ValidateConfig, ValidationConfig
from xtts_framework.data.metadata import join_fields, parse_metadata
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, sha256_of
from xtts_framework.layout import DatasetFolder
from xtts_framework.stages.validate import validate

SEED = 20
RECORDINGS, METADATA_FILES = 10_000, 10_000
METADATA_FILES_IN_SHORT = 200
MAX_MEMORY_BYTES = 600 * 10**6
"""Of one process."""
HANGING_S = 600
"""Nobody waits for so long; the slowest of these takes a minute or two."""
WATCHED_VALIDATE = Path(__file__).with_name("watched_validate.py")
LONGEST_CSV_FIELD = 2**24
"""A file name that is a whole page of text is told, too."""
CODES = re.compile(r"[a-z_]+(;[a-z_]+)*")


@dataclass(frozen=True)
class Place:
    """A dataset, and beside it what is not to be opened."""

    dataset: Path
    outside: Path
    out: DatasetFolder

    @property
    def secret(self) -> Path:
        return self.outside / "secret.wav"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Removed afterwards: it may hold hundreds of megabytes."""
    folder = tmp_path.resolve()
    place = Place(folder / "dataset", folder / "outside", DatasetFolder(folder / "out"))
    (place.dataset / "wavs").mkdir(parents=True)
    place.outside.mkdir()
    place.secret.write_bytes(record(12345))
    (place.outside / "out").mkdir()
    yield place
    shutil.rmtree(place.dataset)


@pytest.fixture
def opened_outside(place: Place) -> Iterator[OpenedFiles]:
    opened = OpenedFiles(place.outside)
    yield opened
    opened.close()


def run_watched(place: Place) -> dict[str, Any]:
    """Validate in another process; its memory and its error."""
    log = place.out.path.with_name("opened.log")
    log.touch()
    command = [sys.executable, WATCHED_VALIDATE, place.dataset, place.out.path, place.outside, log]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=HANGING_S, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-5000:]
    assert log.read_text() == ""
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


def check_account(out: DatasetFolder, lines: Sequence[int] | None = None) -> tuple[set[int], dict[int, list[str]]]:
    """Check that every row is either in the manifest or, once and with a code, among the rejects.

    Returns:
        lines of accepted rows, and codes by line of refused rows.
    """
    validation = read_json(out.validation)
    csv.field_size_limit(LONGEST_CSV_FIELD)
    with out.rejects.open(encoding="utf-8", newline="") as stream:
        rejects = list(csv.DictReader(stream))
    refused = {int(row["line"]): row["codes"].split(";") for row in rejects}
    assert len(refused) == len(rejects) == validation["rejected"]
    assert all(CODES.fullmatch(row["codes"]) and row["detail"] for row in rejects)
    assert sum(validation["codes"].values()) == sum(map(len, refused.values()))
    accepted = set(pl.read_parquet(out.manifest)["line"]) if out.manifest.exists() else set()
    if out.manifest.exists():
        assert len(accepted) == validation["accepted"]
        assert not accepted & set(refused)
    assert validation["rows"] == validation["accepted"] + validation["rejected"]
    if lines is not None:
        assert validation["rows"] == len(lines)
        assert set(refused) | accepted == set(lines)
    return accepted, refused


def write_rows(place: Place, files: Sequence[str], texts: Sequence[str]) -> range:
    """Write the metadata; its lines."""
    rows = [join_fields(fields) for fields in zip(files, texts, strict=True)]
    (place.dataset / "metadata.csv").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return range(1, len(rows) + 1)


def test_every_damaged_recording_is_accepted_or_refused(place: Place, opened_outside: OpenedFiles) -> None:
    """All kinds of damage, beside good recordings with strange names, and traps, in one dataset."""
    dice = random.Random(SEED)
    traps = set_traps(place.dataset, place.outside)
    for number, name in enumerate([*map(os.fsencode, NAMES), *UNSPEAKABLE_NAMES]):
        Path(os.fsdecode(bytes(place.dataset / "wavs" / "") + b"/" + name)).write_bytes(record(1000 + number))
    files = [*NAMES, *traps, *write_damaged(place.dataset / "wavs", RECORDINGS, dice)]
    lines = write_rows(place, files, [say_something(dice) for _ in files])
    opened_outside.names()

    outcome = run_watched(place)

    assert outcome["error"] == ""
    assert opened_outside.names() == []
    assert outcome["memory_bytes"] < MAX_MEMORY_BYTES
    accepted, refused = check_account(place.out, lines)
    print(f"{len(lines)} rows, {len(accepted)} accepted, {len(refused)} refused, {outcome}")
    assert {files[line - 1]: codes for line, codes in refused.items() if files[line - 1] in NAMES} == {}
    assert sha256_of(place.secret) not in set(pl.read_parquet(place.out.manifest)["audio_sha256"])
    assert len(accepted) > RECORDINGS // 10
    assert len(refused) > RECORDINGS // 2


def test_traps_and_bombs_are_refused_without_being_fallen_for(place: Place, opened_outside: OpenedFiles) -> None:
    """Few rows, so that the page shows, and plays, whatever it may of each; texts with faults too."""
    dice = random.Random(SEED)
    good = [f"clip{number}.wav" for number in range(10)]
    for number, name in enumerate(good):
        (place.dataset / "wavs" / name).write_bytes(record(number))
    traps, bombs = set_traps(place.dataset, place.outside), plant_bombs(place.dataset / "wavs")
    faulty = ["", "ሀ" * 500, "፩፪፫፬", "12 | 13"]
    pairs = [(file, say_something(dice)) for file in [*good, *bombs]]
    pairs += [(file, text) for text in faulty for file in dice.sample(traps, len(traps))]
    lines = write_rows(place, *zip(*pairs, strict=True))
    opened_outside.names()

    outcome = run_watched(place)

    assert outcome["error"] == ""
    assert opened_outside.names() == []
    assert outcome["memory_bytes"] < MAX_MEMORY_BYTES
    accepted, refused = check_account(place.out, lines)
    print(f"{len(lines)} rows, {len(accepted)} accepted, {len(refused)} refused, {outcome}")
    assert accepted == set(range(1, len(good) + 1))


def write_damaged(folder: Path, count: int, dice: random.Random) -> list[str]:
    """Write damaged recordings; returns how rows name them."""
    originals = make_originals(ORIGINALS, VERSIONS)
    large = make_originals(LARGE_ORIGINALS, 1)
    names = []
    for number in range(count):
        original = dice.choice(large if dice.random() < LARGE_SHARE else originals)
        name = f"damaged{number}{dice.choice(SUFFIXES)}"
        (folder / name).write_bytes(damage_recording(original, dice))
        names.append(dice.choice([name, name, name.removesuffix(".wav"), f"wavs/{name}"]))
    return names


def test_every_damaged_metadata_file_is_refused_in_words_or_each_of_its_rows_is(
    place: Place, opened_outside: OpenedFiles, full: bool
) -> None:
    set_traps(place.dataset, place.outside)
    files = [f"clip{number}.wav" for number in range(5)]
    for number, name in enumerate(files):
        (place.dataset / "wavs" / name).write_bytes(record(number))
    wanted = ValidationConfig(eval_min=1)
    config = ValidateConfig.model_validate({"dataset": {"path": place.dataset, "language": "am", "validation": wanted}})
    opened_outside.names()
    ends = {"refused whole": 0, "no row accepted": 0, "some refused": 0, "all accepted": 0}
    for number in range(METADATA_FILES if full else METADATA_FILES_IN_SHORT):
        dice = random.Random(f"{SEED}-{number}")
        content = damage_metadata(write_metadata(files, dice), dice)
        (place.dataset / "metadata.csv").write_bytes(content)
        faulthandler.dump_traceback_later(HANGING_S, exit=True)
        ends[validate_once(config, place, content)] += 1
        assert opened_outside.names() == [], number
    faulthandler.cancel_dump_traceback_later()
    print(ends)
    assert all(ends.values())


def validate_once(config: ValidateConfig, place: Place, content: bytes) -> str:
    """Validate and check the account; tells how it ended."""
    out = place.out
    shutil.rmtree(out.path, ignore_errors=True)
    error = ""
    try:
        validate(config, out)
    except UserError as refusal:
        error = str(refusal)
        assert error
    if not out.validation.exists():
        assert error
        return "refused whole"
    assert out.manifest.exists() == (not error)
    lines = [row.line for row in parse_metadata(content, Path("metadata.csv"))]
    _, refused = check_account(out, None if error else lines)
    if error:
        return "no row accepted"
    return "some refused" if refused else "all accepted"


def test_no_metadata_breaks_the_parser_and_no_line_is_lost() -> None:
    files = [f"clip{number}.wav" for number in range(5)]
    read = 0
    for number in range(METADATA_FILES):
        dice = random.Random(f"{SEED}-{number}")
        content = damage_metadata(write_metadata(files, dice), dice)
        try:
            rows = parse_metadata(content, Path("metadata.csv"))
        except UserError as error:
            assert "metadata.csv" in str(error), number
            continue
        read += 1
        lines = [row.line for row in rows]
        assert len(lines) in (count_lines(content), count_lines(content) - 1), number
        assert lines == sorted(set(lines)), number
    assert METADATA_FILES // 3 < read < METADATA_FILES


def count_lines(content: bytes) -> int:
    """Lines that say something; the first of them may be a header."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return sum(1 for line in re.split(r"\r\n|\r|\n", content.decode(encoding)) if line.strip())
