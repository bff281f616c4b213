"""A small project, stage after stage, as it lies before and after each; and stages in processes that start quickly."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from xtts_framework.config import ProjectConfig, dump_yaml, parse_config, stage_configs
from xtts_framework.files import sha256_of, write_text

CONFIG: dict[str, Any] = {
    "base": "base",
    "datasets": {"speech": {"path": "dataset", "language": "am", "validation": {"eval_min": 4}}},
    "runs": {
        "small": {
            "datasets": ["speech"],
            "tokenizer": {"new_tokens": 500},
            "training": {
                "learning_rate": 1e-3,
                "batch_size": 2,
                "grad_accum": 2,
                "milestones": [7],
                "new_token_lr_scale": 2.0,
                "max_steps": 16,
                "eval_every_steps": 6,
                "save_every_steps": 2,
                "log_every_updates": 3,
            },
            "freezing": {"policy": "none"},
            "synthesis": {"sentences": ["ሰላም።"], "checkpoints": "selected"},
        }
    },
}
"""Eight updates; saves fall between logs, a milestone and the dropout of every update must come out the same."""
RESULTS, DATASET, RUN = Path("results"), Path("results/datasets/speech"), Path("results/runs/small")
STAGES = ("ingest", "validate", "encode", "tokenize", "train", "select", "export", "synthesize", "report")
FINISHED = "finished"
ENDS_WITHIN_S = 1800
"""Far above what the longest takes on a busy machine."""
TIMES = frozenset({"clips_per_s", "wall_s", "training_s", "seconds", "checksum"})
"""Keys of JSON files that hold times, or a hash of what holds times: all in which two undisturbed runs differ."""
PRELOADED = ["xtts_framework.stages.train", "xtts_framework.stages.synthesize", "TTS.tts.models.xtts"]


def arguments_of(stage: str, speech: Path, base: Path) -> list[str]:
    """Command line of `xtts` for a stage, in the folder of a project."""
    of_dataset, of_run = f"--out={DATASET}", [f"--config={RUN}/config/{stage}.yaml", f"--out={RUN}"]
    dataset = f"--dataset=speech={DATASET}"
    return [
        stage,
        *{
            "ingest": [str(speech), "--out=dataset", "--name=speech"],
            "validate": [f"--config={DATASET}/config/validate.yaml", of_dataset],
            "encode": [f"--config={DATASET}/config/encode.yaml", f"--base={base}", of_dataset],
            "tokenize": [*of_run, f"--base={base}", dataset],
            "train": [*of_run, f"--base={base}", dataset, "--device=cpu"],
            "select": [f"--out={RUN}"],
            "export": [*of_run, f"--base={base}", dataset],
            "synthesize": [f"{RUN}/bundle", *of_run, dataset, "--device=cpu"],
            "report": [*of_run, dataset],
        }[stage],
    ]


@dataclass(frozen=True)
class Undisturbed:
    """How a stage went that nothing happened to.

    Args:
        events: how often it made, opened for writing, flushed, renamed or removed something in its project.
        duration_s: from the start of its process to the end.
    """

    events: int
    duration_s: float


@dataclass(frozen=True)
class StagedProject:
    """Folders of one project, each as it lies before a stage; read-only by agreement: `copy` gives one to change."""

    folder: Path
    speech: Path
    base: Path

    def before(self, stage: str) -> Path:
        return self.folder / stage

    def after(self, stage: str) -> Path:
        return self.folder / (*STAGES, FINISHED)[STAGES.index(stage) + 1]

    def undisturbed(self, stage: str) -> Undisturbed:
        return Undisturbed(**json.loads((self.folder / f"{stage}.json").read_text()))

    def copy(self, stage: str, destination: Path) -> Path:
        """The project as it lies before a stage."""
        return Path(shutil.copytree(self.before(stage), destination, dirs_exist_ok=True))

    def start(self, stage: str, place: Path, *, prepare: Callable[[], None] | None = None) -> BaseProcess:
        """The stage's command in a process of its own, in the folder `place`; its log is `log_of(place)`.

        Args:
            prepare: called in that process before the command.
        """
        arguments = (arguments_of(stage, self.speech, self.base), place, prepare)
        process: BaseProcess = started_quickly().Process(target=run_command, args=arguments)
        process.start()
        return process

    def run(self, stage: str, place: Path, *, prepare: Callable[[], None] | None = None) -> int | None:
        """The exit status of the stage's command."""
        process = self.start(stage, place, prepare=prepare)
        process.join(ENDS_WITHIN_S)
        assert process.exitcode is not None, f"{stage} does not end"
        return process.exitcode


def build(project: StagedProject) -> None:
    """Run all stages one after the other, keeping the project as it was before each."""
    server_has_started = started_quickly().Process(target=os.getpid)
    server_has_started.start()
    server_has_started.join()  # its imports are no stage's work
    place = project.before(STAGES[0])
    for path, content in stage_configs(parse_config(CONFIG, ProjectConfig, source="tests")):
        write_text(place / RESULTS / path, dump_yaml(content))
    for stage in STAGES:
        after = project.after(stage)
        shutil.copytree(project.before(stage), after)
        counted = project.folder / f"{stage}.events"
        started = time.monotonic()
        status = project.run(stage, after, prepare=CountedEvents(counted))
        duration_s = time.monotonic() - started
        assert status == 0, log_of(after).read_text()
        log_of(after).unlink()
        write_text(
            project.folder / f"{stage}.json", json.dumps({"events": counted.stat().st_size, "duration_s": duration_s})
        )


def started_quickly() -> Any:
    """Processes forked from a server that has imported torch and coqui: what takes time in them is the stage's work."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    return server


def run_command(arguments: list[str], place: Path, prepare: Callable[[], None] | None) -> None:
    """`xtts` as its console script runs it, in a session of its own."""
    from xtts_framework.cli.main import main

    os.setsid()
    os.chdir(place)
    log = os.open(log_of(place), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if prepare:
        prepare()
    sys.argv = ["xtts", *arguments]
    main()


def log_of(place: Path) -> Path:
    """Beside the project's folder, where no fault reaches it."""
    return place.with_name(f"{place.name}.log")


@dataclass(frozen=True)
class CountedEvents:
    """Writes a byte to a file whenever this process is about to change something in its folder."""

    file: Path

    def __call__(self) -> None:
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _on_file_events(lambda: os.write(descriptor, b"."))


@dataclass(frozen=True)
class KilledAtEvent:
    """SIGKILL when this process is about to change something in its folder for the n-th time."""

    number: int

    def __call__(self) -> None:
        numbers = itertools.count(1)

        def kill_when_due() -> None:
            if next(numbers) == self.number:
                os.kill(os.getpid(), signal.SIGKILL)

        _on_file_events(kill_when_due)


CHANGES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"})


def _on_file_events(notice: Callable[[], object]) -> None:
    """Call `notice` before this process changes something in its folder, and before it flushes anything to disk."""
    here = Path.cwd()
    flush = os.fsync

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        changes = (writes or event in CHANGES) and isinstance(arguments[0], str | os.PathLike)
        if changes and (here / arguments[0]).is_relative_to(here):
            notice()

    def flush_noticed(descriptor: int) -> None:
        notice()
        flush(descriptor)

    sys.addaudithook(hook)
    os.fsync = flush_noticed


def wait_for_orphans(session: int, seconds: float = 10) -> list[str]:
    """What a killed process started and has not ended by itself within so many seconds."""
    end = time.monotonic() + seconds
    while left := list(_processes_of(session)):
        if time.monotonic() > end:
            return left
        time.sleep(0.01)
    return []


def _processes_of(session: int) -> Iterator[str]:
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                yield " ".join(process.cmdline())
        except (psutil.Error, OSError):
            continue


def contents(place: Path) -> dict[str, str]:
    """Every file and folder below: a hash of each file, leaving out times; event files of TensorBoard are not read."""
    found = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if path.is_dir():
            found[name] = "folder"
        elif path.name == "attempts.json":
            found[name] = "record of the attempts"
        elif "tfevents" in path.name:
            found[str(path.parent.relative_to(place) / "tfevents")] = "curves"
        elif path.suffix in (".json", ".jsonl"):
            found[name] = json.dumps([_without_times(json.loads(text)) for text in _documents(path)])
        else:
            found[name] = sha256_of(path)
    return found


def _documents(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(one) for key, one in value.items() if key not in TIMES}
    return [_without_times(one) for one in value] if isinstance(value, list) else value


def differences(place: Path, expected: Path) -> list[str]:
    """Names of what is missing, new or different."""
    ours, theirs = contents(place), contents(expected)
    return [
        f"{name}: {_difference(ours.get(name), theirs.get(name))}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def _difference(ours: str | None, theirs: str | None) -> str:
    if ours is None:
        return "missing"
    return "should not be there" if theirs is None else f"differs: {ours[:200]} | {theirs[:200]}"
