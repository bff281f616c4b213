"""`xtts encode`: compute audio codes and conditioning mels once."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("encode")
@click.option("--config", required=True, type=click.Path(path_type=Path), help="Slice of the configuration.")
@click.option("--base", required=True, type=click.Path(path_type=Path), help="Base folder: dvae.pth, mel_stats.pth.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the dataset's results.")
def command(config: Path, base: Path, out: Path) -> None:
    """Encode the clips of OUT/manifest.parquet for training.

    Adds what is missing to OUT/features/ (shards of audio codes and conditioning mels, known by the content of each
    recording and of the base) and writes OUT/features.parquet, which says where each clip lies. Clips encoded before
    are never encoded again, also after an interruption. The recordings and the base are only read.
    """
    from xtts_framework.config import EncodeConfig, read_config
    from xtts_framework.layout import DatasetFolder
    from xtts_framework.stages.encode import encode

    encode(read_config(config, EncodeConfig), base, DatasetFolder(out))
