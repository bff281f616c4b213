"""`xtts plugins`: what is installed."""

from __future__ import annotations

import click


@click.group("plugins")
def command() -> None:
    """Show the installed plugins and language packs."""


@command.command("list")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: name, distribution, version, hooks, languages, error."
)
def list_plugins(as_json: bool) -> None:
    """List plugins with their languages and hooks; broken and disabled ones with the reason."""
    import dataclasses
    import json

    from xtts_framework.plugins.registry import load_plugins

    plugins = load_plugins()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(info) for info in plugins.infos], ensure_ascii=False, indent=2))
        return
    for info in plugins.infos:
        languages = ", ".join(f"{code} ({plugins.packs[code].name})" for code in info.languages)
        click.echo(f"{info.name}  {info.distribution} {info.version}  {languages}")
        click.echo(f"  {'not loaded: ' + info.error if info.error else 'hooks: ' + ', '.join(info.hooks)}")
