"""The largest micro-batch that a GPU has room for: found from two measurements, remembered, never a guess."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import config_with

from xtts_framework.config import CPU_MICRO_BATCH_TOKENS, MODEL_MAX_TOKENS
from xtts_framework.errors import UserError
from xtts_framework.training.budget import (
    FEWEST_TOKENS_STORED,
    MOST_TOKENS,
    TRIED_TOKENS,
    Budget,
    cpu_budget,
    gpu_budget,
    remember_budget,
    remembered_budget,
)

GIB = 2**30
STORED, RECOMPUTED = 1_600_000, 220_000
"""Bytes per token of XTTS-v2's shape in fp32, about."""


def gpu(room: int, fixed: int = GIB // 4) -> Callable[[Budget], int]:
    """A GPU on which micro-batches take memory in a line, and more than `room` is not there."""

    def measure(budget: Budget) -> int:
        peak = fixed + budget.tokens * (RECOMPUTED if budget.recompute else STORED)
        if peak > room:
            raise torch.OutOfMemoryError
        return peak

    return measure


def found(room: int, **training: Any) -> Budget:
    return gpu_budget(config_with(**training).training, gpu(room), room)


@pytest.mark.parametrize("room", [8 * GIB, 16 * GIB, 40 * GIB])
def test_as_much_as_fits_and_no_more(room: int) -> None:
    budget = found(room)
    assert not budget.recompute
    gpu(room)(budget)
    with pytest.raises(torch.OutOfMemoryError):
        gpu(room)(Budget(budget.tokens + 2))


def test_no_more_than_a_gpu_needs() -> None:
    assert found(400 * GIB) == Budget(MOST_TOKENS)


@pytest.mark.parametrize("room", [2 * GIB, 4 * GIB, 6 * GIB])
def test_blocks_are_recomputed_only_where_there_is_no_room_otherwise(room: int) -> None:
    """The second and third have room for a few stored tokens, but too few to keep a GPU busy."""
    budget = found(room)
    assert budget.recompute and budget.tokens > FEWEST_TOKENS_STORED
    gpu(room)(budget)


def test_what_the_configuration_states_is_kept() -> None:
    assert found(40 * GIB, activation_checkpointing=True).recompute
    assert not found(8 * GIB, activation_checkpointing=False).recompute
    assert found(40 * GIB, micro_batch_tokens=5000) == Budget(5000)
    assert found(400 * GIB, micro_batch_tokens=2 * MOST_TOKENS) == Budget(2 * MOST_TOKENS)
    assert found(4 * GIB, micro_batch_tokens=5000) == Budget(5000, recompute=True)
    assert found(GIB, micro_batch_tokens=5000, activation_checkpointing=False) == Budget(5000)


def test_a_gpu_without_room_for_one_clip_is_named_in_gib() -> None:
    with pytest.raises(UserError, match=r"0\.2 GiB for micro-batches, too little for the longest clip"):
        found(GIB // 4)


def test_two_sizes_are_tried_that_hold_the_longest_clip() -> None:
    tried: list[int] = []

    def measure(budget: Budget) -> int:
        tried.append(budget.tokens)
        return budget.tokens

    gpu_budget(config_with().training, measure, GIB)
    assert set(tried) == set(TRIED_TOKENS) and min(tried) >= MODEL_MAX_TOKENS


def test_room_for_the_longest_clip_is_enough_to_train() -> None:
    room = GIB // 4 + 2000 * RECOMPUTED
    assert found(room) == Budget(TRIED_TOKENS[0], recompute=True)


def test_a_cpu_measures_nothing() -> None:
    assert cpu_budget(config_with().training) == Budget(CPU_MICRO_BATCH_TOKENS)
    assert cpu_budget(config_with(micro_batch_tokens=2000, activation_checkpointing=True).training) == Budget(
        2000, True
    )


def test_budget_is_remembered_for_the_same_circumstances_only(tmp_path: Path) -> None:
    file, here = tmp_path / "budget.json", {"device": "NVIDIA H200", "compile": False}
    assert remembered_budget(file, here) is None
    remember_budget(file, here, Budget(9000, True))
    assert remembered_budget(file, here) == Budget(9000, True)
    assert remembered_budget(file, here | {"compile": True}) is None
    for damaged in ("{", "[]", '{"budget": 5}'):
        file.write_text(damaged, encoding="utf-8")
        assert remembered_budget(file, here) is None
