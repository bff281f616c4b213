"""Select: the checkpoint that is exported, and why."""

from __future__ import annotations

from typing import Any

from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, write_json
from xtts_framework.layout import RunFolder, inside
from xtts_framework.training.checkpoint import list_checkpoints


def read_selected(run: RunFolder) -> dict[str, Any]:
    """What `select` decided.

    Raises:
        UserError: nothing is selected yet, or something outside of the run's checkpoints.
    """
    if not run.selected.is_file():
        raise UserError(f"{run.selected}: missing; run `xtts select --out {run.path}` first.")
    selected: dict[str, Any] = read_json(run.selected)
    inside(run.path, selected["folder"], named_in=run.selected)
    return selected


def select(run: RunFolder) -> None:
    """Choose the evaluated checkpoint with the lowest `loss_total`; of equal ones, the earliest.

    Source: quick-start guide, "Checkpoint Selection": lowest eval loss, not necessarily the last.

    Raises:
        UserError: the training has not finished, or none of its evaluated checkpoints is on disk.
    """
    if not run.summary.is_file():
        raise UserError(f"{run.summary}: missing; the training has not finished. Run `xtts train` first.")
    folder = inside(run.checkpoints, read_json(run.summary)["fingerprint"], named_in=run.summary)
    found = list_checkpoints(folder)
    evaluated = [(checkpoint, checkpoint.metrics) for checkpoint in found if checkpoint.metrics]
    if not evaluated:
        raise UserError(f"{folder}: no evaluated checkpoint; were its folders removed? Run `xtts train` again.")
    best, metrics = min(evaluated, key=lambda candidate: candidate[1]["loss_total"])
    reason = (
        f"step {best.step} has the lowest eval loss, {metrics['loss_total']:.4f}, of {len(evaluated)} evaluated "
        f"checkpoints on disk; the last one on disk is step {found[-1].step}"
    )
    candidates = [
        {
            "step": checkpoint.step,
            "folder": checkpoint.folder.relative_to(run.path).as_posix(),
            **losses,
            "selected": checkpoint is best,
        }
        for checkpoint, losses in evaluated
    ]
    selected = {"step": best.step, "folder": best.folder.relative_to(run.path).as_posix(), "reason": reason}
    write_json(run.selected, selected | {"candidates": candidates})
    say(f"selected {best.folder}: {reason}")
