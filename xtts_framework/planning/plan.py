"""What a training will be like, from its configuration and the lengths of its clips: time, learning, memory, disk.

Pure functions of their arguments; nothing is read, and torch is not imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from xtts_framework.config import CPU_MICRO_BATCH_TOKENS, FreezingConfig, TrainingConfig
from xtts_framework.data.packing import micro_batches
from xtts_framework.model.cost import (
    ROOM_USED,
    Architecture,
    CheckpointSizes,
    ClipSize,
    ModelMemory,
    activation_memory,
    checkpoint_sizes,
    count_flops,
    count_trainable,
    model_memory,
)
from xtts_framework.plugins import FreezingPlan
from xtts_framework.training.ending import Ending, Mixture, find_ending
from xtts_framework.training.sampling import Pool, Sampler, pools_of
from xtts_framework.training.schedule import Clock, MultiStep, batch_size_warning

GUIDE_STEPS = 50_000
"""Source: quick-start guide, "Aim for at least 50k training steps for good quality"."""
ENOUGH_MOVEMENT = 0.5
"""Of the standard deviation of an embedding: what a new row should at least be able to move."""
GPU_GIB = (12, 24, 80)
GPU_OVERHEAD_GIB = 1.0
"""What CUDA itself takes of a GPU."""


@dataclass(frozen=True)
class PlannedClip:
    """A training clip before its features are read."""

    name: str
    duration_s: float
    size: ClipSize


@dataclass(frozen=True)
class PlannedDataset:
    """The clips that a run takes from one dataset.

    Args:
        share: of all samples, for replay; None: part of every epoch.
        clips: of the training split.
        eval_clips: how many are held out.
    """

    name: str
    share: float | None
    clips: Sequence[PlannedClip]
    eval_clips: int


@dataclass(frozen=True)
class Speed:
    """Clips per second, and where that number comes from."""

    clips_per_s: float
    source: str


@dataclass(frozen=True)
class EmbeddingSpread:
    """Standard deviation of the base's text embedding, over its rows (mean of all dimensions), and its source."""

    std: float
    source: str


# The guide's table


@dataclass(frozen=True)
class GuideRow:
    """One row of the guide's dataset-size table, in its words."""

    samples: int
    size: str
    epochs: int
    total_steps: str
    duration: str


GUIDE_TABLE = (
    GuideRow(500, "500 samples", 100, "~12,500", "Stop at 50k"),
    GuideRow(1000, "1000 samples", 100, "~25,000", "Stop at 100k"),
    GuideRow(3000, "3000 samples", 100, "~75,000", "Train to 150k"),
    GuideRow(5000, "5000+ samples", 100, "~125,000+", "Train to 300k"),
)
"""Source: quick-start guide, "Dataset Size Guidelines"."""


def guide_row(clips: int) -> GuideRow:
    """The row of a dataset: the largest that it fills, or the first."""
    return next((row for row in reversed(GUIDE_TABLE) if clips >= row.samples), GUIDE_TABLE[0])


# Time


def pools_of_plan(datasets: Sequence[PlannedDataset]) -> dict[str, Pool]:
    """What the training will draw its samples from."""
    clips = {dataset.name: [clip.name for clip in dataset.clips] for dataset in datasets}
    return pools_of(clips, {dataset.name: dataset.share for dataset in datasets})


def movement(schedule: MultiStep, clock: Clock, step: int) -> float:
    """How far AdamW can move a weight in the updates before `step`, at most.

    AdamW divides the mean of the gradients by the root of the mean of their squares, so an update moves a weight by
    about the learning rate when all gradients agree, and by less when they do not. (Its decay comes on top: the rate
    times `weight_decay` of the weight; embeddings have none.)
    """
    return math.fsum(schedule.at(start) for start in range(0, step, clock.grad_accum))


@dataclass(frozen=True)
class Milestone:
    """A drop of the learning rate.

    Args:
        step: as configured.
        boundary: step of the first update at the new rate.
        learning_rate: from there on.
        reached: whether the training gets there.
        epoch, hours: at the boundary; hours None: the speed is not known.
        movement: how far a weight can have moved by then.
    """

    step: int
    boundary: int
    learning_rate: float
    reached: bool
    epoch: float
    hours: float | None
    movement: float


# Learning


@dataclass(frozen=True)
class NewRows:
    """What the rows of new tokens can learn.

    Args:
        rows: how many.
        train: whether the text embedding trains.
        std, std_source: of an embedding, see `EmbeddingSpread`.
        lr_scale: `new_token_lr_scale`.
        movement: how far such a row can move in each dimension, until the end and with that scale.
        needed_lr_scale: with which it can move half a standard deviation.
    """

    rows: int
    train: bool
    std: float
    std_source: str
    lr_scale: float
    movement: float
    needed_lr_scale: float

    @property
    def can_learn(self) -> bool:
        return self.rows == 0 or (self.train and self.movement >= ENOUGH_MOVEMENT * self.std)


def plan_new_rows(
    rows: int, moved: float, spread: EmbeddingSpread, config: TrainingConfig, plan: FreezingPlan
) -> NewRows:
    """Args: moved: `movement` until the end, of a weight whose rate is not scaled."""
    return NewRows(
        rows=rows,
        train=plan.text_embedding,
        std=spread.std,
        std_source=spread.source,
        lr_scale=config.new_token_lr_scale,
        movement=config.new_token_lr_scale * moved,
        needed_lr_scale=ENOUGH_MOVEMENT * spread.std / moved,
    )


# Tokens, memory, disk


@dataclass(frozen=True)
class MeanClip:
    """The average sample, replay included; and the longest clip of all."""

    duration_s: float
    text_ids: float
    codes: float
    tokens: float
    gflop: float
    longest_tokens: int
    longest_s: float


def average_clip(datasets: Sequence[PlannedDataset], architecture: Architecture) -> MeanClip:
    mixture = Mixture.of(pools_of_plan(datasets))
    shares = [
        mixture.share / mixture.clips if dataset.share is None else dataset.share / len(dataset.clips)
        for dataset in datasets
    ]

    def mean(value: Callable[[PlannedClip], float]) -> float:
        sums = (math.fsum(map(value, dataset.clips)) for dataset in datasets)
        return math.fsum(share * total for share, total in zip(shares, sums, strict=True))

    clips = [clip for dataset in datasets for clip in dataset.clips]
    return MeanClip(
        duration_s=mean(lambda clip: clip.duration_s),
        text_ids=mean(lambda clip: clip.size.text_ids),
        codes=mean(lambda clip: clip.size.codes),
        tokens=mean(lambda clip: clip.size.tokens),
        gflop=mean(lambda clip: count_flops(architecture, [clip.size]).training / 1e9),
        longest_tokens=max(clip.size.tokens for clip in clips),
        longest_s=max(clip.duration_s for clip in clips),
    )


def first_update(datasets: Sequence[PlannedDataset], config: TrainingConfig) -> list[PlannedClip]:
    """The samples of the first update, as the trainer's sampler draws them."""
    clips = {clip.name: clip for dataset in datasets for clip in dataset.clips}
    sampler = Sampler(pools_of_plan(datasets), config.seed)
    return [clips[sample.clip] for sample in sampler.take(config.batch_size * config.grad_accum)]


@dataclass(frozen=True)
class Packing:
    """The first update on its way through the device.

    Args:
        tokens: of all its clips.
        token_budget: at once; as configured, or what a CPU takes.
        micro_batches: how many it takes.
    """

    tokens: int
    token_budget: int
    micro_batches: int


def plan_packing(update: Sequence[PlannedClip], config: TrainingConfig) -> Packing:
    stated = config.micro_batch_tokens
    budget = CPU_MICRO_BATCH_TOKENS if stated == "auto" else stated
    lengths = [clip.size.tokens for clip in update]
    return Packing(sum(lengths), budget, len(micro_batches(lengths, budget)))


@dataclass(frozen=True)
class ActivationEstimate:
    """Memory of what passes through a GPU, in bytes.

    Args:
        recompute: with activation checkpointing.
        fixed: whatever the number of tokens.
        per_token: for each token at once.
        tokens_that_fit: GiB of a GPU -> tokens at once; 0: none.
    """

    recompute: bool
    fixed: int
    per_token: float
    tokens_that_fit: Mapping[int, int]


@dataclass(frozen=True)
class MemoryEstimate:
    """What a GPU has to hold: the model all the time, activations while clips pass."""

    model: ModelMemory
    activations: tuple[ActivationEstimate, ActivationEstimate]


def estimate_memory(
    architecture: Architecture, update: Sequence[PlannedClip], config: TrainingConfig, plan: FreezingPlan
) -> MemoryEstimate:
    """An estimate of a GPU's memory for clips like those of `update`."""
    counts = count_trainable(architecture, plan)
    model = model_memory(counts, moving_average=config.ema_decay is not None)

    def estimate(recompute: bool) -> ActivationEstimate:
        def total(clips: Sequence[PlannedClip]) -> int:
            return activation_memory(
                architecture,
                [clip.size for clip in clips],
                plan,
                precision=config.precision,
                recompute=recompute,
                dropout=config.dropout > 0,
            ).total

        fixed = total([])
        per_token = (total(update) - fixed) / sum(clip.size.tokens for clip in update)
        fits = {}
        for gib in GPU_GIB:
            room = ROOM_USED * (gib - GPU_OVERHEAD_GIB) * 2**30 - model.total - fixed
            fits[gib] = max(0, math.floor(room / per_token))
        return ActivationEstimate(recompute, fixed, per_token, fits)

    return MemoryEstimate(model, (estimate(False), estimate(True)))


# The whole


@dataclass(frozen=True)
class DatasetPlan:
    """A dataset in numbers; `epochs`: how often each of its training clips comes until the end."""

    name: str
    share: float | None
    training_clips: int
    hours: float
    eval_clips: int
    epochs: float


@dataclass(frozen=True)
class RunPlan:
    """What `xtts plan` says of one run.

    Args:
        assumptions: what could not be looked up, and what was taken instead.
        epoch_samples, epoch_steps, epoch_updates: of one pass over the datasets without a share, replay included.
        hours: until the end; None: the speed is not known.
        movement: how far a weight can move until the end.
        free_disk: bytes that are free where the results go; None: not looked up.
        guide: the guide's row for a dataset of this size.
        warnings: what should be changed before a GPU hour is spent.
    """

    run: str
    architecture: Architecture
    assumptions: tuple[str, ...]
    datasets: tuple[DatasetPlan, ...]
    clip: MeanClip
    freezing: str
    freezing_threshold: int
    trainable_parameters: int
    parameters: int
    batch_size: int
    grad_accum: int
    update_samples: int
    epoch_samples: float
    epoch_steps: float
    epoch_updates: float
    packing: Packing
    precision: str
    ending: Ending
    hours: float | None
    speed: Speed | None
    learning_rate: float
    warmup_steps: int
    milestones: tuple[Milestone, ...]
    movement: float
    new_rows: NewRows
    memory: MemoryEstimate
    disk: CheckpointSizes
    free_disk: int | None
    guide: GuideRow
    warnings: tuple[str, ...]


def plan_run(
    name: str,
    config: TrainingConfig,
    freezing: FreezingConfig,
    *,
    datasets: Sequence[PlannedDataset],
    clip: MeanClip,
    architecture: Architecture,
    new_rows: int,
    plan: FreezingPlan,
    spread: EmbeddingSpread,
    speed: Speed | None,
    free_disk: int | None = None,
    assumptions: Sequence[str] = (),
) -> RunPlan:
    """Put everything together.

    Args:
        datasets: with at least one training clip each, one of them without a share.
        clip: their `average_clip`.
        architecture: with the rows of the extended vocabulary.
        new_rows: how many of those are new.
        plan: what is frozen.
    """
    clock, schedule, mixture = (
        Clock(config.batch_size, config.grad_accum),
        MultiStep.of(config),
        Mixture.of(pools_of_plan(datasets)),
    )
    ending = find_ending(config, mixture)
    samples = ending.step * clock.batch_size
    moved = movement(schedule, clock, ending.step)
    update = first_update(datasets, config)
    counts = count_trainable(architecture, plan)
    rows = plan_new_rows(new_rows, moved, spread, config, plan)
    milestones = tuple(_milestones(schedule, clock, mixture, ending, speed))
    disk = checkpoint_sizes(
        counts,
        keep_last=config.keep_last,
        keep_best=config.keep_best,
        moving_average=config.ema_decay is not None,
    )
    described = tuple(
        DatasetPlan(
            name=dataset.name,
            share=dataset.share,
            training_clips=len(dataset.clips),
            hours=math.fsum(clip.duration_s for clip in dataset.clips) / 3600,
            eval_clips=dataset.eval_clips,
            epochs=ending.epochs if dataset.share is None else samples * dataset.share / len(dataset.clips),
        )
        for dataset in datasets
    )
    return RunPlan(
        run=name,
        architecture=architecture,
        assumptions=tuple(assumptions),
        datasets=described,
        clip=clip,
        freezing=plan.reason,
        freezing_threshold=freezing.threshold,
        trainable_parameters=counts.trainable,
        parameters=counts.trainable + counts.frozen,
        batch_size=clock.batch_size,
        grad_accum=clock.grad_accum,
        update_samples=clock.update_samples,
        epoch_samples=mixture.epoch_samples,
        epoch_steps=mixture.epoch_samples / clock.batch_size,
        epoch_updates=mixture.epoch_samples / clock.update_samples,
        packing=plan_packing(update, config),
        precision=config.precision,
        ending=ending,
        hours=_hours(samples, speed),
        speed=speed,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        milestones=milestones,
        movement=moved,
        new_rows=rows,
        memory=estimate_memory(architecture, update, config, plan),
        disk=disk,
        free_disk=free_disk,
        guide=guide_row(mixture.clips),
        warnings=tuple(_warnings(config, ending, milestones, rows, described, disk, free_disk)),
    )


def _milestones(
    schedule: MultiStep, clock: Clock, mixture: Mixture, ending: Ending, speed: Speed | None
) -> Iterator[Milestone]:
    for change in schedule.changes(clock):
        samples = change.boundary * clock.batch_size
        yield Milestone(
            step=change.step,
            boundary=change.boundary,
            learning_rate=change.lr,
            reached=change.boundary <= ending.step,
            epoch=mixture.epochs(samples),
            hours=_hours(samples, speed),
            movement=movement(schedule, clock, change.boundary),
        )


def _hours(samples: int, speed: Speed | None) -> float | None:
    return samples / speed.clips_per_s / 3600 if speed else None


def _warnings(
    config: TrainingConfig,
    ending: Ending,
    milestones: Sequence[Milestone],
    rows: NewRows,
    datasets: Sequence[DatasetPlan],
    disk: CheckpointSizes,
    free_disk: int | None,
) -> Iterator[str]:
    missed = [f"{milestone.step:,}" for milestone in milestones if not milestone.reached]
    if missed:
        so = "the learning rate never drops" if len(missed) == len(milestones) else "those drops never come"
        yield (
            f"milestones never reached: {', '.join(missed)}. The training ends at step {ending.step:,} "
            f"({ending.reason}), so {so}. Train longer, or set milestones within the training."
        )
    if rows.rows and not rows.train:
        yield (
            f"the text embedding is frozen: the {rows.rows:,} new rows stay as they were drawn, and the new tokens are "
            "never learnt. Set freezing.text_embedding: true."
        )
    elif not rows.can_learn:
        yield (
            f"too short to learn new rows: until the end AdamW can move them by {rows.movement:.2g}, "
            f"{rows.movement / rows.std:.0%} of an embedding's standard deviation ({rows.std:.2g}); half of it is the "
            f"least. Set new_token_lr_scale to {_round_up(rows.needed_lr_scale):g} or more, or train longer."
        )
    if config.warmup_steps >= ending.step:
        yield f"the training ends at step {ending.step:,}, before its warm-up of {config.warmup_steps:,} steps does."
    if ending.step < GUIDE_STEPS:
        yield (
            f"short: it ends at step {ending.step:,} ({ending.reason}); the guide aims for at least {GUIDE_STEPS:,}."
        )
    if warning := batch_size_warning(config.batch_size):
        yield warning
    if not any(dataset.eval_clips for dataset in datasets):
        yield "no evaluation clip: no checkpoint could be chosen, so the training will not start. Raise eval_min."
    if free_disk is not None and free_disk < disk.run:
        yield (
            f"disk: the checkpoints need up to {disk.run / 1e9:.1f} GB, {free_disk / 1e9:.1f} GB are free. Make room, "
            "or lower keep_last and keep_best."
        )


def _round_up(value: float) -> float:
    """Two significant digits, never below."""
    magnitude = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / magnitude - 1e-9) * magnitude
