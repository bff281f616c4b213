"""A training from its inputs to `summary.json`: what is logged, what takes effect, what is refused."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from small_training import DATASET, EVAL_CLIPS, Prepared, config_with, read_curve

from xtts_framework.config import TrainConfig
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, sha256_of
from xtts_framework.layout import DatasetFolder, RunFolder
from xtts_framework.model import base as base_module
from xtts_framework.stages.select import select
from xtts_framework.stages.train import train
from xtts_framework.training import evaluation as evaluation_module
from xtts_framework.training import update as update_module

TrainOnce = Callable[..., RunFolder]


def records(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    return [record for record in read_curve(run) if record["kind"] == kind]


def saved_weights(run: RunFolder) -> dict[str, torch.Tensor]:
    last = read_json(run.summary)["checkpoints"][-1]
    weights: dict[str, torch.Tensor] = load_file(run.path / last["folder"] / "model.safetensors")
    return weights


def test_a_whole_training(prepared: Prepared, train_once: TrainOnce, capsys: pytest.CaptureFixture[str]) -> None:
    """One training, many promises: rate, log, TensorBoard, summary, selection, inputs left alone."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    before = {path: sha256_of(path) for path in sorted(prepared.base.iterdir())}
    run = train_once(milestones=[3, 6, 100], gamma=0.5)
    log = capsys.readouterr().err

    rates = {record["step"]: record["lr"] for record in records(run, "train")}
    assert rates == {2: 1e-3, 4: 1e-3, 6: 5e-4, 8: 2.5e-4}
    assert log.count("Step 3: LR dropped to 0.0005 (in force from step 4)") == 1
    assert log.count("Step 6: LR dropped to 0.00025 (in force from step 6)") == 1
    assert "milestone 100 is not reached: the training ends at step 8" in log
    assert "warning: batch_size is 2, not 4" in log
    assert [record["step"] for record in records(run, "eval")] == [0, 4, 8]
    for record in records(run, "train") + records(run, "eval"):
        assert record["loss_total"] == pytest.approx(record["loss_mel"] + 0.5 * record["loss_text"])

    events = EventAccumulator(str(run.training)).Reload()
    tags = {f"train/{name}" for name in ("loss_total", "loss_mel", "loss_text", "grad_norm", "lr")}
    tags |= {f"eval/{name}" for name in ("loss_total", "loss_mel", "loss_text")}
    assert tags <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("train/loss_mel")] == [2, 4, 6, 8]
    assert [event.value for event in events.Scalars("train/lr")] == pytest.approx(list(rates.values()))

    summary = read_json(run.summary)
    assert (summary["steps"], summary["updates"], summary["samples_seen"]) == (8, 4, 16)
    assert summary["eval"]["first"]["step"] == 0
    assert summary["eval"]["best"]["loss_total"] < summary["eval"]["first"]["loss_total"]
    assert [change["boundary"] for change in summary["learning_rate_changes"]] == [4, 6]
    assert 0 < summary["eval_unigram_entropy"] < math.log(1026)
    assert summary["datasets"][DATASET]["eval"] == EVAL_CLIPS
    assert summary["skipped_batches"] == 0 and summary["clips_per_s"] > 0 and summary["wall_s"] > 0

    select(run)
    selected = read_json(run.selected)
    losses = {candidate["step"]: candidate["loss_total"] for candidate in selected["candidates"]}
    assert selected["step"] == min(losses, key=lambda step: losses[step]) == summary["eval"]["best"]["step"]

    assert before == {path: sha256_of(path) for path in sorted(prepared.base.iterdir())}

    train(config_with(milestones=[3, 6, 100], gamma=0.5), prepared.base, run, {DATASET: prepared.dataset}, device="cpu")
    assert read_json(run.summary) == summary
    assert len(records(run, "train")) == 4


def test_more_steps_continue_and_equal_a_longer_training(train_once: TrainOnce, prepared: Prepared) -> None:
    run, longer = train_once(max_steps=4), train_once("longer")
    train(config_with(), prepared.base, run, {DATASET: prepared.dataset}, device="cpu")
    for name, tensor in saved_weights(longer).items():
        assert torch.equal(tensor, saved_weights(run)[name]), name


def test_changed_rate_starts_a_new_folder_and_names_the_old_one(
    train_once: TrainOnce, prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_once(max_steps=2)
    [old] = run.checkpoints.iterdir()
    kept = sorted(path for path in old.rglob("*") if path.is_file())
    first_metrics = run.metrics.read_text(encoding="utf-8")
    capsys.readouterr()

    def again(**changes: Any) -> None:
        config = config_with(**{"max_steps": 2} | changes)
        train(config, prepared.base, run, {DATASET: prepared.dataset}, device="cpu")

    again(learning_rate=1e-4)
    log = capsys.readouterr().err
    assert str(old) in log and "training.learning_rate: was 0.001, is 0.0001" in log
    assert all(path.exists() for path in kept) and len(list(run.checkpoints.iterdir())) == 2
    assert [record["lr"] for record in records(run, "train")] == [1e-4]

    again()
    assert run.metrics.read_text(encoding="utf-8") == first_metrics

    checkpoint = next(iter(sorted(old.glob("step-*"), reverse=True)))
    config = config_with(learning_rate=1e-4)
    with pytest.raises(UserError, match=r"training\.learning_rate: was 0\.001, is 0\.0001"):
        train(config, prepared.base, run, {DATASET: prepared.dataset}, device="cpu", resume=checkpoint)


def test_restart_begins_again(train_once: TrainOnce, prepared: Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    run = train_once(max_steps=4)
    before, weights = records(run, "train"), saved_weights(run)
    train(config_with(max_steps=4), prepared.base, run, {DATASET: prepared.dataset}, device="cpu", restart=True)
    assert "from the beginning" in capsys.readouterr().err.split("discarded")[1]
    assert [record["loss_mel"] for record in records(run, "train")] == [record["loss_mel"] for record in before]
    assert all(torch.equal(tensor, weights[name]) for name, tensor in saved_weights(run).items())


def test_frozen_parts_stay_and_the_others_move(train_once: TrainOnce, prepared: Prepared) -> None:
    run = train_once(freezing={"frozen_blocks": [0, 1], "conditioning": False}, max_steps=2)
    original = base_module.load_gpt(base_module.read_base(prepared.base)).state_dict()
    frozen = ("gpt.h.0.", "gpt.h.1.", "conditioning_encoder.", "conditioning_perceiver.")
    for name, tensor in saved_weights(run).items():
        same = torch.equal(tensor[: len(original[name])], original[name])
        assert same == name.startswith(frozen), name
    assert read_json(run.summary)["freezing"]["frozen"] > 0


def test_early_stopping_stops_and_selects_an_earlier_checkpoint(train_once: TrainOnce) -> None:
    """At an absurd rate things soon get worse."""
    run = train_once(learning_rate=0.1, eval_every_steps=2, max_steps=100, early_stopping_evals=2)
    summary = read_json(run.summary)
    assert summary["stop_reason"] == "early stopping: no improvement in 2 evaluations"
    best = summary["eval"]["best"]["step"]
    assert summary["steps"] == best + 2 * 2 < 100
    select(run)
    assert read_json(run.selected)["step"] == best


def test_all_options_work_together_and_replay_gets_its_share(
    prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"conditioning": "speaker", "mask_conditioned_loss": True, "precision": "bf16", "max_grad_norm": 1.0}
    config = config_with(freezing={"policy": "auto"}, new_token_lr_scale=5.0, max_steps=4, **options).model_dump()
    config["datasets"]["replay"] = {"share": 0.25}
    config["languages"]["replay"] = config["languages"][DATASET]
    run = prepared.new_run(tmp_path / "run")
    datasets = {DATASET: prepared.dataset, "replay": prepared.dataset}
    train(TrainConfig.model_validate(config), prepared.base, run, datasets, device="cpu")
    summary = read_json(run.summary)
    assert summary["eval"]["best"]["loss_total"] < summary["eval"]["first"]["loss_total"]
    assert summary["freezing"]["frozen"] > 0 and summary["datasets"]["replay"]["train"] == 20
    state = read_json(run.path / summary["checkpoints"][-1]["folder"] / "state.json")
    assert state["sampler"] == {"": 6, "replay": 2}
    assert "dataset replay: 20 training clips" in capsys.readouterr().err


def test_epochs_end_a_training_too(train_once: TrainOnce) -> None:
    summary = read_json(train_once(max_epochs=1, max_steps=1000, eval_every_steps=1000).summary)
    assert summary["samples_seen"] == 20 and summary["stop_reason"] == "max_epochs 1 reached"


def test_evaluation_covers_every_clip_once_and_repeats_itself(
    train_once: TrainOnce, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    original = evaluation_module.pack_clips

    def pack(clips: Any, gpt: Any) -> Any:
        seen.extend(clip.clip_id for clip in clips)
        return original(clips, gpt)

    monkeypatch.setattr(evaluation_module, "pack_clips", pack)
    first, second = (
        train_once(name, max_steps=2, micro_batch_tokens=tokens) for name, tokens in (("a", 1100), ("b", 8192))
    )
    manifest = pl.read_parquet(prepared.dataset.manifest).filter(split="eval")
    assert sorted(seen) == sorted(4 * [f"{DATASET}/{clip}" for clip in manifest["clip_id"]])
    for one, other in zip(records(first, "eval"), records(second, "eval"), strict=True):
        assert [one["loss_mel"], one["loss_text"]] == pytest.approx([other["loss_mel"], other["loss_text"]], rel=1e-5)


def test_three_updates_that_are_not_finite_stop_the_run_and_are_written_down(
    train_once: TrainOnce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = update_module.packed_losses

    def broken(gpt: Any, batch: Any, **options: Any) -> Any:
        sums = original(gpt, batch, **options)
        return type(sums)(sums.mel_C * math.nan, sums.text_C, sums.mel_tokens, sums.text_tokens)

    monkeypatch.setattr(update_module, "packed_losses", broken)
    with pytest.raises(UserError, match="3 updates in a row were not finite"):
        train_once(max_steps=100)
    [skipped, *others] = sorted((tmp_path / "run" / "training" / "skipped").iterdir())
    assert len(others) == 2 and len(read_json(skipped)["broken"]) == 4
    assert "update 0: skipped, the loss of speech/" in capsys.readouterr().err


@pytest.mark.parametrize("broken", ["set_up_training", "_run"])
def test_a_training_that_fails_twice_alike_is_not_tried_a_third_time(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no memory")

    run = prepared.new_run(tmp_path / "run")

    def attempt() -> None:
        train(config_with(max_steps=2), prepared.base, run, {DATASET: prepared.dataset}, device="cpu")

    with monkeypatch.context() as patch:
        patch.setattr(f"xtts_framework.stages.train.{broken}", fail)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no memory"):
                attempt()
    with pytest.raises(UserError, match=r"crash loop: the last 2 attempts both failed at step 0 with\n.*no memory"):
        attempt()
    [attempts] = run.checkpoints.glob("*/attempts.json")
    attempts.unlink()
    attempt()
    assert read_json(run.summary)["updates"] == 1


def test_one_update_that_is_not_finite_is_skipped_and_counted(
    train_once: TrainOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = update_module.packed_losses
    calls: list[int] = []

    def broken(gpt: Any, batch: Any, **options: Any) -> Any:
        sums = original(gpt, batch, **options)
        calls.append(1)
        factor = math.inf if len(calls) == 2 else 1.0
        return type(sums)(sums.mel_C * factor, sums.text_C, sums.mel_tokens, sums.text_tokens)

    monkeypatch.setattr(update_module, "packed_losses", broken)
    run = train_once()
    summary = read_json(run.summary)
    assert summary["skipped_batches"] == 1 and summary["samples_seen"] == 16
    assert [record["step"] for record in records(run, "train")] == [2, 6, 8]
    assert all(tensor.isfinite().all() for tensor in saved_weights(run).values())


def changed_dataset(prepared: Prepared, folder: Path, **columns: Any) -> DatasetFolder:
    """A copy of the dataset's tables with other columns; the features themselves are linked."""
    dataset = DatasetFolder(folder)
    folder.mkdir()
    dataset.feature_store.symlink_to(prepared.dataset.feature_store)
    for source, target in (
        (prepared.dataset.manifest, dataset.manifest),
        (prepared.dataset.features, dataset.features),
    ):
        table = pl.read_parquet(source)
        table.with_columns(**{name: value for name, value in columns.items() if name in table.columns}).write_parquet(
            target
        )
    return dataset


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"split": pl.lit("train")}, "no evaluation clip"),
        ({"split": pl.lit("eval")}, "no training clip"),
        ({"base_features_key": pl.lit("another")}, "were made with another base"),
        ({"normalized": pl.lit("漢字")}, r"speech/0001_speaker1: its text has a character that the vocabulary lacks"),
        ({"normalized": pl.lit("ሰ ላ ም " * 200)}, r"text ids, the model takes 401"),
        ({"codes_length": pl.lit(604)}, r"604 audio codes, the model takes 1 to 603"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_the_first_update(
    prepared: Prepared, tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    run = prepared.new_run(tmp_path / "run")
    dataset = changed_dataset(prepared, tmp_path / "dataset", **columns)
    with pytest.raises(UserError, match=message):
        train(config_with(), prepared.base, run, {DATASET: dataset}, device="cpu")
    assert not run.metrics.exists() and not run.summary.exists()


def test_clips_without_features_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    run = prepared.new_run(tmp_path / "run")
    dataset = changed_dataset(prepared, tmp_path / "dataset")
    pl.read_parquet(dataset.features).head(22).write_parquet(dataset.features)
    with pytest.raises(UserError, match=r"2 clips of the manifest without features"):
        train(config_with(), prepared.base, run, {DATASET: dataset}, device="cpu")


def test_mels_that_are_not_finite_are_refused(
    prepared: Prepared, train_once: TrainOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xtts_framework.data.features import FeatureReader

    original = FeatureReader.mel

    def broken(reader: FeatureReader, clip_id: str, frames: slice | None = None) -> torch.Tensor:
        mel = original(reader, clip_id, frames)
        return mel * math.nan if "0003" in clip_id else mel

    monkeypatch.setattr(FeatureReader, "mel", broken)
    with pytest.raises(UserError, match=r"speech/0003_speaker3: its mel holds numbers that are not finite"):
        train_once()


def test_a_missing_vocabulary_dataset_or_gpu_is_named(prepared: Prepared, tmp_path: Path) -> None:
    run = prepared.new_run(tmp_path / "run")
    with pytest.raises(UserError, match=r"--dataset names \['other'\]"):
        train(config_with(), prepared.base, run, {"other": prepared.dataset}, device="cpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="sees no CUDA GPU"):
            train(config_with(), prepared.base, run, {DATASET: prepared.dataset}, device="cuda")
    shutil.rmtree(run.vocab.parent)
    with pytest.raises(UserError, match=r"vocab\.json"):
        train(config_with(), prepared.base, run, {DATASET: prepared.dataset}, device="cpu")
