"""The whole workflow through Snakemake on real speech: what runs, what does not run again, what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
import yaml

from xtts_framework.layout import DatasetFolder, RunFolder

pytestmark = pytest.mark.workflow

ROOT = Path(__file__).parent.parent.parent
CONFIG = """
base: base
datasets:
  speech: {path: dataset, language: am, validation: {eval_min: 4}}
runs:
  first:
    datasets: [speech]
    tokenizer: {new_tokens: 500}
    training: &recipe
      {learning_rate: 1.0e-3, milestones: [4], grad_accum: 1, max_steps: 6, eval_every_steps: 3, dropout: 0.0}
    freezing: {policy: none}
    synthesis: &speech {sentences: [ሰላም ዓለም።], checkpoints: selected}
  second:
    datasets: [speech]
    tokenizer: {new_tokens: 500}
    training: *recipe
    synthesis: *speech
"""


def snakemake(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["snakemake", "--directory", str(project), "--configfile", str(project / "config.yaml"), *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def jobs_of(output: str) -> list[tuple[str, str]]:
    """`(rule, dataset or run)` of every job that Snakemake started, in order."""
    blocks = re.findall(r"^(?:local)?rule (\w+):\n(.*?)(?:\n\n|^\[)", output, re.MULTILINE | re.DOTALL)
    jobs = []
    for rule, body in blocks:
        wildcards = re.search(r"wildcards: \w+=(\w+)", body)
        if wildcards:
            jobs.append((rule, wildcards[1]))
    return jobs


def edit_config(project: Path, run: str, section: str, **values: object) -> None:
    path = project / "config.yaml"
    config = yaml.safe_load(path.read_text("utf-8"))
    config["runs"][run] = json.loads(json.dumps(config["runs"][run]))
    config["runs"][run].setdefault(section, {}).update(values)
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, speech_dataset: Path, tiny_base: Path) -> Path:
    folder = tmp_path_factory.mktemp("workflow") / "project with spaces"
    folder.mkdir()
    shutil.copytree(speech_dataset, folder / "dataset")
    shutil.copytree(tiny_base, folder / "base")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def finished(project: Path) -> tuple[Path, str]:
    result = snakemake(project)
    assert result.returncode == 0, result.stdout
    return project, result.stdout


def test_one_command_takes_a_dataset_to_bundles_that_speak(finished: tuple[Path, str]) -> None:
    project, output = finished
    stages = ("tokenize", "train", "select", "export", "synthesize", "report")
    expected = {("validate", "speech"), ("encode", "speech")} | {(s, r) for s in stages for r in ("first", "second")}
    assert set(jobs_of(output)) == expected
    assert len(jobs_of(output)) == len(expected)
    for run in ("first", "second"):
        folder = RunFolder(project / "results/runs" / run)
        summary = json.loads(folder.summary.read_text("utf-8"))
        assert summary["steps"] == 6
        assert summary["samples_seen"] == 24
        assert {path.name for path in folder.bundle.iterdir()} >= {
            "model.pth", "config.json", "vocab.json", "speakers_xtts.pth", "dvae.pth", "mel_stats.pth", "README.md",
        }  # fmt: skip
        spoken = json.loads((folder.synthesis / "synthesis.json").read_text("utf-8"))
        assert spoken
        for item in spoken:
            assert soundfile.info(folder.synthesis / item["file"]).frames > 0
        assert "<html" in folder.report.read_text("utf-8")


def test_every_job_leaves_a_log_and_a_benchmark(finished: tuple[Path, str]) -> None:
    project, output = finished
    for rule, name in jobs_of(output):
        kind = "datasets" if rule in ("validate", "encode") else "runs"
        assert (project / f"results/{kind}/{name}/logs/{rule}.log").is_file()
        assert (project / f"results/{kind}/{name}/benchmarks/{rule}.tsv").is_file()


def test_the_dataset_itself_is_untouched(finished: tuple[Path, str], speech_dataset: Path) -> None:
    project, _ = finished
    copied = {
        p.relative_to(project / "dataset"): p.read_bytes() for p in (project / "dataset").rglob("*") if p.is_file()
    }
    original = {p.relative_to(speech_dataset): p.read_bytes() for p in speech_dataset.rglob("*") if p.is_file()}
    assert copied == original


def test_a_second_snakemake_has_nothing_to_do(finished: tuple[Path, str]) -> None:
    project, _ = finished
    result = snakemake(project)
    assert result.returncode == 0
    assert "Nothing to be done" in result.stdout


def test_a_changed_setting_is_seen_after_the_clock_was_set_back(finished: tuple[Path, str], tmp_path: Path) -> None:
    """The file of settings is then older than the results it should change."""
    project = Path(shutil.copytree(finished[0], tmp_path / "project"))
    for path in (project / "results").rglob("*"):
        os.utime(path, times=(time.time() + 86_400,) * 2)
    assert "Nothing to be done" in snakemake(project, "--dry-run").stdout
    edit_config(project, "first", "training", learning_rate=5.0e-4)
    planned = jobs_of(snakemake(project, "--dry-run").stdout)
    assert planned == [(rule, "first") for rule in ("train", "select", "export", "synthesize", "report")]


def test_a_changed_learning_rate_reruns_training_and_what_follows_and_nothing_else(finished: tuple[Path, str]) -> None:
    project, _ = finished
    edit_config(project, "first", "training", learning_rate=5.0e-4)
    result = snakemake(project)
    assert result.returncode == 0, result.stdout
    assert [rule for rule, _ in jobs_of(result.stdout)] == ["train", "select", "export", "synthesize", "report"]
    assert {run for _, run in jobs_of(result.stdout)} == {"first"}
    log = (project / "results/runs/first/logs/train.log").read_text("utf-8")
    assert "learning_rate" in log, "the log names what changed since the kept checkpoints"


def test_a_changed_recording_reencodes_that_clip_only(finished: tuple[Path, str]) -> None:
    project, _ = finished
    dataset = DatasetFolder(project / "results/datasets/speech")
    before = pl.read_parquet(dataset.features)
    manifest = pl.read_parquet(dataset.manifest)
    wav = project / "dataset" / manifest["file"][0]
    samples, rate = soundfile.read(wav, dtype="float32")
    soundfile.write(wav, (samples * np.float32(0.7)), rate)
    result = snakemake(project, "--until", "encode")
    assert result.returncode == 0, result.stdout
    assert jobs_of(result.stdout) == [("validate", "speech"), ("encode", "speech")]
    log = (project / "results/datasets/speech/logs/encode.log").read_text("utf-8")
    assert f"encoded 1 clips, reused {before.height - 1}" in log
    after = pl.read_parquet(dataset.features)
    changed = before.join(after, on="clip_id", suffix="_after").filter(pl.col("key") != pl.col("key_after"))
    assert changed["clip_id"].to_list() == [manifest["clip_id"][0]]


def test_jobs_that_share_the_encoding_leave_the_shards_of_one(
    tmp_path: Path, speech_dataset: Path, tiny_base: Path
) -> None:
    shutil.copytree(speech_dataset, tmp_path / "dataset")
    shutil.copytree(tiny_base, tmp_path / "base")
    dataset = DatasetFolder(tmp_path / "results/datasets/speech")

    def encode(jobs: int) -> list[str]:
        """Encode; return the rules that ran."""
        (tmp_path / "config.yaml").write_text(f"encode_jobs: {jobs}\n{CONFIG}", encoding="utf-8")
        result = snakemake(tmp_path, "--until", "encode")
        assert result.returncode == 0, result.stdout
        return re.findall(r"^(?:local)?rule (\w+):", result.stdout, re.MULTILINE)

    def logs(name: str) -> str:
        return "".join(path.read_text("utf-8") for path in sorted((dataset.path / "logs").glob(name)))

    assert encode(3) == ["validate", "encode_part", "encode_part", "encode_part", "encode"]
    clips = pl.read_parquet(dataset.features).height
    assert re.findall(r"encoded \d+ clips", logs("encode-part-*-of-3.log")) == [
        f"encoded {clips} clips", "encoded 0 clips", "encoded 0 clips",
    ]  # fmt: skip
    assert logs("encode.log").endswith(f"encoded 0 clips, reused {clips}\n")
    shards = sorted(path.name for path in dataset.feature_store.glob("shard-*"))
    shutil.rmtree(dataset.feature_store)
    assert encode(1) == ["encode"]
    assert sorted(path.name for path in dataset.feature_store.glob("shard-*")) == shards
    wav = tmp_path / "dataset" / pl.read_parquet(dataset.manifest)["file"][0]
    samples, rate = soundfile.read(wav, dtype="float32")
    soundfile.write(wav, samples * np.float32(0.7), rate)
    assert encode(2) == ["validate", "encode_part", "encode_part", "encode"]
    assert re.findall(r"encoded \d+ clips", logs("encode-part-*-of-2.log")) == ["encoded 1 clips", "encoded 0 clips"]


def test_a_dry_run_of_the_default_configuration_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    result = snakemake(tmp_path, "--dry-run")
    assert result.returncode != 0
    assert "the base base lacks" in result.stdout
    assert "metadata.csv" in result.stdout or "check `base` in the configuration" in result.stdout


def test_an_unknown_key_stops_the_workflow_before_any_job(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.replace("datasets: [speech]", "dataset: [speech]"), encoding="utf-8")
    result = snakemake(tmp_path, "--dry-run")
    assert result.returncode != 0
    assert "did you mean 'datasets'?" in result.stdout


def test_two_runs_of_one_name_stop_the_workflow_before_any_job(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.replace("  second:", "  first:"), encoding="utf-8")
    result = snakemake(tmp_path, "--dry-run")
    assert result.returncode != 0
    assert "the key 'first' is given twice" in result.stdout


def test_a_new_project_plans_the_whole_workflow(tmp_path: Path, speech_dataset: Path, tiny_base: Path) -> None:
    binaries = Path(sys.executable).parent
    made = subprocess.run(
        [binaries / "xtts", "new", "my project", "--language", "am", "--dataset", str(speech_dataset)],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    shutil.copytree(tiny_base, tmp_path / "my project/bases/xtts-v2")
    plan = subprocess.run(
        [binaries / "snakemake", "--dry-run"], cwd=tmp_path / "my project", capture_output=True, text=True
    )
    assert plan.returncode == 0, plan.stdout + plan.stderr
    for stage in ("validate", "encode", "tokenize", "train", "select", "export", "synthesize", "report"):
        assert f"rule {stage}:" in plan.stdout + plan.stderr
    again = subprocess.run(
        [binaries / "xtts", "new", "my project", "--language", "am", "--dataset", str(speech_dataset)],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert again.returncode == 1
    assert "exists already" in again.stderr


def test_the_reasons_stay_when_not_one_row_is_fit(tmp_path: Path) -> None:
    """Snakemake deletes the outputs of a failed job; the files that the message names must not be among them."""
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "metadata.csv").write_text("gone.wav|ሰላም\n", encoding="utf-8")
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    failed = snakemake(tmp_path, "--cores", "1", "results/datasets/speech/manifest.parquet")
    assert failed.returncode != 0
    out = DatasetFolder(tmp_path / "results" / "datasets" / "speech")
    assert not out.manifest.exists()
    for path in (out.rejects, out.warnings, out.validation_page):
        assert path.is_file()
        assert path.name in failed.stdout
    assert "missing_audio" in out.rejects.read_text(encoding="utf-8")
