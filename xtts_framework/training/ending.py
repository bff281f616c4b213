"""When a training ends, if nothing stops it before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from xtts_framework.config import TrainingConfig
from xtts_framework.training.sampling import MAIN_POOL, Pool
from xtts_framework.training.schedule import Clock


@dataclass(frozen=True)
class Mixture:
    """How samples are divided: one epoch of the main pool takes `clips / share` of them.

    Args:
        clips: training clips of the datasets without a share.
        share: of all samples that is left to them.
    """

    clips: int
    share: float

    @classmethod
    def of(cls, pools: Mapping[str, Pool]) -> Mixture:
        return cls(len(pools[MAIN_POOL].clips), share=1.0 - sum(pool.share or 0.0 for pool in pools.values()))

    @property
    def epoch_samples(self) -> float:
        """Samples of one epoch, replay included."""
        return self.clips / self.share

    def epochs(self, samples: int) -> float:
        return samples * self.share / self.clips

    def samples(self, epochs: int) -> int:
        """Samples after which so many epochs are complete."""
        return math.ceil(epochs * self.clips / Fraction(self.share).limit_denominator(10**9))


@dataclass(frozen=True)
class Ending:
    """The first update boundary at which `max_steps` or `max_epochs` is reached.

    Args:
        epochs: passes over the main pool by then.
        reason: the setting that ends it.
    """

    step: int
    update: int
    epochs: float
    reason: str


def find_ending(config: TrainingConfig, mixture: Mixture) -> Ending:
    clock = Clock(config.batch_size, config.grad_accum)
    step, reason = clock.boundary(config.max_steps), f"max_steps {config.max_steps}"
    if config.max_epochs is not None:
        updates = -(-mixture.samples(config.max_epochs) // clock.update_samples)
        if updates * clock.grad_accum < step:
            step, reason = updates * clock.grad_accum, f"max_epochs {config.max_epochs}"
    return Ending(step, step // clock.grad_accum, mixture.epochs(step * clock.batch_size), reason)
