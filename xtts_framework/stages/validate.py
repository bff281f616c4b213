"""Stage validate: decide for every row of the metadata whether it is fit for training, and say why not.

Reads the dataset, changes nothing in it, opens nothing outside of it. Imports neither torch nor TTS.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from xtts_framework.config import DatasetConfig, ValidateConfig
from xtts_framework.console import say
from xtts_framework.data.checks import check_dataset, check_limits, compare_clips, find_duplicates
from xtts_framework.data.findings import Findings, count_findings, describe_findings, write_findings
from xtts_framework.data.manifest import assemble_manifest
from xtts_framework.data.measuring import Problem
from xtts_framework.data.metadata import MetadataRow, describe_faults, read_metadata
from xtts_framework.data.sides import read_sides, write_sides
from xtts_framework.data.splitting import Split, split_clips
from xtts_framework.data.statistics import describe_clips
from xtts_framework.data.survey import survey_rows
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_file, write_json, write_text
from xtts_framework.layout import DatasetFolder
from xtts_framework.locks import alone
from xtts_framework.report.dataset_page import gather_dataset_page
from xtts_framework.report.render import render_page

LOCK_FILE = "validate.lock"


def validate(config: ValidateConfig, out: DatasetFolder) -> None:
    """Write what `DatasetFolder` holds of a dataset: manifest, rejects, warnings, numbers, page and sides.

    Raises:
        UserError: no dataset, metadata that cannot be read, an unknown language, a folder that cannot be written; or
            too little to train on: then all but manifest and sides is written and says why.
    """
    rows = read_rows(config.dataset)
    _require_writable(out.path, config.dataset.path)
    with alone(out.path / LOCK_FILE, "xtts validate"):
        _validate(rows, config.dataset, out)


def _validate(rows: Sequence[MetadataRow], dataset: DatasetConfig, out: DatasetFolder) -> None:
    """Measure once, check row by row, then clips against each other, then divide; write the manifest last."""
    wanted = dataset.validation
    earlier = read_sides(out.sides, wanted)
    measured, found = survey_rows(rows, dataset)
    findings = Findings(found, wanted.severity)
    findings.add(check_limits(measured, wanted))
    findings.add(find_duplicates(measured, findings.refused))
    findings.add(compare_clips(_accepted(measured, findings), wanted))

    accepted = _accepted(measured, findings)
    failure, split = "", None
    try:
        split = split_clips(accepted, wanted, earlier)
        findings.add(
            (
                accepted["index"][position],
                Problem("in_train_and_eval", f"its {trained} trains, its {tested} is held out"),
            )
            for position, (trained, tested) in split.conflicts.items()
        )
        accepted = _accepted(accepted.with_columns(_name_sides(split.evaluation)), findings)
    except UserError as error:
        failure = _explain_failure(error, dataset, len(rows), accepted.height)
        accepted = accepted.with_columns(_name_sides([False] * accepted.height))

    table = findings.tabulate(rows)
    of_dataset = [*check_dataset(accepted.filter(split="train"), wanted), *_find_leak(split)]
    description = count_findings(table, len(rows))
    description |= {"dataset": [asdict(problem) for problem in of_dataset]} | describe_clips(accepted)
    write_findings(table, "reject", measured, out.rejects)
    write_findings(table, "warn", measured, out.warnings)
    write_text(out.validation_page, render_page(gather_dataset_page(dataset, description, measured, table, failure)))
    write_json(out.validation, description)
    if split is None:
        out.manifest.unlink(missing_ok=True)
        reasons = f"{describe_findings(description, 'codes')}\n" if description["codes"] else ""
        raise UserError(
            f"{failure}\n{reasons}  What was found is listed in {out.rejects} and shown in {out.validation_page}."
        )
    write_sides(split.sides, out.sides)
    with replacing_file(out.manifest) as partial:
        assemble_manifest(accepted, dataset.language.code).write_parquet(partial)
    _tell(description, split, out)


def read_rows(dataset: DatasetConfig) -> list[MetadataRow]:
    """The rows of a dataset's metadata; those that cannot be understood are told.

    Raises:
        UserError: no dataset, or metadata that cannot be read.
    """
    if not dataset.path.is_dir():
        raise UserError(f"{dataset.path}: no such folder; expected a dataset, with {dataset.metadata} and wavs/.")
    metadata = dataset.path / dataset.metadata
    if not metadata.resolve().is_relative_to(dataset.path.resolve()):
        raise UserError(f"{metadata}: leads out of the dataset folder. Expected a file inside; copy it there.")
    rows = read_metadata(metadata)
    if any(row.fault for row in rows):
        say(describe_faults(rows, metadata))
    return rows


def _accepted(measured: pl.DataFrame, findings: Findings) -> pl.DataFrame:
    """Rows of a table that are not refused."""
    refused = [index for index, is_refused in enumerate(findings.refused) if is_refused]
    return measured.filter(~pl.col("index").is_in(refused))


def _name_sides(evaluation: Sequence[bool]) -> pl.Series:
    return pl.Series("split", ["eval" if held_out else "train" for held_out in evaluation], dtype=pl.String)


def _find_leak(split: Split | None) -> Iterator[Problem]:
    """Whether segments of one recording train and are held out, for want of recordings."""
    if split and split.sides.together in ("stretch", "text"):
        kept = "stretches of ten segments" if split.sides.together == "stretch" else "single clips"
        yield Problem("recording_in_train_and_eval", f"too few recordings to hold out a whole one; held out: {kept}")


def _explain_failure(error: UserError, dataset: DatasetConfig, rows: int, accepted: int) -> str:
    if accepted:
        return str(error)
    metadata = dataset.path / dataset.metadata
    return f"{metadata}: not one of {rows} rows is fit for training. A row may have several reasons:"


def _tell(description: dict[str, Any], split: Split, out: DatasetFolder) -> None:
    """The outcome, for the log."""
    if split.afresh:
        say(f"What {out.sides} remembers would leave one side without clips; divided afresh")
    say(
        f"{description['rows']} rows: {description['accepted']} accepted ({description['train']} to train, "
        f"{description['eval']} to evaluate, {description['hours']:.2f} h), {description['rejected']} rejected, "
        f"{description['warned']} accepted with a warning"
    )
    for kind, file in (("codes", out.rejects), ("warnings", out.warnings)):
        if description[kind]:
            say(f"{describe_findings(description, kind)}\n  All of them are listed in {file}.")
    for problem in description["dataset"]:
        say(f"warning: {problem['code']}: {problem['detail']}")
    say(f"{out.validation_page}: what was found, with players for the worst")


def _require_writable(folder: Path, dataset: Path) -> None:
    """Fail before an hour of work rather than after it; and never write into a dataset."""
    if folder.resolve().is_relative_to(dataset.resolve()):
        raise UserError(f"{folder}: is in the dataset {dataset}, which is only read. Choose another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{folder}: results cannot be written there ({error.strerror}). Expected a folder that may be written, "
            "or one that can be made; choose another with --out or `results:`."
        ) from error
