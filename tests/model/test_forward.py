from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_gpt import (
    AUDIO_CODES,
    TEXT_ROWS,
    build_small_gpt,
    compute_coqui_losses,
    draw_clips,
    measure_difference,
    take_gradients,
)
from torch import Tensor

from xtts_framework.data.packing import micro_batches
from xtts_framework.errors import UserError
from xtts_framework.model.forward import Clip, Execution, LossSums, pack_clips, packed_losses

LOSS_TOLERANCE = 1e-5
GRADIENT_TOLERANCE, TENSOR_TOLERANCE = 1e-5, 1e-4
BF16_LOSS_TOLERANCE, BF16_GRADIENT_TOLERANCE = 2e-3, 2e-2
TEXT_WEIGHT = 0.01

SHAPES = {
    "one clip": [(12, 50)],
    "one text id, one code": [(1, 1)],
    "equally long": [(20, 40), (20, 40), (20, 40)],
    "mixed": [(5, 90), (60, 20), (33, 51), (1, 70)],
    "the longest": [(401, 603), (3, 8)],
}
MIXED = SHAPES["mixed"]


@pytest.fixture(scope="module")
def gpt() -> Any:
    return build_small_gpt()


def compute_sums(gpt: Any, clips: Sequence[Clip], **options: Any) -> LossSums:
    return packed_losses(gpt, pack_clips(clips, gpt), **{"dropout": 0.0, **options})


def mean_losses(sums: LossSums) -> tuple[Tensor, Tensor]:
    """(text, mel) in nats per token."""
    return sums.text_C.sum() / sums.text_tokens, sums.mel_C.sum() / sums.mel_tokens


def compute_packed_gradients(gpt: Any, clips: Sequence[Clip], **options: Any) -> dict[str, Tensor]:
    text, mel = mean_losses(compute_sums(gpt, clips, **options))
    (mel + TEXT_WEIGHT * text).backward()
    return take_gradients(gpt)


def compute_coqui_gradients(gpt: Any, clips: Sequence[Clip]) -> dict[str, Tensor]:
    text, mel, _ = compute_coqui_losses(gpt, clips)
    (mel + TEXT_WEIGHT * text).backward()
    return take_gradients(gpt)


@pytest.mark.parametrize("sizes", SHAPES.values(), ids=SHAPES.keys())
def test_losses_equal_coqui(gpt: Any, sizes: list[tuple[int, int]]) -> None:
    clips = draw_clips(sizes)
    with torch.no_grad():
        expected_text, expected_mel, _ = compute_coqui_losses(gpt, clips)
        text, mel = mean_losses(compute_sums(gpt, clips))
    assert float((text - expected_text).abs()) <= LOSS_TOLERANCE
    assert float((mel - expected_mel).abs()) <= LOSS_TOLERANCE


@pytest.mark.parametrize("sizes", SHAPES.values(), ids=SHAPES.keys())
def test_gradients_equal_coqui(gpt: Any, sizes: list[tuple[int, int]]) -> None:
    clips = draw_clips(sizes)
    overall, worst = measure_difference(compute_packed_gradients(gpt, clips), compute_coqui_gradients(gpt, clips))
    assert overall <= GRADIENT_TOLERANCE
    assert worst <= TENSOR_TOLERANCE


def test_wider_models_equal_coqui_too() -> None:
    gpt = build_small_gpt(gpt_layers=2, gpt_n_model_channels=128, gpt_n_heads=2)
    clips = draw_clips(MIXED)
    overall, worst = measure_difference(compute_packed_gradients(gpt, clips), compute_coqui_gradients(gpt, clips))
    assert overall <= GRADIENT_TOLERANCE
    assert worst <= TENSOR_TOLERANCE


def test_a_clip_has_the_loss_it_has_alone(gpt: Any) -> None:
    clips = draw_clips(MIXED, frames=[40, 90, 7, 61])
    with torch.no_grad():
        sums = compute_sums(gpt, clips)
        for index, clip in enumerate(clips):
            text, mel, _ = compute_coqui_losses(gpt, [clip])
            torch.testing.assert_close(sums.text_C[index] / (len(clip.text_ids) + 1), text, rtol=0, atol=LOSS_TOLERANCE)
            torch.testing.assert_close(sums.mel_C[index] / (len(clip.codes) + 4), mel, rtol=0, atol=LOSS_TOLERANCE)


def test_tokens_of_a_clip_are_its_rows(gpt: Any) -> None:
    clips = draw_clips(MIXED)
    batch = pack_clips(clips, gpt)
    assert batch.segments.lengths == tuple(clip.tokens for clip in clips)
    assert sorted(batch.slots_T.tolist()) == list(range(sum(clip.tokens for clip in clips)))


def compute_update_gradients(gpt: Any, clips: Sequence[Clip], groups: list[list[int]]) -> dict[str, Tensor]:
    """The update as the training loop computes it: sums, divided by the tokens of the whole update."""
    batches = [pack_clips([clips[index] for index in group], gpt) for group in groups]
    mel_tokens = sum(batch.audio.targets for batch in batches)
    text_tokens = sum(batch.text.targets for batch in batches)
    for batch in batches:
        sums = packed_losses(gpt, batch, dropout=0.0)
        (sums.mel_C.sum() / mel_tokens + TEXT_WEIGHT * sums.text_C.sum() / text_tokens).backward()
    return take_gradients(gpt)


@pytest.mark.parametrize("budget", [1, 180, 350, 10_000])
def test_micro_batches_never_change_the_gradient(gpt: Any, budget: int) -> None:
    clips = draw_clips([*MIXED, (9, 9), (14, 60)], loss_masks={1: slice(4, 15), 5: slice(0, 60)})
    groups = micro_batches([clip.tokens for clip in clips], budget)
    expected = compute_packed_gradients(gpt, clips)
    overall, worst = measure_difference(compute_update_gradients(gpt, clips, groups), expected)
    assert overall <= GRADIENT_TOLERANCE
    assert worst <= TENSOR_TOLERANCE


def test_wrong_normalisations_would_be_noticed(gpt: Any) -> None:
    clips = draw_clips(MIXED)
    expected = compute_coqui_gradients(gpt, clips)
    halved = {name: gradient / 2 for name, gradient in expected.items()}
    for clip in clips:
        text, mel = mean_losses(compute_sums(gpt, [clip]))
        ((mel + TEXT_WEIGHT * text) / len(clips)).backward()
    mean_of_means = take_gradients(gpt)
    text, mel = (sums.sum() for sums in losses_of(compute_sums(gpt, clips)))
    ((mel + TEXT_WEIGHT * text) / sum(clip.tokens for clip in clips)).backward()
    one_denominator = take_gradients(gpt)
    for mutant in (halved, mean_of_means, one_denominator):
        assert measure_difference(mutant, expected)[0] > 1000 * GRADIENT_TOLERANCE


def losses_of(sums: LossSums) -> tuple[Tensor, Tensor]:
    return sums.text_C, sums.mel_C


@pytest.mark.parametrize("mask", [slice(0, 10), slice(30, 51), slice(45, 80), slice(20, 20)])
def test_a_loss_mask_leaves_out_those_codes_and_no_others(gpt: Any, mask: slice) -> None:
    [clip] = draw_clips([(11, 51)])
    with torch.no_grad():
        _, _, logits_1VR = compute_coqui_losses(gpt, [clip])
        targets = F.pad(clip.codes, (0, 4), value=gpt.stop_audio_token)
        loss_R = F.cross_entropy(logits_1VR[0, :, : len(targets)].T, targets, reduction="none")
        kept = [row for row in range(len(targets)) if not mask.start <= row < min(mask.stop, len(clip.codes))]
        sums = compute_sums(gpt, [dataclasses.replace(clip, loss_mask=mask)])
    assert sums.mel_tokens == len(kept)
    torch.testing.assert_close(sums.mel_C[0] / len(kept), loss_R[kept].mean(), rtol=0, atol=LOSS_TOLERANCE)


def test_dropout_falls_where_coqui_has_it_except_inside_attention() -> None:
    gpt = build_small_gpt()
    [clip] = draw_clips([(13, 44)])
    gpt.train()
    for block in gpt.gpt.h:
        block.attn.attn_dropout.p = 0.0
    text = F.pad(clip.text_ids, (1, 0), value=gpt.start_text_token)[None]
    codes = F.pad(F.pad(clip.codes, (1, 0), value=gpt.start_audio_token), (0, 3), value=gpt.stop_audio_token)[None]
    with torch.no_grad():
        latents = gpt.get_style_emb(clip.conditioning_mel[None]).transpose(1, 2)
        embedded = (
            latents,
            gpt.text_embedding(text) + gpt.text_pos_embedding(text),
            gpt.mel_embedding(codes) + gpt.mel_pos_embedding(codes),
        )
        torch.manual_seed(5)
        hidden = gpt.final_norm(gpt.gpt(inputs_embeds=torch.cat(embedded, dim=1)).last_hidden_state)
        logits = gpt.mel_head(hidden[0, -codes.shape[1] :])
        expected = F.cross_entropy(logits, F.pad(clip.codes, (0, 4), value=gpt.stop_audio_token), reduction="sum")
        torch.manual_seed(5)
        sums = compute_sums(gpt, [clip], dropout=0.1)
        without = compute_sums(gpt, [clip])
    torch.testing.assert_close(sums.mel_C[0], expected, rtol=1e-5, atol=0)
    assert float((sums.mel_C - without.mel_C).abs()) > 1


def test_the_same_seed_drops_the_same(gpt: Any) -> None:
    clips = draw_clips(MIXED)

    def seeded_loss(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return compute_sums(gpt, clips, dropout=0.1).mel_C

    with torch.no_grad():
        assert torch.equal(seeded_loss(7), seeded_loss(7))
        assert not torch.equal(seeded_loss(7), seeded_loss(8))


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_recomputed_blocks_give_the_same_gradient(gpt: Any, dropout: float) -> None:
    clips = draw_clips(MIXED)
    torch.manual_seed(7)
    expected = compute_packed_gradients(gpt, clips, dropout=dropout)
    torch.manual_seed(7)
    recomputed = compute_packed_gradients(gpt, clips, dropout=dropout, execution=Execution(recompute=True))
    assert measure_difference(recomputed, expected)[0] <= GRADIENT_TOLERANCE


def test_bf16_autocast_keeps_losses_in_float32_and_near(gpt: Any) -> None:
    clips = draw_clips([(40, 150), (80, 200), (25, 90)], frames=[100, 200, 150])
    expected_gradients = compute_packed_gradients(gpt, clips)
    with torch.no_grad():
        expected = mean_losses(compute_sums(gpt, clips))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sums = compute_sums(gpt, clips)
    assert sums.mel_C.dtype == sums.text_C.dtype == torch.float32
    text, mel = mean_losses(sums)
    (mel + TEXT_WEIGHT * text).backward()
    for found, wanted in zip((text, mel), expected, strict=True):
        assert float((found.detach() - wanted).abs()) <= BF16_LOSS_TOLERANCE
    assert measure_difference(take_gradients(gpt), expected_gradients)[0] <= BF16_GRADIENT_TOLERANCE


def test_a_micro_batch_moves_with_all_its_tensors(gpt: Any) -> None:
    moved = list(tensors_of(pack_clips(draw_clips(MIXED), gpt).to("meta")))
    assert len(moved) == 13
    assert {tensor.device.type for tensor in moved} == {"meta"}


def tensors_of(record: Any) -> Iterator[Tensor]:
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Tensor):
            yield value
        elif dataclasses.is_dataclass(value):
            yield from tensors_of(value)


def ids(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"text_ids": ids(5, TEXT_ROWS)}, f"text ids from 5 to {TEXT_ROWS}; the model knows 0 to {TEXT_ROWS - 1}"),
        ({"text_ids": ids(-1, 4)}, "text ids from -1 to 4"),
        ({"text_ids": ids()}, "0 text ids; the model takes 1 to 401"),
        ({"text_ids": ids(*[1] * 402)}, "402 text ids; the model takes 1 to 401"),
        (
            {"codes": ids(0, AUDIO_CODES)},
            f"audio codes from 0 to {AUDIO_CODES}; the model knows 0 to {AUDIO_CODES - 1}",
        ),
        ({"codes": ids()}, "0 audio codes; the model takes 1 to 603"),
        ({"codes": ids(*[1] * 604)}, "604 audio codes; the model takes 1 to 603"),
        ({"conditioning_mel": torch.zeros(80, 0)}, r"\(80, 0\); expected floats \[80, frames\]"),
        ({"conditioning_mel": torch.zeros(40, 80)}, r"\(40, 80\); expected floats \[80, frames\]"),
        ({"conditioning_mel": torch.zeros(80, 4, dtype=torch.int16)}, "torch.int16"),
    ],
)
def test_what_the_model_has_no_row_for_is_refused_with_the_clips_name(
    gpt: Any, fault: dict[str, Tensor], message: str
) -> None:
    good, other = draw_clips([(4, 6), (4, 6)])
    with pytest.raises(UserError, match=f"clip clip-1: .*{message}"):
        pack_clips([good, dataclasses.replace(other, **fault)], gpt)
