"""`xtts train`: train, and continue an earlier attempt where it stopped."""

from __future__ import annotations

import os
import sys
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
@click.option("--max-seconds", type=float, help="Save and exit 75 before so many seconds are over.")
@click.option(
    "--processes",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Processes that train as one, each with a GPU if there are any; 0: as many as GPUs are seen.",
)
@click.option(
    "--nodes", type=click.IntRange(min=1), default=1, show_default=True, help="Machines they are divided among."
)
@click.option("--rendezvous", metavar="HOST:PORT", help="Where machines meet; by default those of a SLURM job do.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--resume", type=click.Path(path_type=Path), help="Continue from this step-XXXXXXXX folder only.")
@click.option("--restart", is_flag=True, help="Discard what this training has saved, and begin again.")
def command(
    config: Path,
    base: Path,
    out: Path,
    datasets: dict[str, DatasetFolder],
    max_seconds: float | None,
    processes: int,
    nodes: int,
    rendezvous: str | None,
    device: str,
    resume: Path | None,
    restart: bool,
) -> None:
    """Train on the features of the datasets with OUT/tokenizer/vocab.json, from BASE.

    Writes checkpoints to OUT/checkpoints/FINGERPRINT/step-XXXXXXXX/, metrics.jsonl and TensorBoard events to
    OUT/training/, and at the end OUT/summary.json. Started again, it continues from its newest checkpoint as if it had
    never stopped; after a change of anything that the result depends on, it begins anew beside the old checkpoints.

    With --processes and --nodes it starts itself again under torchrun; the result is the same.

    SIGTERM, SIGUSR1 and Ctrl-C save at the next update. Exit status 75 means: saved, unfinished, run me again.
    """
    from xtts_framework.config import TrainConfig, read_config
    from xtts_framework.errors import UserError
    from xtts_framework.layout import RunFolder
    from xtts_framework.stages.train import train

    if resume and restart:
        raise UserError("--resume continues and --restart begins anew: give one of them.")
    if max_seconds is not None and max_seconds <= 0:
        raise UserError(
            f"--max-seconds {max_seconds:g}: no time to train. In a job of the workflow it is `runtime` (minutes) less "
            "`stop_early_s` (seconds): make `runtime` longer."
        )
    if (processes, nodes) != (1, 1) and "RANK" not in os.environ:
        from xtts_framework.training.launch import launch

        status = launch(processes, nodes, rendezvous)
        if status is not None:
            sys.exit(status)
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
