"""What a dataset's split remembers: which side every clip, text and recording went to, so that none changes sides.

Kept beside the manifest in `split.parquet`, which is nobody's declared output: a workflow deletes those. Whoever
deletes it divides the dataset afresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from polars.exceptions import PolarsError

from xtts_framework.config import ValidationConfig
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_file

Togetherness = Literal["speaker", "recording", "stretch", "text"]
SETTINGS = ("seed", "eval_fraction", "eval_min", "eval_max")
COLUMNS = ["key", "held_out", "together", *SETTINGS]


@dataclass(frozen=True)
class Sides:
    """Sides by key.

    Args:
        together: what lies on one side as a whole, besides clips of one text.
        settings: of the configuration that decided, those of `SETTINGS` in order.
        held_out: what clips have in common (`text …`, `recording …`, `sound …`), and whether it is held out.
    """

    together: Togetherness
    settings: tuple[float, ...]
    held_out: Mapping[str, bool]


def settings_of(wanted: ValidationConfig) -> tuple[float, ...]:
    """What decides a split; with other settings, another split is wanted."""
    return tuple(float(getattr(wanted, name)) for name in SETTINGS)


def read_sides(path: Path, wanted: ValidationConfig) -> Sides | None:
    """Sides of an earlier validation; None when there was none, or when another split is wanted now.

    Raises:
        UserError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        table = pl.read_parquet(path, columns=COLUMNS, glob=False)
        first = table.row(0, named=True)
    except (PolarsError, OSError, IndexError) as error:
        raise UserError(
            f"{path}: damaged, or not written by `xtts validate`: {error}\n"
            "  Delete it to divide the dataset afresh; clips may change sides then."
        ) from error
    settings = tuple(first[name] for name in SETTINGS)
    if settings != settings_of(wanted):
        return None
    return Sides(first["together"], settings, dict(table.select("key", "held_out").iter_rows()))


def write_sides(sides: Sides, path: Path) -> None:
    """Write them whole or not at all."""
    table = pl.DataFrame({"key": list(sides.held_out), "held_out": list(sides.held_out.values())}).with_columns(
        pl.lit(sides.together).alias("together"),
        *(pl.lit(value, pl.Float64).alias(name) for name, value in zip(SETTINGS, sides.settings, strict=True)),
    )
    with replacing_file(path) as partial:
        table.write_parquet(partial)
