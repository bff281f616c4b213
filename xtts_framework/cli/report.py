"""`xtts report`: one page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from xtts_framework.cli.datasets import dataset_option

if TYPE_CHECKING:
    from xtts_framework.layout import DatasetFolder


@click.command("report")
@click.option("--config", required=True, type=click.Path(path_type=Path), help="Slice of the configuration (YAML).")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run: results/runs/RUN.")
@dataset_option()
def command(config: Path, out: Path, datasets: dict[str, DatasetFolder]) -> None:
    """Write report.html: data and rejects, loss curves, selection, audio players, recipe.

    Reads manifest.parquet, validation.json and rejects.csv of each dataset, and training/metrics.jsonl, summary.json,
    selected.json, tokenizer/tokenizer.json, bundle/bundle.json and synthesis/ of the run. What is missing is said on
    the page. The page is one file that loads nothing: send it to somebody.
    """
    from xtts_framework.config import ReportConfig, read_config
    from xtts_framework.layout import RunFolder
    from xtts_framework.stages.report import report

    report(read_config(config, ReportConfig), RunFolder(out), datasets)
