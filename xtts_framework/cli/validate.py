"""`xtts validate`: check a dataset row by row."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("validate")
@click.option("--config", required=True, type=click.Path(path_type=Path), help="Slice of the configuration.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the dataset's results.")
def command(config: Path, out: Path) -> None:
    """Check every row of a dataset's metadata, its recording and its text.

    Writes OUT/manifest.parquet, the rows that are fit for training, divided into train and eval; OUT/rejects.csv, the
    others, each with all its reasons; and OUT/validation.json, the numbers. The dataset is only read. When no row is
    fit there is no manifest, and the command fails with a summary of the reasons.
    """
    from xtts_framework.config import ValidateConfig, read_config
    from xtts_framework.layout import DatasetFolder
    from xtts_framework.stages.validate import validate

    validate(read_config(config, ValidateConfig), DatasetFolder(out))
