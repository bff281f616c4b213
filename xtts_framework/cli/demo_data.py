"""`xtts demo-data`: a small Amharic dataset, spoken by espeak-ng."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("demo-data")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Dataset folder to write, or replace.")
@click.option("--clips", type=click.IntRange(min=1), help="Good clips; default: one for each of the sentences.")
def command(out: Path, clips: int | None) -> None:
    """Write an Amharic dataset to OUT: metadata.csv (file|text|text, no header) and wavs/.

    espeak-ng speaks the sentences with four voices; the file names begin with the speaker. The last rows are faulty
    on purpose (digits, another script, a missing recording), so that `xtts validate` has something to reject.
    """
    from xtts_framework.stages.demo_data import create_demo_data

    data = create_demo_data(out, clips)
    click.echo(
        f"{out}: {data.rows - data.faulty} clips, {data.duration_s / 60:.1f} min of synthetic speech, "
        f"and {data.faulty} rows that are faulty on purpose"
    )
