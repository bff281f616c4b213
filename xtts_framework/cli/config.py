"""`xtts config`: write the commented defaults, check a file."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("config")
def command() -> None:
    """Write or check the configuration file."""


@command.command("write")
@click.option("--out", type=click.Path(path_type=Path), default="config/config.yaml", help="File to write.")
@click.option("--schema", type=click.Path(path_type=Path), help="Also write the JSON schema to this file.")
def write(out: Path, schema: Path | None) -> None:
    """Write the commented defaults to OUT (config/config.yaml), replacing it."""
    from xtts_framework.config_file import commented_yaml, default_project, json_schema
    from xtts_framework.files import write_text_if_changed

    write_text_if_changed(out, commented_yaml(default_project()))
    if schema is not None:
        write_text_if_changed(schema, json_schema())


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check FILE: unknown keys, values out of range, datasets and languages that do not exist."""
    from xtts_framework.config import ProjectConfig, read_config
    from xtts_framework.plugins.registry import load_plugins

    project = read_config(file, ProjectConfig)
    plugins = load_plugins()
    for dataset in project.datasets.values():
        plugins.pack(dataset.language.code, dataset.language.options)
    click.echo(f"{file}: {len(project.datasets)} dataset(s), {len(project.runs)} run(s), nothing to complain about")
