"""Audio codes: what the DVAE of a base makes of mel spectrograms, many clips at once and each as if alone.

Clips lie end to end in one long row, every clip starting at a multiple of four frames with at least one empty code
between two clips. A convolution sees zeros beyond the ends of a clip that is encoded alone; here it must see zeros
between the clips. So whatever a layer leaves in the gaps (its bias, echoes of the neighbours) is set to zero before
the next layer looks. Cutting a margin off instead would change about one code in a hundred.

Tensor legend: F mel frames of one clip, L codes of one clip, R length of the row at some layer, C channels,
N codes of all clips together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from TTS.tts.layers.xtts.dvae import ResBlock

from xtts_framework.audio.precision import without_tf32
from xtts_framework.audio.rates import AUDIO_STOPS, FRAMES_PER_CODE, code_count

if TYPE_CHECKING:
    from TTS.tts.layers.xtts.dvae import DiscreteVAE


@torch.inference_mode()
def encode_batch(dvae: DiscreteVAE, mels: Sequence[Tensor], samples: Sequence[int]) -> list[Tensor]:
    """Encode clips together; the codes of each are those of the clip alone.

    Runs in full fp32 on the device of `dvae`: TF32, which convolutions use by default, changes codes.

    Args:
        dvae: as `load_dvae` returns it.
        mels: `dvae_mel` of each clip, [80, F], on the CPU or on that device.
        samples: samples of each clip at 22050 Hz.

    Returns:
        Codes of each clip, int64 [L] on the CPU, L = `code_count(samples)`.
    """
    embed_CK = dvae.codebook.embed
    slots = [math.ceil(mel.shape[1] / FRAMES_PER_CODE) + 1 for mel in mels]
    starts = [0, *itertools.accumulate(slots)]
    row_CR = torch.zeros(mels[0].shape[0], starts[-1] * FRAMES_PER_CODE, device=embed_CK.device)
    gap_R = torch.ones(row_CR.shape[1], dtype=torch.bool)
    for mel, start in zip(mels, starts, strict=False):
        here = slice(start * FRAMES_PER_CODE, start * FRAMES_PER_CODE + mel.shape[1])
        row_CR[:, here] = mel
        gap_R[here] = False
    counts = [code_count(count) for count in samples]
    wanted_N = torch.cat([start + torch.arange(count) for start, count in zip(starts, counts, strict=False)])
    with without_tf32():
        encoded_CR, _ = _encode_masked(dvae.encoder, row_CR, gap_R)
        codes_N = _nearest(encoded_CR.T[wanted_N.to(embed_CK.device)], embed_CK)
    return list(torch.split(codes_N.cpu(), counts))


def _encode_masked(module: nn.Module, row_CR: Tensor, gap_R: Tensor) -> tuple[Tensor, Tensor]:
    """Apply one layer; return its output, zero in the gaps, and which of its positions belong to no clip.

    Clips start at multiples of the encoder's stride, so an output belongs to a clip when the input it is centred on
    does. Activations need no mask: they leave zeros at zero. Every activation follows a convolution and every
    residual is fresh, so both may be changed in place; the gaps are few, so filling them costs less than a mask.
    """
    if isinstance(module, nn.Sequential):
        for layer in module:
            row_CR, gap_R = _encode_masked(layer, row_CR, gap_R)
        return row_CR, gap_R
    if isinstance(module, ResBlock):
        return _encode_masked(module.net, row_CR, gap_R)[0].add_(row_CR), gap_R
    if isinstance(module, nn.Conv1d):
        gap_R = gap_R[:: module.stride[0]]
        return module(row_CR).index_fill_(1, gap_R.nonzero()[:, 0].to(row_CR.device), 0.0), gap_R
    if isinstance(module, nn.ReLU):
        return row_CR.relu_(), gap_R
    return module(row_CR), gap_R


def _nearest(vectors_NC: Tensor, embed_CK: Tensor) -> Tensor:
    """Index of the nearest of K codewords for each vector, int64 [N]; rounded like coqui's `Quantize`."""
    distances_NK = (
        vectors_NC.pow(2).sum(1, keepdim=True) - 2 * vectors_NC @ embed_CK + embed_CK.pow(2).sum(0, keepdim=True)
    )
    return distances_NK.argmin(1)


def count_targets(clips: Iterable[Tensor], stop_token: int) -> Tensor:
    """How often each token is a training target: every clip's codes, then its stops. Int64 [stop_token + 1].

    Args:
        clips: codes of each clip, [L].
        stop_token: `gpt_stop_audio_token` of the base, 1025 in XTTS-v2.
    """
    counts = torch.zeros(stop_token + 1, dtype=torch.int64)
    for codes in clips:
        counts += torch.bincount(codes, minlength=stop_token + 1)
        counts[stop_token] += AUDIO_STOPS
    return counts


def unigram_entropy(counts: Tensor) -> float:
    """Entropy of a token's frequency in nats: the best loss of a model that knows frequencies but no context.

    Args:
        counts: how often each token occurs, [tokens]; the number of codes in use is `(counts > 0).sum()`.

    Raises:
        ValueError: nothing was counted.
    """
    total = counts.sum()
    if total <= 0:
        raise ValueError("unigram_entropy: no token was counted")
    shares = counts[counts > 0].double() / total
    return float(-(shares * shares.log()).sum())
