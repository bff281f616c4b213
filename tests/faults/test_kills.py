"""`kill -9` of a stage at any moment: started again, it finishes as if nothing had happened."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults_tally import Tally
from staged_project import STAGES, KilledAtEvent, StagedProject, differences, log_of, wait_for_orphans

KILLS, KILLS_IN_FULL = 3, 20


def start_and_kill(project: StagedProject, stage: str, place: Path, dice: random.Random, *, at_event: bool) -> str:
    """Run a stage in a fresh copy until it is killed; says when that was. A run that ended before is run again."""
    undisturbed = project.undisturbed(stage)
    while True:
        project.copy(stage, place)
        if at_event:
            number = dice.randint(1, undisturbed.events)
            moment = f"before file event {number} of {undisturbed.events}"
            process = project.start(stage, place, prepare=KilledAtEvent(number))
        else:
            delay_s = dice.uniform(0, undisturbed.duration_s)
            moment = f"after {delay_s:.3f} s of {undisturbed.duration_s:.3f} s"
            process = project.start(stage, place)
            time.sleep(delay_s)
            process.kill()
        process.join()
        assert process.pid is not None and wait_for_orphans(process.pid) == []
        if process.exitcode == -signal.SIGKILL:
            return moment
        assert process.exitcode == 0, log_of(place).read_text()
        shutil.rmtree(place)


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage_finishes_when_started_again(
    stage: str, project: StagedProject, tmp_path: Path, full: bool, tally: Callable[[str], Tally]
) -> None:
    """Two of three moments are just before a change among its files, drawn from all of them; the third is any time."""
    dice, killed = random.Random(f"{stage} killed"), tally(f"kill -9 of {stage}")
    for number in range(KILLS_IN_FULL if full else KILLS):
        place = tmp_path / str(number)
        moment = start_and_kill(project, stage, place, dice, at_event=number % 3 < 2)
        status = project.run(stage, place)
        problems = [f"exit status {status}: {log_of(place).read_text()}"] if status else []
        killed.count(f"{stage} killed {moment}", problems + differences(place, project.after(stage)))
        shutil.rmtree(place)
