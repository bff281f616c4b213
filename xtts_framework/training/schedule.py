"""The clock and the learning-rate schedule, counted in steps (batches of `batch_size` samples)."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass

from xtts_framework.config import TrainingConfig

GUIDE_BATCH_SIZE = 4
"""Samples of a step for which the guide's milestones are meant."""


def batch_size_warning(batch_size: int) -> str | None:
    """What another batch size than the guide's does to the milestones."""
    if batch_size == GUIDE_BATCH_SIZE:
        return None
    return (
        f"batch_size is {batch_size}, not {GUIDE_BATCH_SIZE}: one step is another number of samples, and so the "
        "milestones move. For memory use micro_batch_tokens instead."
    )


@dataclass(frozen=True)
class Clock:
    """One clock, `samples_seen`; everything else is derived from it.

    Weights exist only between updates, so whatever is planned for a step takes effect at that step's boundary.

    Args:
        batch_size: samples per step.
        grad_accum: steps per update.
    """

    batch_size: int
    grad_accum: int

    @property
    def update_samples(self) -> int:
        return self.batch_size * self.grad_accum

    def step(self, samples_seen: int) -> int:
        return samples_seen // self.batch_size

    def update(self, samples_seen: int) -> int:
        return samples_seen // self.update_samples

    def boundary(self, step: int) -> int:
        """The step of the first update boundary at or after `step`."""
        return -(-step // self.grad_accum) * self.grad_accum


@dataclass(frozen=True)
class RateChange:
    """One drop of the learning rate.

    Args:
        step: the milestone.
        boundary: step of the first update that uses `lr`.
        lr: the rate from there on.
    """

    step: int
    boundary: int
    lr: float

    def __str__(self) -> str:
        return f"Step {self.step}: LR dropped to {self.lr:g} (in force from step {self.boundary})"


@dataclass(frozen=True)
class MultiStep:
    """Piecewise-constant learning rate, with a rise before it if wanted.

    Args:
        base: rate before the first milestone, dimensionless.
        milestones: steps at which the rate is multiplied by `gamma`, strictly increasing.
        gamma: the factor.
        warmup_steps: steps over which the rate rises in a line; the step after them is the first at the full rate.
    Raises:
        ValueError: milestones not strictly increasing.
    Source: quick-start guide, "Learning Rate Scheduler".
    """

    base: float
    milestones: tuple[int, ...]
    gamma: float
    warmup_steps: int = 0

    @classmethod
    def of(cls, config: TrainingConfig) -> MultiStep:
        return cls(config.learning_rate, tuple(config.milestones), config.gamma, config.warmup_steps)

    def __post_init__(self) -> None:
        if any(first >= second for first, second in itertools.pairwise(self.milestones)):
            raise ValueError(f"milestones must be strictly increasing, found {self.milestones}")

    def at(self, step: int) -> float:
        """The rate of an update whose first sample belongs to `step`."""
        rise = min(1.0, (step + 1) / (self.warmup_steps + 1))
        return self.base * rise * self.gamma ** bisect.bisect_right(self.milestones, step)

    def changes(self, clock: Clock) -> list[RateChange]:
        """Every drop, in order; none when the factor is 1."""
        if self.gamma == 1:
            return []
        return [RateChange(step, clock.boundary(step), self.at(step)) for step in self.milestones]
