"""`xtts select`: choose the checkpoint to export."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("select")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run's results.")
def command(out: Path) -> None:
    """Choose the checkpoint of OUT with the lowest evaluation loss, never simply the last one.

    Reads OUT/summary.json and the checkpoints on disk; writes OUT/selected.json with all candidates, their losses and
    the reason in words.
    """
    from xtts_framework.layout import RunFolder
    from xtts_framework.stages.select import select

    select(RunFolder(out))
