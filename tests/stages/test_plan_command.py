"""`xtts plan` in a project folder: what a person reads, and what happens when something is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from trained_run import TrainedRun


@pytest.fixture
def project(trained_run: TrainedRun, tmp_path: Path) -> Path:
    """A project that has been validated and no more: two runs over one real manifest, no base."""
    results = tmp_path / "results/datasets/speech"
    results.mkdir(parents=True)
    shutil.copy(trained_run.dataset.manifest, results)
    content = {
        "datasets": {"speech": {"path": "data", "language": "am"}},
        "runs": {
            "short": {"datasets": ["speech"], "training": {"max_epochs": 100}},
            "long": {"datasets": ["speech"], "training": {"new_token_lr_scale": 5}},
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return tmp_path


def xtts_plan(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = "from xtts_framework.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "plan", *arguments], cwd=folder, capture_output=True, text=True
    )


def test_a_person_reads_milestones_memory_disk_and_what_to_change(project: Path) -> None:
    result = xtts_plan(project, "short", "--clips-per-s", "100")
    assert result.returncode == 0, result.stderr
    sections = [line for line in result.stdout.splitlines() if line and not line.startswith(" ")]
    assert sections == [
        "run short",
        "what trains",
        "clock",
        "learning rate",
        "new text rows",
        "memory of a GPU, estimated",
        "disk",
        "the guide's table",
        "assumed",
        "warnings",
    ]
    assert "20 training clips: lower 20 of 30 blocks" in result.stdout
    assert "below 3000 training clips" in result.stdout
    assert "1 epoch = 20 samples = 5.00 steps = 0.04 updates" in result.stdout
    assert "end: step 512 = update 4, after 102.4 epochs and 0.3 min (max_epochs 100)" in result.stdout
    assert "-> 500 samples" in result.stdout
    assert "milestones never reached: 50,000, 150,000, 300,000" in result.stdout
    assert "too short to learn new rows" in result.stdout
    assert all(len(line) <= 120 for line in result.stdout.splitlines())


def test_all_runs_are_planned_when_none_is_named(project: Path) -> None:
    result = xtts_plan(project)
    assert result.returncode == 0, result.stderr
    assert "run short" in result.stdout and "run long" in result.stdout
    assert "hours are not known: measure with `xtts bench`" in result.stdout


def test_json_holds_every_plan_for_machines(project: Path) -> None:
    plans = json.loads(xtts_plan(project, "--json").stdout)
    assert [plan["run"] for plan in plans] == ["short", "long"]
    assert [milestone["reached"] for milestone in plans[1]["milestones"]] == [True, True, True]
    assert plans[1]["warnings"] == []
    assert plans[0]["guide"]["size"] == "500 samples"


def test_a_plan_writes_nothing(project: Path) -> None:
    before = sorted(project.rglob("*"))
    assert xtts_plan(project).returncode == 0
    assert sorted(project.rglob("*")) == before


def test_a_dataset_that_is_not_validated_says_what_to_run(project: Path) -> None:
    (project / "results/datasets/speech/manifest.parquet").unlink()
    result = xtts_plan(project)
    assert result.returncode == 1
    assert result.stderr.startswith("error: results/datasets/speech/manifest.parquet: missing")
    assert "snakemake results/datasets/speech/manifest.parquet" in result.stderr
    assert "xtts validate" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_run_a_bad_speed_and_another_file_are_refused(project: Path) -> None:
    result = xtts_plan(project, "shrot")
    assert result.returncode == 1 and "no run 'shrot'" in result.stderr and "long, short" in result.stderr
    assert xtts_plan(project, "--clips-per-s", "0").returncode == 2
    result = xtts_plan(project, "--config", "other.yaml")
    assert result.returncode == 1 and "other.yaml" in result.stderr
    (project / "bench.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    result = xtts_plan(project)
    assert result.returncode == 1 and "bench.csv: its columns are not those of `xtts bench`" in result.stderr


def test_a_vocabulary_of_another_language_is_refused(project: Path, trained_run: TrainedRun) -> None:
    vocab = project / "results/runs/short/tokenizer/vocab.json"
    vocab.parent.mkdir(parents=True)
    shutil.copy(trained_run.base / "vocab.json", vocab)
    result = xtts_plan(project, "short")
    assert result.returncode == 1
    assert "no token [am]" in result.stderr and "xtts tokenize" in result.stderr
