"""Checkpoints exist whole or not at all; damage is noticed; the last and the best are kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from xtts_framework.errors import UserError
from xtts_framework.training.checkpoint import (
    COMPLETE,
    MODEL_FILE,
    OPTIMIZER_FILE,
    STATE_FILE,
    discard_after,
    list_checkpoints,
    newest_intact,
    prune_checkpoints,
    read_checkpoint,
    save_checkpoint,
)


def save(folder: Path, step: int, *, loss: float | None = None, full: bool = True) -> Path:
    tensors = {"weight": torch.full((100, 10), float(step))}
    metrics = None if loss is None else {"loss_total": loss, "loss_mel": loss, "loss_text": loss}
    state: dict[str, Any] = {"step": step, "metrics": metrics}
    return save_checkpoint(folder, tensors, {"exp_avg.weight": tensors["weight"]} if full else None, state)


def steps(folder: Path, *, full: bool) -> list[int]:
    return [checkpoint.step for checkpoint in list_checkpoints(folder) if checkpoint.is_full or not full]


def test_checkpoint_returns_what_was_saved(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save(tmp_path, 128, loss=2.5))
    assert checkpoint is not None and checkpoint.is_full and checkpoint.folder.name == "step-00000128"
    assert checkpoint.metrics == {"loss_total": 2.5, "loss_mel": 2.5, "loss_text": 2.5}
    assert torch.equal(checkpoint.tensors(MODEL_FILE)["weight"], torch.full((100, 10), 128.0))
    assert checkpoint.damaged_files() == []


def test_folder_without_its_marker_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, 1)
    unmarked = save(tmp_path, 2)
    (unmarked / COMPLETE).unlink()
    assert steps(tmp_path, full=True) == [1]
    found = newest_intact(tmp_path)
    assert found is not None and found.step == 1
    assert f"{unmarked}: no {COMPLETE} in it" in capsys.readouterr().err


def test_no_bit_of_the_state_can_change_unnoticed(tmp_path: Path) -> None:
    """Where a flipped bit leaves the same state (white space), nothing has changed."""
    folder = save(tmp_path, 1, loss=2.5)
    content, sound = (folder / STATE_FILE).read_bytes(), read_checkpoint(folder)
    unnoticed = 0
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        (folder / STATE_FILE).write_bytes(flipped)
        unnoticed += (found := read_checkpoint(folder)) is not None
        assert found in (None, sound)
    assert unnoticed < len(content)


@pytest.mark.parametrize("file", [MODEL_FILE, OPTIMIZER_FILE, STATE_FILE])
@pytest.mark.parametrize("damage", ["truncated", "one bit", "missing"])
def test_damaged_newest_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, file: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 2) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content if damage == "one bit" else content[:-10])
    found = newest_intact(tmp_path)
    assert found is not None and found.step == 1
    assert "step-00000002" in capsys.readouterr().err


def test_no_intact_checkpoint_is_an_error_not_a_new_beginning(tmp_path: Path) -> None:
    for step in (1, 2):
        (save(tmp_path, step) / MODEL_FILE).write_bytes(b"")
    with pytest.raises(UserError, match="2 damaged checkpoints and no intact one"):
        newest_intact(tmp_path)


def test_last_full_and_best_weights_are_kept(tmp_path: Path) -> None:
    for step, loss in enumerate([5.0, 1.0, 3.0, 2.0, 4.0, 6.0]):
        save(tmp_path, step, loss=loss)
    prune_checkpoints(tmp_path, keep_best=3, keep_last=2)
    assert steps(tmp_path, full=True) == [4, 5]
    assert steps(tmp_path, full=False) == [1, 2, 3, 4, 5]
    best = read_checkpoint(tmp_path / "step-00000001")
    assert best is not None and best.damaged_files() == [] and not (best.folder / OPTIMIZER_FILE).exists()


def test_pruning_twice_is_pruning_once_and_clears_leftovers(tmp_path: Path) -> None:
    for step in range(4):
        save(tmp_path, step)
    (tmp_path / "step-00000009").mkdir()
    (tmp_path / ".partial-step-00000010").mkdir()
    prune_checkpoints(tmp_path, keep_best=1, keep_last=1)
    before = sorted(tmp_path.rglob("*"))
    prune_checkpoints(tmp_path, keep_best=1, keep_last=1)
    assert sorted(tmp_path.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_weights_alone_are_nothing_to_continue_from(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2, loss=1.0, full=False)
    found = newest_intact(tmp_path)
    assert found is not None and found.step == 1


def test_what_lies_beyond_a_step_is_discarded(tmp_path: Path) -> None:
    for step in range(4):
        save(tmp_path, step)
    discard_after(tmp_path, 1)
    assert steps(tmp_path, full=False) == [0, 1]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 1, full=False)
    save(tmp_path, 1, loss=1.0)
    assert steps(tmp_path, full=True) == [1]
    assert len(list(tmp_path.iterdir())) == 1


def test_full_disk_says_how_much_is_needed_and_leaves_earlier_checkpoints(tmp_path: Path) -> None:
    """The kernel refuses to write more than a limit, as a full disk would."""
    save(tmp_path, 1)
    program = f"""
import resource, signal, sys, torch
from pathlib import Path
from xtts_framework.errors import UserError
from xtts_framework.training.checkpoint import save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_checkpoint(Path({str(tmp_path)!r}), {{"weight": torch.zeros(500, 1000)}}, None, {{"step": 2, "metrics": None}})
except UserError as error:
    sys.exit(str(error))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr
    assert "cannot save a checkpoint of 2.0 MB" in result.stderr and "Earlier checkpoints are intact" in result.stderr
    found = newest_intact(tmp_path)
    assert found is not None and found.step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_too_little_room_is_noticed_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"0\.0 MB are free"):
        save(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []
