"""`xtts export`: the selected checkpoint as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from xtts_framework.cli.datasets import dataset_option

if TYPE_CHECKING:
    from xtts_framework.layout import DatasetFolder


@click.command("export")
@click.option("--config", required=True, type=click.Path(path_type=Path), help="Slice of the configuration (YAML).")
@click.option(
    "--base", required=True, type=click.Path(path_type=Path), help="Base that the run was trained from; only read."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run: results/runs/RUN.")
@dataset_option()
def command(config: Path, base: Path, out: Path, datasets: dict[str, DatasetFolder]) -> None:
    """Write bundle/: the selected checkpoint, ready to speak and to be passed on.

    Reads selected.json and the checkpoint it names, summary.json and tokenizer/vocab.json of the run. Writes
    model.pth, config.json, vocab.json, speakers_xtts.pth, dvae.pth and mel_stats.pth as coqui-tts expects them,
    bundle.json (packs, hashes, losses, recipe), README.md (model card) and reference.wav (default voice).
    """
    from xtts_framework.config import ExportConfig, read_config
    from xtts_framework.layout import RunFolder
    from xtts_framework.stages.export import export

    export(read_config(config, ExportConfig), base, RunFolder(out), datasets)
