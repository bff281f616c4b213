"""Where a training continues: its own newest intact checkpoint, one that was named, or at the beginning."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from xtts_framework.config import TrainingConfig
from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, write_json
from xtts_framework.layout import RunFolder
from xtts_framework.training.checkpoint import (
    Checkpoint,
    discard_after,
    newest_intact,
    prune_checkpoints,
    read_checkpoint,
)
from xtts_framework.training.fingerprint import differences, fingerprint_of
from xtts_framework.training.listeners import recorded_fingerprint

INPUTS_FILE = "fingerprint.json"
"""In each folder of checkpoints: what its fingerprint is made of."""
ATTEMPTS_FILE = "attempts.json"


def find_start(
    run: RunFolder, inputs: dict[str, Any], config: TrainingConfig, *, resume: Path | None, restart: bool
) -> tuple[Path, Checkpoint | None]:
    """The folder of this training's checkpoints, and the checkpoint to continue from (None: start anew).

    What an attempt that broke off saved beyond that checkpoint, or had not finished saving or removing, is removed.

    Args:
        inputs: what this training depends on.
        config: how many checkpoints are kept.
        resume: continue from this checkpoint and no other.
        restart: discard what this training has saved.
    Raises:
        UserError: `resume` names no full, intact checkpoint, or one of a training with other inputs.
    """
    folder = run.checkpoints / fingerprint_of(inputs)
    if restart and folder.is_dir():
        say(f"{folder}: discarded (--restart)")
        shutil.rmtree(folder)
    if not (folder / INPUTS_FILE).is_file():
        _name_other_trainings(run, inputs)
        write_json(folder / INPUTS_FILE, inputs)
    checkpoint = _explicit(resume, inputs) if resume else newest_intact(folder)
    if resume:
        (folder / ATTEMPTS_FILE).unlink(missing_ok=True)
    discard_after(folder, checkpoint.step if checkpoint else 0)
    prune_checkpoints(folder, keep_best=config.keep_best, keep_last=config.keep_last)
    return folder, checkpoint


def _explicit(path: Path, inputs: dict[str, Any]) -> Checkpoint:
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        raise UserError(
            f"--resume {path}: no complete checkpoint; expected a folder step-XXXXXXXX with COMPLETE in it."
        )
    changed = differences(checkpoint.state["fingerprint_inputs"], inputs)
    if changed:
        listed = "\n".join(f"  {line}" for line in changed)
        raise UserError(
            f"--resume {path}: this checkpoint belongs to a training with other inputs:\n{listed}\n"
            "  Undo these changes to continue it, or leave out --resume to start a training of its own."
        )
    if not checkpoint.is_full:
        raise UserError(
            f"--resume {path}: weights only, without optimizer state. It can be spoken with and exported; to continue, "
            "name one of the latest checkpoints."
        )
    if damaged := checkpoint.damaged_files():
        raise UserError(f"--resume {path}: damaged: {', '.join(damaged)}. Name an earlier checkpoint.")
    return checkpoint


def _name_other_trainings(run: RunFolder, inputs: dict[str, Any]) -> None:
    """Say which earlier trainings of this run stay where they are, and what is different from the last one now."""
    last = recorded_fingerprint(run.metrics)
    known = sorted(run.checkpoints.glob(f"*/{INPUTS_FILE}"), key=lambda path: (path.parent.name != last, path))
    for path in known[:1]:
        say(f"new training, for something it depends on has changed; the last one is kept in {path.parent}")
        for line in differences(read_json(path), inputs):
            say(f"  {line}")
    for path in known[1:]:
        say(f"  an earlier one is kept in {path.parent}")
