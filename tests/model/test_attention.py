from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from xtts_framework.model.attention import Segments, attend_each, attend_padded, causal_attention

HEADS, CHANNELS = 2, 8
Attend = Callable[[Tensor, Tensor, Tensor, Segments], Tensor]


def attend_densely(q_TNH: Tensor, k_TNH: Tensor, v_TNH: Tensor, lengths: list[int]) -> Tensor:
    """The definition: one big matrix in which a token sees its own clip up to itself."""
    clips = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    order = torch.arange(sum(lengths))
    visible = (clips[:, None] == clips) & (order[:, None] >= order)
    scores_NTT = torch.einsum("qnh,knh->nqk", q_TNH, k_TNH) / CHANNELS**0.5
    return torch.einsum("nqk,knh->qnh", scores_NTT.masked_fill(~visible, -torch.inf).softmax(-1), v_TNH)


def draw_inputs(tokens: int) -> tuple[list[Tensor], Tensor]:
    """Queries, keys and values that want gradients, and a gradient to pass back."""
    dice = torch.Generator().manual_seed(tokens)
    qkv = [torch.randn(tokens, HEADS, CHANNELS, generator=dice).requires_grad_() for _ in range(3)]
    return qkv, torch.randn(tokens, HEADS, CHANNELS, generator=dice)


@pytest.mark.parametrize("attend", [attend_each, attend_padded, causal_attention])
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_a_token_attends_to_its_own_clip_up_to_itself(attend: Attend, lengths: list[int]) -> None:
    qkv, passed_back = draw_inputs(sum(lengths))
    expected = attend_densely(*qkv, lengths)
    expected_gradients = torch.autograd.grad(expected, qkv, passed_back)
    attended = attend(*qkv, Segments.of(lengths))
    gradients = torch.autograd.grad(attended, qkv, passed_back)
    torch.testing.assert_close(attended, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-5, atol=1e-5)


def test_inputs_may_be_views_of_one_projection() -> None:
    lengths = [5, 3]
    qkv_T3NH = torch.randn(8, 3, HEADS, CHANNELS)
    attended = causal_attention(*qkv_T3NH.unbind(1), Segments.of(lengths))
    torch.testing.assert_close(attended, attend_densely(*qkv_T3NH.unbind(1), lengths))


@pytest.mark.parametrize("lengths", [[], [3, 0]])
def test_a_clip_without_tokens_is_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Segments.of(lengths)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_a_cuda_device_agrees_with_the_cpu(dtype: torch.dtype, tolerance: float) -> None:
    lengths = [37, 5, 120]
    qkv, passed_back = draw_inputs(sum(lengths))
    expected = attend_each(*qkv, Segments.of(lengths))
    expected_gradients = torch.autograd.grad(expected, qkv, passed_back)
    on_device = [part.detach().to("cuda", dtype).requires_grad_() for part in qkv]
    attended = causal_attention(*on_device, Segments.of(lengths).to("cuda"))
    gradients = torch.autograd.grad(attended, on_device, passed_back.to("cuda", dtype))
    for found, wanted in zip((attended, *gradients), (expected, *expected_gradients), strict=True):
        torch.testing.assert_close(found.float().cpu(), wanted, rtol=tolerance, atol=tolerance)
