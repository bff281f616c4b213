"""A plan for people, and for machines."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from xtts_framework.model.cost import MOST_TOKENS
from xtts_framework.planning.plan import GUIDE_TABLE, RunPlan

WIDTH = 116


def describe_plan(plan: RunPlan) -> Iterator[str]:
    """The plan, section by section."""
    yield f"run {plan.run}"
    yield from _describe_data(plan)
    yield from _section("what trains", _freezing_lines(plan))
    yield from _section("clock", _clock_lines(plan))
    yield from _section("learning rate", _schedule_lines(plan))
    yield from _section("new text rows", _new_row_lines(plan))
    yield from _section("memory of a GPU, estimated", _memory_lines(plan))
    yield from _section("disk", _disk_lines(plan))
    yield from _section("the guide's table", _guide_lines(plan))
    if plan.assumptions:
        yield from _section("assumed", plan.assumptions)
    yield from _section("warnings", plan.warnings or ["none"])


def as_json(plan: RunPlan) -> dict[str, Any]:
    """The plan for machines."""
    return dataclasses.asdict(plan)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield title
    for line in lines:
        yield from textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _describe_data(plan: RunPlan) -> Iterator[str]:
    for dataset in plan.datasets:
        part = f"replay, {dataset.share:.0%} of the samples" if dataset.share else "part of every epoch"
        yield (
            f"  dataset {dataset.name}: {dataset.training_clips:,} training clips ({dataset.hours:.2f} h), "
            f"{dataset.eval_clips:,} eval clips; {part}; each clip comes {dataset.epochs:.1f} times"
        )
    clip = plan.clip
    yield (
        f"  a clip has on average {clip.duration_s:.1f} s, {clip.text_ids:.0f} text ids, {clip.codes:.0f} codes, "
        f"{clip.tokens:.0f} tokens; the longest {clip.longest_s:.1f} s, {clip.longest_tokens} tokens"
    )


def _freezing_lines(plan: RunPlan) -> Iterator[str]:
    yield plan.freezing
    yield (
        f"{plan.trainable_parameters / 1e6:.1f} of {plan.parameters / 1e6:.1f} M parameters train; below "
        f"{plan.freezing_threshold} training clips parts are frozen, unless the configuration says otherwise"
    )


def _clock_lines(plan: RunPlan) -> Iterator[str]:
    packing = plan.packing
    yield (f"1 step = {plan.batch_size} samples, 1 update = {plan.grad_accum} steps = {plan.update_samples:,} samples")
    yield (
        f"1 epoch = {plan.epoch_samples:,.0f} samples = {plan.epoch_steps:,.2f} steps = "
        f"{plan.epoch_updates:,.2f} updates"
    )
    yield (
        f"1 update = {packing.tokens:,} tokens (the first), {packing.micro_batches} micro-batch(es) of up to "
        f"{packing.token_budget:,} tokens"
    )
    ending, hours = plan.ending, "" if plan.hours is None else f" and {_time(plan.hours)}"
    yield (
        f"end: step {ending.step:,} = update {ending.update:,}, after {ending.epochs:,.1f} epochs{hours} "
        f"({ending.reason})"
    )
    if plan.speed:
        yield f"speed: {plan.speed.clips_per_s:.4g} clips/s ({plan.speed.source}); evaluations and saves come on top"
    else:
        yield "hours are not known: measure with `xtts bench` on the machine that will train, or give --clips-per-s"


def _schedule_lines(plan: RunPlan) -> Iterator[str]:
    rise = f", after a rise of {plan.warmup_steps:,} steps" if plan.warmup_steps else ""
    yield f"{plan.learning_rate:g} from the start{rise}"
    yield _row(
        "step", "in force from", "rate", "epoch", "time", "until then a weight moves at most, of an embedding's std"
    )
    for milestone in plan.milestones:
        step, rate = f"{milestone.step:,}", f"{milestone.learning_rate:g}"
        if milestone.reached:
            moved = _in_stds(milestone.movement, plan)
            last = "; no update uses this rate" if milestone.boundary == plan.ending.step else ""
            epoch, time = f"{milestone.epoch:,.1f}", _time(milestone.hours)
            yield _row(step, f"{milestone.boundary:,}", rate, epoch, time, moved + last)
        else:
            yield _row(step, "never", rate, "", "", "")
    ending = plan.ending
    yield _row("end", f"{ending.step:,}", "", f"{ending.epochs:,.1f}", _time(plan.hours), _in_stds(plan.movement, plan))


def _row(step: str, boundary: str, rate: str, epoch: str, time: str, moved: str) -> str:
    return f"{step:>9} {boundary:>14}  {rate:9} {epoch:>8} {time:>9}  {moved}".rstrip()


def _in_stds(moved: float, plan: RunPlan) -> str:
    return f"{moved:.2g} = {moved / plan.new_rows.std:.0%}"


def _new_row_lines(plan: RunPlan) -> Iterator[str]:
    rows = plan.new_rows
    yield f"the std of an embedding is {rows.std:.3g} ({rows.std_source})"
    if not rows.rows:
        yield "no new rows: the base knows every token"
        return
    frozen = "" if rows.train else "; but the text embedding is frozen"
    yield (
        f"{rows.rows:,} new rows at new_token_lr_scale {rows.lr_scale:g} move at most {_in_stds(rows.movement, plan)} "
        f"of that until the end{frozen}"
    )
    yield f"half of it takes new_token_lr_scale {rows.needed_lr_scale:.3g}"


def _memory_lines(plan: RunPlan) -> Iterator[str]:
    model = plan.memory.model
    average = f" + average {model.average / 1e9:.2f}" if model.average else ""
    yield (
        f"always: weights {model.weights / 1e9:.2f} + gradients {model.gradients / 1e9:.2f} + AdamW "
        f"{model.optimizer / 1e9:.2f}{average} = {model.total / 1e9:.2f} GB"
    )
    for estimate in plan.memory.activations:
        name = "with activation checkpointing" if estimate.recompute else "activations stored"
        fixed = f" and {estimate.fixed / 1e9:.2f} GB" if estimate.fixed else ""
        fits = ", ".join(f"{gib} GiB: {_tokens(tokens, plan)}" for gib, tokens in estimate.tokens_that_fit.items())
        yield f"{name}, {plan.precision}: {estimate.per_token / 1e6:.2g} GB for 1,000 tokens at once{fixed}"
        yield f"  room for tokens at once on a GPU of {fits}"


def _tokens(tokens: int, plan: RunPlan) -> str:
    if tokens < plan.clip.longest_tokens:
        return "too small"
    if tokens > MOST_TOKENS:
        return "plenty"
    digits = 10 ** max(0, math.floor(math.log10(tokens)) - 1)
    return f"{tokens // digits * digits:,}"


def _disk_lines(plan: RunPlan) -> Iterator[str]:
    disk = plan.disk
    free = "" if plan.free_disk is None else f"; {plan.free_disk / 1e9:.1f} GB are free"
    yield (
        f"up to {_size(disk.run)} of checkpoints: {_size(disk.full)} each that can be continued, {_size(disk.weights)} "
        f"each of weights alone, one more while it is written{free}"
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _guide_lines(plan: RunPlan) -> Iterator[str]:
    yield f"   {'Dataset Size':15} {'Epochs':>6} {'Total Steps':>12}  Expected Duration"
    for row in GUIDE_TABLE:
        mark = "->" if row == plan.guide else "  "
        yield f"{mark} {row.size:15} {row.epochs:>6} {row.total_steps:>12}  {row.duration}"
    clips = sum(dataset.training_clips for dataset in plan.datasets if dataset.share is None)
    yield f"   this run: {clips:,} samples, {plan.ending.epochs:,.1f} epochs, {plan.ending.step:,} steps"


def _time(hours: float | None) -> str:
    if hours is None:
        return "?"
    return f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.1f} min"
