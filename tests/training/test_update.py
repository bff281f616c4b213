"""An update is the same whatever passes through the device at once, and nothing that is not finite moves a weight."""

from __future__ import annotations

import copy
import math
import random
import shutil
from typing import Any

import pytest
import torch
from small_training import Prepared, config_with
from small_world import CPU, SmallMemory, World, difference, moved, movement
from torch import nn

from xtts_framework.errors import UserError
from xtts_framework.model.base import load_gpt, read_base
from xtts_framework.model.forward import LossSums, MicroBatch, pack_clips, packed_losses
from xtts_framework.training import update as update_module
from xtts_framework.training.budget import Budget
from xtts_framework.training.corpus import Corpus
from xtts_framework.training.distributed import Ranks
from xtts_framework.training.evaluation import Evaluator
from xtts_framework.training.optimizer import (
    build_optimizer,
    is_weight,
    optimizer_tensors,
    restore_optimizer,
    set_learning_rate,
)

HOST_READS = ("aten::item", "aten::nonzero", "aten::equal")
KERNELS_OF_THE_CPU = ("aten::_fused_adamw_",)
needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler (g++)")


@pytest.mark.parametrize("mask", [False, True])
def test_neither_losses_nor_weights_depend_on_the_micro_batch(prepared: Prepared, mask: bool) -> None:
    together, apart = (World(prepared, mask_conditioned_loss=mask) for _ in range(2))
    apart.updater.budget = Budget(1)
    start = together.weights()
    curves = [[world.update(number)[:3] for number in range(5)] for world in (together, apart)]
    assert curves[0][-1][0] < curves[0][0][0] - 0.1
    for whole, parts in zip(*curves, strict=True):
        assert whole == pytest.approx(parts, rel=1e-5)
    assert difference(movement(start, apart.weights()), movement(start, together.weights())) < 1e-4


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=needs_compiler)])
def test_recomputing_and_compiling_change_no_gradient_loss_or_weight(prepared: Prepared, compiled: bool) -> None:
    plain = World(prepared)
    other = World(prepared, compile=compiled, budget=Budget(400, recompute=True))
    assert difference(other.gradients(), plain.gradients()) <= 1e-5
    start = plain.weights()
    for number in range(5):
        assert plain.update(number)[:3] == pytest.approx(other.update(number)[:3], rel=1e-5)
    assert difference(movement(start, other.weights()), movement(start, plain.weights())) <= 1e-4


def test_order_of_the_clips_in_an_update_changes_no_gradient(prepared: Prepared) -> None:
    world = World(prepared)
    expected = world.gradients()
    world.corpus.utterances = dict(reversed(world.corpus.utterances.items()))
    assert difference(world.gradients(), expected) <= 1e-5


def test_what_was_prepared_before_is_the_same_update(prepared: Prepared) -> None:
    """And is left aside when other examples come after all."""
    world, ahead = World(prepared), World(prepared)
    batch = ahead.batch()
    ahead.updater.prepare(batch[:3])
    ahead.updater.prepare(batch)
    result = ahead.updater.update(batch, lr=ahead.config.learning_rate, number=0)
    mel, text, norm, _ = result.numbers.tolist()
    assert (mel / result.mel_tokens, text / result.text_tokens, norm) == world.update()[:3]
    ahead.updater.prepare(batch[:3])
    assert ahead.update(1)[:3] == world.update(1)[:3]


def test_an_update_waits_for_no_number_from_the_device(prepared: Prepared) -> None:
    """Reading one number on the host is what a device's queue would be emptied for; only the log does."""
    world = World(prepared, max_grad_norm=1.0)
    batch = world.batch()
    with torch.profiler.profile() as preparing:
        world.updater.prepare(batch)
    with torch.profiler.profile() as updating:
        result = world.updater.update(batch, lr=1e-3, number=0)
    with torch.profiler.profile() as logging:
        float(result.numbers[0])
    assert reads_of(updating) == 0
    assert reads_of(logging) == 1
    assert reads_of(preparing) > 0, "ids are checked on the CPU, before they are sent"


def reads_of(profile: torch.profiler.profile) -> int:
    """The CPU's own kernel of AdamW reads its step counts; a GPU's has them on the device."""
    reads = [event for event in profile.events() or () if event.name in HOST_READS]
    return sum(event.cpu_parent is None or event.cpu_parent.name not in KERNELS_OF_THE_CPU for event in reads)


def test_label_smoothing_mixes_the_targets_with_all_tokens_in_training_only(prepared: Prepared) -> None:
    world = World(prepared)
    batch = pack_clips([world.examples.load(example) for example in world.batch()], world.gpt)
    with torch.no_grad():
        plain = packed_losses(world.gpt, batch, dropout=0.0)
        smoothed = packed_losses(world.gpt, batch, dropout=0.0, label_smoothing=0.1)
        even = packed_losses(world.gpt, batch, dropout=0.0, label_smoothing=1.0 - 1e-7)
    torch.testing.assert_close(smoothed.mel_C, 0.9 * plain.mel_C + 0.1 * even.mel_C, rtol=1e-5, atol=0)
    utterances = list(world.corpus.utterances.values())
    losses = []
    for config in (world.config, world.config.model_copy(update={"label_smoothing": 0.3})):
        evaluator = Evaluator(utterances, world.examples, config, CPU, Ranks(), world.updater)
        losses.append(evaluator.evaluate(world.gpt, 0))
    assert losses[0] == losses[1]


def test_loss_is_normalised_over_the_update_not_over_micro_batches(prepared: Prepared) -> None:
    """The mean of micro-batch means is another gradient: clips of this batch differ in length by a factor of six."""
    world = World(prepared)
    examples = world.batch()
    assert sum(example.mel_targets for example in examples) != len(examples) * examples[0].mel_targets
    world.updater._accumulate_gradients(examples, 0)
    right = world.gpt.mel_head.weight.grad.clone()
    world.optimizer.zero_grad()
    for example in examples:
        world.updater._accumulate_gradients([example], 0)
    mean_of_means = world.gpt.mel_head.weight.grad / len(examples)
    assert (right - mean_of_means).norm() > 1e-2 * right.norm()


def test_dropout_noise_is_a_function_of_the_update_alone(prepared: Prepared) -> None:
    first, second, third = World(prepared, dropout=0.1), World(prepared, dropout=0.1), World(prepared, dropout=0.1)
    torch.manual_seed(1)
    one = first.update(number=7)
    torch.manual_seed(2)
    assert second.update(number=7) == one
    assert third.update(number=8) != one


class BrokenLoss:
    """A forward that returns NaN or infinity for one clip, as a corrupt feature or an overflow would."""

    def __init__(self, value: float, part: str) -> None:
        self.value, self.part = value, part
        self.original = update_module.packed_losses

    def __call__(self, gpt: nn.Module, batch: MicroBatch, **options: Any) -> LossSums:
        sums = self.original(gpt, batch, **options)
        broken = getattr(sums, self.part).clone()
        broken[0] = broken[0] * self.value
        values = {"mel_C": sums.mel_C, "text_C": sums.text_C} | {self.part: broken}
        return LossSums(values["mel_C"], values["text_C"], sums.mel_tokens, sums.text_tokens)


@pytest.mark.parametrize(
    ("value", "part"), [(float("nan"), "mel_C"), (float("inf"), "mel_C"), (float("nan"), "text_C")]
)
def test_what_is_not_finite_never_reaches_weights_or_optimizer(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, value: float, part: str
) -> None:
    world = World(prepared, max_grad_norm=1.0)
    world.update(0)
    before, optimizer = world.weights(), copy.deepcopy(optimizer_tensors(world.optimizer))
    with monkeypatch.context() as patch:
        patch.setattr(update_module, "packed_losses", BrokenLoss(value, part))
        assert world.update(1)[3]
    assert moved(before, world.weights()) == set()
    assert moved(optimizer, optimizer_tensors(world.optimizer)) == set()
    assert not world.update(2)[3]
    assert len(moved(before, world.weights())) == len(before)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_gradients_that_are_not_finite_move_nothing_at_random_updates(prepared: Prepared, value: float) -> None:
    """The losses are fine: only the gradient of one weight overflows."""
    world, dice = World(prepared), random.Random(5)
    broken = sorted(dice.sample(range(12), 4))
    factor = 1.0
    world.gpt.gpt.h[1].mlp.c_fc.weight.register_hook(lambda gradient: gradient * factor)
    skipped = []
    for number in range(12):
        factor = value if number in broken else 1.0
        before = world.weights()
        if world.update(number)[3]:
            skipped.append(number)
            assert moved(before, world.weights()) == set()
    assert skipped == broken
    assert all(tensor.isfinite().all() for tensor in world.weights().values())


def test_out_of_memory_halves_the_budget_and_does_the_same_update(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = World(prepared).update()[:3]
    monkeypatch.setattr(update_module, "pack_clips", SmallMemory(300))
    world = World(prepared)
    heard: list[Budget] = []
    world.updater.on_halved = heard.append
    assert world.update()[:3] == pytest.approx(expected, rel=1e-5)
    assert world.updater.budget.tokens <= 300
    assert heard[-1] == world.updater.budget
    assert "out of memory" in capsys.readouterr().err
    monkeypatch.setattr(update_module, "pack_clips", SmallMemory(30))
    with pytest.raises(UserError, match="one clip of"):
        world.update()


def test_clipping_scales_the_gradient_but_not_the_norm_that_is_logged(prepared: Prepared) -> None:
    """AdamW hides a scale that never changes, so the second moment is what shows it."""
    free, clipped = World(prepared), World(prepared, max_grad_norm=0.01)
    assert free.update()[2] == clipped.update()[2] > 0.1
    name = "exp_avg.mel_head.weight"
    ratio = optimizer_tensors(clipped.optimizer)[name].norm() / optimizer_tensors(free.optimizer)[name].norm()
    assert 0 < ratio < 0.1


def test_decay_acts_on_weights_only(prepared: Prepared) -> None:
    gpt = load_gpt(read_base(prepared.base))
    weights = {name for name, parameter in gpt.named_parameters() if is_weight(name, parameter)}
    assert "gpt.h.0.attn.c_attn.weight" in weights and "mel_head.weight" in weights
    for modules, names in (
        ((nn.LayerNorm, nn.GroupNorm), ("weight", "bias")),
        ((nn.Embedding,), ("weight",)),
        ((nn.Module,), ("bias", "gamma", "latents")),
    ):
        for path, module in gpt.named_modules():
            if isinstance(module, modules):
                assert not weights & {f"{path}.{name}" for name in names}
    optimizer = build_optimizer(gpt, config_with().training)
    decayed = {name for group in optimizer.param_groups if group["weight_decay"] for name in group["param_names"]}
    assert decayed == weights


def test_new_rows_move_at_their_own_rate(prepared: Prepared) -> None:
    plain, scaled = World(prepared, weight_decay=0.0), World(prepared, weight_decay=0.0, new_token_lr_scale=10.0)
    before = plain.weights()["text_embedding.weight"]
    plain.update()
    scaled.update()
    steps = [world.weights()["text_embedding.weight"] - before for world in (plain, scaled)]
    rows = plain.base_rows
    torch.testing.assert_close(steps[1][rows:], 10 * steps[0][rows:], rtol=2e-3, atol=1e-6)
    torch.testing.assert_close(steps[1][:rows], steps[0][:rows], rtol=2e-3, atol=1e-6)
    set_learning_rate(scaled.optimizer, 1.0)
    assert {group["lr"] for group in scaled.optimizer.param_groups} == {1.0, 10.0}


def test_optimizer_state_goes_through_a_file_unchanged(prepared: Prepared) -> None:
    world, other = World(prepared), World(prepared)
    world.update()
    saved = optimizer_tensors(world.optimizer)
    restore_optimizer(other.optimizer, saved)
    assert saved.keys() == optimizer_tensors(other.optimizer).keys()
    assert moved(saved, optimizer_tensors(other.optimizer)) == set()
    with pytest.raises(ValueError, match="no place for"):
        restore_optimizer(other.optimizer, {"exp_avg.unknown": torch.zeros(1)})


def test_corpus_stand_in_offers_what_examples_use(prepared: Prepared) -> None:
    assert {"utterances", "read_codes", "read_mel"} <= set(dir(Corpus([], {})))
