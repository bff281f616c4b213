"""The same training on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_training import Prepared, read_curve
from small_world import World, difference

from xtts_framework.files import read_json
from xtts_framework.layout import RunFolder
from xtts_framework.training.budget import Budget
from xtts_framework.training.device import set_matmul_precision

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
TrainOnce = Callable[..., RunFolder]


def test_losses_equal_those_of_a_cpu(train_once: TrainOnce) -> None:
    options = {"dropout": 0.0, "precision": "fp32_strict", "learning_rate": 1e-4}
    for one, other in zip(
        read_curve(train_once("cpu", **options)), read_curve(train_once("cuda", device="cuda", **options)), strict=True
    ):
        if one["kind"] != "note":
            assert one["loss_total"] == pytest.approx(other["loss_total"], rel=1e-4)


def test_an_update_waits_for_nothing(prepared: Prepared) -> None:
    """PyTorch raises where the host would wait for the device."""
    world = World(prepared, device=torch.device("cuda"), precision="bf16", max_grad_norm=1.0)
    batches = [world.batch() for _ in range(3)]
    world.updater.update(batches[0], lr=1e-3, number=0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number, batch in enumerate(batches[1:], start=1):
            world.updater.prepare(batch)
            world.updater.update(batch, lr=1e-3, number=number)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("options", [{}, {"compile": True}, {"activation_checkpointing": True}], ids=str)
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32_strict", 1e-5), ("fp32", 2e-3), ("bf16", 2e-2)])
def test_gradients_equal_those_of_a_cpu(
    prepared: Prepared, options: dict[str, Any], precision: str, tolerance: float
) -> None:
    expected = World(prepared, precision="fp32_strict").gradients()
    set_matmul_precision(precision)
    world = World(prepared, device=torch.device("cuda"), precision=precision, **options)
    found = {name: gradient.cpu() for name, gradient in world.gradients().items()}
    assert difference(found, expected) <= tolerance


def test_a_full_gpu_makes_micro_batches_smaller_and_the_update_stays(prepared: Prepared) -> None:
    """Most of the memory is taken away while an update of large micro-batches is under way."""
    device = torch.device("cuda")
    expected = World(prepared, clips=60, precision="fp32_strict").update()[:3]
    world = World(prepared, clips=60, device=device, precision="fp32_strict", budget=Budget(100_000))
    room = world.updater.measure_peak(world.batch(), Budget(8000))
    _, total = torch.cuda.mem_get_info()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + room) / total)
    try:
        assert world.update()[:3] == pytest.approx(expected, rel=1e-4)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert world.updater.budget.tokens < 100_000


def test_the_budget_that_is_found_passes(train_once: TrainOnce, capsys: pytest.CaptureFixture[str]) -> None:
    run = train_once(device="cuda")
    log = capsys.readouterr().err
    assert "on the GPU" in log and "out of memory" not in log
    [file] = run.checkpoints.glob("*/budget.json")
    assert read_json(file)["budget"]["tokens"] >= 1100


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_precisions_learn(train_once: TrainOnce, precision: str) -> None:
    evaluations = read_json(train_once(device="cuda", precision=precision).summary)["eval"]
    assert evaluations["best"]["loss_total"] < evaluations["first"]["loss_total"]
