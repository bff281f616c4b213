"""Several processes train as one: the same gradients, losses, samples and log lines; nobody hangs when one is gone."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from small_training import (
    DATASET,
    ONE_EPOCH,
    Prepared,
    assert_same_curve,
    config_with,
    curve,
    run_command,
)
from small_world import SmallMemory, World, difference, movement

from xtts_framework.data.packing import micro_batches
from xtts_framework.errors import UserError
from xtts_framework.files import read_json
from xtts_framework.layout import RunFolder
from xtts_framework.training import update as update_module
from xtts_framework.training.budget import Budget
from xtts_framework.training.distributed import Ranks, join_ranks, share_out

LOSS_TOLERANCE, GRADIENT_TOLERANCE, MOVEMENT_TOLERANCE = 1e-5, 1e-5, 1e-4
UPDATES = 5
ENDS_WITHIN_S = 60
HANGS_AFTER_S = 150
"""Far above what it takes, far below the half hour after which torch would give up; says where each thread stood."""


def start(size: int, work: Callable[..., None], *arguments: Any) -> list[BaseProcess]:
    """`work` in processes of one training, as torchrun would start them."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["xtts_framework.stages.train", "TTS.tts.layers.xtts.gpt"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes: list[BaseProcess] = []
    for rank in range(size):
        process: BaseProcess = server.Process(target=as_rank, args=(rank, size, port, work, arguments))
        process.start()
        processes.append(process)
    return processes


def as_rank(rank: int, size: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    os.environ |= {name: str(number) for name, number in place.items()} | {"MASTER_ADDR": "127.0.0.1"}
    torch.set_num_threads(1)
    faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True)
    work(*arguments)


def run(size: int, work: Callable[..., None], *arguments: Any) -> None:
    assert exit_codes(start(size, work, *arguments)) == [0] * size


def exit_codes(processes: list[BaseProcess]) -> list[int | None]:
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def measure(prepared: Prepared, out: Path, clips: int, tokens: int, out_of_memory_in: int | None) -> None:
    """Gradient of the first update, then losses and weights of five; the main process writes them down."""
    with join_ranks() as ranks:
        world = World(prepared, clips=clips, ranks=ranks, budget=Budget(tokens))
        if ranks.rank == out_of_memory_in:
            update_module.pack_clips = SmallMemory(300)
        gradients, before = world.gradients(), world.weights()
        losses = [world.update(number)[:3] for number in range(UPDATES)]
        if ranks.is_main:
            moved = movement(before, world.weights())
            budget = world.updater.budget.tokens
            torch.save({"gradients": gradients, "losses": losses, "movement": moved, "budget": budget}, out)


@pytest.fixture(scope="module")
def alone(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """One process, by number of clips."""
    folder, results = tmp_path_factory.mktemp("alone"), {}
    for clips in (8, 2):
        measure(prepared, folder / str(clips), clips, 8192, None)
        results[clips] = torch.load(folder / str(clips))
    return results


@pytest.mark.parametrize(
    ("size", "clips", "tokens", "out_of_memory_in"),
    [(2, 8, 8192, None), (3, 8, 300, None), (3, 2, 8192, None), (2, 8, 8192, 1)],
    ids=["two", "three, other micro-batches", "one of three has nothing to do", "out of memory in one of two"],
)
def test_gradients_losses_and_weights_do_not_depend_on_the_number_of_processes(
    prepared: Prepared, alone: Any, tmp_path: Path, size: int, clips: int, tokens: int, out_of_memory_in: int | None
) -> None:
    run(size, measure, prepared, tmp_path / "out", clips, tokens, out_of_memory_in)
    together, expected = torch.load(tmp_path / "out"), alone[clips]
    assert difference(together["gradients"], expected["gradients"]) <= GRADIENT_TOLERANCE
    for one, other in zip(together["losses"], expected["losses"], strict=True):
        assert one == pytest.approx(other, rel=LOSS_TOLERANCE)
    assert difference(together["movement"], expected["movement"]) <= MOVEMENT_TOLERANCE
    assert (together["budget"] < tokens) == (out_of_memory_in is not None)
    averaged = {name: gradient / size for name, gradient in together["gradients"].items()}
    assert difference(averaged, expected["gradients"]) > 1000 * GRADIENT_TOLERANCE


def train_as_rank(arguments: list[str], log: Path) -> None:
    """The `xtts` command, with a log for each process."""
    run_command(arguments, log.with_suffix(f".{os.environ['RANK']}"))


def test_another_number_of_processes_continues_the_same_curve(
    prepared: Prepared, trained_alone: RunFolder, tmp_path: Path
) -> None:
    """Two processes, of which one hears SIGTERM: both save and end; then three go on."""
    resumed, log = prepared.new_run(tmp_path / "run"), tmp_path / "log"
    processes = start(2, train_as_rank, prepared.command(resumed, ONE_EPOCH), log)
    wait_for_update(resumed, processes)
    assert processes[1].pid is not None
    os.kill(processes[1].pid, signal.SIGTERM)
    assert exit_codes(processes) == [os.EX_TEMPFAIL] * 2
    assert "because of SIGTERM received" in log.with_suffix(".0").read_text(encoding="utf-8")
    run(3, train_as_rank, prepared.command(resumed, ONE_EPOCH), log)
    assert_same_curve(resumed, trained_alone)
    notes = [record["message"] for record in curve(resumed, "note")]
    assert len(notes) == len(set(notes)) == 3


def wait_for_update(run: RunFolder, processes: list[BaseProcess]) -> None:
    while all(process.is_alive() for process in processes):
        if run.metrics.is_file() and "train" in run.metrics.read_text(encoding="utf-8"):
            return
        time.sleep(0.005)


def test_a_killed_process_ends_the_others_and_the_training_can_be_continued(
    prepared: Prepared, trained_alone: RunFolder, tmp_path: Path
) -> None:
    resumed, log = prepared.new_run(tmp_path / "run"), tmp_path / "log"
    processes = start(2, train_as_rank, prepared.command(resumed, ONE_EPOCH), log)
    wait_for_update(resumed, processes)
    processes[1].kill()
    processes[0].join(ENDS_WITHIN_S)
    assert processes[0].exitcode == 1
    assert "another process of this training has ended" in log.with_suffix(".0").read_text(encoding="utf-8")
    run(2, train_as_rank, prepared.command(resumed, ONE_EPOCH), log)
    assert_same_curve(resumed, trained_alone)


def train_one_update_at_a_time(prepared: Prepared, path: Path, attempts: int) -> None:
    """Each attempt ends after one update; every process writes down which clips it computed."""
    from xtts_framework.stages.train import train

    original, seen = update_module.packed_losses, path / f"seen.{os.environ['RANK']}"

    def record(gpt: Any, batch: Any, **options: Any) -> Any:
        with seen.open("a", encoding="utf-8") as stream:
            stream.writelines(f"{clip}\n" for clip in batch.clip_ids)
        return original(gpt, batch, **options)

    update_module.packed_losses = record
    for attempt in range(attempts):
        os.environ["MASTER_PORT"] = str(int(os.environ["MASTER_PORT"]) + (attempt > 0))
        with pytest.raises(UserError, match="unfinished") if attempt < attempts - 1 else contextlib.nullcontext():
            train(
                config_with(**ONE_EPOCH),
                prepared.base,
                RunFolder(path),
                {DATASET: prepared.dataset},
                device="cpu",
                max_seconds=0,
            )


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_clip_is_computed_once_per_epoch_by_one_process_or_another(
    prepared: Prepared, tmp_path: Path, size: int
) -> None:
    """Also when the training was stopped and continued after each of its five updates."""
    broken_off = prepared.new_run(tmp_path / "run")
    run(size, train_one_update_at_a_time, prepared, broken_off.path, 5)
    seen = [path.read_text(encoding="utf-8").split() for path in sorted(broken_off.path.glob("seen.*"))]
    assert len(seen) == size
    manifest = pl.read_parquet(prepared.dataset.manifest).filter(split="train")
    clips = [f"{DATASET}/{clip}" for clip in manifest["clip_id"]]
    assert sorted(clip for share in seen for clip in share) == sorted(clips)


def train_with_a_slow_save(prepared: Prepared, path: Path) -> None:
    """The main process takes a second to save; each says whether that had been done when it was through."""
    from xtts_framework.stages.train import train
    from xtts_framework.training import loop

    original = loop.save_checkpoint

    def slowly(*arguments: Any) -> Path:
        time.sleep(1)
        folder = original(*arguments)
        (path / f"saved {folder.name}").touch()
        return folder

    loop.save_checkpoint = slowly
    with pytest.raises(UserError, match="unfinished"):
        train(
            config_with(**ONE_EPOCH | {"eval_every_steps": 1000}),
            prepared.base,
            RunFolder(path),
            {DATASET: prepared.dataset},
            device="cpu",
            max_seconds=0,
        )
    assert (path / "saved step-00000002").exists()


def test_no_process_ends_before_the_main_one_has_saved(prepared: Prepared, tmp_path: Path) -> None:
    """torchrun kills the others half a minute after the first has ended."""
    run(2, train_with_a_slow_save, prepared, prepared.new_run(tmp_path / "run").path)


def train_with_a_broken_clip(prepared: Prepared, path: Path, clip: str) -> None:
    """The loss of one clip is NaN in whichever process has it."""
    from xtts_framework.stages.train import train
    from xtts_framework.training import update as update_module

    original = update_module.packed_losses

    def broken(gpt: Any, batch: Any, **options: Any) -> Any:
        sums = original(gpt, batch, **options)
        factor = torch.tensor([float("nan") if name == clip else 1.0 for name in batch.clip_ids])
        return type(sums)(sums.mel_C * factor, sums.text_C, sums.mel_tokens, sums.text_tokens)

    update_module.packed_losses = broken
    config = config_with(**ONE_EPOCH | {"max_epochs": 2})
    train(config, prepared.base, RunFolder(path), {DATASET: prepared.dataset}, device="cpu")


def test_an_update_that_is_not_finite_in_one_process_is_skipped_in_all(prepared: Prepared, tmp_path: Path) -> None:
    broken = prepared.new_run(tmp_path / "run")
    clip = f"{DATASET}/0003_speaker3"
    run(3, train_with_a_broken_clip, prepared, broken.path, clip)
    assert read_json(broken.summary)["skipped_batches"] == 2
    records = [read_json(path) for path in sorted((broken.training / "skipped").iterdir())]
    assert [record["broken"] for record in records] == [[clip], [clip]]
    assert all(len(record["clips"]) == 4 for record in records)
    [*_, last] = sorted(broken.checkpoints.glob("*/step-*/model.safetensors"))
    assert all(tensor.isfinite().all() for tensor in load_file(last).values())


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_shares_are_disjoint_complete_and_nearly_equal(ranks: int) -> None:
    generator = torch.Generator().manual_seed(ranks)
    lengths = torch.randint(60, 700, (512,), generator=generator).tolist()
    shares = share_out(lengths, ranks)
    assert sorted(clip for share in shares for clip in share) == list(range(512))
    tokens = [sum(lengths[clip] for clip in share) for share in shares]
    assert max(tokens) - min(tokens) <= max(lengths)
    for share in shares:
        assert micro_batches([lengths[clip] for clip in share], 4096)


def test_alone_nothing_is_asked_of_anybody() -> None:
    ranks = Ranks()
    tensor = torch.ones(3)
    ranks.add_up(tensor)
    assert ranks.is_main and ranks.any(True, False) == [True, False]
    assert ranks.gather("x") == ["x"] and ranks.from_main(lambda: 5) == 5
    assert torch.equal(tensor, torch.ones(3))
