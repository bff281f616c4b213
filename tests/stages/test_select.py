"""The checkpoint with the lowest evaluation loss is selected, never simply the last, and the reason is written down."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from xtts_framework.errors import UserError
from xtts_framework.files import read_json, write_json
from xtts_framework.layout import RunFolder
from xtts_framework.stages.select import select
from xtts_framework.training.checkpoint import COMPLETE, save_checkpoint


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A finished run: four evaluated checkpoints, the lowest loss twice, and a last one that was not evaluated."""
    run = RunFolder(tmp_path)
    for step, loss in ((0, 6.0), (128, 4.0), (256, 4.0), (384, 5.0), (512, None)):
        metrics = None if loss is None else {"loss_total": loss, "loss_mel": loss - 0.5, "loss_text": 50.0}
        save_checkpoint(run.checkpoints / "abc", {}, None, {"step": step, "metrics": metrics})
    write_json(run.summary, {"fingerprint": "abc"})
    return run


def test_lowest_loss_is_selected_and_of_equal_ones_the_earliest(run: RunFolder) -> None:
    select(run)
    selected = read_json(run.selected)
    assert selected["step"] == 128 and selected["folder"] == "checkpoints/abc/step-00000128"
    assert [candidate["step"] for candidate in selected["candidates"]] == [0, 128, 256, 384]
    assert [candidate["step"] for candidate in selected["candidates"] if candidate["selected"]] == [128]
    assert selected["candidates"][3]["loss_mel"] == 4.5
    assert selected["reason"].startswith("step 128 has the lowest eval loss, 4.0000, of 4 evaluated checkpoints")
    assert selected["reason"].endswith("the last one on disk is step 512")


def test_checkpoints_that_are_gone_or_incomplete_are_no_candidates(run: RunFolder) -> None:
    (run.checkpoints / "abc" / "step-00000128" / COMPLETE).unlink()
    select(run)
    assert read_json(run.selected)["step"] == 256


def test_unfinished_training_and_missing_checkpoints_are_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(UserError, match=r"summary\.json: missing; the training has not finished"):
        select(run)
    write_json(run.summary, {"fingerprint": "abc"})
    with pytest.raises(UserError, match="no evaluated checkpoint"):
        select(run)
    assert not run.selected.exists()


def test_command_imports_neither_torch_nor_coqui(run: RunFolder) -> None:
    program = (
        "import sys\nfrom xtts_framework.cli.main import cli\n"
        f"cli(['select', '--out', {str(run.path)!r}], standalone_mode=False)\n"
        "sys.exit(' '.join({'torch', 'TTS', 'transformers', 'safetensors'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1 and result.stderr.strip().endswith("is step 512"), result.stderr
    assert json.loads(run.selected.read_text(encoding="utf-8"))["step"] == 128
