"""Every row measured, its recording and its text, in one pass on all cores; a row that cannot be measured says why."""

from __future__ import annotations

import multiprocessing
import os
import signal
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
LOOK_AROUND_S = 2.0
ROWS_FOR_PROCESSES = 2000
"""Up to here threads do: starting processes takes a second or two."""
OF_SPEECH = ("level_dbfs", "speech_over_noise_db", "leading_silence_s", "trailing_silence_s")
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
            with _signals_held():
                answers = pool.map(survey, batches)
            for batch, surveyed in zip(batches, answers, strict=True):
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


def describe_fault(row: MetadataRow) -> Problem:
    """A row that cannot be understood: what was found, without what to do, which its code says."""
    return Problem("wrong_field_count", row.fault.rpartition("\n")[0])


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
            return row.file, Measurement(problem=describe_fault(row))
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
    pool: Executor
    if rows <= ROWS_FOR_PROCESSES:
        pool, survey = ThreadPoolExecutor(os.cpu_count()), surveyor.__call__
    else:
        context = multiprocessing.get_context("spawn")
        pool, survey = ProcessPoolExecutor(os.cpu_count(), context, _start_process, order), _survey_in_process
    try:
        yield pool, survey
    finally:
        pool.shutdown(cancel_futures=True)
        for lost in multiprocessing.active_children():  # a pool that breaks while it is shut down forgets its processes
            lost.kill()


def _start_process(folder: Path, language: LanguageConfig) -> None:
    global _surveyor
    _surveyor = _Surveyor(folder, language)
    threading.Thread(target=_end_with_parent, daemon=True).start()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Processes that are started now never see Ctrl-C or SIGTERM: their parent does, then, and ends them in order.

    Blocking alone, which they inherit, does not hold them here: another thread of this process takes the signal, and
    Python handles it in this one, where a half-started process would be lost to its pool and outlive it.
    """
    held: list[int] = []
    numbers = signal.SIGINT, signal.SIGTERM
    handlers = [signal.signal(number, lambda number, _: held.append(number)) for number in numbers]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def _end_with_parent() -> None:
    """End when the parent has: one that was killed cannot end its processes, and they would wait for work for ever.

    Or shortly after somebody has sent SIGTERM to this process alone, as the pool does when another one has died.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "only started in a process of a pool"
    while parent.is_alive():
        if signal.sigtimedwait({signal.SIGTERM}, LOOK_AROUND_S):
            parent.join(LOOK_AROUND_S)
            break
    os._exit(1)


def _survey_in_process(rows: Sequence[MetadataRow]) -> list[Surveyed]:
    return _surveyor(rows)


_surveyor: _Surveyor
"""Of this process, when it is one of a pool."""


def _derive(measured: pl.DataFrame) -> pl.DataFrame:
    speech_s = pl.col("duration_s") - pl.col("leading_silence_s") - pl.col("trailing_silence_s")
    # What has no speech is silent, and nothing else is to be said of its speech.
    spoken = [pl.when(pl.col("speech_share") > 0).then(name).alias(name) for name in OF_SPEECH]
    return measured.with_row_index("index").with_columns(
        *spoken,
        pl.col("normalized").str.len_chars().cast(pl.Int64).alias("characters"),
        pl.col("normalized").str.count_matches(r"\p{Nd}").cast(pl.Int64).alias("digits"),
        speech_s.alias("speech_s"),
        pl.when(speech_s > 0).then(pl.col("normalized").str.len_chars() / speech_s).alias("characters_per_s"),
    )
