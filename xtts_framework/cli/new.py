"""`xtts new`: a project folder for one dataset."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click


@click.command("new")
@click.argument("project", type=click.Path(path_type=Path))
@click.option("--language", required=True, help="Language code of an installed pack, for example am.")
@click.option(
    "--dataset", type=click.Path(path_type=Path), required=True, help="Folder with metadata.csv and the recordings."
)
def command(project: Path, language: str, dataset: Path) -> None:
    """Make the folder PROJECT: a commented config.yaml, profiles and a Snakefile. Then: cd PROJECT && snakemake."""
    from xtts_framework.project import create_project

    create_project(project, language, dataset)
    plain = project if not str(project).startswith("-") else f"{os.curdir}{os.sep}{project}"
    click.echo(
        f"{project}: ready.\n"
        f"  cd {shlex.quote(str(plain))}\n"
        f"  xtts base fetch xtts-v2     # once; shows the licence of the released model\n"
        f"  snakemake"
    )
