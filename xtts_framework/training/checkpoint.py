"""Checkpoints on disk: `step-XXXXXXXX/` folders that exist whole or not at all.

A folder holds `model.safetensors`, in full checkpoints also `optimizer.safetensors`, `state.json` with the hash of
each, and last of all the marker COMPLETE. It is filled under another name, flushed to disk and renamed; without its
marker it does not exist. Only a full checkpoint can be continued; weights alone are enough to speak.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import NOT_WRITABLE, PARTIAL_PREFIX, read_json, replacing_folder, sha256_of, write_json

if TYPE_CHECKING:
    from torch import Tensor

MODEL_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
COMPLETE = "COMPLETE"
FOLDER_NAME = re.compile(r"step-(\d{8,})")
FREE_SPACE_MARGIN = 1.05


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint folder whose `state.json` is sound.

    Args:
        folder: where it lies.
        state: the content of `state.json`.
    """

    folder: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        return int(self.state["step"])

    @property
    def metrics(self) -> dict[str, float] | None:
        """Evaluation losses at this step, if it was evaluated."""
        metrics: dict[str, float] | None = self.state["metrics"]
        return metrics

    @property
    def is_full(self) -> bool:
        return OPTIMIZER_FILE in self.state["files"]

    def damaged_files(self) -> list[str]:
        """Names of files that are missing or differ from what was saved."""
        return [
            name
            for name, sha256 in self.state["files"].items()
            if not (self.folder / name).is_file() or sha256_of(self.folder / name) != sha256
        ]

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of one of its files, on the CPU.

        Raises:
            UserError: not a safetensors file, whatever hash `state.json` gives it.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors: dict[str, Tensor] = load_file(self.folder / name)
        except SafetensorError as error:
            raise UserError(
                f"{self.folder / name}: not a file of tensors ({error}). Use another checkpoint."
            ) from error
        return tensors


def folder_name(step: int) -> str:
    return f"step-{step:08d}"


def save_checkpoint(
    folder: Path,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor] | None,
    state: dict[str, Any],
) -> Path:
    """Write `folder/step-XXXXXXXX` whole, replacing one of the same step.

    Args:
        folder: where the checkpoints of this training lie.
        model: coqui's GPT names and tensors.
        optimizer: named tensors; None saves weights only.
        state: JSON with at least `step` and `metrics`.
    Raises:
        UserError: not enough room, or the disk refused; says how much is needed. Other checkpoints are untouched.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    files = {MODEL_FILE: model} | ({} if optimizer is None else {OPTIMIZER_FILE: optimizer})
    needed = sum(tensor.nbytes for tensors in files.values() for tensor in tensors.values())
    destination = folder / folder_name(state["step"])
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed * FREE_SPACE_MARGIN:
        raise UserError(_not_saved(destination, needed, f"{free / 1e6:.1f} MB are free"))
    try:
        with replacing_folder(destination) as partial:
            for name, tensors in files.items():
                save_file({key: tensor.detach().contiguous() for key, tensor in tensors.items()}, partial / name)
            _write_state(partial, state | {"files": {name: sha256_of(partial / name) for name in files}})
            (partial / COMPLETE).touch()
    except (OSError, SafetensorError) as error:
        refused = isinstance(error, OSError) and error.errno in NOT_WRITABLE
        remedy = "Have the folder made writable" if refused else "Free some room"
        raise UserError(_not_saved(destination, needed, str(error), remedy)) from error
    return destination


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """Complete checkpoints by step; a folder without its marker or with an unsound `state.json` is passed over."""
    found = [read_checkpoint(path) for path in _step_folders(folder)]
    return sorted((checkpoint for checkpoint in found if checkpoint), key=lambda checkpoint: checkpoint.step)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """A checkpoint folder, or None when it is incomplete or its `state.json` is damaged. Weights are not checked."""
    if not (folder / COMPLETE).is_file():
        return None
    try:
        state = read_json(folder / STATE_FILE)
        sound = state.pop("checksum") == _checksum(state) and state["files"].keys() <= {MODEL_FILE, OPTIMIZER_FILE}
    except (OSError, UserError, KeyError, TypeError, AttributeError):
        sound = False
    return Checkpoint(folder, state) if sound else None


def newest_intact(folder: Path) -> Checkpoint | None:
    """The latest full checkpoint whose files are as they were saved; damaged ones are named and passed over.

    Raises:
        UserError: there are damaged checkpoints and no intact one; beginning anew would remove them.
    """
    passed_over = 0
    for path in sorted(_step_folders(folder), key=_step_of, reverse=True):
        if not (path / COMPLETE).is_file():
            say(f"{path}: no {COMPLETE} in it, half written or half removed; passed over")
            continue
        checkpoint = read_checkpoint(path)
        if checkpoint and not checkpoint.is_full:
            continue
        damaged = checkpoint.damaged_files() if checkpoint else [STATE_FILE]
        if checkpoint and not damaged:
            return checkpoint
        passed_over += 1
        say(f"{path}: damaged checkpoint ({', '.join(damaged)}), trying the one before")
    if passed_over:
        raise UserError(
            f"{folder}: {passed_over} damaged checkpoints and no intact one to continue from. Copy them back from a "
            "backup, or begin again with --restart, which removes them."
        )
    return None


def prune_checkpoints(folder: Path, *, keep_best: int, keep_last: int) -> None:
    """Keep the last full checkpoints and the weights of the best evaluated ones; remove everything else."""
    checkpoints = list_checkpoints(folder)
    last = [checkpoint for checkpoint in checkpoints if checkpoint.is_full][-keep_last:]
    evaluated = [checkpoint for checkpoint in checkpoints if checkpoint.metrics]
    best = sorted(evaluated, key=lambda checkpoint: (checkpoint.metrics or {})["loss_total"])[:keep_best]
    for checkpoint in checkpoints:
        if checkpoint in last:
            continue
        if checkpoint in best:
            _strip_optimizer(checkpoint)
        else:
            _remove(checkpoint.folder)
    kept = {checkpoint.folder for checkpoint in (*last, *best)}
    for leftover in (*_step_folders(folder), *folder.glob(f"{PARTIAL_PREFIX}step-*")):
        if leftover not in kept:
            _remove(leftover)


def discard_after(folder: Path, step: int) -> None:
    """Remove what a broken-off attempt saved beyond the step from which training continues; it will come again."""
    for path in _step_folders(folder):
        if _step_of(path) > step:
            _remove(path)


def _step_folders(folder: Path) -> list[Path]:
    return [path for path in folder.glob("step-*") if path.is_dir() and FOLDER_NAME.fullmatch(path.name)]


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _strip_optimizer(checkpoint: Checkpoint) -> None:
    """Turn a full checkpoint into weights; the list of files goes first, so that it never names a missing file."""
    files = {name: sha256 for name, sha256 in checkpoint.state["files"].items() if name != OPTIMIZER_FILE}
    _write_state(checkpoint.folder, checkpoint.state | {"files": files})
    (checkpoint.folder / OPTIMIZER_FILE).unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """Marker first: a removal that is broken off leaves no checkpoint."""
    (folder / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(folder)


def _write_state(folder: Path, state: dict[str, Any]) -> None:
    write_json(folder / STATE_FILE, state | {"checksum": _checksum(state)})


def _checksum(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _not_saved(destination: Path, needed: int, reason: str, remedy: str = "Free some room") -> str:
    return (
        f"{destination}: cannot save a checkpoint of {needed / 1e6:.1f} MB: {reason}.\n"
        f"  Earlier checkpoints are intact. {remedy}, then start the same command again: it continues from the latest "
        "of them."
    )
