"""What changes the result changes the fingerprint and is named; what does not, does not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_training import DATASET, Prepared, config_with

from xtts_framework.config import TrainingConfig
from xtts_framework.layout import DatasetFolder
from xtts_framework.plugins import FreezingPlan
from xtts_framework.training.fingerprint import WITHOUT_EFFECT, differences, fingerprint_inputs, fingerprint_of

PLAN = FreezingPlan((0,), True, True, True, True, "because")
OTHER_VALUES: dict[str, Any] = {
    "learning_rate": 1e-4,
    "milestones": [7],
    "gamma": 0.9,
    "batch_size": 3,
    "grad_accum": 5,
    "max_steps": 9,
    "max_epochs": 3,
    "weight_decay": 0.5,
    "betas": (0.8, 0.9),
    "eps": 1e-7,
    "new_token_lr_scale": 2.0,
    "max_grad_norm": 1.0,
    "mel_loss_weight": 2.0,
    "text_loss_weight": 0.25,
    "dropout": 0.2,
    "conditioning": "speaker",
    "mask_conditioned_loss": True,
    "precision": "bf16",
    "seed": 9,
    "log_every_updates": 3,
    "eval_every_steps": 99,
    "save_every_steps": 99,
    "save_every_minutes": 1.0,
    "keep_best": 9,
    "keep_last": 9,
    "early_stopping_evals": 2,
    "micro_batch_tokens": 5000,
    "activation_checkpointing": True,
    "compile": True,
    "warmup_steps": 1,
    "ema_decay": 0.5,
    "label_smoothing": 0.1,
}


def inputs_of(prepared: Prepared, plan: FreezingPlan = PLAN, **training: Any) -> dict[str, Any]:
    from xtts_framework.layout import RunFolder

    run = RunFolder(prepared.vocab.parent.parent)
    return fingerprint_inputs(config_with(**training), prepared.base, run, {DATASET: prepared.dataset}, plan)


def test_every_setting_is_tried_below() -> None:
    assert OTHER_VALUES.keys() == TrainingConfig.model_fields.keys()


@pytest.mark.parametrize("key", sorted(OTHER_VALUES))
def test_settings_change_the_fingerprint_unless_they_change_no_result(prepared: Prepared, key: str) -> None:
    before, after = inputs_of(prepared), inputs_of(prepared, **{key: OTHER_VALUES[key]})
    if key in WITHOUT_EFFECT:
        assert fingerprint_of(before) == fingerprint_of(after)
    else:
        assert fingerprint_of(before) != fingerprint_of(after)
        [line] = differences(before, after)
        assert line.startswith(f"training.{key}: was ")


def test_freezing_counts_and_its_explanation_does_not(prepared: Prepared) -> None:
    before = fingerprint_of(inputs_of(prepared))
    assert before == fingerprint_of(inputs_of(prepared, replace(PLAN, reason="otherwise put")))
    assert before != fingerprint_of(inputs_of(prepared, replace(PLAN, heads=False)))


@pytest.mark.parametrize(("column", "counts"), [("normalized", True), ("split", True), ("line", False)])
def test_dataset_counts_by_what_training_reads_of_it(
    prepared: Prepared, tmp_path: Path, column: str, counts: bool
) -> None:
    before = inputs_of(prepared)
    changed = DatasetFolder(tmp_path)
    shutil.copy(prepared.dataset.features, changed.features)
    manifest = pl.read_parquet(prepared.dataset.manifest)
    other = pl.Series(column, manifest[column].reverse())
    manifest.with_columns(other).write_parquet(changed.manifest)
    after = inputs_of(Prepared(prepared.base, changed, prepared.vocab))
    assert (differences(before, after) == [f"dataset {DATASET}: changed"]) == counts
    assert (before == after) != counts


def test_differences_name_what_came_and_went() -> None:
    assert differences({"a": 1, "b": 2}, {"b": 3, "c": 4}) == ["a: no longer there", "b: was 2, is 3", "c: new"]
