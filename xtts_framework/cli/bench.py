"""`xtts bench`: how fast this machine trains."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click


@click.command("bench")
@click.option("--shape", type=click.Choice(["xtts-v2", "small", "tiny"]), help="Default: xtts-v2 on a GPU, else small.")
@click.option("--base", type=click.Path(path_type=Path), help="Measure this base instead of a model of random weights.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp32_strict"]),
    default="fp32",
    show_default=True,
    help="As in the recipe.",
)
@click.option("--compile", "compiled", is_flag=True, help="Through torch.compile.")
@click.option(
    "--activation-checkpointing",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Compute blocks again in the backward pass.",
)
@click.option("--micro-batch-tokens", metavar="auto|N", default="auto", show_default=True, help="Tokens at once.")
@click.option("--updates", type=click.IntRange(min=1), default=5, show_default=True, help="Updates to time.")
@click.option("--samples", type=click.IntRange(min=1), help="Clips per update. Default: 512 on a GPU, else 32.")
@click.option("--memory-gib", type=click.FloatRange(min=1), help="Use no more of the GPU's memory than this.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="bench.csv", show_default=True, help="File that gets a row."
)
def command(
    shape: str | None,
    base: Path | None,
    device: str,
    precision: str,
    compiled: bool,
    activation_checkpointing: str,
    micro_batch_tokens: str,
    updates: int,
    samples: int | None,
    memory_gib: float | None,
    out: Path,
) -> None:
    """Measure how fast this machine trains. Needs no data: clips are random, and as long as real ones.

    Prints clips per second, hours of audio per hour, tokens per second, MFU with the peak it is a share of, padding,
    the time that the device waited for data, and peak memory; appends all of it with date, hardware and versions as a
    row to OUT, a CSV file. `xtts plan` turns the row into hours.
    """
    from xtts_framework.config import TrainingConfig, parse_config
    from xtts_framework.planning.bench import bench
    from xtts_framework.planning.bench_file import describe_row

    settings = {
        "precision": precision,
        "compile": compiled,
        "activation_checkpointing": {"auto": "auto", "on": True, "off": False}[activation_checkpointing],
        "micro_batch_tokens": int(micro_batch_tokens) if micro_batch_tokens.isdigit() else micro_batch_tokens,
    }
    row = bench(
        parse_config(settings, TrainingConfig, source="options of `xtts bench`"),
        device=device,
        out=out,
        shape=shape,
        base_folder=base,
        updates=updates,
        samples=samples,
        memory_gib=memory_gib,
        command=shlex.join(["xtts", *sys.argv[1:]]),
    )
    for line in describe_row(row):
        click.echo(line)
    click.echo(f"row added   {out}")
