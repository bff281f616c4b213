"""How much passes through a device at once: on a GPU as much as it has room for, found by trying and remembered.

Memory decides speed here and nothing else: an update is the same in one micro-batch or in a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from xtts_framework.config import CPU_MICRO_BATCH_TOKENS, MODEL_MAX_TOKENS, TrainingConfig
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, write_json
from xtts_framework.model.cost import MOST_TOKENS

TRIED_TOKENS = (MODEL_MAX_TOKENS, 4 * MODEL_MAX_TOKENS)
"""Memory grows in a line with tokens; two micro-batches of these sizes show how steeply."""
FEWEST_TOKENS_STORED = 4096
"""With room for fewer tokens than this, recomputing blocks costs a GPU less than such small micro-batches do."""


@dataclass(frozen=True)
class Budget:
    """What passes through the device at once.

    Args:
        tokens: rows of packed clips, at most; a longer clip passes alone.
        recompute: blocks are computed again in the backward pass instead of stored.
    """

    tokens: int
    recompute: bool = False


def cpu_budget(config: TrainingConfig) -> Budget:
    """Nothing is measured on a CPU: equal bits need equal micro-batches on every machine."""
    tokens = CPU_MICRO_BATCH_TOKENS if config.micro_batch_tokens == "auto" else config.micro_batch_tokens
    return Budget(tokens, config.activation_checkpointing is True)


def gpu_budget(config: TrainingConfig, measure: Callable[[Budget], int], room: int) -> Budget:
    """The largest micro-batch that fits, within what the configuration states.

    Args:
        measure: bytes that a micro-batch takes while it passes; raises torch.OutOfMemoryError if it cannot.
        room: bytes that are free for it.
    Raises:
        UserError: not even the longest clip fits alone.
    """
    stated, recompute = config.micro_batch_tokens, config.activation_checkpointing
    choices = (False, True) if recompute == "auto" else (recompute,)
    if stated != "auto" and len(choices) == 1:
        return Budget(stated, choices[0])
    for choice in choices:
        is_last = choice == choices[-1]
        fitting = _tokens_that_fit(measure, room, choice)
        if stated != "auto" and (fitting >= stated or is_last):
            return Budget(stated, choice)
        if stated == "auto" and fitting >= (MODEL_MAX_TOKENS if is_last else FEWEST_TOKENS_STORED):
            return Budget(min(fitting, MOST_TOKENS), choice)
    raise UserError(
        f"the GPU has {room / 2**30:.1f} GiB for micro-batches, too little for the longest clip. Use a GPU with more "
        "memory, precision: bf16, freezing, or leave out long clips with validation.max_duration_s."
    )


def _tokens_that_fit(measure: Callable[[Budget], int], room: int, recompute: bool) -> int:
    """0: not even the smaller of the micro-batches tried did."""
    few, many = TRIED_TOKENS
    try:
        measure(Budget(few, recompute))  # the first one also takes what libraries keep for good
        least = measure(Budget(few, recompute))
    except torch.OutOfMemoryError:
        return 0
    try:
        per_token = max(1.0, (measure(Budget(many, recompute)) - least) / (many - few))
    except torch.OutOfMemoryError:
        return few
    return max(0, math.floor(few + (room - least) / per_token))


def remembered_budget(file: Path, circumstances: dict[str, Any]) -> Budget | None:
    """What an earlier attempt found in the same circumstances."""
    try:
        found = read_json(file)
        return Budget(**found["budget"]) if found["circumstances"] == circumstances else None
    except (OSError, UserError, KeyError, TypeError):
        return None


def remember_budget(file: Path, circumstances: dict[str, Any], budget: Budget) -> None:
    write_json(file, {"circumstances": circumstances, "budget": asdict(budget)})
