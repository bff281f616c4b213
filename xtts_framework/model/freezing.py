"""Which parts of the model train: a plan is data, supplied by the pack and overridable in the configuration."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from xtts_framework.config import FreezingConfig
from xtts_framework.errors import UserError
from xtts_framework.plugins import FreezingPlan, LanguagePack, Plugins

PARTS = {
    "text_embedding": ("text_embedding", "text_pos_embedding"),
    "audio_embedding": ("mel_embedding", "mel_pos_embedding"),
    "heads": ("text_head", "mel_head", "final_norm", "gpt.ln_f"),
    "conditioning": ("conditioning_encoder", "conditioning_perceiver"),
}
"""Field of the plan -> modules of coqui's GPT; the blocks are `gpt.h`."""

BLOCKS = "blocks"
BLOCK_PATTERN = re.compile(r"gpt\.h\.(\d+)\.")


@dataclass(frozen=True)
class ParameterCounts:
    """Parameters (single numbers, not tensors) that train, and that stay as they are."""

    trainable: int
    frozen: int


@dataclass(frozen=True)
class FreezingCounts(ParameterCounts):
    """The same for the whole GPT, and for each of its parts: `blocks`, then those of `PARTS`."""

    parts: dict[str, ParameterCounts]


def resolve_freezing(
    config: FreezingConfig, plugins: Plugins, pack: LanguagePack, training_clips: int, blocks: int
) -> FreezingPlan:
    """Decide what trains: the policy first, then every field that the configuration states.

    Args:
        training_clips: clips of the training split, without replay datasets.
        blocks: transformer blocks of the base.
    Raises:
        UserError: a block that the base does not have, or nothing left to train.
    """
    if config.policy == "auto" and training_clips < config.threshold:
        plan = plugins.freezing_plan(pack, training_clips, blocks)
        _check_blocks(plan.frozen_blocks, blocks, source=f"The freezing plan for the language {pack.code!r}")
    else:
        reason = "policy none" if config.policy == "none" else f"{training_clips} >= {config.threshold} training clips"
        plan = FreezingPlan((), text_embedding=True, audio_embedding=True, heads=True, conditioning=True, reason=reason)
    stated = config.model_dump(include={"frozen_blocks", *PARTS}, exclude_none=True)
    if stated:
        plan = replace(plan, **stated, reason=f"{plan.reason}; but {', '.join(stated)} as configured")
        _check_blocks(plan.frozen_blocks, blocks, source="freezing.frozen_blocks in the configuration")
    plan = replace(plan, frozen_blocks=tuple(sorted(set(plan.frozen_blocks))))
    if len(plan.frozen_blocks) == blocks and not any(getattr(plan, part) for part in PARTS):
        raise UserError(f"Nothing is left to train ({plan.reason}). Let at least one part train under `freezing`.")
    return plan


def apply_freezing(gpt: Any, plan: FreezingPlan) -> FreezingCounts:
    """Set `requires_grad` of every parameter of coqui's GPT as the plan says, in place.

    Raises:
        UserError: a parameter that belongs to no part: the base is no XTTS-v2.
    """
    counts: Counter[tuple[str, bool]] = Counter()
    for name, parameter in gpt.named_parameters():
        block = BLOCK_PATTERN.match(name)
        part = BLOCKS if block else _part_of(name)
        trains = int(block[1]) not in plan.frozen_blocks if block else bool(getattr(plan, part))
        parameter.requires_grad_(trains)
        counts[part, trains] += parameter.numel()
    parts = {part: ParameterCounts(counts[part, True], counts[part, False]) for part in (BLOCKS, *PARTS)}
    return FreezingCounts(
        trainable=sum(part.trainable for part in parts.values()),
        frozen=sum(part.frozen for part in parts.values()),
        parts=parts,
    )


def _part_of(parameter: str) -> str:
    for part, modules in PARTS.items():
        if parameter.startswith(tuple(f"{module}." for module in modules)):
            return part
    raise UserError(
        f"The base has a parameter {parameter!r} that belongs to no part of XTTS-v2 (blocks, {', '.join(PARTS)}). "
        "Use an XTTS-v2 base; the older XTTS-v1 is not supported."
    )


def _check_blocks(frozen_blocks: tuple[int, ...] | list[int], blocks: int, *, source: str) -> None:
    unknown = sorted(block for block in frozen_blocks if not 0 <= block < blocks)
    if unknown:
        raise UserError(f"{source} names the blocks {unknown}; the base has {blocks} blocks, 0 to {blocks - 1}.")
