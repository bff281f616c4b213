"""Numbers about a validated dataset, for `validation.json` and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

BINS = 24


def describe_manifest(manifest: pl.DataFrame) -> dict[str, Any]:
    """Clips and seconds of both sides, speakers, and histograms of what decides how a voice learns."""
    sides = {side: manifest.filter(pl.col("split") == side) for side in ("train", "eval")}
    seconds = {side: round(float(clips["duration_s"].sum()), 3) for side, clips in sides.items()}
    characters = manifest["normalized"].str.len_chars()
    speakers = manifest.group_by("speaker").len().sort("speaker")
    return {
        "train": sides["train"].height,
        "eval": sides["eval"].height,
        "duration_s": seconds,
        "hours": round(sum(seconds.values()) / 3600, 4),
        "speakers": dict(speakers.iter_rows()),
        "histograms": {
            "duration_s": count_in_bins(manifest["duration_s"].to_list()),
            "characters_per_second": count_in_bins((characters / manifest["duration_s"]).to_list()),
        },
    }


def count_in_bins(values: Sequence[float]) -> dict[str, list[float] | list[int]]:
    """Histogram from 0 to the largest value: `edges`, one more than `counts`."""
    counts, edges = np.histogram(values, bins=BINS, range=(0.0, max(values, default=1.0)))
    return {"edges": [round(float(edge), 4) for edge in edges], "counts": [int(count) for count in counts]}
