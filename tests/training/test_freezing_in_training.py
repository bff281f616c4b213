"""Freezing from the configuration to the checkpoint: every tensor compared bit for bit with the base."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from small_training import DATASET, EVAL_CLIPS, Prepared

from xtts_framework.config import FreezingConfig
from xtts_framework.files import read_json
from xtts_framework.layout import RunFolder
from xtts_framework.model.base import load_gpt, read_base

DOCUMENT = Path(__file__).parents[2] / "docs" / "training.md"
TrainOnce = Callable[..., RunFolder]

ONE_UPDATE = {"max_steps": 2, "eval_every_steps": 2, "save_every_steps": 2}
CLIPS = 20
MODULES = {
    "text_embedding": ("text_embedding", "text_pos_embedding"),
    "audio_embedding": ("mel_embedding", "mel_pos_embedding"),
    "heads": ("text_head", "mel_head", "final_norm", "gpt.ln_f"),
    "conditioning": ("conditioning_encoder", "conditioning_perceiver"),
}
"""The parts as docs/training.md lists them."""
EVERYTHING = frozenset({"blocks 0-1", "blocks 2-3", *MODULES})
FEW_CLIPS = frozenset({"blocks 2-3", "text_embedding", "heads"})
"""What the Amharic pack trains of the four blocks of the small base."""


@pytest.fixture(scope="module")
def base_weights(prepared: Prepared) -> dict[str, torch.Tensor]:
    base = read_base(prepared.base)
    assert base.args["gpt_layers"] == 4
    weights: dict[str, torch.Tensor] = load_gpt(base).state_dict()
    return weights


def part_of(tensor: str) -> str:
    if tensor.startswith("gpt.h."):
        return "blocks 0-1" if int(tensor.split(".")[2]) < 2 else "blocks 2-3"
    [part] = [part for part, modules in MODULES.items() if tensor.startswith(tuple(f"{name}." for name in modules))]
    return part


def saved_weights(run: RunFolder) -> dict[str, torch.Tensor]:
    """Of the last checkpoint."""
    last = read_json(run.summary)["checkpoints"][-1]
    weights: dict[str, torch.Tensor] = load_file(run.path / last["folder"] / "model.safetensors")
    return weights


def assert_only_these_moved(run: RunFolder, base_weights: dict[str, torch.Tensor], parts: frozenset[str]) -> None:
    trained = saved_weights(run)
    assert trained.keys() == base_weights.keys()
    for name, tensor in trained.items():
        rows_of_the_base = tensor[: len(base_weights[name])]
        assert torch.equal(rows_of_the_base, base_weights[name]) == (part_of(name) not in parts), name


@pytest.mark.parametrize(
    ("freezing", "trains", "reason"),
    [
        ({}, FEW_CLIPS, "20 training clips: lower 2 of 4 blocks"),
        ({"threshold": CLIPS + 1}, FEW_CLIPS, "20 training clips: lower 2 of 4 blocks"),
        ({"threshold": CLIPS}, EVERYTHING, "20 >= 20 training clips"),
        ({"policy": "none"}, EVERYTHING, "policy none"),
        ({"frozen_blocks": []}, FEW_CLIPS | {"blocks 0-1"}, "frozen_blocks as configured"),
        ({"frozen_blocks": [3, 2]}, (FEW_CLIPS | {"blocks 0-1"}) - {"blocks 2-3"}, "frozen_blocks as configured"),
        ({"text_embedding": False}, FEW_CLIPS - {"text_embedding"}, "text_embedding as configured"),
        ({"heads": False}, FEW_CLIPS - {"heads"}, "heads as configured"),
        ({"audio_embedding": True}, FEW_CLIPS | {"audio_embedding"}, "audio_embedding as configured"),
        ({"conditioning": True}, FEW_CLIPS | {"conditioning"}, "conditioning as configured"),
        ({"policy": "none", "conditioning": False}, EVERYTHING - {"conditioning"}, "policy none; but conditioning as"),
        ({"threshold": 0, "frozen_blocks": [0, 1]}, EVERYTHING - {"blocks 0-1"}, "20 >= 0 training clips; but frozen_"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_what_the_plan_freezes_stays_and_all_else_moves(
    train_once: TrainOnce,
    base_weights: dict[str, torch.Tensor],
    freezing: dict[str, Any],
    trains: frozenset[str],
    reason: str,
) -> None:
    run = train_once(freezing={"policy": "auto"} | freezing, **ONE_UPDATE)
    assert_only_these_moved(run, base_weights, trains)
    summary = read_json(run.summary)
    assert summary["datasets"][DATASET] | {"hours": 0} == {"train": CLIPS, "eval": EVAL_CLIPS, "hours": 0}
    assert reason in summary["freezing"]["plan"]["reason"]


def test_parameters_are_counted_part_by_part(
    train_once: TrainOnce, base_weights: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_once(freezing={"policy": "auto"}, **ONE_UPDATE)
    tensors = saved_weights(run)

    def parameters(*parts: str) -> int:
        return sum(tensor.numel() for name, tensor in tensors.items() if part_of(name) in parts)

    freezing = read_json(run.summary)["freezing"]
    assert freezing["parts"] == {
        "blocks": {"trainable": parameters("blocks 2-3"), "frozen": parameters("blocks 0-1")},
        "text_embedding": {"trainable": parameters("text_embedding"), "frozen": 0},
        "audio_embedding": {"trainable": 0, "frozen": parameters("audio_embedding")},
        "heads": {"trainable": parameters("heads"), "frozen": 0},
        "conditioning": {"trainable": 0, "frozen": parameters("conditioning")},
    }
    assert freezing["trainable"] == parameters(*FEW_CLIPS)
    assert freezing["frozen"] == parameters(*EVERYTHING) - freezing["trainable"]

    log = capsys.readouterr().err
    assert f"freezing: {freezing['plan']['reason']}" in log
    assert f"blocks {parameters('blocks 2-3'):,}, text embedding {parameters('text_embedding'):,}, heads" in log
    assert f"parameters: blocks 0-1 {parameters('blocks 0-1'):,}, audio embedding" in log


def test_the_documented_configuration_is_one() -> None:
    [block] = re.findall(r"```yaml\n(freezing:.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    config = FreezingConfig.model_validate(yaml.safe_load(block)["freezing"])
    assert (config.frozen_blocks, config.conditioning, config.policy) == (list(range(10)), True, "auto")
