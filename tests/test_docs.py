"""What the documents say exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from xtts_framework.cli.main import cli

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("config/*.md"), *ROOT.glob("benchmarks/*.md")]
)


def commands_in(document: Path) -> list[str]:
    blocks = re.findall(r"```(?:\w*)\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if re.match(r"\s*(\$ )?xtts ", line)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_their_options_exist(document: Path) -> None:
    for line in commands_in(document):
        words = shlex.split(line, comments=True)[1:]
        command: click.Command = cli
        name = "xtts"
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            name = words.pop(0)
            found = command.get_command(click.Context(command), name)
            assert found is not None, line
            command = found
        if not isinstance(command, click.Group):
            command.make_context(name, words)


def test_the_readmes_commands_are_found() -> None:
    """Guards the guard: an empty list of commands would prove nothing."""
    assert any(line.startswith("xtts synthesize") for line in commands_in(ROOT / "README.md"))


def test_documents_hold_no_local_paths() -> None:
    for document in DOCUMENTS:
        assert not re.search(r"(?<![\w.])/(work|root|home|tmp)/", document.read_text("utf-8")), document
