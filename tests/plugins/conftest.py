"""Real plugin packages: a module and the metadata that an installer would write, on `sys.path`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install("acme", source)`: plugin `acme` of the package `acme-pack` 2.1; returns the folder it lies in."""
    monkeypatch.delenv("XTTS_DISABLED_PLUGINS", raising=False)
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    modules = []

    def write(name: str, source: str, *, module: str | None = None, package: str | None = None) -> Path:
        module, package = module or f"{name}_module", package or f"{name}-pack"
        (folder / f"{module}.py").write_text(dedent(source), encoding="utf-8")
        metadata = folder / f"{package.replace('-', '_')}-2.1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.1\n")
        (metadata / "entry_points.txt").write_text(f"[xtts_framework.plugins]\n{name} = {module}\n")
        modules.append(module)
        sys.modules.pop(module, None)
        return folder

    yield write
    for module in modules:  # one may be odd enough to trouble whoever looks at all modules
        sys.modules.pop(module, None)
