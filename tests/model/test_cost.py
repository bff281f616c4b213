"""What a training costs, as arithmetic, is what the real module costs."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from small_gpt import ARGS, TEXT_ROWS, build_small_gpt, draw_clips
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from xtts_framework.audio.rates import AUDIO_STOPS as STOPS
from xtts_framework.config import TrainingConfig
from xtts_framework.model.base import GPT_ARGUMENTS, build_gpt
from xtts_framework.model.conditioning import PaddedMels, encode
from xtts_framework.model.cost import (
    AUDIO_STOPS,
    LATENTS,
    XTTS_V2_ARGS,
    XTTS_V2_TEXT_ROWS,
    Architecture,
    ClipSize,
    activation_memory,
    checkpoint_sizes,
    count_flops,
    count_parameters,
    count_trainable,
    model_memory,
)
from xtts_framework.model.forward import CONDITIONING_LATENTS, Clip, Execution, pack_clips, packed_losses
from xtts_framework.model.freezing import apply_freezing
from xtts_framework.plugins import FreezingPlan
from xtts_framework.training.average import MovingAverage
from xtts_framework.training.checkpoint import MODEL_FILE, OPTIMIZER_FILE, save_checkpoint
from xtts_framework.training.optimizer import build_optimizer, optimizer_tensors

WIDER = {"gpt_layers": 5, "gpt_n_model_channels": 128}
ALL_TRAINS = FreezingPlan((), text_embedding=True, audio_embedding=True, heads=True, conditioning=True, reason="")
PARTLY_FROZEN = FreezingPlan(
    (0, 1), text_embedding=True, audio_embedding=False, heads=True, conditioning=False, reason=""
)
ONLY_THE_TOP = FreezingPlan(
    (0, 1), text_embedding=False, audio_embedding=False, heads=True, conditioning=False, reason=""
)
PLANS = {"all trains": ALL_TRAINS, "partly frozen": PARTLY_FROZEN, "only the top": ONLY_THE_TOP}
XTTS_V2 = Architecture.of(XTTS_V2_ARGS, XTTS_V2_TEXT_ROWS)


def architecture_of(changed: dict[str, int]) -> Architecture:
    return Architecture.of({**ARGS, **changed}, TEXT_ROWS)


def sizes_of(clips: Sequence[Clip]) -> list[ClipSize]:
    return [ClipSize(len(clip.text_ids), len(clip.codes), clip.conditioning_mel.shape[1]) for clip in clips]


def test_sizes_are_those_of_the_forward() -> None:
    assert (LATENTS, AUDIO_STOPS) == (CONDITIONING_LATENTS, STOPS)
    assert XTTS_V2_ARGS.keys() == set(GPT_ARGUMENTS.values()) == ARGS.keys()
    [clip] = draw_clips([(17, 90)])
    assert sizes_of([clip])[0].tokens == clip.tokens


@pytest.mark.parametrize("changed", [{}, WIDER], ids=["3x64", "5x128"])
@pytest.mark.parametrize(
    ("sizes", "frames"), [([(20, 100), (40, 150)], [260, 260]), ([(6, 30)], [60]), ([(100, 400), (10, 50)], [387, 100])]
)
def test_flops_of_the_forward_are_those_that_torch_counts(
    changed: dict[str, int], sizes: list[tuple[int, int]], frames: list[int]
) -> None:
    """Exactly; torch counts attention over the masked half as well, and we do not."""
    gpt, architecture = build_small_gpt(**changed), architecture_of(changed)
    clips = draw_clips(sizes, frames)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        packed_losses(gpt, pack_clips(clips, gpt), dropout=0.0)
    masked_pairs = sum(clip.tokens * (clip.tokens - 1) // 2 for clip in clips)
    masked_half = 4 * masked_pairs * architecture.channels * architecture.layers
    assert counter.get_total_flops() == count_flops(architecture, sizes_of(clips)).forward + masked_half


def test_forward_and_backward_are_three_times_the_forward() -> None:
    """To 2 %: nobody needs the gradient of a mel, the first thing that the conditioning encoder multiplies."""
    gpt = build_small_gpt(**WIDER)
    batch = pack_clips(draw_clips([(20, 100), (40, 150)], [260, 260]), gpt)
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            packed_losses(gpt, batch, dropout=0.0)
        with FlopCounterMode(display=False) as both:
            sums = packed_losses(gpt, batch, dropout=0.0)
            (sums.mel_C.sum() + sums.text_C.sum()).backward()
    assert both.get_total_flops() == pytest.approx(3 * forward.get_total_flops(), rel=0.02)


def test_a_clip_of_220_tokens_costs_about_570_gflop_at_real_size() -> None:
    """The design's figure: with a prompt of 3.5 s. The average prompt, 4.5 s, makes it 3 % more."""
    clip = ClipSize(text_ids=40, codes=143, prompt_frames=300)
    assert clip.tokens == 220
    assert count_flops(XTTS_V2, [clip]).training / 1e9 == pytest.approx(570, abs=1)
    longer = ClipSize(text_ids=40, codes=143, prompt_frames=387)
    assert count_flops(XTTS_V2, [longer]).training / 1e9 == pytest.approx(589, abs=1)
    assert count_flops(XTTS_V2, [clip, longer]) == count_flops(XTTS_V2, [clip]) + count_flops(XTTS_V2, [longer])


@pytest.mark.parametrize("changed", [{}, WIDER], ids=["3x64", "5x128"])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_parameters_are_those_of_the_module(changed: dict[str, int], plan: FreezingPlan) -> None:
    gpt, architecture = build_small_gpt(**changed), architecture_of(changed)
    assert count_trainable(architecture, plan) == apply_freezing(gpt, plan)
    assert sum(count_parameters(architecture).values()) == sum(parameter.numel() for parameter in gpt.parameters())


def test_parameters_of_xtts_v2_are_those_of_the_module() -> None:
    with torch.device("meta"):
        gpt = build_gpt(dict(XTTS_V2_ARGS), text_rows=XTTS_V2_TEXT_ROWS)
    assert count_trainable(XTTS_V2, ALL_TRAINS) == apply_freezing(gpt, ALL_TRAINS)


class Kept:
    """A tensor, as long as autograd holds on to it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class KeptForBackward:
    """What autograd has kept of everything computed `while_watching`, in bytes: each storage once, no parameters."""

    def __init__(self, gpt: Any) -> None:
        self._parameters = {parameter.untyped_storage().data_ptr() for parameter in gpt.parameters()}
        self._kept: weakref.WeakSet[Kept] = weakref.WeakSet()

    def while_watching(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autograd.graph.saved_tensors_hooks(self._keep, lambda kept: kept.tensor)

    def _keep(self, tensor: Tensor) -> Kept:
        kept = Kept(tensor)
        self._kept.add(kept)
        return kept

    @property
    def bytes(self) -> int:
        storages = [kept.tensor.untyped_storage() for kept in self._kept]
        sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
        return sum(size for place, size in sizes.items() if place not in self._parameters)


def autocast(precision: str) -> contextlib.AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


@pytest.mark.parametrize("changed", [{}, WIDER], ids=["3x64", "5x128"])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("recompute", [False, True], ids=["stored", "recomputed"])
def test_activations_are_what_autograd_keeps(
    changed: dict[str, int], plan: FreezingPlan, precision: str, recompute: bool
) -> None:
    """To 15 %, without dropout, whose masks are a byte each on a GPU and four on a CPU."""
    gpt, architecture = build_small_gpt(**changed), architecture_of(changed)
    apply_freezing(gpt, plan)
    clips = draw_clips([(20, 100), (40, 150), (30, 120)], [260, 250, 255])
    estimate = activation_memory(
        architecture, sizes_of(clips), plan, precision=precision, recompute=recompute, dropout=False
    )
    kept = KeptForBackward(gpt)
    with kept.while_watching(), autocast(precision):
        sums = packed_losses(gpt, pack_clips(clips, gpt), dropout=0.0, execution=Execution(recompute=recompute))
    assert estimate.kept == pytest.approx(kept.bytes, rel=0.15)
    del sums


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_activations_of_the_voice_prompts_are_what_autograd_keeps(precision: str) -> None:
    """Side by side with masks, as on a GPU; to 15 %, bf16 copies of weights aside."""
    gpt = build_small_gpt(**WIDER)
    clips = draw_clips([(5, 20)] * 3, [387, 380, 385])
    architecture = architecture_of(WIDER)
    estimate = activation_memory(
        architecture, sizes_of(clips), ALL_TRAINS, precision=precision, recompute=False, dropout=False
    )
    mels = PaddedMels.of([clip.conditioning_mel for clip in clips])
    kept = KeptForBackward(gpt)
    with kept.while_watching(), autocast(precision):
        latents = encode(gpt, mels.values_CFM, mels.real_CF)
    copies = 2 * count_parameters(architecture)["conditioning"] if precision == "bf16" else 0
    assert estimate.conditioning == pytest.approx(kept.bytes - copies, rel=0.15)
    del latents


def test_memory_grows_in_proportion_to_the_clips() -> None:
    """So that a plan may divide by tokens."""
    clips = [ClipSize(40, 143, 300)]
    for precision in ("fp32", "bf16"):
        for recompute in (False, True):
            none, one, ten = (
                activation_memory(
                    XTTS_V2, clips * count, ALL_TRAINS, precision=precision, recompute=recompute, dropout=True
                ).kept
                for count in (0, 1, 10)
            )
            assert ten - none == 10 * (one - none)


def test_recomputing_saves_most_of_the_memory_and_bf16_nearly_half() -> None:
    clips = [ClipSize(40, 143, 300)] * 37

    def total(precision: str, recompute: bool) -> int:
        return activation_memory(
            XTTS_V2, clips, PARTLY_FROZEN, precision=precision, recompute=recompute, dropout=True
        ).total

    assert total("fp32", True) < 0.15 * total("fp32", False)
    assert 0.5 < total("bf16", False) / total("fp32", False) < 0.65


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_model_memory_and_checkpoints_are_those_of_a_real_training(
    tmp_path: Path, plan: FreezingPlan, ema_decay: float | None
) -> None:
    """Files to 2 %: each tensor has a name in them."""
    gpt = build_small_gpt(**WIDER)
    counts = apply_freezing(gpt, plan)
    optimizer = build_optimizer(gpt, TrainingConfig())
    average = MovingAverage(gpt, ema_decay)
    sums = packed_losses(gpt, pack_clips(draw_clips([(20, 60)]), gpt), dropout=0.0)
    (sums.mel_C.sum() + sums.text_C.sum()).backward()
    optimizer.step()
    memory = model_memory(counts, moving_average=ema_decay is not None)
    trained = [parameter for parameter in gpt.parameters() if parameter.grad is not None]
    state = optimizer_tensors(optimizer)
    assert memory.weights == sum(parameter.nbytes for parameter in gpt.parameters())
    assert memory.gradients == sum(parameter.nbytes for parameter in trained)
    assert memory.optimizer == sum(tensor.nbytes for tensor in state.values() if tensor.ndim)
    kept_beside = average.trained_weights()
    assert memory.average == sum(tensor.nbytes for tensor in kept_beside.values())

    folder = save_checkpoint(tmp_path, gpt.state_dict(), state | kept_beside, {"step": 8, "metrics": None})
    sizes = checkpoint_sizes(counts, keep_last=2, keep_best=3, moving_average=ema_decay is not None)
    weights, optimizer_file = ((folder / name).stat().st_size for name in (MODEL_FILE, OPTIMIZER_FILE))
    assert sizes.weights == pytest.approx(weights, rel=0.02)
    assert sizes.full == pytest.approx(weights + optimizer_file, rel=0.02)
    assert sizes.run == 3 * sizes.full + 3 * sizes.weights


def test_a_full_checkpoint_of_xtts_v2_takes_5_3_gb() -> None:
    counts = count_trainable(XTTS_V2, ALL_TRAINS)
    sizes = checkpoint_sizes(counts, keep_last=2, keep_best=3, moving_average=False)
    assert sizes.full / 1e9 == pytest.approx(5.3, abs=0.05)
