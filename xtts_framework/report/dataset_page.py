"""What the page of a dataset says: what is wrong with the data, in a minute, and by ear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

import xtts_framework
from xtts_framework.config import DatasetConfig
from xtts_framework.data.advice import explain
from xtts_framework.data.findings import worst_findings
from xtts_framework.report.audio import embed_audio
from xtts_framework.report.charts import Histogram, histogram

FAR_OFF = 0.5
"""Beyond the central 96 %, as a share of what these span."""
CHARTS = (
    ("Duration", "duration_s", "s"),
    ("Characters per second of speech", "characters_per_s", ""),
    ("Level of the speech", "level_dbfs", "dBFS"),
)


@dataclass(frozen=True)
class WorstRow:
    """A row to look at and to listen to; `facts` are what was measured of it, in words."""

    line: int
    file: str
    text: str
    detail: str
    facts: str
    audio: str | None


@dataclass(frozen=True)
class Reason:
    """A code, how many rows have it, and the worst of them."""

    code: str
    severity: str
    count: int
    meaning: str
    remedy: str
    worst: list[WorstRow]


@dataclass(frozen=True)
class DatasetPage:
    template: ClassVar[str] = "dataset.html.j2"

    name: str
    path: str
    language: str
    framework_version: str
    failure: str
    numbers: dict[str, Any]
    concerns: list[tuple[str, str, str]]
    """About the dataset as a whole: what was found, what it means, what to do."""
    charts: list[tuple[str, Histogram]]
    reasons: list[Reason]


def gather_dataset_page(
    dataset: DatasetConfig, description: dict[str, Any], measured: pl.DataFrame, findings: pl.DataFrame, failure: str
) -> DatasetPage:
    """Collect numbers, histograms and the worst rows, with their recordings.

    Args:
        description: what `validation.json` holds.
        measured: a row per row of the metadata, see `survey_rows`.
        findings: see `FINDINGS`.
        failure: why there is no manifest; "" when there is.
    """
    return DatasetPage(
        name=dataset.path.resolve().name,
        path=str(dataset.path),
        language=dataset.language.code,
        framework_version=xtts_framework.__version__,
        failure=failure,
        numbers=description,
        concerns=[(problem["detail"], *explain(problem["code"])) for problem in description["dataset"]],
        charts=list(_draw(measured, findings)),
        reasons=_gather_reasons(dataset.path, description, measured, findings),
    )


def _draw(measured: pl.DataFrame, findings: pl.DataFrame) -> Iterator[tuple[str, Histogram]]:
    """Histograms of all rows; what lies far off goes to the first or last bar, for one such would flatten the rest."""
    refused = set(findings.filter(severity="reject")["index"])
    is_refused = measured["index"].is_in(list(refused))
    for title, column, unit in CHARTS:
        values = measured[column]
        low, high = values.quantile(0.02, "nearest"), values.quantile(0.98, "nearest")
        if low is None or high is None:
            continue
        clipped = values.clip(low - FAR_OFF * (high - low), high + FAR_OFF * (high - low))
        groups = [("accepted", ~is_refused), ("rejected", is_refused)]
        drawn = histogram([(style, clipped.filter(mask).drop_nulls().to_list()) for style, mask in groups], unit)
        if drawn:
            yield title, drawn


def _gather_reasons(
    folder: Path, description: dict[str, Any], measured: pl.DataFrame, findings: pl.DataFrame
) -> list[Reason]:
    worst: dict[str, list[WorstRow]] = {}
    for finding in worst_findings(findings).iter_rows(named=True):
        row = measured.row(finding["index"], named=True)
        worst.setdefault(finding["code"], []).append(_show_row(folder, row, finding))
    return [
        Reason(code, severity, count, *explain(code), worst[code])
        for severity, kind in (("reject", "codes"), ("warn", "warnings"))
        for code, count in description[kind].items()
    ]


def _show_row(folder: Path, row: dict[str, Any], finding: dict[str, Any]) -> WorstRow:
    audio = embed_audio(folder / row["file"]) if row["audio_sha256"] else None
    facts = [
        words.format(row[column])
        for column, words in (
            ("duration_s", "{:.2f} s"),
            ("sample_rate_hz", "{} Hz"),
            ("level_dbfs", "{:.0f} dBFS"),
            ("characters_per_s", "{:.1f} characters/s"),
            ("speaker", "{}"),
        )
        if row[column]
    ]
    return WorstRow(finding["line"], finding["file"], row["text"], finding["detail"], ", ".join(facts), audio)
