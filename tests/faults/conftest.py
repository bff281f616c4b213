"""One small project, stage after stage, built once and shared by all workers; and the tally of what was survived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults_tally import Tally
from staged_project import StagedProject, build


@pytest.fixture(scope="session")
def project(built_once: Callable[..., Path], speech_dataset: Path, tiny_base: Path) -> StagedProject:
    def staged(folder: Path) -> StagedProject:
        return StagedProject(folder, speech_dataset, tiny_base)

    return staged(built_once("staged_project", lambda folder: build(staged(folder))))


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Iterator[Callable[[str], Tally]]:
    """Counts attempts; the test fails at its end when one was lost. The figures are shown after all tests."""
    tallies: list[Tally] = []

    def begin(fault: str) -> Tally:
        tallies.append(Tally(fault))
        return tallies[-1]

    yield begin
    for one in tallies:
        record_property("fault", (one.fault, one.attempts, len(one.lost)))
    lost = [problem for one in tallies for problem in one.lost]
    assert not lost, "\n".join(lost)
