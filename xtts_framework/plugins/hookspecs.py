"""Every place where a plugin may step in. Documented one by one, with examples, in `docs/hooks.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pluggy

from xtts_framework.plugins.language_pack import FreezingPlan, LanguagePack, TextProblem

PROJECT = "xtts_framework"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Decorator of a hook implementation."""


@hookspec
def xtts_language_packs() -> list[type[LanguagePack]]:  # type: ignore[empty-body]
    """The language packs that the plugin offers: classes, not instances."""


@hookspec
def xtts_check_text(language: str, raw: str, normalized: str) -> list[TextProblem]:  # type: ignore[empty-body]
    """More reasons to refuse a text, in any language; added to those of the language's own pack.

    Args:
        language: code of the pack that normalised the text.
        raw: as the user wrote it.
        normalized: as the model would read it.
    """


@hookspec(firstresult=True)
def xtts_freezing_plan(language: str, training_clips: int, blocks: int) -> FreezingPlan | None:
    """What to freeze, in place of the pack's own plan; the first plugin that does not return None decides.

    Args:
        language: code of the run's main language.
        training_clips: clips of the training split.
        blocks: transformer blocks of the base.
    """


@hookspec
def xtts_on_run_start(run_folder: Path, description: dict[str, Any]) -> None:
    """Training begins, or continues from a checkpoint.

    Args:
        run_folder: `results/runs/RUN`.
        description: `fingerprint`, `first_step`, `last_step`, `batch_size`, `device`, `precision`.
    """


@hookspec
def xtts_on_metrics(step: int, metrics: dict[str, float]) -> None:
    """Something was measured.

    Args:
        step: batches of `batch_size` samples seen.
        metrics: by TensorBoard tag: `train/loss_total`, `train/lr`, … or `eval/loss_total`, …
    """


@hookspec
def xtts_on_checkpoint(step: int, folder: Path) -> None:
    """A checkpoint lies whole in `folder`. It may be pruned later: copy what you want to keep."""


@hookspec
def xtts_on_run_end(step: int, reason: str) -> None:
    """Training has ended, was interrupted or failed; `reason` says why. Not called after a kill."""
