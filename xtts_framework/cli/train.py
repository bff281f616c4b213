"""`xtts train`: train, and continue an earlier attempt where it stopped."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("train")
@click.option("--config", required=True, type=click.Path(path_type=Path), help="Slice of the configuration.")
@click.option("--base", required=True, type=click.Path(path_type=Path), help="Folder of the base; it is only read.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run's results.")
@click.option(
    "--dataset", "datasets", multiple=True, required=True, metavar="NAME=FOLDER", help="Results of a dataset."
)
@click.option("--max-seconds", type=click.FloatRange(min=0), help="Save and exit 75 before so many seconds are over.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--resume", type=click.Path(path_type=Path), help="Continue from this step-XXXXXXXX folder only.")
@click.option("--restart", is_flag=True, help="Discard what this training has saved, and begin again.")
def command(
    config: Path,
    base: Path,
    out: Path,
    datasets: tuple[str, ...],
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
    from xtts_framework.layout import DatasetFolder, RunFolder
    from xtts_framework.stages.train import train

    if resume and restart:
        raise UserError("--resume continues and --restart begins anew: give one of them.")
    named = dict(_name_and_folder(dataset) for dataset in datasets)
    train(
        read_config(config, TrainConfig),
        base,
        RunFolder(out),
        {name: DatasetFolder(folder) for name, folder in named.items()},
        device=device,
        max_seconds=max_seconds,
        resume=resume,
        restart=restart,
    )


def _name_and_folder(dataset: str) -> tuple[str, Path]:
    name, separator, folder = dataset.partition("=")
    if not (name and separator and folder):
        raise click.BadParameter(f"expected NAME=FOLDER, found {dataset!r}", param_hint="--dataset")
    return name, Path(folder)
