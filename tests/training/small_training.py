"""What a training starts from: real speech, real features, a real vocabulary, and a recipe of four small updates."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import soundfile
import yaml

from xtts_framework.config import (
    EncodeConfig,
    FreezingConfig,
    LanguageConfig,
    TokenizeConfig,
    TokenizerConfig,
    TrainConfig,
)
from xtts_framework.files import sha256_of
from xtts_framework.layout import DatasetFolder, RunFolder
from xtts_framework.stages.demo_data import FAULTY_SENTENCES

XTTS = Path(sys.executable).with_name("xtts")
DATASET = "speech"
EVAL_CLIPS = 4
FAST = {
    "learning_rate": 1e-3,
    "batch_size": 2,
    "grad_accum": 2,
    "max_steps": 8,
    "eval_every_steps": 4,
    "save_every_steps": 4,
    "text_loss_weight": 0.5,
}
"""Four samples per update, four updates."""
ONE_EPOCH: dict[str, Any] = {"milestones": [3, 6], "dropout": 0.0, "max_epochs": 1, "max_steps": 100}
"""Five updates are one epoch of the twenty clips."""
LOSS_TOLERANCE = 1e-5
"""Relative; sums of another number of processes differ in their last bits."""


@dataclass(frozen=True)
class Prepared:
    """What every training of these tests starts from; only read."""

    base: Path
    dataset: DatasetFolder
    vocab: Path

    def new_run(self, path: Path) -> RunFolder:
        run = RunFolder(path)
        run.vocab.parent.mkdir(parents=True)
        shutil.copy(self.vocab, run.vocab)
        return run

    def arguments(self, run: RunFolder, config: TrainConfig) -> list[str]:
        """Command line of `xtts train`."""
        file = run.path / "train.yaml"
        file.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
        dataset = f"{DATASET}={self.dataset.path}"
        return ["--config", str(file), "--base", str(self.base), "--out", str(run.path), "--dataset", dataset]

    def command(self, run: RunFolder, recipe: dict[str, Any]) -> list[str]:
        """Command line of `xtts` that trains on the CPU."""
        return ["train", "--device", "cpu", *self.arguments(run, config_with(**recipe))]


def config_with(freezing: dict[str, Any] | None = None, **training: Any) -> TrainConfig:
    """A training of four small updates, with changes."""
    return TrainConfig.model_validate(
        {
            "datasets": {DATASET: {}},
            "languages": {DATASET: LanguageConfig(code="am")},
            "training": FAST | training,
            "freezing": FreezingConfig.model_validate({"policy": "none"} | (freezing or {})),
        }
    )


def read_curve(run: RunFolder) -> list[dict[str, Any]]:
    """All records of a training, without what depends on the clock on the wall."""
    records = map(json.loads, run.metrics.read_text(encoding="utf-8").splitlines())
    return [{key: value for key, value in record.items() if key != "clips_per_s"} for record in records]


def curve(run: RunFolder, kind: str) -> list[dict[str, float]]:
    """The records of one kind."""
    records = [record for record in read_curve(run) if record["kind"] == kind]
    return [{key: value for key, value in record.items() if key != "kind"} for record in records]


def assert_same_curve(one: RunFolder, other: RunFolder) -> None:
    for kind in ("train", "eval"):
        assert len(curve(one, kind)) == len(curve(other, kind)) > 0
        for left, right in zip(curve(one, kind), curve(other, kind), strict=True):
            assert left == pytest.approx(right, rel=LOSS_TOLERANCE)


def run_command(arguments: list[str], log: Path) -> None:
    """`xtts` with these arguments, its log in a file; for a process of its own."""
    from xtts_framework.cli.main import main

    sys.argv = ["xtts", *arguments]
    with log.open("w", encoding="utf-8") as sys.stderr:
        main()


def prepare(folder: Path, speech: Path, base: Path) -> None:
    from xtts_framework.stages.encode import encode
    from xtts_framework.stages.tokenize import tokenize

    dataset, run = DatasetFolder(folder / "dataset"), RunFolder(folder / "run")
    dataset.path.mkdir()
    _manifest(speech).write_parquet(dataset.manifest)
    encode(EncodeConfig(dataset_path=speech), base, dataset)
    config = TokenizeConfig(languages={DATASET: LanguageConfig(code="am")}, tokenizer=TokenizerConfig(new_tokens=500))
    tokenize(config, base, {DATASET: dataset}, run)


def _manifest(speech: Path) -> pl.DataFrame:
    """The good clips of the demo data, the last ones for evaluation."""
    texts = dict(line.split("|")[:2] for line in (speech / "metadata.csv").read_text(encoding="utf-8").splitlines())
    wavs = [wav for wav in sorted((speech / "wavs").glob("*.wav")) if texts[wav.name] not in FAULTY_SENTENCES]
    rows = []
    for line, wav in enumerate(wavs, start=1):
        info = soundfile.info(wav)
        rows.append(
            {
                "clip_id": wav.stem,
                "line": line,
                "file": f"wavs/{wav.name}",
                "audio_sha256": sha256_of(wav),
                "duration_s": info.duration,
                "sample_rate_hz": info.samplerate,
                "channels": info.channels,
                "text": texts[wav.name],
                "normalized": texts[wav.name],
                "speaker": wav.stem.partition("_")[2],
                "language": "am",
                "split": "eval" if line > len(wavs) - EVAL_CLIPS else "train",
            }
        )
    return pl.DataFrame(rows)
