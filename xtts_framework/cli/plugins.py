"""`xtts plugins`: lists, checks and begins plugins."""

from __future__ import annotations

from pathlib import Path

import click

from xtts_framework.cli.options import parse_options


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

    from xtts_framework.plugins.discovery import find_plugins

    infos = find_plugins().infos
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


@command.command("check")
@click.argument("name")
@click.option("--options", multiple=True, metavar="KEY=VALUE", help="Option of the language pack, or a JSON object.")
@click.option(
    "--limit",
    "limit_s",
    type=click.IntRange(min=1),
    default=9,
    show_default=True,
    help="Processor seconds that a plugin may take, and each of its packs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of lines.")
def check(name: str, options: tuple[str, ...], limit_s: int, as_json: bool) -> None:
    """Check an installed plugin and its packs against the contract. NAME is the plugin's, or a language code.

    Needs no GPU, weights or network. Ends with status 1 when a promise is broken, or a check did not finish.
    """
    import json
    import sys

    from xtts_framework.plugins.contract.installed import check_installed

    failed = False
    parts = []
    for part in check_installed(name, parse_options(options), limit_s):
        failed = failed or part.failed
        parts.append(part.as_json())
        if not as_json:
            click.echo("\n".join(part.lines()))
    if as_json:
        click.echo(json.dumps(parts, ensure_ascii=False, indent=2))
    if failed:
        sys.exit(1)


@command.command("new")
@click.argument("name")
@click.option("--language", required=True, metavar="CODE", help="Language code (ISO 639), for example tig.")
@click.option("--english-name", help="English name of the language. [default: NAME, capitalised]")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write. [default: xtts-lang-NAME]")
def new(name: str, language: str, english_name: str | None, out: Path | None) -> None:
    """Write a package with a language pack to fill in: pyproject.toml, the pack, its tests, README, CI.

    Its tests pass at once. It refuses every text until you have decided what only you can decide.
    """
    from xtts_framework.plugins.scaffold import NewPack, create_pack

    pack = NewPack(name, language, english_name or name.replace("-", " ").title())
    folder = out or Path(pack.package)
    create_pack(pack, folder)
    click.echo(
        f"{folder}: ready.\n"
        f"  cd {folder}\n"
        f"  pip install -e '.[dev]'\n"
        f"  pytest                      # passes, and lists what is left to decide in {pack.module}.py"
    )
