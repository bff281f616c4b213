"""Which held-out clips give the default voice and the sentences to listen to: the same choice every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xtts_framework.data.tables import read_table
from xtts_framework.layout import DatasetFolder, inside

VOICE_DURATION_S = 6.0
"""A reference voice of about this length is best: coqui's own conditioning looks at pieces of 4 to 6 s."""


@dataclass(frozen=True)
class EvaluationClip:
    clip_id: str
    recording: Path
    duration_s: float
    text: str
    language: str


def read_evaluation_clips(dataset: DatasetFolder, recordings: Path) -> list[EvaluationClip]:
    """The evaluation clips of a dataset, in the order of its metadata.

    Args:
        recordings: the dataset's own folder, to which the manifest's file names are relative.
    Raises:
        UserError: no manifest, a damaged one, or one that names a recording outside of that folder.
    """
    columns = ["clip_id", "line", "file", "duration_s", "text", "language", "split"]
    table = read_table(dataset.manifest, columns, stage="validate")
    rows = table.filter(split="eval").sort("line").iter_rows(named=True)
    return [
        EvaluationClip(
            row["clip_id"],
            inside(recordings, row["file"], named_in=dataset.manifest),
            row["duration_s"],
            row["text"],
            row["language"],
        )
        for row in rows
    ]


def choose_voice(clips: Sequence[EvaluationClip]) -> EvaluationClip | None:
    """The clip whose length is nearest to `VOICE_DURATION_S`, the earliest of equals."""
    return min(clips, key=lambda clip: abs(clip.duration_s - VOICE_DURATION_S), default=None)


def choose_sentences(clips: Sequence[EvaluationClip], count: int) -> list[EvaluationClip]:
    """`count` clips with different texts, from short to long, evenly spread over all lengths of text."""
    by_text = {clip.text: clip for clip in reversed(clips)}
    by_length = sorted(by_text.values(), key=lambda clip: (len(clip.text), clip.text))
    count = min(count, len(by_length))
    return [by_length[int((index + 0.5) * len(by_length) / count)] for index in range(count)]
