"""The manifest: one row per accepted clip, the only thing later stages know of a dataset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

import pandera.polars as pa
import polars as pl

from xtts_framework.config import MODEL_MAX_TEXT_IDS

MANIFEST = pa.DataFrameSchema(
    {
        "clip_id": pa.Column(pl.String, unique=True),
        "line": pa.Column(pl.Int64, pa.Check.ge(1), unique=True),
        "file": pa.Column(pl.String, unique=True),
        "audio_sha256": pa.Column(pl.String, pa.Check.str_matches(r"^[0-9a-f]{64}$"), unique=True),
        "duration_s": pa.Column(pl.Float64, pa.Check.gt(0)),
        "sample_rate_hz": pa.Column(pl.Int64, pa.Check.gt(0)),
        "channels": pa.Column(pl.Int64, pa.Check.gt(0)),
        "text": pa.Column(pl.String, pa.Check.str_length(min_value=1)),
        "normalized": pa.Column(pl.String, pa.Check.str_length(min_value=1, max_value=MODEL_MAX_TEXT_IDS - 1)),
        "speaker": pa.Column(pl.String),
        "language": pa.Column(pl.String),
        "split": pa.Column(pl.String, pa.Check.isin(["train", "eval"])),
    },
    strict=True,
    ordered=True,
)
"""Every promise the manifest makes to later stages. Nothing is written that breaks one."""


def assemble_manifest(accepted: pl.DataFrame, language: str) -> pl.DataFrame:
    """Complete the accepted rows to a manifest and check it.

    Args:
        accepted: the columns of the manifest but `clip_id` and `language`, by line; others are left out.

    Raises:
        pandera.errors.SchemaErrors: a row that should have been refused was not; a mistake of ours.
    """
    manifest = accepted.with_columns(
        pl.Series("clip_id", name_clips(accepted["file"], accepted["line"]), dtype=pl.String),
        pl.lit(language).alias("language"),
    ).select(*MANIFEST.columns)
    MANIFEST.validate(manifest, lazy=True)
    return manifest


def name_clips(files: Iterable[str], lines: Iterable[int]) -> list[str]:
    """A name for each clip: the file's without folder and suffix, with `#line` when that is taken already."""
    taken: set[str] = set()
    names = []
    for file, line in zip(files, lines, strict=True):
        name = PurePosixPath(file).stem
        while name in taken:
            name += f"#{line}"
        taken.add(name)
        names.append(name)
    return names
