"""The benchmarks against stock coqui run, as real processes at a tiny size, and can tell a difference."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import yaml

from xtts_framework.config import ProjectConfig, parse_config
from xtts_framework.plugins import load_plugins

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
SCALING = ROOT / "docs" / "scaling.md"


def run_benchmark(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def table_in(document: Path, column: str) -> dict[str, list[str]]:
    """Rows by their first cell, of the table that has such a column."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in document.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    start = next(index for index, row in enumerate(rows) if column in row)
    own = [row for row in rows[start:] if len(row) == len(rows[start])]
    return {row[0]: row[1:] for row in own}


def test_throughput_measures_both_sides_on_the_same_clips(tmp_path: Path) -> None:
    document = tmp_path / "throughput.md"
    sizes = ["--shape", "tiny", "--clips", "8", "--lengths", "1", "2", "--update-samples", "8"]
    light = ["--threads", "1", "--loader-workers", "1", "--repeats", "1", "--variants", "stock", "ours-fp32"]
    done = run_benchmark("train_throughput.py", "--device", "cpu", *sizes, *light, "--out", str(document))
    assert done.returncode == 0, done.stderr
    speeds = table_in(document, "tokens/s")
    stock, ours = speeds["(a) stock, as shipped"], speeds["(c) ours, fp32"]
    columns = speeds["variant"]
    tokens_per_clip = [
        float(row[columns.index("tokens/s")]) / float(row[columns.index("clips/s")].split()[0]) for row in (stock, ours)
    ]
    assert abs(tokens_per_clip[0] / tokens_per_clip[1] - 1) < 0.02
    assert stock[columns.index("x (a)")] == "1.00"
    assert stock[columns.index("padding")] != "0.0 %" and ours[columns.index("padding")] == "0.0 %"
    parts = table_in(document, "mels and DVAE")
    assert all(float(value) > 0 for value in parts["(a) stock, as shipped"])
    assert parts["(c) ours, fp32"][parts["variant"].index("mels and DVAE")] == "–"


SHORT = ["--clips", "100", "--updates", "40", "--learning-rate", "6e-4", "--eval-every", "20", "--threads", "1"]
"""Enough to fall by 15 %, and for reversed time to show."""


def test_ours_learns_what_stock_learns(tmp_path: Path) -> None:
    document = tmp_path / "parity.md"
    done = run_benchmark("learning_parity.py", *SHORT, "--out", str(document))
    assert done.returncode == 0 and "AGREE:" in done.stdout, done.stdout + done.stderr
    with document.with_suffix(".csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["update"]) for row in rows] == [0, 20, 40]
    for row in rows:
        assert abs(float(row["ours_mel"]) / float(row["stock_mel"]) - 1) < 1e-4
    assert document.with_suffix(".svg").read_text(encoding="utf-8").startswith("<svg ")


def test_time_reversed_codes_do_not_pass_for_parity() -> None:
    done = run_benchmark("learning_parity.py", *SHORT, "--mutant")
    assert done.returncode == 1, done.stdout + done.stderr
    verdict = re.search(r"^DISAGREE: .* fell by ([\d.]+) % .* differ by ([\d.]+) %", done.stdout, re.MULTILINE)
    assert verdict, done.stdout + done.stderr
    assert float(verdict[1]) >= 15 and float(verdict[2]) > 1


def test_validating_is_measured_with_its_processes() -> None:
    done = run_benchmark("validate_rows.py", "--rows", "2100", "--longest", "4")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^2100 rows, 1\.\d+ h: [\d.]+ s wall, [\d.]+ s of CPU, \d{2,} MiB at most$", done.stdout, re.MULTILINE
    )


def test_scaling_is_measured_by_real_trainings(tmp_path: Path) -> None:
    document = tmp_path / "scaling.md"
    training = ["--processes", "1", "2", "--updates", "2", "--gradients", "4194304", "--checkpoint", "3000000"]
    sizes = [*training, "--clips", "512", "--files", "100", "--repeats", "1"]
    done = run_benchmark("scaling.py", *sizes, "--out", str(document))
    assert done.returncode == 0, done.stderr
    measured, published = (table_in(file, "least to most") for file in (document, BENCHMARKS / "scaling.md"))
    other_sizes = {name for name in measured if re.search(r"\bof \d+\.\d MB", name)}
    assert measured.keys() - other_sizes < published.keys()
    rows = {name: cells for name, cells in measured.items() if name not in ("what", "---")}
    values = {name: float(cells[0].split()[0].replace(",", "")) for name, cells in rows.items()}
    values.pop("memory of the clips of a run, per clip")  # so few may fit into memory that was there already
    assert min(values.values()) > 0
    assert values["jobs of that plan"] == 161
    assert measured["small training: gradients of an update"] == published["small training: gradients of an update"]
    whole = values["small training, 2 processes: an update of 32 clips"]
    assert values["small training, 2 processes: all-reduce"] < whole


def test_the_tables_of_the_scaling_document_are_what_the_code_computes(tmp_path: Path) -> None:
    copy, text = tmp_path / "scaling.md", SCALING.read_text(encoding="utf-8")
    tables = re.compile(r"(<!-- (?:computed|measured)[^>]* -->)(.*?)(<!-- end of)", re.DOTALL)
    assert len(tables.findall(text)) == 8
    copy.write_text(tables.sub(r"\1 lost \3", text), encoding="utf-8")
    done = run_benchmark("scaling.py", "--fill", str(copy))
    assert done.returncode == 0, done.stderr
    assert copy.read_text(encoding="utf-8") == text


def test_the_configuration_of_the_scaling_document_is_one() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", SCALING.read_text(encoding="utf-8"), re.DOTALL)
    project = parse_config(yaml.safe_load(block), ProjectConfig, source="docs/scaling.md")
    assert len(project.datasets) == len(project.runs) == 10
    steps = table_in(SCALING, "where from")["steps of 10 epochs"]
    for name, run in project.runs.items():
        language = project.datasets[name].language
        assert load_plugins().pack(language.code, language.options).code == name
        assert list(run.datasets) == [name] and run.training.max_epochs == 10
        assert run.training.milestones[-1] < int(steps[0].replace(",", "")) < run.training.max_steps
        assert run.training.save_every_steps == run.training.max_steps
