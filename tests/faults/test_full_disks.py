"""A disk that is full, or fills up: a clear error, nothing half written, and on it goes when there is room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from faults_tally import Tally
from small_disks import pages_of, small_disk
from staged_project import STAGES, StagedProject, contents, differences, log_of

from xtts_framework.training.checkpoint import read_checkpoint

SHARES, SHARES_IN_FULL = 2, 20
"""Of the room that a stage's results take: the disk has none left, or half of it, ..., never all."""


def half_written(stage: str, place: Path, project: StagedProject) -> list[str]:
    """What a failed stage may not leave: anything that an undisturbed one neither found nor made."""
    before, after = contents(project.before(stage)), contents(project.after(stage))
    problems = []
    for name, content in contents(place).items():
        checkpoint = read_checkpoint(place / name) if Path(name).name.startswith("step-") else None
        if stage == "train" and checkpoint:
            problems += [f"{name}/{file}: damaged" for file in checkpoint.damaged_files()]
        elif stage == "train" and ("/step-" in name or name.endswith("metrics.jsonl")):
            continue  # files of checkpoints that are removed later; records that are cut back
        elif stage == "ingest" and name == "dataset/metadata.csv":
            problems += [f"{name}: {line}" for line in lines_of(place / name) - lines_of(project.after(stage) / name)]
        elif content not in (before.get(name), after.get(name)):
            problems.append(f"{name}: {content[:200]}")
    return problems + [f"{name}: gone" for name in before.keys() - contents(place).keys()]


def lines_of(path: Path) -> set[str]:
    return set(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_is_a_clear_error_and_the_stage_goes_on_when_there_is_room(
    stage: str, project: StagedProject, tmp_path: Path, full: bool, tally: Callable[[str], Tally]
) -> None:
    needed = pages_of(project.after(stage)) - pages_of(project.before(stage))
    shares = SHARES_IN_FULL if full else SHARES
    filled = tally(f"disk full in {stage}")
    for room in sorted({needed * number // shares for number in range(shares)}):
        place = tmp_path / f"room for {room} of {needed} pages"
        with small_disk(place) as disk:
            project.copy(stage, place)
            disk.leave(room)
            status = project.run(stage, place)
            log = log_of(place).read_text()
            disk.make_room()
            problems = half_written(stage, place, project)
            if status != 1 or "Traceback" in log:
                problems.append(f"exit status {status}: {log}")
            if not any(f"{folder}/" in log.rpartition("error: ")[2] for folder in ("results", "dataset")):
                problems.append(f"names no place: {log}")
            if "room" not in log.rpartition("error: ")[2]:
                problems.append(f"does not say what to do: {log}")
            if status := project.run(stage, place):
                problems.append(f"exit status {status} with room again: {log_of(place).read_text()}")
            problems += differences(place, project.after(stage))
        filled.count(place.name, problems)
