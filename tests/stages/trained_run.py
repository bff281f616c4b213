"""A run that has been trained and selected, and its bundle: real speech, base, vocabulary and checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars
import soundfile

from xtts_framework.config import (
    ExportConfig,
    LanguageConfig,
    SynthesisConfig,
    SynthesizeConfig,
    TokenizeConfig,
    TokenizerConfig,
    TrainingConfig,
)
from xtts_framework.files import sha256_of, write_json
from xtts_framework.layout import DatasetFolder, RunFolder

if TYPE_CHECKING:
    from torch import Tensor

FINGERPRINT = "0123456789ab"
LOSSES = {8: 5.9, 16: 5.2, 24: 5.5}
"""Step -> evaluation loss of the checkpoints; 16 is the best."""
AMHARIC = LanguageConfig(code="am")


@dataclass(frozen=True)
class TrainedRun:
    """Results of a run up to `select`. Read-only by agreement: `copied` gives one to change."""

    folder: Path
    base: Path
    recordings: Path

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.folder / "runs" / "spoken")

    @property
    def dataset(self) -> DatasetFolder:
        return DatasetFolder(self.folder / "datasets" / "speech")

    @property
    def datasets(self) -> dict[str, DatasetFolder]:
        return {"speech": self.dataset}

    @property
    def export_config(self) -> ExportConfig:
        return ExportConfig(
            run="spoken",
            base="bases/tiny",
            languages={"speech": AMHARIC},
            dataset_paths={"speech": self.recordings},
            training=TrainingConfig(learning_rate=3e-4),
        )

    def synthesize_config(self, **synthesis: Any) -> SynthesizeConfig:
        return SynthesizeConfig(
            synthesis=SynthesisConfig(**synthesis),
            languages={"speech": AMHARIC},
            dataset_paths={"speech": self.recordings},
        )

    def checkpoint(self, step: int) -> Path:
        return self.run.checkpoints / FINGERPRINT / f"step-{step:08}"

    def copied(self, destination: Path) -> TrainedRun:
        shutil.copytree(self.folder, destination)
        return TrainedRun(destination, self.base, self.recordings)


def train(trained: TrainedRun) -> None:
    """Everything that training would leave behind, with weights that were moved by chance instead of gradients."""
    from xtts_framework.stages.select import select
    from xtts_framework.stages.tokenize import tokenize
    from xtts_framework.training.checkpoint import save_checkpoint
    from xtts_framework.training.fingerprint import base_hashes

    _write_dataset(trained)
    tokenizing = TokenizeConfig(languages={"speech": AMHARIC}, tokenizer=TokenizerConfig(new_tokens=500))
    tokenize(tokenizing, trained.base, trained.datasets, trained.run)
    for step, loss in LOSSES.items():
        metrics = {"loss_total": loss, "loss_mel": loss - 0.1, "loss_text": 2.0}
        state = {
            "step": step,
            "metrics": metrics,
            "vocab_sha256": sha256_of(trained.run.vocab),
            "fingerprint_inputs": {"base": base_hashes(trained.base)},
        }
        weights = _weights(trained.base, trained.run.vocab, seed=step)
        save_checkpoint(trained.run.checkpoints / FINGERPRINT, weights, None, state)
    write_json(
        trained.run.summary,
        {
            "fingerprint": FINGERPRINT,
            "steps": 24,
            "eval": {
                "first": {"step": 0, "loss_total": 6.4, "loss_mel": 6.3, "loss_text": 5.0},
                "best": {"step": 16, "loss_total": 5.2, "loss_mel": 5.1, "loss_text": 2.0},
            },
            "eval_unigram_entropy": 5.4,
            "datasets": {"speech": {"train": 20, "eval": 4, "hours": 0.02}},
        },
    )
    select(trained.run)


def _write_dataset(trained: TrainedRun) -> None:
    """The manifest of the good clips, the last four for evaluation, and of their features which base heard them."""
    from xtts_framework.model.base import read_base
    from xtts_framework.plugins.registry import load_plugins

    pack = load_plugins().pack("am", {})
    lines = (trained.recordings / "metadata.csv").read_text(encoding="utf-8").splitlines()
    rows = []
    for line, content in enumerate(lines, start=1):
        name, text = content.split("|")[:2]
        file = trained.recordings / "wavs" / name
        if not file.is_file() or pack.check(text, pack.normalize(text)):
            continue
        header = soundfile.info(file)
        rows.append(
            {
                "clip_id": file.stem,
                "line": line,
                "file": f"wavs/{name}",
                "audio_sha256": sha256_of(file),
                "duration_s": header.duration,
                "sample_rate_hz": header.samplerate,
                "channels": header.channels,
                "text": text,
                "normalized": pack.normalize(text),
                "speaker": "",
                "language": "am",
                "split": "train",
            }
        )
    for row in rows[-4:]:
        row["split"] = "eval"
    trained.dataset.path.mkdir(parents=True)
    polars.DataFrame(rows).write_parquet(trained.dataset.manifest)
    heard_by = {"base_features_key": [read_base(trained.base).features_key] * len(rows)}
    polars.DataFrame(heard_by).write_parquet(trained.dataset.features)


def _weights(base_folder: Path, vocab: Path, seed: int) -> dict[str, Tensor]:
    import torch

    from xtts_framework.model.base import load_gpt, read_base
    from xtts_framework.model.rows import extend_text_rows
    from xtts_framework.text.tokenizer import XttsTokenizer

    gpt = load_gpt(read_base(base_folder))
    extend_text_rows(gpt, XttsTokenizer(vocab, {}).get_number_tokens(), {}, seed=1)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + 0.01 * torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        for name, tensor in gpt.state_dict().items()
    }
