"""`xtts validate`: check a dataset row by row."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("validate")
@click.option("--config", type=click.Path(path_type=Path), help="Slice of the configuration.")
@click.option("--dataset", type=click.Path(path_type=Path), help="Dataset folder, checked with default settings.")
@click.option("--language", help="Language code of the dataset, with --dataset.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the dataset's results.")
@click.option("--fix", type=click.Path(path_type=Path), help="New folder: a copy with what can be mended.")
def command(
    config: Path | None, dataset: Path | None, language: str | None, out: Path | None, fix: Path | None
) -> None:
    """Check every row of a dataset's metadata, its recording and its text.

    Writes OUT/manifest.parquet, the rows that are fit for training, divided into train and eval; OUT/rejects.csv, the
    others, each with all its reasons; OUT/warnings.csv, what to look at; and OUT/validation.json and validation.html,
    the numbers and the worst rows to listen to. When no row is fit there is no manifest, and the command fails with a
    summary of the reasons.

    With --fix, writes a copy of the dataset: silence cut off, quiet speech raised, everything mono WAV; and
    FIX/fixes.csv, what was done to each row. The dataset itself is only read.
    """
    from xtts_framework.config import DatasetConfig, LanguageConfig, ValidateConfig, read_config
    from xtts_framework.layout import DatasetFolder
    from xtts_framework.stages.mend import write_mended_copy
    from xtts_framework.stages.validate import validate

    if bool(config) == bool(dataset) or bool(dataset) != bool(language):
        raise click.UsageError("give either --config, or --dataset and --language")
    if not out and not fix:
        raise click.UsageError("say where to write: --out for the findings, --fix for a mended copy")
    if config:
        wanted = read_config(config, ValidateConfig)
    else:
        assert dataset is not None and language is not None, "checked above"
        wanted = ValidateConfig(dataset=DatasetConfig(path=dataset, language=LanguageConfig(code=language)))
    if out:
        validate(wanted, DatasetFolder(out))
    if fix:
        write_mended_copy(wanted, fix)
