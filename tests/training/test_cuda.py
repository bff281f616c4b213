"""The same training on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_training import read_curve

from xtts_framework.files import read_json
from xtts_framework.layout import RunFolder

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


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_precisions_learn(train_once: TrainOnce, precision: str) -> None:
    evaluations = read_json(train_once(device="cuda", precision=precision).summary)["eval"]
    assert evaluations["best"]["loss_total"] < evaluations["first"]["loss_total"]
