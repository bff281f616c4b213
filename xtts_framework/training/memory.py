"""How much passes through a GPU at once: as much as it has room for, found by trying and remembered.

Memory decides speed here and nothing else: an update is the same in one micro-batch or in a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xtts_framework.config import CPU_MICRO_BATCH_TOKENS, MODEL_MAX_TOKENS, TrainingConfig
from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, write_json
from xtts_framework.model.cost import ROOM_USED
from xtts_framework.training.distributed import Ranks

if TYPE_CHECKING:
    from xtts_framework.training.corpus import Corpus
    from xtts_framework.training.examples import Example
    from xtts_framework.training.update import Updater

TRIED_TOKENS = (2 * MODEL_MAX_TOKENS, 4 * MODEL_MAX_TOKENS)
"""Memory grows in a line with tokens; two micro-batches of these sizes show how steeply."""
MOST_TOKENS = 32_768
"""A GPU works at full speed well below this."""
FEWEST_TOKENS_STORED = 4096
"""With room for fewer tokens than this, recomputing blocks costs a GPU less than such small micro-batches do."""
TRIED_CLIPS = 100
"""So many of the clips that take most memory for their length are tried."""
MEL_ROOM_USED = 0.2
"""Share of the room that the mels of all clips may take, to lie on the device."""


@dataclass(frozen=True)
class Budget:
    """What passes through the device at once.

    Args:
        tokens: rows of packed clips, at most; a longer clip passes alone.
        recompute: blocks are computed again in the backward pass instead of stored.
    """

    tokens: int
    recompute: bool = False


def use_memory(
    updater: Updater,
    corpus: Corpus,
    clips: Sequence[Example],
    config: TrainingConfig,
    device: torch.device,
    ranks: Ranks | None = None,
    file: Path | None = None,
) -> None:
    """Decide what lies on the GPU and how much passes through it at once, alike for all processes.

    Args:
        updater: gets the budget.
        corpus: its mels move to the device when they fit.
        clips: what will be trained on.
        file: remembers the budget for the next attempt.
    Raises:
        UserError: not even the longest clip fits.
    """
    ranks = ranks or Ranks()
    [too_large] = ranks.any(corpus.mel_bytes > MEL_ROOM_USED * (free_bytes(device) - updater.bytes_to_come))
    if not too_large:
        corpus.hold_mels(device)
    say(f"features: mels ({corpus.mel_bytes / 1e6:.0f} MB) {'read from disk as needed' if too_large else 'on the GPU'}")
    circumstances = _circumstances(config, device, ranks.size)
    budget = ranks.from_main(lambda: remembered_budget(file, circumstances) if file else None)
    if budget is None:
        costliest = sorted(clips, key=lambda clip: -clip.text_targets / clip.tokens)[:TRIED_CLIPS]
        room = int(ROOM_USED * (free_bytes(device) - updater.bytes_to_come))
        found = ranks.gather(gpu_budget(config, lambda budget: updater.measure_peak(costliest, budget), room))
        budget = Budget(min(one.tokens for one in found), any(one.recompute for one in found))
        if file and ranks.is_main:
            remember_budget(file, circumstances, budget)
    updater.budget = budget


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
    stated = config.micro_batch_tokens
    choices = (False, True) if config.activation_checkpointing == "auto" else (config.activation_checkpointing,)
    for recompute in choices:
        if stated != "auto" and len(choices) == 1:
            return Budget(stated, recompute)
        tokens = min(_tokens_that_fit(measure, room, recompute), MOST_TOKENS)
        wanted = FEWEST_TOKENS_STORED if not recompute and len(choices) > 1 else MODEL_MAX_TOKENS
        if tokens >= (wanted if stated == "auto" else stated):
            return Budget(tokens if stated == "auto" else stated, recompute)
    if stated != "auto":
        return Budget(stated, recompute=True)
    raise UserError(
        f"the GPU has {room / 2**30:.1f} GiB for micro-batches, too little for the longest clip. Use a GPU with more "
        "memory, precision: bf16, freezing, or leave out long clips with validation.max_duration_s."
    )


def _tokens_that_fit(measure: Callable[[Budget], int], room: int, recompute: bool) -> int:
    """0: none of the micro-batches tried did."""
    few, many = TRIED_TOKENS
    try:
        least = measure(Budget(few, recompute))
        per_token = max(1.0, (measure(Budget(many, recompute)) - least) / (many - few))
    except torch.OutOfMemoryError:
        return 0
    return max(0, math.floor(few + (room - least) / per_token))


def remembered_budget(file: Path, circumstances: dict[str, Any]) -> Budget | None:
    """What an earlier attempt found in the same circumstances."""
    try:
        found = read_json(file)
    except (OSError, UserError):
        return None
    return Budget(**found["budget"]) if found["circumstances"] == circumstances else None


def remember_budget(file: Path, circumstances: dict[str, Any], budget: Budget) -> None:
    write_json(file, {"circumstances": circumstances, "budget": asdict(budget)})


def _circumstances(config: TrainingConfig, device: torch.device, processes: int) -> dict[str, Any]:
    """All that decides how much fits, for one model, one recipe and one freezing plan."""
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "memory": properties.total_memory,
        "memory_fraction": torch.cuda.get_per_process_memory_fraction(device),
        "processes": processes,
        "torch": torch.__version__,
        "compile": config.compile,
        "micro_batch_tokens": config.micro_batch_tokens,
        "activation_checkpointing": config.activation_checkpointing,
    }


def limit_memory(device: torch.device, gib: float) -> None:
    """Let PyTorch allocate no more of a GPU.

    Raises:
        UserError: not a GPU.
    """
    if device.type != "cuda":
        raise UserError("a memory limit is for GPUs; this runs on a CPU. Use --device cuda, or no --memory-gib.")
    _, total = torch.cuda.mem_get_info(device)
    torch.cuda.set_per_process_memory_fraction(min(1.0, gib * 2**30 / total), device)


def free_bytes(device: torch.device) -> int:
    """What this process may still allocate on a GPU."""
    free, total = torch.cuda.mem_get_info(device)
    allowed = int(total * torch.cuda.get_per_process_memory_fraction(device)) - torch.cuda.memory_reserved(device)
    held_back = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(0, min(free, allowed) + held_back)
