"""Where a training continues: its own newest intact checkpoint, one that was named, or at the beginning."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, write_json
from xtts_framework.training.checkpoint import Checkpoint, discard_after, newest_intact, read_checkpoint
from xtts_framework.training.fingerprint import differences, fingerprint_of

INPUTS_FILE = "fingerprint.json"
"""In each folder of checkpoints: what its fingerprint is made of."""
ATTEMPTS_FILE = "attempts.json"


def find_start(
    checkpoints: Path, inputs: dict[str, Any], *, resume: Path | None, restart: bool
) -> tuple[Path, Checkpoint | None]:
    """The folder of this training's checkpoints, and the checkpoint to continue from (None: start anew).

    Args:
        checkpoints: folder of all trainings of the run.
        inputs: what this training depends on.
        resume: continue from this checkpoint and no other.
        restart: discard what this training has saved.
    Raises:
        UserError: `resume` names no full, intact checkpoint, or one of a training with other inputs.
    """
    folder = checkpoints / fingerprint_of(inputs)
    if restart and folder.is_dir():
        say(f"{folder}: discarded (--restart)")
        shutil.rmtree(folder)
    if not (folder / INPUTS_FILE).is_file():
        _name_other_trainings(checkpoints, inputs)
        write_json(folder / INPUTS_FILE, inputs)
    checkpoint = _explicit(resume, inputs) if resume else newest_intact(folder)
    if resume:
        (folder / ATTEMPTS_FILE).unlink(missing_ok=True)
    discard_after(folder, checkpoint.step if checkpoint else 0)
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


def _name_other_trainings(checkpoints: Path, inputs: dict[str, Any]) -> None:
    """Say which earlier trainings of this run stay where they are, and what is different now."""
    known = sorted(checkpoints.glob(f"*/{INPUTS_FILE}"), key=lambda path: path.stat().st_mtime)
    for path in known[-1:]:
        say(f"new training, for something it depends on has changed; the last one is kept in {path.parent}")
        for line in differences(read_json(path), inputs):
            say(f"  {line}")
    for path in known[:-1]:
        say(f"  an earlier one is kept in {path.parent}")
