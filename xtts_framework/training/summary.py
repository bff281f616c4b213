"""`summary.json`: what a finished training was, in numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from xtts_framework.config import TrainConfig
from xtts_framework.layout import RunFolder
from xtts_framework.model.freezing import FreezingCounts
from xtts_framework.plugins import FreezingPlan
from xtts_framework.training.checkpoint import list_checkpoints
from xtts_framework.training.corpus import Corpus
from xtts_framework.training.schedule import Clock, MultiStep
from xtts_framework.training.state import Evaluation, TrainingState


def summarize(
    config: TrainConfig,
    run: RunFolder,
    state: TrainingState,
    corpus: Corpus,
    *,
    fingerprint: str,
    checkpoints: Path,
    stop_reason: str,
    stop_token: int,
    plan: FreezingPlan,
    counts: FreezingCounts,
    device: str,
) -> dict[str, Any]:
    """What `summary.json` holds.

    All but `clips_per_s`, `wall_s` and the list of checkpoints on disk depends on the training alone, not on how often
    it was interrupted.
    """
    training = config.training
    clock = Clock(training.batch_size, training.grad_accum)
    schedule = MultiStep.of(training)
    step = clock.step(state.samples_seen)
    changes = [dataclasses.asdict(change) for change in schedule.changes(clock) if change.boundary <= step]
    return {
        "fingerprint": fingerprint,
        "steps": step,
        "updates": clock.update(state.samples_seen),
        "samples_seen": state.samples_seen,
        "clips_per_s": state.samples_seen / state.training_s if state.training_s else 0.0,
        "wall_s": state.wall_s,
        "stop_reason": stop_reason,
        "skipped_batches": state.skipped_batches,
        "eval": {
            "first": _evaluation(state.first),
            "best": _evaluation(state.best),
            "last": _evaluation(state.last),
        },
        "eval_unigram_entropy": corpus.eval_unigram_entropy(stop_token),
        "learning_rate_changes": changes,
        "freezing": {"plan": dataclasses.asdict(plan), **dataclasses.asdict(counts)},
        "device": device,
        "precision": training.precision,
        "datasets": {name: _dataset(corpus, name) for name in config.datasets},
        "checkpoints": [
            {
                "step": checkpoint.step,
                "folder": checkpoint.folder.relative_to(run.path).as_posix(),
                "metrics": checkpoint.metrics,
            }
            for checkpoint in list_checkpoints(checkpoints)
        ],
    }


def _evaluation(evaluation: Evaluation | None) -> dict[str, float] | None:
    return dataclasses.asdict(evaluation) if evaluation else None


def _dataset(corpus: Corpus, name: str) -> dict[str, Any]:
    clips = corpus.of("train", name) + corpus.of("eval", name)
    return {
        "train": len(corpus.of("train", name)),
        "eval": len(corpus.of("eval", name)),
        "hours": sum(clip.duration_s for clip in clips) / 3600,
    }
