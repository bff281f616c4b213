"""A training that is killed, stopped or continued ends bit for bit where an uninterrupted one ends."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from small_training import DATASET, Prepared, config_with, read_curve, run_command

from xtts_framework.config import TrainConfig
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, sha256_of
from xtts_framework.layout import RunFolder
from xtts_framework.stages.train import train
from xtts_framework.training.checkpoint import list_checkpoints, save_checkpoint

RECIPE: dict[str, Any] = {
    "max_steps": 16,
    "eval_every_steps": 6,
    "save_every_steps": 2,
    "log_every_updates": 3,
    "milestones": [7],
    "dropout": 0.1,
    "new_token_lr_scale": 2.0,
}
"""Eight updates; saves fall between logs, a milestone and the dropout of every update must come out the same."""
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


def final_files(run: RunFolder) -> dict[str, str]:
    last = run.path / read_json(run.summary)["checkpoints"][-1]["folder"]
    return {name: sha256_of(last / name) for name in ("model.safetensors", "optimizer.safetensors")}


KILLS, KILLS_IN_FULL = 3, 20


@pytest.fixture(scope="module")
def recipe(full: bool) -> dict[str, Any]:
    """Eight updates; for more kills more of them, so that each attempt has some to do."""
    return RECIPE | ({"max_steps": 300} if full else {})


@pytest.fixture(scope="module")
def uninterrupted(prepared: Prepared, recipe: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = prepared.new_run(tmp_path_factory.mktemp("uninterrupted") / "run")
    process = run_in_process(prepared, run, config_with(**recipe))
    process.join()
    assert process.exitcode == 0
    return run


def after_lines(run: RunFolder, count: int) -> Callable[[], bool]:
    """Whether more than `count` records have been written."""
    return lambda: run.metrics.is_file() and len(run.metrics.read_bytes().splitlines()) > count


def while_saving(run: RunFolder, after_step: int) -> Callable[[], bool]:
    """Whether a checkpoint beyond a step is half written."""

    def is_saving() -> bool:
        partial = run.checkpoints.glob("*/.partial-step-*")
        return any(int(path.name.rpartition("-")[2]) > after_step for path in partial)

    return is_saving


def kill_when(process: BaseProcess, moment: Callable[[], bool]) -> None:
    while process.is_alive() and not moment():
        time.sleep(POLL_S)
    process.kill()
    process.join()


def kill_at_random(
    prepared: Prepared, run: RunFolder, config: TrainConfig, kills: int, dice: random.Random
) -> Counter[str]:
    """SIGKILL again and again: after some records, while a checkpoint is being written, or at any time at all."""
    killed: Counter[str] = Counter()
    while sum(killed.values()) < kills:
        written = len(run.metrics.read_bytes().splitlines()) if run.metrics.is_file() else 0
        last = max((int(path.name[5:]) for path in run.checkpoints.glob("*/step-*")), default=0)
        kind = dice.choice(("after a record", "while saving", "at any time"))
        if not killed:
            kind = "while saving"
        moments = {
            "after a record": after_lines(run, written + dice.randint(0, 1)),
            "while saving": while_saving(run, last + dice.randint(0, 3)),
            "at any time": after_seconds(dice.uniform(0, 3)),
        }
        process = run_in_process(prepared, run, config)
        kill_when(process, moments[kind])
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL and not run.summary.exists()
        killed[kind] += 1
    return killed


def after_seconds(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def test_killed_trainings_end_bit_for_bit_like_uninterrupted_ones(
    prepared: Prepared,
    uninterrupted: RunFolder,
    recipe: dict[str, Any],
    tmp_path: Path,
    full: bool,
    record_property: Callable[[str, object], None],
) -> None:
    """SIGKILL at random moments, one of them at least while a checkpoint is being written."""
    run, config = prepared.new_run(tmp_path / "run"), config_with(**recipe)
    killed = kill_at_random(prepared, run, config, KILLS_IN_FULL if full else KILLS, random.Random(1))
    record_property("killed", dict(killed))
    assert sum(killed.values()) == (KILLS_IN_FULL if full else KILLS) and killed["while saving"]
    process = run_in_process(prepared, run, config)
    process.join()
    assert process.exitcode == 0
    assert final_files(run) == final_files(uninterrupted)
    assert read_curve(run) == read_curve(uninterrupted)
    ours, theirs = read_json(run.summary), read_json(uninterrupted.summary)
    for timing in ("clips_per_s", "wall_s"):
        assert ours.pop(timing) > 0 and theirs.pop(timing) > 0
    assert ours == theirs


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


def test_damaged_newest_checkpoint_is_named_and_the_one_before_continues(
    prepared: Prepared, stopped: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_with(max_steps=4)
    train(config, prepared.base, stopped, {DATASET: prepared.dataset}, device="cpu")
    summary = read_json(stopped.summary)
    newest = list_checkpoints(next(stopped.checkpoints.iterdir()))[-1]
    weights = newest.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    capsys.readouterr()
    train(config, prepared.base, stopped, {DATASET: prepared.dataset}, device="cpu")
    log = capsys.readouterr().err
    assert f"{newest.folder}: damaged checkpoint (model.safetensors)" in log and "continues from step 2" in log
    assert read_json(stopped.summary)["eval"] == summary["eval"]


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
