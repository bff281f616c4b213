"""What a plan starts from: configuration, validated clips, and whatever else is there already.

Imports torch only to look into a base.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from xtts_framework.audio.rates import HOP, SAMPLE_RATE_HZ, SAMPLES_PER_CODE
from xtts_framework.config import DatasetUse, LanguageConfig, ProjectConfig, TrainingConfig
from xtts_framework.data.tables import read_table
from xtts_framework.errors import UserError
from xtts_framework.files import read_json
from xtts_framework.layout import DatasetFolder, RunFolder
from xtts_framework.model.base import Base, load_model_state, read_base
from xtts_framework.model.cost import XTTS_V2_ARGS, XTTS_V2_TEXT_ROWS, Architecture, ClipSize
from xtts_framework.model.freezing import resolve_freezing
from xtts_framework.planning.bench_file import read_rows
from xtts_framework.planning.plan import (
    EmbeddingSpread,
    PlannedClip,
    PlannedDataset,
    RunPlan,
    Speed,
    average_clip,
    plan_run,
)
from xtts_framework.plugins import load_plugins
from xtts_framework.text.vocabulary import row_count
from xtts_framework.training.prompts import mean_prompt_frames

COLUMNS = ["clip_id", "duration_s", "normalized", "split"]
ASSUMED_STD = 0.02
"""Standard deviation with which GPT-2, and so XTTS, starts its embeddings. Source: transformers, `GPT2Config`."""


def plan_runs(
    project: ProjectConfig, run_name: str | None = None, *, clips_per_s: float | None = None, bench_file: Path
) -> list[RunPlan]:
    """Plan one run, or all.

    Args:
        clips_per_s: the speed; None: what the run's last training or, before it, `xtts bench` measured.
        bench_file: rows of `xtts bench`; it need not exist.
    Raises:
        UserError: no such run; a dataset that is not validated yet, or without a training clip; a damaged base.
    """
    if run_name is not None and run_name not in project.runs:
        raise UserError(f"no run {run_name!r} in the configuration; there are {', '.join(sorted(project.runs))}.")
    base = read_base(project.base_folder) if project.base_folder.is_dir() else None
    spread = _measure_spread(base)
    names = list(project.runs) if run_name is None else [run_name]
    return [_plan_one(project, name, base, spread, clips_per_s, bench_file) for name in names]


def _plan_one(
    project: ProjectConfig,
    name: str,
    base: Base | None,
    spread: EmbeddingSpread,
    clips_per_s: float | None,
    bench_file: Path,
) -> RunPlan:
    config, folder = project.runs[name], RunFolder(project.results / "runs" / name)
    assumptions = [] if base else [f"{project.base_folder} is not there yet: the model has XTTS-v2's sizes"]
    base_rows = base.args["gpt_number_text_tokens"] if base else XTTS_V2_TEXT_ROWS
    tokenizer = _read_tokenizer(folder.vocab)
    rows = row_count(tokenizer) if tokenizer else base_rows + config.tokenizer.new_tokens
    if tokenizer is None:
        assumptions.append(
            f"{folder.vocab} is not there yet: {config.tokenizer.new_tokens} new tokens, and one text id for each "
            "character, the most there can be"
        )
    counter = _TextCounter(folder.vocab if tokenizer else None)
    datasets = []
    for dataset_name, use in config.datasets.items():
        language = project.datasets[dataset_name].language
        results = DatasetFolder(project.results / "datasets" / dataset_name)
        if not results.features.is_file():
            assumptions.append(f"{results.features} is not there yet: lengths in codes follow from seconds")
        datasets.append(_read_dataset(dataset_name, use, language, results, counter))
    architecture = Architecture.of(base.args if base else XTTS_V2_ARGS, rows)
    main = [dataset for dataset in datasets if dataset.share is None]
    main_language = project.datasets[main[0].name].language
    plugins = load_plugins()
    freezing = resolve_freezing(
        config.freezing,
        plugins,
        plugins.pack(main_language.code, main_language.options),
        training_clips=sum(len(dataset.clips) for dataset in main),
        blocks=architecture.layers,
    )
    clip = average_clip(datasets, architecture)
    return plan_run(
        name,
        config.training,
        config.freezing,
        datasets=datasets,
        clip=clip,
        architecture=architecture,
        new_rows=max(0, rows - base_rows),
        plan=freezing,
        spread=spread,
        speed=_find_speed(clips_per_s, folder, bench_file, config.training, architecture, clip.gflop),
        free_disk=_free_disk(project.results),
        assumptions=assumptions,
    )


# Clips


class _TextCounter:
    """Text ids of normalised texts: exactly with a run's vocabulary, at most without one."""

    def __init__(self, vocab: Path | None) -> None:
        from tokenizers import Tokenizer

        self._vocab = vocab
        self._tokenizer = Tokenizer.from_file(str(vocab)) if vocab else None

    def count(self, texts: Sequence[str], code: str) -> list[int]:
        from xtts_framework.text.tokenizer import encode_texts, language_tag

        if self._tokenizer is None:
            return [len(text) + 1 for text in texts]
        if self._tokenizer.token_to_id(language_tag(code)) is None:
            raise UserError(
                f"{self._vocab}: the vocabulary has no token {language_tag(code)}; it was made for other datasets.\n"
                "  Run `snakemake`, or `xtts tokenize`, again; or delete it to plan without it."
            )
        return [len(encoding) for encoding in encode_texts(self._tokenizer, code, texts)]


def _read_dataset(
    name: str, use: DatasetUse, language: LanguageConfig, folder: DatasetFolder, counter: _TextCounter
) -> PlannedDataset:
    if not folder.manifest.is_file():
        raise UserError(
            f"{folder.manifest}: missing; dataset {name!r} is not validated yet, and a plan counts validated clips.\n"
            f"  Run `snakemake {folder.manifest}`, which calls `xtts validate`, then plan again."
        )
    manifest = read_table(folder.manifest, COLUMNS, stage="validate")
    training = _with_lengths(manifest.filter(pl.col("split") == "train"), folder)
    if training.is_empty():
        raise UserError(f"{folder.manifest}: no training clip; dataset {name} needs at least one.")
    text_ids = counter.count(training["normalized"].to_list(), language.code)
    clips = [
        PlannedClip(f"{name}/{clip_id}", duration_s, ClipSize(ids, codes, mean_prompt_frames(frames)))
        for clip_id, duration_s, ids, codes, frames in zip(
            training["clip_id"], training["duration_s"], text_ids, training["codes"], training["frames"], strict=True
        )
    ]
    return PlannedDataset(name, use.share, clips, eval_clips=manifest.filter(pl.col("split") == "eval").height)


def _with_lengths(clips: pl.DataFrame, folder: DatasetFolder) -> pl.DataFrame:
    """Add `codes` and `frames`: as encoded, else from the duration."""
    samples = (pl.col("duration_s") * SAMPLE_RATE_HZ).round()
    from_duration = clips.with_columns(
        (samples / SAMPLES_PER_CODE).ceil().cast(pl.Int64).alias("codes"),
        (samples // HOP + 1).cast(pl.Int64).alias("frames"),
    )
    if not folder.features.is_file():
        return from_duration
    index = read_table(folder.features, ["clip_id", "codes_length", "mel_frames"], stage="encode")
    joined = from_duration.join(index, on="clip_id", how="left", maintain_order="left")
    return joined.with_columns(
        pl.coalesce("codes_length", "codes").alias("codes"), pl.coalesce("mel_frames", "frames").alias("frames")
    )


# What is there already


def _read_tokenizer(vocab: Path) -> dict[str, Any] | None:
    from xtts_framework.text.vocabulary import read_vocab

    return read_vocab(vocab) if vocab.is_file() else None


def _measure_spread(base: Base | None) -> EmbeddingSpread:
    if base is None:
        return EmbeddingSpread(ASSUMED_STD, "assumed: what GPT-2 starts with")
    embedding = load_model_state(base)["gpt.text_embedding.weight"].float()
    return EmbeddingSpread(float(embedding.std(dim=0, correction=0).mean()), f"measured in {base.folder}")


def _find_speed(
    given: float | None,
    run: RunFolder,
    bench_file: Path,
    config: TrainingConfig,
    architecture: Architecture,
    gflop_per_clip: float,
) -> Speed | None:
    """The speed that was given; else this run's own; else that of the last fitting row of `xtts bench`, by work."""
    if given is not None:
        return Speed(given, "as given")
    if run.summary.is_file():
        summary = read_json(run.summary)
        if summary.get("clips_per_s"):
            return Speed(summary["clips_per_s"], f"{run.summary}, on {summary['device']}")
    wanted = [str(part) for part in (architecture.layers, architecture.channels, config.precision, config.compile)]
    for row in reversed(read_rows(bench_file)):
        if [row["layers"], row["channels"], row["precision"], row["compile"]] == wanted:
            scaled = float(row["clips_per_s"]) * float(row["gflop_per_clip"]) / gflop_per_clip
            source = f"{bench_file} of {row['date'][:10]}, on {row['device']}; scaled to the work of these clips"
            return Speed(scaled, source)
    return None


def _free_disk(results: Path) -> int:
    existing = next(folder for folder in (results.absolute(), *results.absolute().parents) if folder.is_dir())
    return shutil.disk_usage(existing).free
