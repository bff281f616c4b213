"""A plan says what the training then does: when rates drop, when it ends, how far weights move."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars
import pytest
import torch
import yaml
from small_training import DATASET, Prepared

from xtts_framework.config import FreezingConfig, ProjectConfig, TrainingConfig, parse_config
from xtts_framework.data.packing import micro_batches
from xtts_framework.model.base import load_gpt, read_base
from xtts_framework.model.cost import XTTS_V2_ARGS, Architecture, ClipSize
from xtts_framework.model.freezing import apply_freezing
from xtts_framework.model.rows import extend_text_rows
from xtts_framework.planning import inputs
from xtts_framework.planning.bench import bench
from xtts_framework.planning.describe import describe_plan
from xtts_framework.planning.plan import (
    GUIDE_TABLE,
    EmbeddingSpread,
    PlannedClip,
    PlannedDataset,
    RunPlan,
    Speed,
    average_clip,
    guide_row,
    movement,
    plan_run,
    pools_of_plan,
)
from xtts_framework.plugins import FreezingPlan, load_plugins
from xtts_framework.text.tokenizer import XttsTokenizer
from xtts_framework.training.ending import Mixture, find_ending
from xtts_framework.training.prompts import mean_prompt_frames, training_prompt
from xtts_framework.training.sampling import MAIN_POOL, Pool, Sampler
from xtts_framework.training.schedule import Clock, MultiStep

ALL_TRAINS = FreezingPlan((), text_embedding=True, audio_embedding=True, heads=True, conditioning=True, reason="all")
SMALL = {"batch_size": 2, "grad_accum": 3, "learning_rate": 1.0, "milestones": [4, 9], "gamma": 0.5, "max_steps": 10}
"""Six samples per update."""
GUIDE_END = 300_032
"""The first update boundary at or after step 300,000."""


def dataset(clips: int, share: float | None = None, name: str = "speech", tokens: int = 220) -> PlannedDataset:
    size = ClipSize(text_ids=40, codes=tokens - 77, prompt_frames=387)
    assert size.tokens == tokens
    return PlannedDataset(name, share, [PlannedClip(f"{name}/{index}", 7.2, size) for index in range(clips)], 20)


def make_plan(*datasets: PlannedDataset, **changes: Any) -> RunPlan:
    options = {
        "new_rows": 2000,
        "plan": ALL_TRAINS,
        "spread": EmbeddingSpread(0.02, "assumed"),
        "speed": None,
        "free_disk": None,
    }
    options |= {name: changes.pop(name) for name in list(changes) if name in options}
    datasets = datasets or (dataset(1000),)
    architecture = Architecture.of(XTTS_V2_ARGS, text_rows=8681)
    return plan_run(
        "run",
        TrainingConfig(**changes),
        FreezingConfig(),
        datasets=datasets,
        clip=average_clip(datasets, architecture),
        architecture=architecture,
        **options,
    )


def warnings_about(plan: RunPlan, *words: str) -> list[str]:
    return [warning for warning in plan.warnings if all(word in warning for word in words)]


def test_milestones_fall_at_update_boundaries_in_epochs_and_hours() -> None:
    """Ten clips at 1/300 clips/s; two samples per step, three steps per update."""
    plan = make_plan(dataset(10), **SMALL, speed=Speed(1 / 300, "as given"))
    first, second = plan.milestones
    assert (first.step, first.boundary, first.learning_rate, first.reached) == (4, 6, 0.5, True)
    assert (second.step, second.boundary, second.learning_rate, second.reached) == (9, 9, 0.25, True)
    assert (first.epoch, second.epoch, plan.ending.epochs) == pytest.approx((1.2, 1.8, 2.4))
    assert (first.hours, second.hours, plan.hours) == pytest.approx((1.0, 1.5, 2.0))
    assert (plan.ending.step, plan.ending.update, plan.ending.reason) == (12, 4, "max_steps 10")
    assert (plan.update_samples, plan.epoch_samples, plan.epoch_steps) == (6, 10, 5)
    assert plan.epoch_updates == pytest.approx(5 / 3)


def test_a_weight_moves_by_the_rates_of_the_updates_before() -> None:
    """Updates start at steps 0, 3 (rate 1), 6 (0.5) and 9 (0.25)."""
    plan = make_plan(dataset(10), **SMALL)
    assert [milestone.movement for milestone in plan.milestones] == [2.0, 2.5]
    assert plan.movement == plan.new_rows.movement == 2.75
    warming = make_plan(dataset(10), **SMALL, warmup_steps=3, new_token_lr_scale=2.0)
    assert warming.movement == 0.25 + 1 + 0.5 + 0.25
    assert warming.new_rows.movement == 2 * warming.movement
    assert movement(MultiStep(1.0, (), 1.0), Clock(2, 3), 0) == 0


@pytest.mark.parametrize("gradients", ["alike", "random"])
def test_adamw_never_moves_a_weight_further(gradients: str) -> None:
    """The bound, on torch's own AdamW with the guide's betas; gradients that agree reach it."""
    parameter = torch.nn.Parameter(torch.zeros(1000))
    optimizer = torch.optim.AdamW([parameter], betas=(0.9, 0.96), eps=1e-8, weight_decay=0.0)
    schedule, clock = MultiStep(1e-3, (60, 90), 0.5, 20), Clock(4, 2)
    dice = torch.Generator().manual_seed(1)
    for step in range(0, 120, clock.grad_accum):
        optimizer.param_groups[0]["lr"] = schedule.at(step)
        noise = torch.randn(1000, generator=dice)
        parameter.grad = torch.full((1000,), 3.0) if gradients == "alike" else noise
        optimizer.step()
    bound = movement(schedule, clock, 120)
    furthest = parameter.abs().max().item()
    assert furthest <= bound * 1.0001
    assert furthest > (0.99 if gradients == "alike" else 0.05) * bound


@pytest.mark.parametrize("shares", [[], [0.2], [0.1, 0.25]])
@pytest.mark.parametrize("max_epochs", [1, 2, 7])
def test_an_end_in_epochs_is_where_the_sampler_gets_there(shares: list[float], max_epochs: int) -> None:
    datasets = [dataset(37), *(dataset(9, share, f"replay-{share}") for share in shares)]
    config = TrainingConfig(batch_size=2, grad_accum=3, max_epochs=max_epochs)
    pools = {
        MAIN_POOL if one.share is None else one.name: Pool([clip.name for clip in one.clips], one.share)
        for one in datasets
    }
    sampler, updates = Sampler(pools, seed=1), 0
    while sampler.drawn[MAIN_POOL] < max_epochs * 37:
        sampler.take(6)
        updates += 1
    ending = find_ending(config, Mixture.of(pools_of_plan(datasets)))
    assert (ending.update, ending.step, ending.reason) == (updates, 3 * updates, f"max_epochs {max_epochs}")
    assert ending.epochs == pytest.approx(sampler.drawn[MAIN_POOL] / 37, abs=1 / 37)


def test_replay_is_counted_as_its_share_of_all_samples() -> None:
    plan = make_plan(dataset(90), dataset(20, 0.1, "replay", tokens=320), max_steps=50_000)
    assert plan.epoch_samples == pytest.approx(100)
    main, replay = plan.datasets
    samples = 4 * plan.ending.step
    assert main.epochs == pytest.approx(samples * 0.9 / 90)
    assert replay.epochs == pytest.approx(samples * 0.1 / 20)
    assert plan.clip.tokens == pytest.approx(0.9 * 220 + 0.1 * 320)
    assert plan.packing.tokens in {461 * 220 + 51 * 320, 460 * 220 + 52 * 320}


def test_micro_batches_are_those_of_the_planned_budget() -> None:
    plan = make_plan(dataset(1000), micro_batch_tokens=2200)
    assert (plan.packing.tokens, plan.packing.micro_batches) == (512 * 220, math.ceil(512 / 10))
    assert plan.packing.micro_batches == len(micro_batches([220] * 512, 2200))
    assert make_plan(dataset(1000)).packing.token_budget == 8192


@pytest.mark.parametrize(
    ("clips", "row"),
    [(1, 0), (500, 0), (999, 0), (1000, 1), (2999, 1), (3000, 2), (4999, 2), (5000, 3), (100_000, 3)],
)
def test_the_guides_table_marks_the_row_of_the_dataset(clips: int, row: int) -> None:
    assert guide_row(clips) == GUIDE_TABLE[row]
    lines = list(describe_plan(make_plan(dataset(clips)))) if clips <= 5000 else []
    assert [line.split("->")[1].split("samples")[0].strip() for line in lines if "->" in line] == (
        [GUIDE_TABLE[row].size.split()[0]] if lines else []
    )


def test_the_guides_table_is_in_the_guides_words() -> None:
    """Source: quick-start guide, "Dataset Size Guidelines"."""
    rows = [(row.size, row.epochs, row.total_steps, row.duration) for row in GUIDE_TABLE]
    assert rows == [
        ("500 samples", 100, "~12,500", "Stop at 50k"),
        ("1000 samples", 100, "~25,000", "Stop at 100k"),
        ("3000 samples", 100, "~75,000", "Train to 150k"),
        ("5000+ samples", 100, "~125,000+", "Train to 300k"),
    ]


def test_the_guides_recipe_reaches_its_milestones() -> None:
    plan = make_plan(new_rows=0)
    assert plan.ending.step == GUIDE_END
    assert [milestone.boundary for milestone in plan.milestones] == [50_048, 150_016, GUIDE_END]
    assert plan.warnings == ()


def test_milestones_that_are_never_reached_are_named() -> None:
    plan = make_plan(max_steps=100_000)
    [warning] = warnings_about(plan, "never reached")
    assert warning.startswith("milestones never reached: 150,000, 300,000. The training ends at step 100,096")
    assert "max_steps 100000" in warning
    [warning] = warnings_about(make_plan(max_epochs=100), "never reached")
    assert "the learning rate never drops" in warning and "max_epochs 100" in warning
    assert not warnings_about(make_plan(), "never reached")
    assert not warnings_about(make_plan(milestones=[], max_steps=1000), "never reached")


def test_a_run_too_short_for_new_rows_names_the_rate_that_is_enough() -> None:
    """391 updates at 5e-6 move a weight by 0.00196; half of 0.02 takes 5.1 times that."""
    plan = make_plan(max_steps=50_000)
    assert plan.movement == pytest.approx(391 * 5e-6)
    assert plan.new_rows.needed_lr_scale == pytest.approx(0.01 / (391 * 5e-6))
    [warning] = warnings_about(plan, "too short to learn new rows")
    assert "new_token_lr_scale to 5.2 or more" in warning and "10%" in warning
    assert not warnings_about(make_plan(max_steps=50_000, new_token_lr_scale=5.2), "new rows")
    assert warnings_about(make_plan(max_steps=50_000, new_token_lr_scale=5.0), "new rows")
    assert not warnings_about(make_plan(max_steps=50_000, new_rows=0), "new rows")
    assert not warnings_about(make_plan(max_steps=50_000, spread=EmbeddingSpread(0.003, "")), "new rows")


def test_rows_of_a_frozen_embedding_are_never_learnt() -> None:
    frozen = dataclasses.replace(ALL_TRAINS, text_embedding=False)
    assert warnings_about(make_plan(plan=frozen, new_token_lr_scale=100.0), "text embedding is frozen", "2,000")
    assert not warnings_about(make_plan(plan=frozen, new_rows=0), "frozen")


def test_other_mistakes_are_warned_of() -> None:
    assert warnings_about(make_plan(batch_size=8), "batch_size is 8")
    assert warnings_about(make_plan(max_steps=40_000), "at least 50,000")
    assert warnings_about(make_plan(max_steps=4000, milestones=[], warmup_steps=5000), "warm-up of 5,000")
    assert warnings_about(make_plan(dataclasses.replace(dataset(500), eval_clips=0)), "no evaluation clip")
    assert warnings_about(make_plan(free_disk=10**9), "1.0 GB are free")
    plan = make_plan(free_disk=10**12, new_rows=0)
    assert plan.warnings == ()
    assert plan.disk.run / 1e9 == pytest.approx(21.5, abs=0.2)


def test_memory_that_fits_grows_with_the_gpu_and_with_what_is_not_stored() -> None:
    stored, recomputed = make_plan(dataset(4000)).memory.activations
    assert list(stored.tokens_that_fit) == [12, 24, 80]
    assert 0 < stored.tokens_that_fit[12] < stored.tokens_that_fit[24] < stored.tokens_that_fit[80]
    assert all(recomputed.tokens_that_fit[gib] > 3 * stored.tokens_that_fit[gib] for gib in stored.tokens_that_fit)


def test_plans_import_no_torch_without_a_base() -> None:
    code = "import sys; import xtts_framework.planning.inputs; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


# The stage, on a real manifest with features, vocabulary and base


@pytest.fixture
def project(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectConfig:
    """A project folder whose dataset is ready to train on; the working directory is there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/datasets").mkdir(parents=True)
    (tmp_path / "results/datasets" / DATASET).symlink_to(prepared.dataset.path)
    vocab = tmp_path / "results/runs/first/tokenizer/vocab.json"
    vocab.parent.mkdir(parents=True)
    vocab.symlink_to(prepared.vocab)
    content = {
        "base": str(prepared.base),
        "datasets": {DATASET: {"path": "data", "language": "am"}},
        "runs": {"first": {"datasets": [DATASET], "training": {"max_steps": 2000}}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return parse_config(content, ProjectConfig, source="test")


def test_a_plan_counts_what_the_training_counts(project: ProjectConfig, prepared: Prepared) -> None:
    [plan] = inputs.plan_runs(project, bench_file=Path("bench.csv"))
    manifest = polars.read_parquet(prepared.dataset.manifest).filter(split="train")
    index = polars.read_parquet(prepared.dataset.features)
    tokenizer = XttsTokenizer(prepared.vocab, {"am": load_plugins().pack("am", {})})
    text_ids = [len(tokenizer.encode_normalized(text, "am")) for text in manifest["normalized"]]
    codes = manifest.join(index, on="clip_id")["codes_length"]
    assert plan.assumptions == ()
    assert plan.datasets[0].training_clips == len(manifest) == 20
    assert plan.datasets[0].eval_clips == 4
    assert plan.clip.text_ids == pytest.approx(sum(text_ids) / 20)
    assert plan.clip.codes == pytest.approx(codes.sum() / 20)
    assert plan.clip.longest_tokens == max(
        ids + 1 + length + 4 + 32 for ids, length in zip(text_ids, codes, strict=True)
    )

    gpt = load_gpt(read_base(prepared.base))
    base_rows = gpt.text_embedding.num_embeddings
    std = gpt.text_embedding.weight.std(dim=0, correction=0).mean().item()
    assert plan.new_rows.std == pytest.approx(std, rel=1e-5)
    assert plan.new_rows.rows == tokenizer.get_number_tokens() - base_rows
    extend_text_rows(gpt, tokenizer.get_number_tokens(), {}, seed=1)
    frozen = FreezingPlan((0, 1), text_embedding=True, audio_embedding=False, heads=True, conditioning=False, reason="")
    assert plan.trainable_parameters == apply_freezing(gpt, frozen).trainable
    assert plan.parameters == sum(parameter.numel() for parameter in gpt.parameters())


def test_lengths_from_seconds_are_nearly_those_of_the_features(
    project: ProjectConfig, prepared: Prepared, tmp_path: Path
) -> None:
    [exact] = inputs.plan_runs(project, bench_file=Path("bench.csv"))
    alone = tmp_path / "results/datasets" / DATASET
    alone.unlink()
    alone.mkdir()
    (alone / "manifest.parquet").symlink_to(prepared.dataset.manifest)
    (tmp_path / "results/runs/first/tokenizer/vocab.json").unlink()
    [guessed] = inputs.plan_runs(project, bench_file=Path("bench.csv"))
    assert guessed.clip.codes == pytest.approx(exact.clip.codes, abs=1)
    assert guessed.clip.text_ids > exact.clip.text_ids
    assert len(guessed.assumptions) == 2
    assert any("features.parquet" in assumption for assumption in guessed.assumptions)
    assert any("vocab.json" in assumption for assumption in guessed.assumptions)


def test_the_mean_prompt_is_the_mean_of_the_trainers_prompts() -> None:
    for frames in (100, 257, 300, 450, 516, 900):
        drawn = [training_prompt(1, epoch, "clip", frames) for epoch in range(2000)]
        mean = sum(prompt.stop - prompt.start for prompt in drawn) / len(drawn)
        assert mean_prompt_frames(frames) == pytest.approx(mean, rel=0.02)


def test_the_speed_is_the_given_one_else_the_runs_own_else_that_of_the_bench(
    project: ProjectConfig, tmp_path: Path
) -> None:
    file = tmp_path / "bench.csv"
    [unknown] = inputs.plan_runs(project, bench_file=file)
    assert unknown.speed is None and unknown.hours is None
    assert any("xtts bench" in line for line in describe_plan(unknown))

    row = bench(TrainingConfig(), device="cpu", out=file, shape="tiny", updates=1, samples=2)
    [measured] = inputs.plan_runs(project, bench_file=file)
    assert measured.speed is not None
    assert measured.speed.clips_per_s == pytest.approx(row.clips_per_s * row.gflop_per_clip / measured.clip.gflop)
    assert "bench.csv" in measured.speed.source
    assert measured.hours == pytest.approx(4 * measured.ending.step / measured.speed.clips_per_s / 3600)

    summary = {"clips_per_s": 25.0, "device": "cuda (NVIDIA T4)"}
    (tmp_path / "results/runs/first/summary.json").write_text(json.dumps(summary), encoding="utf-8")
    [own] = inputs.plan_runs(project, bench_file=file)
    assert own.speed is not None and own.speed.clips_per_s == 25.0 and "NVIDIA T4" in own.speed.source

    [given] = inputs.plan_runs(project, bench_file=file, clips_per_s=50.0)
    assert given.hours == pytest.approx(4 * 2048 / 50 / 3600)


def test_a_bench_of_another_model_or_precision_is_no_speed(project: ProjectConfig, tmp_path: Path) -> None:
    file = tmp_path / "bench.csv"
    bench(TrainingConfig(precision="bf16"), device="cpu", out=file, shape="tiny", updates=1, samples=1)
    [plan] = inputs.plan_runs(project, bench_file=file)
    assert plan.speed is None
