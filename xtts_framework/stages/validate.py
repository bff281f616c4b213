"""Stage validate: decide for every row of the metadata whether it is fit for training, and say why not.

Reads the dataset, changes nothing in it, opens nothing outside of it. Imports neither torch nor TTS.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from xtts_framework.config import DatasetConfig, ValidateConfig
from xtts_framework.console import progress, say
from xtts_framework.data.checks import (
    Measurement,
    Problem,
    check_limits,
    find_duplicates,
    find_recording,
    measure_recording,
)
from xtts_framework.data.manifest import assemble_manifest
from xtts_framework.data.metadata import MetadataRow, describe_faults, read_metadata
from xtts_framework.data.rejects import count_reasons, describe_reasons, tabulate_reasons, write_rejects
from xtts_framework.data.splitting import split_clips
from xtts_framework.data.statistics import describe_manifest
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_file, write_json
from xtts_framework.layout import DatasetFolder
from xtts_framework.plugins import LanguagePack, Plugins, load_plugins

ROWS_AT_ONCE = 512

MEASURED = {
    "line": pl.Int64,
    "file": pl.String,
    "audio_sha256": pl.String,
    "samples": pl.Int64,
    "duration_s": pl.Float64,
    "sample_rate_hz": pl.Int64,
    "channels": pl.Int64,
    "finite": pl.Boolean,
    "text": pl.String,
    "normalized": pl.String,
    "speaker": pl.String,
}
"""One row per row of the metadata; null where nothing could be measured."""


def validate(config: ValidateConfig, out: DatasetFolder) -> None:
    """Write `manifest.parquet`, `rejects.csv` and `validation.json` of a dataset.

    Raises:
        UserError: no dataset, metadata that cannot be read, an unknown language, a folder that cannot be written; or
            too little to train on: then `rejects.csv` and `validation.json` say why, and there is no manifest.
    """
    dataset = config.dataset
    plugins = load_plugins()
    pack = plugins.pack(dataset.language.code, dataset.language.options)
    if not dataset.path.is_dir():
        raise UserError(f"{dataset.path}: no such folder; expected a dataset, with {dataset.metadata} and wavs/.")
    metadata = dataset.path / dataset.metadata
    rows = read_metadata(metadata)
    if any(row.fault for row in rows):
        say(describe_faults(rows, metadata))
    _require_writable(out.path)

    measured, problems = _measure(rows, dataset.path.resolve(), plugins, pack)
    for index, problem in check_limits(measured, dataset.validation):
        problems[index].append(problem)
    for index, problem in find_duplicates(measured, problems):
        problems[index].append(problem)

    reasons = tabulate_reasons(rows, problems)
    counts = count_reasons(reasons, len(rows))
    accepted = measured.join(reasons, on="line", how="anti", maintain_order="left")
    write_rejects(reasons, out.rejects)
    try:
        if accepted.is_empty():
            raise UserError(
                f"{metadata}: not one of {len(rows)} rows is fit for training. A row may have several reasons:\n"
                f"{describe_reasons(counts)}\n  All of them are listed in {out.rejects}."
            )
        manifest = _split(accepted, dataset)
    except UserError:
        out.manifest.unlink(missing_ok=True)
        nothing = assemble_manifest(accepted.clear(), pack.code, [])
        write_json(out.validation, counts | describe_manifest(nothing))
        raise
    with replacing_file(out.manifest) as partial:
        manifest.write_parquet(partial)
    description = describe_manifest(manifest)
    write_json(out.validation, counts | description)
    say(
        f"{len(rows)} rows: {manifest.height} accepted ({description['train']} to train, {description['eval']} to "
        f"evaluate, {description['hours']:.2f} h), {counts['rejected']} rejected"
    )
    if counts["rejected"]:
        say(f"{describe_reasons(counts)}\n  All of them are listed in {out.rejects}.")


def _measure(
    rows: Sequence[MetadataRow], folder: Path, plugins: Plugins, pack: LanguagePack
) -> tuple[pl.DataFrame, list[list[Problem]]]:
    """Measure every row: recordings in threads (libsndfile and hashing release the interpreter), texts here.

    Returns:
        a table of `MEASURED`, and for each row what kept it from being measured or is wrong with its text.
    """

    def listen(row: MetadataRow) -> tuple[str, Measurement]:
        if row.fault:
            return row.file, Measurement(problem=Problem("wrong_field_count", row.fault))
        found = find_recording(folder, row.file)
        if isinstance(found, Problem):
            return row.file, Measurement(problem=found)
        return found, measure_recording(folder / found)

    records: list[tuple[object, ...]] = []
    problems: list[list[Problem]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress("validate", len(rows), "rows") as advance:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            batch = rows[start : start + ROWS_AT_ONCE]
            for row, (file, heard) in zip(batch, pool.map(listen, batch), strict=True):
                found = [heard.problem] if heard.problem else []
                normalized = None
                if not row.fault:
                    normalized, text_problems = _read_text(row.text, plugins, pack)
                    found += text_problems
                properties = (heard.samples, heard.duration_s, heard.sample_rate_hz, heard.channels, heard.finite)
                records.append((row.line, file, heard.sha256, *properties, row.text, normalized, row.speaker))
                problems.append(found)
            advance(len(batch))
    return pl.DataFrame(records, schema=MEASURED, orient="row"), problems


def _read_text(text: str, plugins: Plugins, pack: LanguagePack) -> tuple[str | None, list[Problem]]:
    """The text as the model reads it, None when there is none and a problem says why."""
    normalized, found = plugins.read_text(pack, text)
    problems = [Problem(problem.code, problem.detail) for problem in found]
    return normalized or (None if problems else ""), problems


def _split(accepted: pl.DataFrame, dataset: DatasetConfig) -> pl.DataFrame:
    """The manifest of the accepted rows.

    Raises:
        UserError: too few different texts for two sides.
    """
    split = split_clips(accepted["file"].to_list(), accepted["normalized"].to_list(), dataset.validation)
    if split.together != "recording":
        kept = "ten segments each" if split.together == "stretch" else "single clips"
        say(f"Recordings, as file names show them, are too few to hold out a whole one; held out: {kept}")
    return assemble_manifest(accepted, dataset.language.code, split.evaluation)


def _require_writable(folder: Path) -> None:
    """Fail before an hour of work rather than after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{folder}: results cannot be written there ({error.strerror}). Expected a folder that may be written, "
            "or one that can be made; choose another with --out or `results:`."
        ) from error
