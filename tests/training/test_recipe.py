"""Every setting does what it says: what belongs to the recipe changes the weights, what is convenience does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_training import Prepared, read_curve
from test_fingerprint import OTHER_VALUES
from torch import Tensor

from xtts_framework.files import read_json
from xtts_framework.layout import RunFolder
from xtts_framework.model.base import load_gpt, read_base
from xtts_framework.text.vocabulary import language_rows, read_vocab
from xtts_framework.training.fingerprint import WITHOUT_EFFECT

TrainOnce = Callable[..., RunFolder]
RECIPE: dict[str, Any] = {"max_steps": 6, "milestones": [2], "gamma": 0.5}
"""Three updates, two of them after a milestone: the least in which every setting can show."""


def final_weights(run: RunFolder) -> dict[str, Tensor]:
    last = read_json(run.summary)["checkpoints"][-1]
    weights: dict[str, Tensor] = load_file(run.path / last["folder"] / "model.safetensors")
    return weights


def losses(run: RunFolder, kind: str) -> list[float]:
    return [record["loss_mel"] for record in read_curve(run) if record["kind"] == kind]


@pytest.fixture(scope="module")
def plain(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Weights after the unchanged recipe."""
    from small_training import DATASET, config_with

    from xtts_framework.stages.train import train

    run = prepared.new_run(tmp_path_factory.mktemp("plain") / "run")
    train(config_with(**RECIPE), prepared.base, run, {DATASET: prepared.dataset}, device="cpu")
    return final_weights(run)


@pytest.mark.parametrize("key", sorted(OTHER_VALUES.keys() - WITHOUT_EFFECT))
def test_every_setting_of_the_recipe_changes_the_weights(
    train_once: TrainOnce, plain: dict[str, Tensor], key: str
) -> None:
    other = final_weights(train_once(**RECIPE | {key: OTHER_VALUES[key]}))
    assert other.keys() == plain.keys()
    assert any(not torch.equal(tensor, plain[name]) for name, tensor in other.items())


def test_logging_evaluating_and_saving_change_no_weight(train_once: TrainOnce, plain: dict[str, Tensor]) -> None:
    often = {"log_every_updates": 2, "eval_every_steps": 2, "save_every_steps": 2, "keep_best": 1, "keep_last": 1}
    other = final_weights(train_once(**RECIPE | often))
    assert all(torch.equal(tensor, plain[name]) for name, tensor in other.items())


@pytest.mark.parametrize("grad_accum", [1, 4])
def test_training_and_evaluation_losses_have_one_unit(train_once: TrainOnce, grad_accum: int) -> None:
    """A training loss divided by `grad_accum` would look like a gap that is not there."""
    run = train_once(learning_rate=1e-12, dropout=0.0, grad_accum=grad_accum, max_steps=grad_accum)
    [training], [evaluation, *_] = losses(run, "train"), losses(run, "eval")
    assert training == pytest.approx(evaluation, rel=0.05)


def test_one_clip_at_a_time_trains_with_finite_losses(train_once: TrainOnce) -> None:
    run = train_once(batch_size=1, grad_accum=1, max_steps=6, mask_conditioned_loss=True, micro_batch_tokens=1100)
    curve = losses(run, "train")
    assert len(curve) == 6 and read_json(run.summary)["skipped_batches"] == 0
    assert all(tensor.isfinite().all() for tensor in final_weights(run).values())


def test_training_opens_no_recording_and_runs_no_audio_encoder(
    train_once: TrainOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile
    import soxr
    from TTS.tts.layers.xtts.dvae import DiscreteVAE

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("audio work inside training")

    for owner, name in ((soundfile.SoundFile, "__init__"), (soxr, "resample"), (DiscreteVAE, "__init__")):
        monkeypatch.setattr(owner, name, forbidden)
    assert read_json(train_once(max_steps=2).summary)["updates"] == 1


def test_a_milestone_at_the_end_is_announced_as_every_other(
    train_once: TrainOnce, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the guide's recipe, which ends at its last milestone: a longer training continues at that rate."""
    run = train_once(max_steps=4, milestones=[3])
    log = capsys.readouterr().err
    assert "to 0.0005 at step 3, in force from step 4" in log and "not reached" not in log
    assert log.count("Step 3: LR dropped to 0.0005 (in force from step 4)") == 1
    assert [change["boundary"] for change in read_json(run.summary)["learning_rate_changes"]] == [4]


def test_as_many_checkpoints_are_kept_as_configured(train_once: TrainOnce) -> None:
    """Losses fall throughout, so the best are the latest; only the last ones keep their optimizer."""
    run = train_once(max_steps=12, eval_every_steps=2, save_every_steps=2, keep_best=3, keep_last=2)
    [folder] = run.checkpoints.iterdir()
    kept: dict[str, bool] = {}
    for path in sorted(Path(folder).glob("step-*")):
        kept[path.name] = (path / "optimizer.safetensors").is_file()
    evaluated = {record["step"]: record["loss_total"] for record in read_curve(run) if record["kind"] == "eval"}
    best = sorted(evaluated, key=lambda step: evaluated[step])[:3]
    assert kept == {f"step-{step:08d}": step in (10, 12) for step in sorted({*best, 10, 12})}


def test_a_training_begins_with_the_bases_rows_and_means_of_them(train_once: TrainOnce, prepared: Prepared) -> None:
    """The first evaluation saves the weights before any update: old rows untouched, new ones from the old."""
    run = train_once(max_steps=2)
    [path] = run.checkpoints.glob("*/step-00000000/model.safetensors")
    weights: dict[str, Tensor] = load_file(path)
    base = load_gpt(read_base(prepared.base)).state_dict()
    assert all(torch.equal(weights[name][: len(tensor)], tensor) for name, tensor in base.items())
    tags = language_rows(read_vocab(prepared.base / "vocab.json"), read_vocab(run.vocab))
    [(tag, known)] = tags.items()
    for name in ("text_embedding.weight", "text_head.weight", "text_head.bias"):
        torch.testing.assert_close(weights[name][tag], base[name][list(known)].mean(0))
    for name in ("text_head.weight", "text_head.bias"):
        new = [row for row in range(len(base[name]), len(weights[name])) if row != tag]
        torch.testing.assert_close(weights[name][new], base[name].mean(0).expand_as(weights[name][new]))
