"""Every place where a plugin is asked; docs/hooks.md tells of each. Arguments may be added, never renamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pluggy

from xtts_framework.plugins.language_pack import FreezingPlan, LanguagePack, TextProblem

PROJECT = "xtts_framework"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def xtts_language_packs() -> list[type[LanguagePack]]:
    """The language packs of this plugin."""
    raise NotImplementedError


@hookspec
def xtts_check_text(language: str, raw: str, normalized: str) -> list[TextProblem]:
    """Further reasons to refuse a text, in any language."""
    raise NotImplementedError


@hookspec(firstresult=True)
def xtts_freezing_plan(language: str, training_clips: int, blocks: int) -> FreezingPlan | None:
    """What to freeze, instead of what the language pack says; None leaves it to others."""


@hookspec
def xtts_on_run_start(run_folder: Path, description: dict[str, Any]) -> None:
    """Training begins or continues."""


@hookspec
def xtts_on_metrics(step: int, metrics: dict[str, float]) -> None:
    """Numbers were logged, named `train/loss_total`, `eval/loss_mel` and so on."""


@hookspec
def xtts_on_checkpoint(step: int, folder: Path) -> None:
    """A checkpoint is complete on disk."""


@hookspec
def xtts_on_run_end(step: int, reason: str) -> None:
    """Training stops, for whatever reason."""
