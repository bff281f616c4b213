"""The rows that were refused: every one, with every reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from xtts_framework.data.checks import Problem
from xtts_framework.data.metadata import MetadataRow
from xtts_framework.files import replacing_file

EXAMPLES_PER_CODE = 10
REASONS = {"line": pl.Int64, "file": pl.String, "code": pl.String, "detail": pl.String}


def tabulate_reasons(rows: Sequence[MetadataRow], problems: Sequence[Sequence[Problem]]) -> pl.DataFrame:
    """One row per refused row and code: `line`, `file` as written, `code`, `detail` on one line."""
    records = [
        (row.line, row.file, problem.code, " ".join(problem.detail.split()))
        for row, found in zip(rows, problems, strict=True)
        for problem in found
    ]
    reasons = pl.DataFrame(records, schema=REASONS, orient="row")
    return reasons.group_by("line", "file", "code", maintain_order=True).agg(pl.col("detail").str.join("; "))


def write_rejects(reasons: pl.DataFrame, destination: Path) -> None:
    """Write `rejects.csv`: `line,file,codes,detail`, one row per refused row."""
    rejects = reasons.group_by("line", "file", maintain_order=True).agg(
        pl.col("code").str.join(";").alias("codes"), pl.col("detail").str.join("; ")
    )
    with replacing_file(destination) as partial:
        rejects.write_csv(partial)


def count_reasons(reasons: pl.DataFrame, rows: int) -> dict[str, Any]:
    """`rows`, `accepted`, `rejected`, rejects by code, the most frequent first, and examples of each."""
    rejected = reasons["line"].n_unique()
    codes = dict(reasons.group_by("code").len().sort("len", "code", descending=[True, False]).iter_rows())
    examples = {
        code: reasons.filter(pl.col("code") == code).head(EXAMPLES_PER_CODE).drop("code").to_dicts() for code in codes
    }
    return {"rows": rows, "accepted": rows - rejected, "rejected": rejected, "codes": codes, "examples": examples}


def describe_reasons(counts: dict[str, Any]) -> str:
    """A line for each code, with how often it occurs and where first."""
    lines = []
    for code, count in counts["codes"].items():
        first = counts["examples"][code][0]
        lines.append(f"  {code}: {count}, first in line {first['line']}, {first['file']}: {first['detail']}")
    return "\n".join(lines)
