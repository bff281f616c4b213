"""The training loop: evaluate, save, stop?, step, log. All it remembers lies in `TrainingState`."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xtts_framework.config import TrainingConfig
from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.model.rows import merged_state_dict
from xtts_framework.training.average import MovingAverage
from xtts_framework.training.checkpoint import prune_checkpoints, save_checkpoint
from xtts_framework.training.distributed import Ranks
from xtts_framework.training.evaluation import Evaluator
from xtts_framework.training.examples import Example, Examples
from xtts_framework.training.listeners import MetricsFile, NobodyListens
from xtts_framework.training.optimizer import optimizer_tensors
from xtts_framework.training.sampling import Sampler
from xtts_framework.training.schedule import Clock, MultiStep
from xtts_framework.training.skipped import cause_of, write_skipped
from xtts_framework.training.state import LogWindow, TrainingState
from xtts_framework.training.stopping import StopRequest
from xtts_framework.training.update import Updater, UpdateResult, losses_by_clip

if TYPE_CHECKING:
    from pluggy import HookRelay
    from TTS.tts.layers.xtts.gpt import GPT

SKIPPED_IN_ROW_LIMIT = 3


@dataclass(frozen=True)
class Upcoming:
    """The samples of an update that has not been computed yet, and the sampler's position after it."""

    examples: list[Example]
    drawn: dict[str, int]


@dataclass
class Training:
    """One attempt at a training, in one process or in several that keep step; the main one speaks and writes.

    Args:
        state: where it is; everything else can be built anew from the inputs.
        checkpoints: folder of this training's checkpoints.
        identity: what every checkpoint records besides the state (fingerprint, threads).
        skipped: folder for the clips of skipped updates.
        hook: the listeners of the main process.
        metrics_file: of the main process; None in the others.
        unsaved: whether anything has happened since the last full checkpoint.
    """

    config: TrainingConfig
    clock: Clock
    schedule: MultiStep
    sampler: Sampler
    examples: Examples
    evaluator: Evaluator
    updater: Updater
    gpt: GPT
    optimizer: torch.optim.AdamW
    average: MovingAverage
    ranks: Ranks
    state: TrainingState
    checkpoints: Path
    skipped: Path
    identity: dict[str, Any]
    hook: HookRelay | NobodyListens
    metrics_file: MetricsFile | None
    stop: StopRequest
    upcoming: Upcoming | None = None
    improved: bool = False
    pending: list[tuple[int, UpdateResult]] = field(default_factory=list)
    updated: bool = False
    unsaved: bool = True
    slowest_update_s: float = 0.0
    slowest_evaluation_s: float = 0.0
    slowest_save_s: float = 0.0
    timed_until: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)
    wall_until: float = field(default_factory=time.monotonic)

    @property
    def step(self) -> int:
        return self.clock.step(self.state.samples_seen)

    def run(self) -> str:
        """Train until the end, or until somebody asks to stop; returns why it ended."""
        while True:
            if self.evaluation_is_due():
                self.evaluate()
            ending = self.finished_because() or self.interrupted_because()
            full = bool(ending) or self.full_save_is_due()
            if full or self.improved:
                self.save(full=full)
            if ending:
                return ending
            self.update()
            if self.log_is_due():
                self.log()

    def finished_because(self) -> str | None:
        """Why there is nothing left to train, or None."""
        config = self.config
        if self.step >= config.max_steps:
            return f"max_steps {config.max_steps} reached"
        if config.max_epochs is not None and self.sampler.epochs(self.state.sampler) >= config.max_epochs:
            return f"max_epochs {config.max_epochs} reached"
        if config.early_stopping_evals is not None and self.state.evals_since_best >= config.early_stopping_evals:
            return f"early stopping: no improvement in {self.state.evals_since_best} evaluations"
        return None

    def interrupted_because(self) -> str | None:
        """Why to stop unfinished, or None. A time limit lets at least one update pass, or no attempt would advance."""
        reserve_s = self.slowest_update_s + self.slowest_evaluation_s + self.slowest_save_s
        reason = self.stop.reason(reserve_s=reserve_s if self.updated else -math.inf)
        [somebody_stops] = self.ranks.any(reason is not None)
        return next(filter(None, self.ranks.gather(reason))) if somebody_stops else None

    def evaluation_is_due(self) -> bool:
        last, every = self.state.last, self.config.eval_every_steps
        if last is None or self.step // every > last.step // every:
            return True
        return last.step != self.step and self.finished_because() is not None

    def evaluate(self) -> None:
        self.collect()
        with self.average.in_place():
            evaluation = self.evaluator.evaluate(self.gpt, self.step)
        self.improved = self.state.record(evaluation)
        self.unsaved = True
        metrics = {f"eval/{name}": value for name, value in evaluation.losses.items()}
        self.hook.xtts_on_metrics(step=self.step, metrics=metrics)
        started, self.timed_until = self.timed_until, time.monotonic()
        self.slowest_evaluation_s = max(self.slowest_evaluation_s, self.timed_until - started)

    def full_save_is_due(self) -> bool:
        every = self.config.save_every_steps
        minutes = (time.monotonic() - self.saved_at) / 60
        [long_ago] = self.ranks.any(minutes >= self.config.save_every_minutes)
        return long_ago or self.step // every > (self.state.saved_step or 0) // every

    def save(self, *, full: bool) -> None:
        """Write a checkpoint, with the optimizer or (for an improvement) the weights alone."""
        self.improved = False
        if not self.unsaved:
            return
        started = time.monotonic()
        self.collect()
        self.state.wall_s += started - self.wall_until
        self.wall_until = started
        if full:
            self.state.saved_step = self.step
        if self.ranks.is_main:
            self.write_checkpoint(full=full)
        self.ranks.wait_for_all()
        self.timed_until = time.monotonic()
        self.slowest_save_s = max(self.slowest_save_s, self.timed_until - started)
        if full:
            self.saved_at = self.timed_until
            self.unsaved = False

    def write_checkpoint(self, *, full: bool) -> None:
        optimizer = optimizer_tensors(self.optimizer) | self.average.trained_weights() if full else None
        with self.average.in_place():
            weights = merged_state_dict(self.gpt)
            folder = save_checkpoint(self.checkpoints, weights, optimizer, self.describe_state())
        prune_checkpoints(self.checkpoints, keep_best=self.config.keep_best, keep_last=self.config.keep_last)
        self.hook.xtts_on_checkpoint(step=self.step, folder=folder)

    def describe_state(self) -> dict[str, Any]:
        """What `state.json` holds."""
        last = self.state.last
        return {
            "step": self.step,
            "update": self.clock.update(self.state.samples_seen),
            "metrics": last.losses if last and last.step == self.step else None,
            **self.state.to_json(),
            **self.identity,
        }

    def update(self) -> None:
        """Pass one update's samples through the model and move the weights."""
        started = time.monotonic()
        upcoming = self.upcoming or self.draw()
        number = self.clock.update(self.state.samples_seen)
        result = self.updater.update(upcoming.examples, lr=self.schedule.at(self.step), number=number)
        self.average.update()
        self.pending.append((number, result))
        self.state.samples_seen += len(upcoming.examples)
        self.state.sampler = upcoming.drawn
        self.state.window.samples += len(upcoming.examples)
        for change in self.schedule.changes(self.clock):
            if change.boundary == self.step and self.metrics_file and self.metrics_file.note(self.step, str(change)):
                say(str(change))
        if self.finished_because() is None:
            self.upcoming = self.draw()
            self.updater.prepare(self.upcoming.examples)  # while the device is busy with this update
        self.updated = self.unsaved = True
        self.slowest_update_s = max(self.slowest_update_s, time.monotonic() - started)

    def draw(self) -> Upcoming:
        """The next update's samples."""
        samples = self.sampler.take(self.clock.update_samples)
        return Upcoming([self.examples.for_training(sample) for sample in samples], dict(self.sampler.drawn))

    def log_is_due(self) -> bool:
        return self.clock.update(self.state.samples_seen) % self.config.log_every_updates == 0

    def log(self) -> None:
        """Tell the listeners what the updates since the last log were like; this waits for the device."""
        self.collect()
        window, self.state.window = self.state.window, LogWindow()
        if not window.updates:
            return
        metrics = window.metrics(self.config.mel_loss_weight, self.config.text_loss_weight)
        metrics["train/lr"] = self.schedule.at(self.step - self.clock.grad_accum)
        metrics["train/epoch"] = self.sampler.epochs(self.state.sampler)
        self.hook.xtts_on_metrics(step=self.step, metrics=metrics)

    def collect(self) -> None:
        """Read the results of the latest updates from the device into the log window.

        Raises:
            UserError: three updates in a row had to be skipped.
        """
        for number, result in self.pending:
            mel_nats, text_nats, grad_norm, skipped = result.numbers.tolist()
            if skipped:
                self.record_skipped(number, result)
                continue
            self.state.window.add(mel_nats, text_nats, result.mel_tokens, result.text_tokens, grad_norm)
            self.state.skipped_in_row = 0
        self.pending.clear()
        now = time.monotonic()
        self.state.window.seconds += now - self.timed_until
        self.state.training_s += now - self.timed_until
        self.timed_until = now

    def record_skipped(self, number: int, result: UpdateResult) -> None:
        """Write down an update that was not finite; the weights never saw it."""
        self.state.skipped_batches += 1
        self.state.skipped_in_row += 1
        clips = [clip for share in self.ranks.gather(losses_by_clip(result.losses)) for clip in share]
        if self.ranks.is_main:
            write_skipped(self.skipped, number, clips)
        if self.state.skipped_in_row >= SKIPPED_IN_ROW_LIMIT:
            raise UserError(
                f"update {number}: {SKIPPED_IN_ROW_LIMIT} updates in a row were not finite, {cause_of(clips)}.\n"
                f"  The weights are those of the last good update. Look at {self.skipped}; a lower learning_rate, "
                "max_grad_norm: 1.0 or precision: fp32 usually helps."
            )
