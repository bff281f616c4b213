"""Every row measured, its recording and its text, in one pass on all cores; a row that cannot be measured says why."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path

import polars as pl

from xtts_framework.audio.levels import Levels
from xtts_framework.config import DatasetConfig, LanguageConfig
from xtts_framework.console import progress
from xtts_framework.data.measuring import Measurement, Problem, find_recording, measure_recording
from xtts_framework.data.metadata import MetadataRow
from xtts_framework.errors import UserError
from xtts_framework.plugins import load_plugins

ROWS_AT_ONCE = 64
ROWS_FOR_PROCESSES = 2000
"""Up to here threads do: starting processes takes a second or two."""
LEVELS = [field.name for field in fields(Levels)]
MEASURED = {
    "line": pl.Int64,
    "file": pl.String,
    "text": pl.String,
    "normalized": pl.String,
    "speaker": pl.String,
    "recording": pl.String,
    "audio_sha256": pl.String,
    "content_sha256": pl.String,
    "samples": pl.Int64,
    "duration_s": pl.Float64,
    "sample_rate_hz": pl.Int64,
    "channels": pl.Int64,
    "finite": pl.Boolean,
    **dict.fromkeys(LEVELS, pl.Float64),
}

Record = tuple[object, ...]
Surveyed = tuple[Record, list[Problem]]


def survey_rows(rows: Sequence[MetadataRow], dataset: DatasetConfig) -> tuple[pl.DataFrame, list[list[Problem]]]:
    """Measure every row.

    Returns:
        A table with one row per row of the metadata: `index`, the columns of `MEASURED` (null where nothing could be
        measured) and, of the normalised text, `characters`, `digits`, and `characters_per_s` of the `speech_s` between
        the silence at both ends. And what kept each row from being measured, or is wrong with its text.

    Raises:
        UserError: an unknown language, or a recording that crashes the decoder.
    """
    batches = [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)]
    records: list[Record] = []
    problems: list[list[Problem]] = []
    with _workers(len(rows), dataset) as (pool, survey), progress("validate", len(rows), "rows") as advance:
        try:
            for batch, surveyed in zip(batches, pool.map(survey, batches), strict=True):
                for record, found in surveyed:
                    records.append(record)
                    problems.append(found)
                advance(len(batch))
        except BrokenProcessPool as error:
            first, last = rows[len(records)].line, rows[min(len(records) + 2 * ROWS_AT_ONCE, len(rows)) - 1].line
            raise UserError(
                f"{dataset.path}: a process that reads recordings died, near the lines {first} to {last}: out of "
                "memory, or a recording that crashes the decoder. Take those rows out and put them back by halves."
            ) from error
    return _derive(pl.DataFrame(records, schema=MEASURED, orient="row")), problems


class _Surveyor:
    """Measures rows of one dataset."""

    def __init__(self, folder: Path, language: LanguageConfig) -> None:
        self._folder = folder
        self._plugins = load_plugins()
        self._pack = self._plugins.pack(language.code, language.options)

    def __call__(self, rows: Sequence[MetadataRow]) -> list[Surveyed]:
        return [self._survey(row) for row in rows]

    def _survey(self, row: MetadataRow) -> Surveyed:
        file, heard = self._listen(row)
        normalized, problems = (None, []) if row.fault else self._read(row.text)
        if heard.problem:
            problems = [heard.problem, *problems]
        sound = (heard.sha256, heard.content_sha256, heard.samples, heard.duration_s, heard.sample_rate_hz)
        levels = astuple(heard.levels) if heard.levels else (None,) * len(LEVELS)
        record = (row.line, file, row.text, normalized, row.speaker, row.recording, *sound)
        return (*record, heard.channels, heard.finite, *levels), problems

    def _listen(self, row: MetadataRow) -> tuple[str, Measurement]:
        if row.fault:
            return row.file, Measurement(problem=Problem("wrong_field_count", row.fault))
        found = find_recording(self._folder, row.file)
        if isinstance(found, Problem):
            return row.file, Measurement(problem=found)
        return found, measure_recording(self._folder / found)

    def _read(self, text: str) -> tuple[str | None, list[Problem]]:
        """The text as the model reads it, None when there is none and a problem says why."""
        normalized, found = self._plugins.read_text(self._pack, text)
        problems = [Problem(problem.code, problem.detail) for problem in found]
        return normalized or (None if problems else ""), problems


@contextmanager
def _workers(
    rows: int, dataset: DatasetConfig
) -> Iterator[tuple[Executor, Callable[[Sequence[MetadataRow]], list[Surveyed]]]]:
    """Threads or processes, as many as cores, and what they do for a batch of rows."""
    order = dataset.path.resolve(), dataset.language
    surveyor = _Surveyor(*order)
    if rows <= ROWS_FOR_PROCESSES:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            yield threads, surveyor
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, _start_process, order) as processes:
        yield processes, _survey_in_process


def _start_process(folder: Path, language: LanguageConfig) -> None:
    global _surveyor
    _surveyor = _Surveyor(folder, language)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot end its processes; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only started in a process of a pool"
    parent.join()
    os._exit(1)


def _survey_in_process(rows: Sequence[MetadataRow]) -> list[Surveyed]:
    return _surveyor(rows)


_surveyor: _Surveyor
"""Of this process, when it is one of a pool."""


def _derive(measured: pl.DataFrame) -> pl.DataFrame:
    speech_s = pl.col("duration_s") - pl.col("leading_silence_s") - pl.col("trailing_silence_s")
    return measured.with_row_index("index").with_columns(
        pl.col("normalized").str.len_chars().cast(pl.Int64).alias("characters"),
        pl.col("normalized").str.count_matches(r"\p{Nd}").cast(pl.Int64).alias("digits"),
        speech_s.alias("speech_s"),
        pl.when(speech_s > 0).then(pl.col("normalized").str.len_chars() / speech_s).alias("characters_per_s"),
    )
