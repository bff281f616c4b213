"""Results that cannot be written: the stage says where and what to do, and changes nothing."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults_tally import Tally
from small_disks import small_disk
from staged_project import STAGES, StagedProject, contents, differences, log_of

LINUX_CAPABILITY_VERSION_3 = 0x20080522


def give_up_rights() -> None:
    """Make root a user like others: one who may not write where the mode of a folder says so."""
    header, none = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0


@contextlib.contextmanager
def folders_without_write_permission(place: Path) -> Iterator[None]:
    folders = [place, *(path for path in place.rglob("*") if path.is_dir())]
    modes = {folder: folder.stat().st_mode for folder in folders}
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)


def refusal_of(project: StagedProject, stage: str, place: Path) -> list[str]:
    """Run a stage that may not write; what is wrong with how it fails."""
    status, before = project.run(stage, place, prepare=give_up_rights), contents(project.before(stage))
    log = log_of(place).read_text()
    message = log.rpartition("error: ")[2]
    problems = [] if contents(place) == before else ["something has changed"]
    if status != 1 or "Traceback" in log:
        problems.append(f"exit status {status}: {log}")
    if not message.startswith(("results/", "dataset")) or not any(word in message for word in ("--out", "writable")):
        problems.append(f"does not say where, or what to do: {log}")
    return problems


@pytest.mark.parametrize("stage", STAGES)
def test_results_that_cannot_be_written_are_named_and_left_as_they_are(
    stage: str, project: StagedProject, tmp_path: Path, tally: Callable[[str], Tally]
) -> None:
    refused = tally(f"read-only results in {stage}")
    place = project.copy(stage, tmp_path / "no permission")
    with folders_without_write_permission(place):
        refused.count("no permission", refusal_of(project, stage, place))
    place = tmp_path / "mounted read-only"
    with small_disk(place) as disk:
        project.copy(stage, place)
        disk.read_only(True)
        refused.count("mounted read-only", refusal_of(project, stage, place))
        disk.read_only(False)
        refused.count(
            "made writable",
            [log_of(place).read_text()] * bool(project.run(stage, place)) + differences(place, project.after(stage)),
        )
