"""Numbers about a validated dataset, for `validation.json` and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

BINS = 24


def describe_clips(clips: pl.DataFrame) -> dict[str, Any]:
    """Clips and seconds of both sides, speakers, and histograms of what decides how a voice learns.

    Args:
        clips: the accepted ones: `split`, `duration_s`, `speaker`, `characters_per_s`, `level_dbfs`.
    """
    sides = {side: clips.filter(pl.col("split") == side) for side in ("train", "eval")}
    seconds = {side: round(float(clips["duration_s"].sum()), 3) for side, clips in sides.items()}
    speakers = clips.group_by("speaker").len().sort("speaker")
    return {
        "train": sides["train"].height,
        "eval": sides["eval"].height,
        "duration_s": seconds,
        "hours": round(sum(seconds.values()) / 3600, 4),
        "speakers": dict(speakers.iter_rows()),
        "histograms": {
            name: count_in_bins(clips[column].drop_nulls().to_list())
            for name, column in (
                ("duration_s", "duration_s"),
                ("characters_per_second", "characters_per_s"),
                ("level_dbfs", "level_dbfs"),
            )
        },
    }


def count_in_bins(values: Sequence[float]) -> dict[str, list[float] | list[int]]:
    """Histogram that spans 0 and all values: `edges`, one more than `counts`."""
    low, high = min([0.0, *values]), max([0.0, *values])
    counts, edges = np.histogram(values, bins=BINS, range=(low, high if high > low else low + 1.0))
    return {"edges": [round(float(edge), 4) for edge in edges], "counts": [int(count) for count in counts]}
