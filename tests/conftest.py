"""Real speech and a real, small base: built once per test session, shared by all workers of pytest-xdist.

Tests copy what they want to change; both folders are read-only by agreement.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from xtts_framework.files import replacing_folder

SPEECH_CLIPS = 24
BuildOnce = Callable[[str, Callable[[Path], object]], Path]

# Tests run side by side, one per core: torch threads of their own would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Property tests measure no time: other tests may have the machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="As often as the figures in docs/faults.md say (`make test-full`)."
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of docs/faults.md, from the tests that count attempts."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    properties = [
        one for report in reports if getattr(report, "when", "") == "teardown" for one in report.user_properties
    ]
    attempts, lost = Counter[str](), Counter[str]()
    for name, figures in properties:
        if name == "fault":
            attempts[figures[0]] += figures[1]
            lost[figures[0]] += figures[2]
    if attempts:
        terminalreporter.section("faults")
    for fault, count in attempts.items():
        terminalreporter.write_line(f"{fault}: {count} attempts, {count - lost[fault]} survived, {lost[fault]} lost")


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether tests of faults run their full counts, which takes up to 90 minutes; else a few of each."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> BuildOnce:
    """A folder by its name, which the first worker of this session that asks for it fills; the others wait."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent

    def build_once(name: str, build: Callable[[Path], object]) -> Path:
        folder = shared / name
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                with replacing_folder(folder) as partial:
                    build(partial)
        return folder

    return build_once


@pytest.fixture(scope="session")
def speech_dataset(built_once: BuildOnce) -> Path:
    """An Amharic dataset spoken by espeak-ng: 24 good clips of four speakers (22050 Hz), then 5 faulty rows."""

    def build(folder: Path) -> None:
        from xtts_framework.stages.demo_data import create_demo_data

        create_demo_data(folder, clips=SPEECH_CLIPS)

    return built_once("speech_dataset", build)


@pytest.fixture(scope="session")
def tiny_base(built_once: BuildOnce, speech_dataset: Path) -> Path:
    """A base folder with small dimensions and random weights, its codes fitted on `speech_dataset`."""

    def build(folder: Path) -> None:
        from xtts_framework.model.tiny import create_tiny_base, recordings_in

        create_tiny_base(folder, recordings_in(speech_dataset))

    return built_once("tiny_base", build)
