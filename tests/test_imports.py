"""Rooms import downwards only: cli -> stages -> training -> model, data -> text, audio -> plugins -> config."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEVELS = {
    "cli": 0,
    "stages": 1,
    "planning": 1,
    "training": 2,
    "report": 2,
    "model": 3,
    "data": 4,
    "ingest": 4,
    "text": 5,
    "audio": 5,
}
LEVELS |= {"text": 5, "audio": 5, "plugins": 6, "config": 7}
"""Room -> how far down it lies; what is not named here (files, errors, console, …) may be imported by all."""


def imports(path: Path) -> set[str]:
    """Modules that a file imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("room", LEVELS)
def test_no_room_imports_one_above_it(room: str) -> None:
    folder = ROOT / "xtts_framework" / room
    modules = sorted(folder.rglob("*.py")) or [folder.with_suffix(".py")]
    for module in modules:
        for name in imports(module):
            package, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            assert package != "xtts_framework" or LEVELS.get(other, 9) >= LEVELS[room], f"{module} imports {name}"


def test_packs_import_the_plugin_interface_only() -> None:
    modules = sorted((ROOT / "xtts_plugins").rglob("*.py"))
    assert modules
    for module in modules:
        ours = {name for name in imports(module) if name.startswith("xtts_framework")}
        assert ours <= {"xtts_framework.plugins"}, module
