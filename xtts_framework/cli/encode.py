"""`xtts encode`: compute audio codes and conditioning mels once."""

from __future__ import annotations

import re
from pathlib import Path

import click


def read_part(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`K/N`, one of N jobs counted from 1, as `(K, N)`."""
    if value is None:
        return None
    numbers = re.fullmatch(r"([0-9]+)/([0-9]+)", value)
    if not numbers or not 1 <= int(numbers[1]) <= int(numbers[2]):
        raise click.BadParameter(f"{value!r}: expected K/N with K from 1 to N, for example 2/3.")
    return int(numbers[1]), int(numbers[2])


@click.command("encode")
@click.option("--config", required=True, type=click.Path(path_type=Path), help="Slice of the configuration.")
@click.option("--base", required=True, type=click.Path(path_type=Path), help="Base folder: dvae.pth, mel_stats.pth.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the dataset's results.")
@click.option("--part", metavar="K/N", callback=read_part, help="Only the share of job K of N; writes no index.")
def command(config: Path, base: Path, out: Path, part: tuple[int, int] | None) -> None:
    """Encode the clips of OUT/manifest.parquet for training.

    Adds what is missing to OUT/features/ (shards of audio codes and conditioning mels, known by the content of each
    recording and of the base) and writes OUT/features.parquet, which says where each clip lies. Clips encoded before
    are never encoded again, also after an interruption. The recordings and the base are only read.

    Jobs on several machines can share a dataset: each encodes its `--part`, then one call without it writes the
    index. The shards are the same, whatever the number of jobs.
    """
    from xtts_framework.config import EncodeConfig, read_config
    from xtts_framework.layout import DatasetFolder
    from xtts_framework.stages.encode import encode

    encode(read_config(config, EncodeConfig), base, DatasetFolder(out), part=part)
