"""`xtts train`: train, and continue an earlier attempt where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from xtts_framework.cli.datasets import dataset_option

if TYPE_CHECKING:
    from xtts_framework.layout import DatasetFolder


@click.command("train")
@click.option("--config", required=True, type=click.Path(path_type=Path), help="Slice of the configuration.")
@click.option("--base", required=True, type=click.Path(path_type=Path), help="Folder of the base; it is only read.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run's results.")
@dataset_option()
@click.option("--max-seconds", type=click.FloatRange(min=0), help="Save and exit 75 before so many seconds are over.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--resume", type=click.Path(path_type=Path), help="Continue from this step-XXXXXXXX folder only.")
@click.option("--restart", is_flag=True, help="Discard what this training has saved, and begin again.")
def command(
    config: Path,
    base: Path,
    out: Path,
    datasets: dict[str, DatasetFolder],
    max_seconds: float | None,
    device: str,
    resume: Path | None,
    restart: bool,
) -> None:
    """Train on the features of the datasets with OUT/tokenizer/vocab.json, from BASE.

    Writes checkpoints to OUT/checkpoints/FINGERPRINT/step-XXXXXXXX/, metrics.jsonl and TensorBoard events to
    OUT/training/, and at the end OUT/summary.json. Started again, it continues from its newest checkpoint as if it had
    never stopped; after a change of anything that the result depends on, it begins anew beside the old checkpoints.

    SIGTERM, SIGUSR1 and Ctrl-C save at the next update. Exit status 75 means: saved, unfinished, run me again.
    """
    from xtts_framework.config import TrainConfig, read_config
    from xtts_framework.errors import UserError
    from xtts_framework.layout import RunFolder
    from xtts_framework.stages.train import train

    if resume and restart:
        raise UserError("--resume continues and --restart begins anew: give one of them.")
    train(
        read_config(config, TrainConfig),
        base,
        RunFolder(out),
        datasets,
        device=device,
        max_seconds=max_seconds,
        resume=resume,
        restart=restart,
    )
