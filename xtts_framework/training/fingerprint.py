"""What a training result depends on, as one short name: checkpoints lie in `checkpoints/<fingerprint>/`.

A change of anything in it is a different training, which starts in a folder of its own. What is not in it (how long,
how often, how much memory, which device) may change between two attempts of the same training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xtts_framework.config import TrainConfig
from xtts_framework.data.tables import read_table
from xtts_framework.files import sha256_of
from xtts_framework.layout import DatasetFolder, RunFolder
from xtts_framework.plugins import FreezingPlan

TRAINER_VERSION = 2
"""Raised whenever the same inputs would train other weights."""

WITHOUT_EFFECT = frozenset(
    {
        "max_steps",
        "max_epochs",
        "early_stopping_evals",
        "log_every_updates",
        "eval_every_steps",
        "save_every_steps",
        "save_every_minutes",
        "keep_best",
        "keep_last",
        "micro_batch_tokens",
        "activation_checkpointing",
        "compile",
    }
)
"""Settings that say how long, how often, with how much memory or how fast; everything else is in the fingerprint."""

DATASET_COLUMNS = ("clip_id", "normalized", "speaker", "language", "split")
FINGERPRINT_LENGTH = 12


def fingerprint_inputs(
    config: TrainConfig, base_folder: Path, run: RunFolder, datasets: Mapping[str, DatasetFolder], plan: FreezingPlan
) -> dict[str, Any]:
    """Everything the trained weights depend on, by names a person understands; values are JSON."""
    inputs: dict[str, Any] = {"trainer version": TRAINER_VERSION}
    for name, folder in datasets.items():
        inputs[f"dataset {name}"] = _hash_of_clips(folder)
        inputs[f"share of {name}"] = config.datasets[name].share
    inputs["vocabulary"] = sha256_of(run.vocab)
    inputs["base"] = base_hashes(base_folder)
    settings = config.training.model_dump(mode="json", exclude=set(WITHOUT_EFFECT))
    inputs |= {f"training.{key}": value for key, value in settings.items()}
    inputs["freezing"] = {
        "frozen_blocks": list(plan.frozen_blocks),
        "text_embedding": plan.text_embedding,
        "audio_embedding": plan.audio_embedding,
        "heads": plan.heads,
        "conditioning": plan.conditioning,
    }
    return inputs


def base_hashes(base_folder: Path) -> list[str]:
    """Of the files that training starts from; those that hear, `dvae.pth` and `mel_stats.pth`, count as features."""
    return [sha256_of(base_folder / name) for name in ("model.pth", "config.json")]


def fingerprint_of(inputs: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits."""
    canonical = json.dumps(inputs, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:FINGERPRINT_LENGTH]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each input that differs; hashes are not shown, for they tell a person nothing."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        if key not in new:
            lines.append(f"{key}: no longer there")
        elif key not in old:
            lines.append(f"{key}: new")
        elif old[key] != new[key]:
            hashed = key in {"vocabulary", "base"} or key.startswith("dataset ")
            lines.append(f"{key}: changed" if hashed else f"{key}: was {_show(old[key])}, is {_show(new[key])}")
    return lines


def _hash_of_clips(folder: DatasetFolder) -> str:
    """Hash of what training reads of a dataset: texts, split, and the features' content keys."""
    clips = read_table(folder.manifest, DATASET_COLUMNS, stage="validate")
    keys = read_table(folder.features, ["clip_id", "key"], stage="encode")
    digest = hashlib.sha256()
    for row in clips.join(keys, on="clip_id", how="left").sort("clip_id").iter_rows():
        digest.update(json.dumps(row, ensure_ascii=False).encode())
    return digest.hexdigest()


def _show(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
