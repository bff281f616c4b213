"""Tables that one stage writes and another reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars
from polars.exceptions import PolarsError

from xtts_framework.errors import UserError


def read_table(path: Path, columns: Sequence[str] | None = None, *, stage: str) -> polars.DataFrame:
    """Read a Parquet file of ours.

    Args:
        columns: those to read, in this order; None: all.
        stage: the command that writes it, for the message.
    Raises:
        UserError: no such file, damaged, or without one of the columns.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; run `xtts {stage}` for this dataset first.")
    try:
        return polars.read_parquet(path, columns=list(columns) if columns else None, glob=False)
    except (PolarsError, OSError) as error:
        raise UserError(f"{path}: damaged, or not written by `xtts {stage}`: {error}\n  Run that again.") from error
