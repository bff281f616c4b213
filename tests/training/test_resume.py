"""A training that is stopped goes on where it was, and ends where an uninterrupted one ends. Kills: tests/faults."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from small_training import DATASET, Prepared, config_with, run_command

from xtts_framework.config import TrainConfig
from xtts_framework.errors import UserError
from xtts_framework.files import read_json
from xtts_framework.layout import RunFolder
from xtts_framework.stages.train import train
from xtts_framework.training.checkpoint import list_checkpoints, save_checkpoint

POLL_S = 0.001


def context() -> Any:
    """Real processes that start quickly: a server imports torch and coqui once and forks from there."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["xtts_framework.stages.train", "TTS.tts.layers.xtts.gpt"])
    return server


def run_in_process(prepared: Prepared, run: RunFolder, config: TrainConfig) -> BaseProcess:
    arguments = (config, prepared.base, run, {DATASET: prepared.dataset})
    process: BaseProcess = context().Process(target=train, args=arguments, kwargs={"device": "cpu"})
    process.start()
    return process


def after_lines(run: RunFolder, count: int) -> Callable[[], bool]:
    """Whether more than `count` records have been written."""
    return lambda: run.metrics.is_file() and len(run.metrics.read_bytes().splitlines()) > count


def kill_when(process: BaseProcess, moment: Callable[[], bool]) -> None:
    while process.is_alive() and not moment():
        time.sleep(POLL_S)
    process.kill()
    process.join()


def test_tensorboard_shows_every_step_once_after_interruptions(prepared: Prepared, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, config = prepared.new_run(tmp_path / "run"), config_with(milestones=[3], save_every_steps=6)
    kill_when(run_in_process(prepared, run, config), after_lines(run, 4))
    process = run_in_process(prepared, run, config)
    process.join()
    assert process.exitcode == 0
    events = EventAccumulator(str(run.training)).Reload()
    assert [event.step for event in events.Scalars("train/loss_total")] == [2, 4, 6, 8]
    assert [event.step for event in events.Scalars("eval/loss_total")] == [0, 4, 8]


@pytest.fixture
def stopped(prepared: Prepared, tmp_path: Path) -> Iterator[RunFolder]:
    """A training that its time limit has stopped after its first update."""
    run = prepared.new_run(tmp_path / "run")
    with pytest.raises(UserError, match="unfinished: stopped and saved at step 2") as unfinished:
        train(config_with(), prepared.base, run, {DATASET: prepared.dataset}, device="cpu", max_seconds=0)
    assert unfinished.value.exit_code == os.EX_TEMPFAIL and not run.summary.exists()
    yield run


def test_time_limit_saves_and_each_attempt_advances(prepared: Prepared, stopped: RunFolder) -> None:
    for step in (4, 6):
        with pytest.raises(UserError, match=f"saved at step {step}"):
            train(config_with(), prepared.base, stopped, {DATASET: prepared.dataset}, device="cpu", max_seconds=0)
    train(config_with(), prepared.base, stopped, {DATASET: prepared.dataset}, device="cpu", max_seconds=0)
    assert read_json(stopped.summary)["steps"] == 8


def test_weights_alone_and_foreign_folders_cannot_be_resumed(prepared: Prepared, stopped: RunFolder) -> None:
    first = list_checkpoints(next(stopped.checkpoints.iterdir()))[0]
    assert not first.is_full
    state = {key: value for key, value in first.state.items() if key != "files"}
    for folder, message in ((first.folder, "weights only"), (stopped.training, "no complete checkpoint")):
        with pytest.raises(UserError, match=message):
            train(config_with(), prepared.base, stopped, {DATASET: prepared.dataset}, device="cpu", resume=folder)
    other = save_checkpoint(stopped.path / "other", {}, {}, state | {"fingerprint_inputs": {}})
    with pytest.raises(UserError, match=r"training\.seed: new"):
        train(config_with(), prepared.base, stopped, {DATASET: prepared.dataset}, device="cpu", resume=other)


def test_sigterm_saves_and_the_command_exits_75(prepared: Prepared, tmp_path: Path) -> None:
    run, log = prepared.new_run(tmp_path / "run"), tmp_path / "log"
    arguments = ["train", "--device", "cpu", *prepared.arguments(run, config_with(max_steps=1000))]
    process = context().Process(target=run_command, args=(arguments, log))
    process.start()
    reached_update = after_lines(run, 2)
    while process.is_alive() and not reached_update():
        time.sleep(POLL_S)
    process.terminate()
    process.join()
    assert process.exitcode == os.EX_TEMPFAIL
    assert "SIGTERM received" in log.read_text(encoding="utf-8")
    assert "Start the same command again to continue" in log.read_text(encoding="utf-8")
    newest = list_checkpoints(next(run.checkpoints.iterdir()))[-1]
    assert newest.is_full and newest.damaged_files() == []
