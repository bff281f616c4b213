"""`xtts base`: make or fetch the checkpoint that training starts from."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("base")
def command() -> None:
    """Make or fetch a base, the checkpoint that training starts from."""


@command.command("create")
@click.option(
    "--size",
    type=click.Choice(["tiny", "xtts-v2"]),
    default="tiny",
    show_default=True,
    help="tiny: small dimensions, trains on a CPU. xtts-v2: the released dimensions (2 GB), for measuring speed.",
)
@click.option(
    "--speech",
    type=click.Path(path_type=Path),
    required=True,
    help="Dataset whose recordings (wavs/*.wav, or *.wav) the audio codes are fitted on.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Base folder to write, or replace.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the weights and the codebook.")
def create(size: str, speech: Path, out: Path, seed: int) -> None:
    """Write a base of XTTS-v2's architecture and file layout with random weights to OUT.

    It proves the plumbing and does not speak a language. Its audio codes are fitted on the recordings of SPEECH, so
    that training on them has something to learn.
    """
    from xtts_framework.model.tiny import SHAPES, create_tiny_base, recordings_in

    fit = create_tiny_base(out, recordings_in(speech), seed=seed, shape=SHAPES[size])
    click.echo(
        f"{out}: a base of size {size} with random weights. It proves the plumbing and does not speak a language.\n"
        f"  fitted on {fit.clips} recordings, {fit.seconds / 60:.1f} min: {fit.codes_in_use} of 1024 codes in use,\n"
        f"  unigram entropy {fit.unigram_entropy:.2f} nats per code, {fit.bigram_entropy:.2f} knowing the code before"
    )


@command.command("fetch")
@click.argument("name", type=click.Choice(["xtts-v2"]))
@click.option(
    "--out", type=click.Path(path_type=Path), default="bases/xtts-v2", show_default=True, help="Base folder to write."
)
@click.option("--accept-license", is_flag=True, help="Accept the licence of the model without being asked.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="Configuration file whose `hub` names another repository or revision.",
)
def fetch(name: str, out: Path, accept_license: bool, config_file: Path | None) -> None:
    """Download the released XTTS-v2 (2.1 GB) to OUT and check every file.

    Its weights are licensed for non-commercial use only (CPML). An interrupted download goes on where it stopped.
    HF_ENDPOINT names another hub.
    """
    from xtts_framework.config import HubConfig, ProjectConfig, read_config
    from xtts_framework.model.hub import LICENSE_NOTICE, fetch_base

    hub = read_config(config_file, ProjectConfig).hub if config_file else HubConfig()
    click.echo(LICENSE_NOTICE)
    if not accept_license:
        accept_license = click.confirm("Do you accept this licence?", default=False)
    fetch_base(out, hub, accept_license=accept_license)
    click.echo(f"{out}: {name}, complete and checked")
