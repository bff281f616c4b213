"""Our mels are coqui's mels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram

from xtts_framework.audio.mels import MIN_SAMPLES, conditioning_mel, dvae_mel, mels_together

MEL_STATS = torch.linspace(2.5, 7.5, 80)
LENGTHS = [MIN_SAMPLES, 11_025, 11_264, 11_265, 100_000, 255_780]


def noise(samples: int) -> Tensor:
    return 0.3 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))


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


@pytest.mark.parametrize("samples", LENGTHS)
def test_what_codes_are_made_of_is_bit_for_bit_coquis(samples: int) -> None:
    ours = dvae_mel(noise(samples), MEL_STATS)
    assert ours.shape == (80, 1 + samples // 256)
    assert torch.equal(ours, coqui_mel(noise(samples), 1024))


@pytest.mark.parametrize("samples", LENGTHS)
def test_conditioning_mel_is_coquis_but_for_the_last_bits(samples: int) -> None:
    ours = conditioning_mel(noise(samples), MEL_STATS)
    assert ours.shape == (80, 1 + samples // 256)
    assert (ours - coqui_mel(noise(samples), 2048)).abs().max() <= 1e-6


def test_mels_of_many_clips_together_are_those_of_each_alone() -> None:
    clips = [noise(samples) for samples in LENGTHS]
    for clip, (for_codes, conditioning) in zip(clips, mels_together(clips, MEL_STATS), strict=True):
        assert for_codes.shape == conditioning.shape == (80, 1 + len(clip) // 256)
        assert (for_codes - dvae_mel(clip, MEL_STATS)).abs().max() <= 1e-6
        assert (conditioning - conditioning_mel(clip, MEL_STATS)).abs().max() <= 1e-6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_mels_on_a_gpu_are_within_the_tolerance_of_what_is_stored() -> None:
    clips = [noise(samples) for samples in LENGTHS]
    for clip, (for_codes, conditioning) in zip(clips, mels_together(clips, MEL_STATS.cuda()), strict=True):
        assert (for_codes.cpu() - dvae_mel(clip, MEL_STATS)).abs().max() <= 2e-3
        assert (conditioning.cpu() - conditioning_mel(clip, MEL_STATS)).abs().max() <= 2e-3


def test_silence_gives_finite_mels() -> None:
    for mel in (dvae_mel, conditioning_mel):
        assert mel(torch.zeros(5000), MEL_STATS).isfinite().all()
