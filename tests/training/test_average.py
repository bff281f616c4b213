"""The moving average: what is evaluated, saved and spoken with; training itself goes on as without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_training import DATASET, Prepared, config_with, read_curve
from torch import Tensor, nn

from xtts_framework.files import read_json
from xtts_framework.layout import RunFolder
from xtts_framework.stages.train import train
from xtts_framework.training.average import MovingAverage

TrainOnce = Callable[..., RunFolder]


def last_checkpoint(run: RunFolder) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Saved model and, by parameter, the weights that training goes on with."""
    folder = run.path / read_json(run.summary)["checkpoints"][-1]["folder"]
    optimizer = load_file(folder / "optimizer.safetensors")
    trained = {name.removeprefix("trained."): value for name, value in optimizer.items() if name.startswith("trained.")}
    return load_file(folder / "model.safetensors"), trained


def test_average_moves_towards_the_weights_by_its_decay() -> None:
    layer = nn.Linear(1, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0], [2.0]])
    average = MovingAverage(layer, 0.9)
    for value in (3.0, 5.0):
        layer.weight.data.fill_(value)
        average.update()
    first, second = 0.81 * 1 + 0.09 * 3 + 0.1 * 5, 0.81 * 2 + 0.09 * 3 + 0.1 * 5
    with average.in_place():
        assert layer.weight.flatten().tolist() == pytest.approx([first, second])
    assert layer.weight.flatten().tolist() == [5.0, 5.0]


def test_frozen_parameters_have_no_average_and_none_has_without_a_decay() -> None:
    layer = nn.Linear(1, 2)
    layer.bias.requires_grad_(False)
    assert MovingAverage(layer, 0.9).trained_weights().keys() == {"trained.weight"}
    assert MovingAverage(layer, None).trained_weights() == {}


def test_training_is_the_same_and_the_average_is_saved_and_evaluated(train_once: TrainOnce) -> None:
    plain, averaged = train_once("plain"), train_once("averaged", ema_decay=0.5)
    losses = [
        [record["loss_mel"] for record in read_curve(run) if record["kind"] == "train"] for run in (plain, averaged)
    ]
    assert losses[0] == losses[1]
    weights, _ = last_checkpoint(plain)
    saved, trained = last_checkpoint(averaged)
    assert all(torch.equal(trained[name], weights[name]) for name in trained)
    assert all(not torch.equal(saved[name], trained[name]) for name in trained)
    evaluations = [read_json(run.summary)["eval"] for run in (plain, averaged)]
    assert evaluations[0]["first"] == evaluations[1]["first"]
    assert evaluations[0]["last"]["loss_mel"] != evaluations[1]["last"]["loss_mel"]


def test_average_continues_exactly(train_once: TrainOnce, prepared: Prepared) -> None:
    options: dict[str, Any] = {"ema_decay": 0.5, "new_token_lr_scale": 2.0, "warmup_steps": 3, "label_smoothing": 0.1}
    whole, resumed = train_once("whole", **options), train_once("resumed", max_steps=4, **options)
    train(config_with(**options), prepared.base, resumed, {DATASET: prepared.dataset}, device="cpu")
    for one, other in zip(last_checkpoint(whole), last_checkpoint(resumed), strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert read_curve(whole) == read_curve(resumed)
