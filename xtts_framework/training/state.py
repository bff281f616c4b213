"""All that a training must remember between two updates: one record, stored in every checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """Losses over the whole evaluation set, in nats per token (`loss_total`: weighted)."""

    step: int
    loss_total: float
    loss_mel: float
    loss_text: float

    @property
    def losses(self) -> dict[str, float]:
        return {"loss_total": self.loss_total, "loss_mel": self.loss_mel, "loss_text": self.loss_text}


@dataclass
class LogWindow:
    """Sums since the last log line; updates that were skipped count only in `samples`."""

    mel_nats: float = 0.0
    text_nats: float = 0.0
    mel_tokens: int = 0
    text_tokens: int = 0
    grad_norms: float = 0.0
    updates: int = 0
    samples: int = 0
    seconds: float = 0.0

    def add(self, mel_nats: float, text_nats: float, mel_tokens: int, text_tokens: int, grad_norm: float) -> None:
        """Add one update's sums."""
        self.mel_nats += mel_nats
        self.text_nats += text_nats
        self.mel_tokens += mel_tokens
        self.text_tokens += text_tokens
        self.grad_norms += grad_norm
        self.updates += 1

    def metrics(self, mel_weight: float, text_weight: float) -> dict[str, float]:
        """What is logged of it: nats per token, mean gradient norm, speed. At least one update was added."""
        loss_mel, loss_text = self.mel_nats / self.mel_tokens, self.text_nats / self.text_tokens
        return {
            "train/loss_total": mel_weight * loss_mel + text_weight * loss_text,
            "train/loss_mel": loss_mel,
            "train/loss_text": loss_text,
            "train/grad_norm": self.grad_norms / self.updates,
            "train/clips_per_s": self.samples / self.seconds,
        }


@dataclass
class TrainingState:
    """Where a training is.

    Args:
        samples_seen: the clock.
        sampler: samples each pool of the sampler has given.
        first, best, last: evaluations; None before the first one.
        evals_since_best: evaluations without improvement, in a row.
        skipped_batches: updates that were skipped because a loss or gradient was not finite.
        skipped_in_row: the latest of them, in a row.
        window: sums since the last log line.
        training_s: seconds spent in updates, over all attempts.
        wall_s: seconds spent in all, over all attempts.
        saved_step: step of the last full checkpoint; None before the first one.
    """

    samples_seen: int = 0
    sampler: dict[str, int] = field(default_factory=dict)
    first: Evaluation | None = None
    best: Evaluation | None = None
    last: Evaluation | None = None
    evals_since_best: int = 0
    skipped_batches: int = 0
    skipped_in_row: int = 0
    window: LogWindow = field(default_factory=LogWindow)
    training_s: float = 0.0
    wall_s: float = 0.0
    saved_step: int | None = None

    def record(self, evaluation: Evaluation) -> bool:
        """Take note of an evaluation; whether it is the best so far."""
        improved = self.best is None or evaluation.loss_total < self.best.loss_total
        self.first = self.first or evaluation
        self.last = evaluation
        self.best = evaluation if improved else self.best
        self.evals_since_best = 0 if improved else self.evals_since_best + 1
        return improved

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainingState:
        """Inverse of `to_json`; other keys are ignored.

        Raises:
            KeyError, TypeError: a field is missing or malformed.
        """
        fields = {name.name: values[name.name] for name in dataclasses.fields(cls)}
        for name in ("first", "best", "last"):
            fields[name] = Evaluation(**fields[name]) if fields[name] else None
        fields["window"] = LogWindow(**fields["window"])
        return cls(**fields)
