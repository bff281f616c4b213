"""`xtts tokenize`: extend the base's vocabulary for a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from xtts_framework.cli.datasets import dataset_option

if TYPE_CHECKING:
    from xtts_framework.layout import DatasetFolder


@click.command("tokenize")
@click.option("--config", required=True, type=click.Path(path_type=Path), help="Slice of the configuration (YAML).")
@click.option("--base", required=True, type=click.Path(path_type=Path), help="Base folder; only vocab.json is read.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run: results/runs/RUN.")
@dataset_option()
def command(config: Path, base: Path, out: Path, datasets: dict[str, DatasetFolder]) -> None:
    """Write tokenizer/vocab.json, the base's vocabulary with the run's languages added, and tokenizer/tokenizer.json.

    Reads manifest.parquet of each dataset: training clips teach the vocabulary, all clips are checked against it.
    Ids of the base stay as they are. tokenizer.json counts rows and merges and says how long texts are in tokens.
    """
    from xtts_framework.config import TokenizeConfig, read_config
    from xtts_framework.layout import RunFolder
    from xtts_framework.stages.tokenize import tokenize

    tokenize(read_config(config, TokenizeConfig), base, datasets, RunFolder(out))
