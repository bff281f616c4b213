"""Records are cut back to the checkpoint, and nothing is said twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xtts_framework.training.listeners import MetricsFile, read_metrics

DROP = "Step 5: LR dropped to 0.5 (in force from step 6)"
EVALUATION = {"eval/loss_total": 2.0, "eval/loss_mel": 1.5, "eval/loss_text": 50.0}


def broken_off(path: Path) -> list[dict[str, Any]]:
    """A training whose last checkpoint was at step 4 and which was killed while it wrote about step 8."""
    file = MetricsFile(path, "abc", start_step=0)
    for step in (2, 4):
        file.xtts_on_metrics(step, {"train/loss_total": 1.0, "train/lr": 1.0})
    file.xtts_on_metrics(4, EVALUATION)
    kept = read_metrics(path)
    assert file.note(6, DROP)
    file.xtts_on_metrics(6, {"train/loss_total": 1.0, "train/lr": 0.5})
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"kind": "train", "step": 8, "loss_to')
    return kept


def test_records_beyond_the_checkpoint_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    kept = broken_off(path)
    MetricsFile(path, "abc", start_step=4)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == kept
    assert kept[-1] == {"kind": "eval", "step": 4, "loss_total": 2.0, "loss_mel": 1.5, "loss_text": 50.0}


def test_milestone_is_announced_once_and_recorded_once_over_interruptions(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    broken_off(path)
    continued = MetricsFile(path, "abc", start_step=4)
    assert not continued.note(6, DROP)
    assert [record for record in read_metrics(path) if record.get("message") == DROP] == [
        {"kind": "note", "step": 6, "message": DROP}
    ]


def test_a_new_beginning_forgets_what_was_said(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    broken_off(path)
    anew = MetricsFile(path, "abc", start_step=0)
    assert read_metrics(path) == [{"kind": "note", "step": 0, "message": "fingerprint abc"}]
    assert anew.note(6, DROP)
