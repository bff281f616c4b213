"""`xtts plugins`: what is installed."""

from __future__ import annotations

import click


@click.group("plugins")
def command() -> None:
    """Language packs and other plugins."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of lines.")
def list_plugins(as_json: bool) -> None:
    """List the installed plugins: name, package and version, languages, hooks, and what is wrong with them.

    XTTS_DISABLED_PLUGINS=NAME,NAME switches plugins off.
    """
    import dataclasses
    import json

    from xtts_framework.plugins import load_plugins

    infos = load_plugins().infos
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(info) for info in infos], ensure_ascii=False, indent=2))
        return
    for info in infos:
        click.echo(f"{info.name}  {info.distribution} {info.version}")
        if info.languages:
            click.echo(f"  languages  {', '.join(info.languages)}")
        if info.hooks:
            click.echo(f"  hooks      {', '.join(info.hooks)}")
        if info.error:
            click.echo(f"  error      {info.error}")
