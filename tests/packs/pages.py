"""Reads the tables of a pack's page, so that every row of them is executed."""

from __future__ import annotations

import re
from pathlib import Path

PACKS = Path(__file__).parents[2] / "docs" / "packs"


def read_table(page: str, *columns: str) -> list[tuple[str, ...]]:
    """Rows of all tables with these columns, backticks removed and `\\u` escapes resolved.

    Args:
        page: name of a document in `docs/packs`.
    """
    rows: list[tuple[str, ...]] = []
    header: tuple[str, ...] = ()
    for line in (PACKS / page).read_text("utf-8").splitlines():
        cells = tuple(_shown(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]) if line.startswith("|") else ()
        header = (header or cells) if cells else ()
        if header == columns and cells != header and set(cells[0]) != {"-"}:
            rows.append(cells)
    return rows


def _shown(cell: str) -> str:
    cell = cell.strip()
    cell = cell.removeprefix("`").removesuffix("`") if cell.count("`") == 2 else cell
    return re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), cell)
