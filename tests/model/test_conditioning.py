from __future__ import annotations

from typing import Any

import pytest
import torch
from small_gpt import build_small_gpt, measure_difference, take_gradients
from torch import Tensor

from xtts_framework.model.conditioning import PaddedMels, conditioning_latents, encode

TOLERANCE = 1e-5
FRAMES = [60, 1, 33, 60, 129]


@pytest.fixture(scope="module")
def gpt() -> Any:
    return build_small_gpt()


@pytest.fixture(scope="module")
def mels() -> list[Tensor]:
    dice = torch.Generator().manual_seed(3)
    return [torch.randn(80, frames, generator=dice) - 2 for frames in FRAMES]


@pytest.fixture(scope="module")
def alone_CKD(gpt: Any, mels: list[Tensor]) -> Tensor:
    """What coqui computes for each clip alone."""
    with torch.no_grad():
        return torch.cat([gpt.get_style_emb(mel[None]).transpose(1, 2) for mel in mels])


def test_each_clip_gets_what_coqui_computes_for_it_alone(gpt: Any, mels: list[Tensor], alone_CKD: Tensor) -> None:
    with torch.no_grad():
        latents_CKD = conditioning_latents(gpt, mels)
    assert latents_CKD.shape == (len(FRAMES), 32, 64)
    torch.testing.assert_close(latents_CKD, alone_CKD, rtol=TOLERANCE, atol=TOLERANCE)


def test_equally_long_clips_pass_together(gpt: Any, mels: list[Tensor], alone_CKD: Tensor) -> None:
    with torch.no_grad():
        latents_CKD = conditioning_latents(gpt, [mels[0], mels[3]])
    torch.testing.assert_close(latents_CKD, alone_CKD[[0, 3]], rtol=TOLERANCE, atol=TOLERANCE)


def test_masks_hide_the_padding_whatever_it_holds(gpt: Any, mels: list[Tensor], alone_CKD: Tensor) -> None:
    padded = PaddedMels.of(mels)
    noisy = padded.values_CFM + 100 * ~padded.real_CF[:, :, None]
    with torch.no_grad():
        torch.testing.assert_close(encode(gpt, noisy, padded.real_CF), alone_CKD, rtol=TOLERANCE, atol=TOLERANCE)
        unmasked_CKD = encode(gpt, padded.values_CFM, None)
    assert (unmasked_CKD - alone_CKD).norm() / alone_CKD.norm() > 1e-2, (
        "padding must matter, or this test shows nothing"
    )


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_equal_the_sum_over_clips_alone(gpt: Any, mels: list[Tensor], masked: bool) -> None:
    weights_CKD = torch.randn(len(mels), 32, 64, generator=torch.Generator().manual_seed(4))
    for mel, weights_KD in zip(mels, weights_CKD, strict=True):
        (gpt.get_style_emb(mel[None])[0].T * weights_KD).sum().backward()
    expected = take_conditioning_gradients(gpt)
    padded = PaddedMels.of(mels)
    latents_CKD = encode(gpt, padded.values_CFM, padded.real_CF) if masked else conditioning_latents(gpt, mels)
    (latents_CKD * weights_CKD).sum().backward()
    overall, worst = measure_difference(take_conditioning_gradients(gpt), expected)
    assert overall <= 1e-5
    assert worst <= 1e-4


def take_conditioning_gradients(gpt: Any) -> dict[str, Tensor]:
    return take_gradients(torch.nn.ModuleList([gpt.conditioning_encoder, gpt.conditioning_perceiver]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_agrees_with_the_cpu(mels: list[Tensor], alone_CKD: Tensor) -> None:
    on_device = build_small_gpt().to("cuda")
    with torch.no_grad():
        latents_CKD = conditioning_latents(on_device, [mel.to("cuda") for mel in mels])
    torch.testing.assert_close(latents_CKD.cpu(), alone_CKD, rtol=1e-4, atol=1e-4)
