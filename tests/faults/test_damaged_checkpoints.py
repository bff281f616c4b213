"""A checkpoint that something has damaged on disk: noticed by its hash, named, and made again from the one before."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from faults_tally import Tally
from staged_project import RUN, StagedProject, differences, log_of

from xtts_framework.training.checkpoint import COMPLETE, MODEL_FILE, OPTIMIZER_FILE, STATE_FILE

FILES = (MODEL_FILE, OPTIMIZER_FILE, STATE_FILE)


def truncate(path: Path, dice: random.Random) -> None:
    with path.open("r+b") as stream:
        stream.truncate(dice.randrange(path.stat().st_size))


def flip_one_bit(path: Path, dice: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)


def remove(path: Path, dice: random.Random) -> None:
    path.unlink()


DAMAGES = (truncate, flip_one_bit, remove)
CASES = [*((file, damage) for file in FILES for damage in DAMAGES), (COMPLETE, remove)]
TIMES_IN_FULL = 3


def test_a_damaged_checkpoint_is_named_and_made_again_from_the_one_before(
    project: StagedProject, tmp_path: Path, full: bool, tally: Callable[[str], Tally]
) -> None:
    dice, damaged = random.Random("damaged"), tally("checkpoint damaged")
    chosen = CASES * TIMES_IN_FULL if full else [*dice.sample(CASES[:-1], 2), CASES[-1]]
    for number, (file, damage) in enumerate(chosen):
        place = Path(shutil.copytree(project.after("train"), tmp_path / str(number)))
        newest = max((place / RUN).glob("checkpoints/*/step-*"))
        damage(newest / file, dice)
        status, name = project.run("train", place), newest.relative_to(place)
        log = log_of(place).read_text()
        problems = differences(place, project.after("train"))
        if status:
            problems.append(f"exit status {status}: {log}")
        said = f"{name}: no {COMPLETE} in it" if file == COMPLETE else f"{name}: damaged checkpoint ({file})"
        if said not in log or "continues from step 14" not in log:
            problems.append(f"does not say {said}: {log}")
        damaged.count(f"{damage.__name__} {file}", problems)
        shutil.rmtree(place)


def test_several_damaged_checkpoints_and_none_intact_stop_the_training(project: StagedProject, tmp_path: Path) -> None:
    """Beginning again would remove what a person might still mend."""
    place = Path(shutil.copytree(project.after("train"), tmp_path / "place"))
    full_ones = list((place / RUN).glob(f"checkpoints/*/step-*/{OPTIMIZER_FILE}"))
    for path in full_ones:
        flip_one_bit(path, random.Random(1))
    before = [path.read_bytes() for path in full_ones]
    assert project.run("train", place) == 1
    assert f"{len(full_ones)} damaged checkpoints and no intact one to continue from" in log_of(place).read_text()
    assert [path.read_bytes() for path in full_ones] == before
