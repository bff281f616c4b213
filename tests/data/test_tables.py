"""A table that is missing, damaged or another one is named, with the stage that writes it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from xtts_framework.data.evaluation_clips import read_evaluation_clips
from xtts_framework.data.features import FeatureReader
from xtts_framework.data.tables import read_table
from xtts_framework.errors import UserError
from xtts_framework.layout import DatasetFolder


def test_a_table_without_a_column_is_another_table(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1], "b": [2]}).write_parquet(tmp_path / "manifest.parquet")
    assert read_table(tmp_path / "manifest.parquet", ["b"], stage="validate").to_dicts() == [{"b": 2}]
    with pytest.raises(UserError, match=r"(?s)manifest\.parquet: .*not written by `xtts validate`.*split"):
        read_table(tmp_path / "manifest.parquet", ["a", "split"], stage="validate")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a table at all"])
def test_damaged_tables_are_named_by_those_who_read_them(tmp_path: Path, content: bytes) -> None:
    dataset = DatasetFolder(tmp_path)
    with pytest.raises(UserError, match=r"manifest\.parquet: missing; run `xtts validate`"):
        read_evaluation_clips(dataset, tmp_path)
    for path in (dataset.manifest, dataset.features):
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"(?s)manifest\.parquet: damaged.*`xtts validate`"):
        read_evaluation_clips(dataset, tmp_path)
    with pytest.raises(UserError, match=r"(?s)features\.parquet: damaged.*`xtts encode`"):
        FeatureReader(dataset)
