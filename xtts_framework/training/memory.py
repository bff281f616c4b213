"""What lies on a GPU and how much passes through it at once, for a training that begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from xtts_framework.config import TrainingConfig
from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.model.cost import ROOM_USED
from xtts_framework.training.budget import Budget, gpu_budget, remember_budget, remembered_budget
from xtts_framework.training.corpus import Corpus
from xtts_framework.training.distributed import Ranks
from xtts_framework.training.examples import Example
from xtts_framework.training.update import Updater

ROWS_PER_FRAME = 2.5
"""A frame of a voice prompt keeps about as much memory as the logits of so many text rows."""
TRIED_CLIPS = 100
"""So many of the clips that take most memory for their length are tried."""
MEL_ROOM_USED = 0.2
"""Share of the room that the mels of all clips may take, to lie on the device."""


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
        clips: what will be trained on, with their voice prompts.
        file: remembers the budget for the next attempt.
    Raises:
        UserError: not even the longest clip fits.
    """
    ranks = ranks or Ranks()
    ranks.add_up(torch.zeros(1, device=device))  # what nccl itself takes is taken before anything is measured
    [too_large] = ranks.any(corpus.mel_bytes > MEL_ROOM_USED * (free_bytes(device) - updater.bytes_to_come))
    if not too_large:
        corpus.hold_mels(device)
    say(f"features: mels ({corpus.mel_bytes / 1e6:.0f} MB) {'read from disk as needed' if too_large else 'on the GPU'}")
    circumstances = {
        "processes": ranks.gather(_circumstances(config, device)),
        "mels": "on disk" if too_large else "on the GPU",
    }
    budget = ranks.from_main(lambda: remembered_budget(file, circumstances) if file else None)
    if budget is None:
        costliest = sorted(clips, key=_memory_per_token, reverse=True)[:TRIED_CLIPS]
        room = int(ROOM_USED * (free_bytes(device) - updater.bytes_to_come))
        found = ranks.gather(gpu_budget(config, lambda budget: updater.measure_peak(costliest, budget), room))
        budget = Budget(min(one.tokens for one in found), any(one.recompute for one in found))
    updater.budget = budget
    if file is not None and ranks.is_main:
        remember_budget(file, circumstances, budget)
        updater.on_halved = lambda halved: remember_budget(file, circumstances, halved)


def _memory_per_token(example: Example) -> float:
    """What an example keeps besides its tokens, roughly: see `model/cost.py`."""
    frames = len(range(*example.prompt_frames.indices(example.prompt.mel_frames)))
    return (ROWS_PER_FRAME * frames + example.text_targets) / example.tokens


def _circumstances(config: TrainingConfig, device: torch.device) -> dict[str, Any]:
    """All that decides how much fits, for one model, one recipe and one freezing plan."""
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "memory": properties.total_memory,
        "memory_fraction": torch.cuda.get_per_process_memory_fraction(device),
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
