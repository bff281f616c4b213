"""What was found wrong with the rows, as tables: every finding is in `rejects.csv` or in `warnings.csv`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from xtts_framework.config import Severity, SeverityConfig
from xtts_framework.data.advice import explain
from xtts_framework.data.checks import severity_of
from xtts_framework.data.measuring import Problem
from xtts_framework.data.metadata import MetadataRow
from xtts_framework.files import replacing_file

WORST_PER_CODE = 10
SHOWN_CHARACTERS = 1000
"""Of a file name or a detail: whole pages end up in a field that lacks its end."""
FINDINGS = {
    "index": pl.Int64,
    "line": pl.Int64,
    "file": pl.String,
    "code": pl.String,
    "severity": pl.String,
    "detail": pl.String,
    "excess": pl.Float64,
}
MEASURED_DIGITS = {
    "duration_s": 3,
    "sample_rate_hz": 0,
    "channels": 0,
    "characters": 0,
    "characters_per_s": 2,
    "level_dbfs": 1,
    "noise_floor_dbfs": 1,
    "speech_share": 3,
    "leading_silence_s": 2,
    "trailing_silence_s": 2,
    "clipped_share": 5,
    "dc_offset": 4,
    "channel_difference": 3,
}
"""Measured values that the CSV files tell, and the digits they are rounded to."""


class Findings:
    """The problems of each row, gathered check by check.

    Args:
        found: what is known of each row, in the order of the metadata.
    """

    def __init__(self, found: Sequence[Sequence[Problem]], severities: SeverityConfig) -> None:
        self._severities = severities
        self._problems: list[list[Problem]] = [[] for _ in found]
        self.refused = [False] * len(found)
        self.add((index, problem) for index, problems in enumerate(found) for problem in problems)

    def add(self, found: Iterable[tuple[int, Problem]]) -> None:
        """Add problems by index of row; those that the configuration ignores are not kept."""
        for index, problem in found:
            severity = severity_of(problem.code, self._severities)
            if severity != "ignore":
                self._problems[index].append(problem)
            self.refused[index] |= severity == "reject"

    def tabulate(self, rows: Sequence[MetadataRow]) -> pl.DataFrame:
        """One row per row of the metadata and code, by line: the columns of `FINDINGS`; `detail` is one line."""
        records = [
            (
                index,
                row.line,
                _shorten(row.file),
                problem.code,
                severity_of(problem.code, self._severities),
                _shorten(" ".join(problem.detail.split())),
                problem.excess,
            )
            for index, (row, found) in enumerate(zip(rows, self._problems, strict=True))
            for problem in found
        ]
        findings = pl.DataFrame(records, schema=FINDINGS, orient="row")
        keys = ["index", "line", "file", "code", "severity"]
        joined = findings.group_by(keys, maintain_order=True).agg(
            pl.col("detail").str.join("; "), pl.col("excess").max()
        )
        return joined.select(*FINDINGS)


def write_findings(findings: pl.DataFrame, severity: Severity, measured: pl.DataFrame, destination: Path) -> None:
    """Write the rows with findings of one severity, one line each: `line,file,codes,detail` and measured values.

    Args:
        measured: `index` and the columns of `MEASURED_DIGITS`.
    """
    rows = (
        findings.filter(pl.col("severity") == severity)
        .group_by("index", "line", "file", maintain_order=True)
        .agg(pl.col("code").str.join(";").alias("codes"), pl.col("detail").str.join("; "))
    )
    values = measured.select("index", *(pl.col(name).round(digits) for name, digits in MEASURED_DIGITS.items()))
    with replacing_file(destination) as partial:
        rows.join(values, on="index", how="left", maintain_order="left").drop("index").write_csv(partial)


def count_findings(findings: pl.DataFrame, rows: int) -> dict[str, Any]:
    """How many rows were accepted and refused, codes with their counts, the worst rows of each code.

    Returns:
        `rows`, `accepted`, `rejected`, `warned` (accepted rows with a warning), `codes` and `warnings`: counts by code
        of either severity, most frequent first; `examples`: up to ten rows by code.
    """
    rejects = findings.filter(pl.col("severity") == "reject")
    warnings = findings.filter(pl.col("severity") == "warn")
    refused = rejects["index"].unique()
    return {
        "rows": rows,
        "accepted": rows - len(refused),
        "rejected": len(refused),
        "warned": warnings.filter(~pl.col("index").is_in(refused.to_list()))["index"].n_unique(),
        "codes": _count_codes(rejects),
        "warnings": _count_codes(warnings),
        "examples": {
            str(code): of_code.select("line", "file", "detail").to_dicts()
            for (code,), of_code in worst_findings(findings).group_by("code", maintain_order=True)
        },
    }


def worst_findings(findings: pl.DataFrame) -> pl.DataFrame:
    """Up to ten findings of each code: those farthest beyond their limit, else the first."""
    ranked = findings.sort("excess", "index", descending=[True, False], maintain_order=True)
    return ranked.group_by("code", maintain_order=True).head(WORST_PER_CODE)


def describe_findings(counts: dict[str, Any], kind: str) -> str:
    """A line for each code, with how often it occurs, the worst row and what to do.

    Args:
        counts: of `count_findings`.
        kind: `codes` or `warnings`.
    """
    lines = []
    for code, count in counts[kind].items():
        worst = counts["examples"][code][0]
        remedy = explain(code).remedy
        detail = worst["detail"].rstrip(".።")
        lines.append(f"  {code}: {count}, such as line {worst['line']}, {worst['file']}: {detail}. {remedy}".rstrip())
    return "\n".join(lines)


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _count_codes(findings: pl.DataFrame) -> dict[str, int]:
    counted = findings.group_by("code").len().sort("len", "code", descending=[True, False])
    return dict(counted.iter_rows())
