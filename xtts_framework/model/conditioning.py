"""The voice prompt: mels of different lengths through coqui's conditioning encoder and perceiver, in one call.

coqui's GroupNorm over time and its unmasked attention let padding change the latents (by 12 % in practice). Here the
statistics and both attentions see a clip's own frames only, so every clip gets what it would get alone: masked, side
by side, where many small kernels would cost most (CUDA); clip by clip on the CPU, where padding would.

Shapes: C clips, F frames of the longest clip, M = 80 mel bands, D channels, G groups, N heads, H channels of a head,
K = 32 latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xtts_framework.model.attention import send


@dataclass(frozen=True)
class PaddedMels:
    """Conditioning mels of several clips, side by side.

    Args:
        values_CFM: [C, F, M] of the type in which the mels are stored, zeros after each clip's frames.
        real_CF: [C, F] bool, True on a clip's own frames.
        frames: number of each clip's own frames.
    """

    values_CFM: Tensor
    real_CF: Tensor
    frames: tuple[int, ...]

    @classmethod
    def of(cls, mels: Sequence[Tensor]) -> PaddedMels:
        """Put mels [M, frames] of any floating type side by side, on their own device."""
        frames = tuple(mel.shape[1] for mel in mels)
        values = torch.nn.utils.rnn.pad_sequence([mel.T for mel in mels], batch_first=True)
        real = torch.arange(max(frames)) < torch.tensor(frames)[:, None]
        return cls(values, send(real, values.device), frames)

    @property
    def is_rectangular(self) -> bool:
        """All clips are equally long: there is no padding."""
        return min(self.frames) == max(self.frames)

    def to(self, device: torch.device | str) -> PaddedMels:
        return PaddedMels(send(self.values_CFM, device), send(self.real_CF, device), self.frames)


def conditioning_latents(gpt: Any, mels: Sequence[Tensor]) -> Tensor:
    """Latents of several voice prompts, each as if it were alone.

    Args:
        gpt: coqui's GPT, of which the weights are used.
        mels: one [80, frames] per clip, at least one frame, on the model's device.
    Returns:
        [C, 32, D] float32.
    Source: GPT.get_style_emb, ConditioningEncoder, PerceiverResampler of coqui-tts 0.28.
    """
    return encode_voices(gpt, PaddedMels.of(mels))


def encode_voices(gpt: Any, mels: PaddedMels) -> Tensor:
    """`conditioning_latents` of mels that are already side by side on the model's device: [C, 32, D]."""
    values_CFM = mels.values_CFM.float()
    if mels.is_rectangular:
        return encode(gpt, values_CFM, None)
    if values_CFM.is_cpu:
        alone = (values_FM[:frames] for values_FM, frames in zip(values_CFM, mels.frames, strict=True))
        return torch.cat([encode(gpt, values_FM[None], None) for values_FM in alone])
    return encode(gpt, values_CFM, mels.real_CF)


def encode(gpt: Any, mels_CFM: Tensor, real_CF: Tensor | None) -> Tensor:
    """[C, F, M] -> [C, 32, D] float32; `real_CF` tells a clip's own frames from padding, None: no padding."""
    encoder, perceiver = gpt.conditioning_encoder, gpt.conditioning_perceiver
    x_CFD = _pointwise(encoder.init, mels_CFM)
    for block in encoder.attn:
        x_CFD = _attend_within_clip(block, x_CFD, real_CF)
    mask = None if real_CF is None else F.pad(real_CF, (len(perceiver.latents), 0), value=True)
    latents_CKD: Tensor = perceiver(x_CFD, mask=mask)
    return latents_CKD.float()


def _attend_within_clip(block: Any, x_CFD: Tensor, real_CF: Tensor | None) -> Tensor:
    """coqui's AttentionBlock: the residual is the normalised input, and q, k, v of a head lie together."""
    normed_CFD = _group_norm(block.norm, x_CFD.float(), real_CF)
    q, k, v = torch.unflatten(_pointwise(block.qkv, normed_CFD), 2, (block.num_heads, 3, -1)).unbind(3)
    q_CNFH, k_CNFH, v_CNFH = (part.transpose(1, 2) for part in (q, k, v))
    mask = None if real_CF is None else real_CF[:, None, None, :]
    attended_CNFH = F.scaled_dot_product_attention(q_CNFH, k_CNFH, v_CNFH, attn_mask=mask)
    return normed_CFD + _pointwise(block.proj_out, attended_CNFH.transpose(1, 2).flatten(2))


def _group_norm(norm: Any, x_CFD: Tensor, real_CF: Tensor | None) -> Tensor:
    """GroupNorm over a clip's own frames; padding becomes the bias."""
    if real_CF is None:
        normed_CDF: Tensor = norm(x_CFD.transpose(1, 2))
        return normed_CDF.transpose(1, 2)
    x_CFGH = torch.unflatten(x_CFD, 2, (norm.num_groups, -1))
    real = real_CF[:, :, None, None].float()
    count = real.sum(dim=1, keepdim=True) * x_CFGH.shape[3]
    mean = (x_CFGH * real).sum(dim=(1, 3), keepdim=True) / count
    centred = (x_CFGH - mean) * real
    variance = centred.square().sum(dim=(1, 3), keepdim=True) / count
    normed = centred * torch.rsqrt(variance + norm.eps)
    return torch.addcmul(norm.bias, normed.flatten(2), norm.weight)


def _pointwise(convolution: Any, x_CFD: Tensor) -> Tensor:
    """A Conv1d of kernel size 1, channels last."""
    return F.linear(x_CFD, convolution.weight.squeeze(2), convolution.bias)
