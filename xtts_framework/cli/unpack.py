"""`xtts unpack`: a dataset that comes as an archive."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("unpack")
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the dataset; new, or empty.")
@click.option("--metadata", default="metadata.csv", show_default=True, help="Metadata file inside the dataset.")
def command(archive: Path, out: Path, metadata: str) -> None:
    """Unpack the dataset in ARCHIVE (tar, tar.gz or zip) into OUT, whole or not at all.

    The metadata file lies at the top of the archive or in its only folder. An archive with links, devices or names that
    lead out of it is refused: it may come from anybody.
    """
    from xtts_framework.stages.unpack import unpack

    unpack(archive, out, metadata)
