"""The first lines of a training: what was decided, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from xtts_framework.config import TrainConfig, TrainingConfig
from xtts_framework.model.freezing import BLOCKS, FreezingCounts
from xtts_framework.plugins import FreezingPlan
from xtts_framework.training.budget import Budget
from xtts_framework.training.checkpoint import Checkpoint
from xtts_framework.training.corpus import Corpus, training_pools
from xtts_framework.training.device import describe_device
from xtts_framework.training.distributed import Ranks
from xtts_framework.training.ending import Ending, Mixture, find_ending
from xtts_framework.training.schedule import Clock, MultiStep, batch_size_warning

PRECISION_REASONS = {
    "fp32": "as in the guide; TF32 matmuls where the device has them",
    "fp32_strict": "no TF32 anywhere",
    "bf16": "activations in bf16, weights and optimizer in fp32",
}


def start_lines(fingerprint: str, checkpoint: Checkpoint | None, ranks: Ranks) -> Iterator[str]:
    if checkpoint is None:
        yield f"training {fingerprint}: from the beginning"
        return
    yield f"training {fingerprint}: continues from step {checkpoint.step} ({checkpoint.folder})"
    then = (checkpoint.state["processes"], checkpoint.state["num_threads"])
    now = (ranks.size, torch.get_num_threads())
    if then != now:
        noise = "" if then[0] == now[0] else ", and dropout noise does"
        yield (
            f"  saved by {then[0]} process(es) with {then[1]} threads, now {now[0]} with {now[1]}: the last bits of "
            f"losses may differ from an uninterrupted training{noise}"
        )


def decision_lines(
    config: TrainConfig,
    corpus: Corpus,
    device: torch.device,
    ranks: Ranks,
    budget: Budget,
    plan: FreezingPlan,
    counts: FreezingCounts,
) -> Iterator[str]:
    training = config.training
    clock = Clock(training.batch_size, training.grad_accum)
    yield f"device: {describe_device(device)}; precision {training.precision}: {PRECISION_REASONS[training.precision]}"
    if ranks.size > 1:
        yield f"processes: {ranks.size}; each computes its share of every update"
    stored = "blocks recomputed in the backward pass" if budget.recompute else "all activations stored"
    on_its_own = "as much as the GPU has room for" if device.type == "cuda" else "always so on a CPU"
    reason = on_its_own if training.micro_batch_tokens == "auto" else "as configured"
    yield f"micro-batch: up to {budget.tokens} tokens at once ({reason}), {stored}; memory alone, never the result"
    if training.compile:
        yield "compile: on; the first updates wait for the compiler"
    for name, use in config.datasets.items():
        clips = corpus.of("train", name)
        hours = sum(clip.duration_s for clip in clips) / 3600
        part = f"replay, {use.share:.0%} of the samples" if use.share else "part of every epoch"
        evaluated = len(corpus.of("eval", name))
        yield f"dataset {name}: {len(clips)} training clips ({hours:.2f} h), {evaluated} eval clips; {part}"
    yield from freezing_lines(plan, counts)
    mixture = Mixture.of(training_pools(config, corpus))
    yield (
        f"clock: 1 step = {clock.batch_size} samples, 1 update = {clock.grad_accum} steps = {clock.update_samples} "
        f"samples; 1 epoch = {mixture.epoch_samples / clock.update_samples:.2f} updates"
    )
    if warning := batch_size_warning(training.batch_size):
        yield f"warning: {warning}"
    yield from _schedule_lines(training, clock, find_ending(training, mixture))


def freezing_lines(plan: FreezingPlan, counts: FreezingCounts) -> Iterator[str]:
    """What trains and what does not, part by part, with the number of parameters of each."""
    trainable = {part: count.trainable for part, count in counts.parts.items()}
    frozen_blocks = f"blocks {_ranges(plan.frozen_blocks)}"
    frozen = {frozen_blocks if part == BLOCKS else part: count.frozen for part, count in counts.parts.items()}
    yield f"freezing: {plan.reason}"
    yield f"  training {_amounts(trainable)}"
    yield f"  frozen {_amounts(frozen)}"


def _amounts(parameters: Mapping[str, int]) -> str:
    """`3.4 M parameters: blocks 2.1 M, heads 1.3 M`."""
    listed = ", ".join(f"{part.replace('_', ' ')} {_amount(count)}" for part, count in parameters.items() if count)
    return f"{_amount(sum(parameters.values()))} parameters: {listed}" if listed else "nothing"


def _amount(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,}"


def _schedule_lines(training: TrainingConfig, clock: Clock, ending: Ending) -> Iterator[str]:
    if training.warmup_steps:
        yield f"learning rate: rises to {training.learning_rate:g} over {training.warmup_steps} steps"
    else:
        yield f"learning rate: {training.learning_rate:g} until the first drop"
    for change in MultiStep.of(training).changes(clock):
        if change.boundary <= ending.step:
            yield f"  to {change.lr:g} at step {change.step}, in force from step {change.boundary}"
        else:
            yield f"  milestone {change.step} is not reached: the training ends at step {ending.step}"
    yield f"end: at step {ending.step} (update {ending.update}, epoch {ending.epochs:.1f}), {ending.reason}"


def _ranges(blocks: tuple[int, ...]) -> str:
    """`0-19` rather than twenty numbers."""
    parts: list[list[int]] = []
    for block in sorted(blocks):
        if parts and block == parts[-1][-1] + 1:
            parts[-1].append(block)
        else:
            parts.append([block])
    return ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
