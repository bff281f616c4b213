"""No result depends on the clock on the wall; what times of files are good for, and what not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from faults_tally import Tally
from staged_project import DATASET, RUN, KilledAtEvent, StagedProject, differences, log_of

from xtts_framework.data.recordings import recordings_fingerprint

DAY_S, GRANULARITY_NS = 86_400, 2 * 10**9
"""FAT has times of two seconds, the coarsest in use."""


def set_clock_back() -> None:
    """A day, for everything that this process asks."""
    really = time.time
    time.time = lambda: really() - DAY_S


def date_forward(folder: Path) -> None:
    """Everything below was written a day from now."""
    for path in folder.rglob("*"):
        os.utime(path, times=(time.time() + DAY_S,) * 2)


@pytest.mark.parametrize("done", [0.3, 0.6, 0.9])
def test_training_goes_on_after_the_clock_was_set_back(
    done: float, project: StagedProject, tmp_path: Path, tally: Callable[[str], Tally]
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    place, undisturbed = project.copy("train", tmp_path / "place"), project.undisturbed("train")
    project.run("train", place, prepare=KilledAtEvent(int(done * undisturbed.events)))
    date_forward(place)
    problems = [log_of(place).read_text()] if project.run("train", place, prepare=set_clock_back) else []
    problems += differences(place, project.after("train"))
    events = EventAccumulator(str(place / RUN / "training")).Reload()
    shown = [event.step for event in events.Scalars("eval/loss_total")]
    if shown != [0, 6, 12, 16]:
        problems.append(f"TensorBoard shows evaluations at {shown}")
    tally("clock set back a day between two attempts").count(f"after {done:.0%}", problems)


def write_again(recording: Path, *, later_ns: int) -> None:
    """Another sound of the same size, with coarse times."""
    modified_ns = recording.stat().st_mtime_ns // GRANULARITY_NS * GRANULARITY_NS
    content = bytearray(recording.read_bytes())
    content[-1000:] = bytes(reversed(content[-1000:]))
    recording.write_bytes(content)
    os.utime(recording, ns=(modified_ns + later_ns,) * 2)


def test_a_recording_of_the_same_size_counts_as_changed_a_tick_later(project: StagedProject, tmp_path: Path) -> None:
    """Within one tick nobody can know from outside, so a file system with fine times is better: docs/faults.md."""
    dataset = project.copy("validate", tmp_path / "place") / "dataset"
    recording = min((dataset / "wavs").iterdir())
    write_again(recording, later_ns=0)
    seen = recordings_fingerprint.__wrapped__(dataset)
    write_again(recording, later_ns=0)
    assert recordings_fingerprint.__wrapped__(dataset) == seen
    write_again(recording, later_ns=GRANULARITY_NS)
    assert recordings_fingerprint.__wrapped__(dataset) != seen


def test_a_change_that_its_time_hides_is_found_by_the_stages_themselves(project: StagedProject, tmp_path: Path) -> None:
    place = project.copy("tokenize", tmp_path / "place")
    accepted = pl.read_parquet(place / DATASET / "manifest.parquet")
    recording = place / "dataset" / accepted["file"][0]
    write_again(recording, later_ns=0)
    assert project.run("validate", place) == 0, log_of(place).read_text()
    changed = pl.read_parquet(place / DATASET / "manifest.parquet")
    assert (changed["audio_sha256"] != accepted["audio_sha256"]).to_list() == [True, *[False] * (len(accepted) - 1)]
    assert project.run("encode", place) == 0, log_of(place).read_text()
    assert f"encoded 1 clips, reused {len(accepted) - 1}" in log_of(place).read_text()
