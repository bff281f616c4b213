"""The benchmarks against stock coqui run, as real processes at a tiny size, and can tell a difference."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


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
