"""Our mels are coqui's mels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram

from xtts_framework.audio.mels import MIN_SAMPLES, conditioning_mel, dvae_mel

MEL_STATS = torch.linspace(2.5, 7.5, 80)


def coqui_mel(wav: Tensor, n_fft: int) -> Tensor:
    """What coqui's trainer computes; the arguments are those of its `GPTTrainer`."""
    module = TorchMelSpectrogram(
        filter_length=n_fft,
        hop_length=256,
        win_length=1024,
        normalize=False,
        sampling_rate=22050,
        mel_fmin=0,
        mel_fmax=8000,
        n_mel_channels=80,
        mel_norm_file=None,
    )
    module.mel_norms = MEL_STATS
    mel: Tensor = module(wav[None])[0]
    return mel


@pytest.mark.parametrize("samples", [MIN_SAMPLES, 11_025, 11_264, 11_265, 100_000, 255_780])
@pytest.mark.parametrize(("our_mel", "n_fft"), [(dvae_mel, 1024), (conditioning_mel, 2048)])
def test_mel_is_bit_for_bit_coquis(our_mel: Callable[[Tensor, Tensor], Tensor], n_fft: int, samples: int) -> None:
    wav = 0.3 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))
    ours = our_mel(wav, MEL_STATS)
    assert ours.shape == (80, 1 + samples // 256)
    assert torch.equal(ours, coqui_mel(wav, n_fft))


def test_silence_gives_finite_mels() -> None:
    assert dvae_mel(torch.zeros(5000), MEL_STATS).isfinite().all()
