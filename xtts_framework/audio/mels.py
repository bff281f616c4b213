"""The two mel spectrograms of XTTS-v2, each computed for one clip alone.

They differ only in the length of the Fourier transform: 1024 samples for what the DVAE turns into codes, 2048 for
the voice prompt. Both use windows of 1024 samples every 256, 80 Slaney bands up to 8 kHz, and are divided by the
base's `mel_stats`. Source: `TorchMelSpectrogram` and `GPTTrainer` of coqui-tts 0.28.0.

Tensor legend: S samples, F = 1 + S // 256 mel frames.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torchaudio.transforms import MelSpectrogram

from xtts_framework.audio.rates import HOP, SAMPLE_RATE_HZ

BANDS = 80
DVAE_FFT = 1024
CONDITIONING_FFT = 2048
MIN_SAMPLES = CONDITIONING_FFT // 2 + 1
"""Fewest samples the longer transform can mirror at a clip's ends (46 ms)."""
QUIETEST = 1e-5
"""Power below which everything counts as silence."""


def dvae_mel(wav_S: Tensor, mel_stats: Tensor) -> Tensor:
    """What the DVAE encodes: [80, F].

    Args:
        wav_S: mono samples at 22050 Hz, at least `MIN_SAMPLES`.
        mel_stats: [80], see `load_mel_stats`.
    """
    return log_mel(wav_S, DVAE_FFT) / mel_stats[:, None]


def conditioning_mel(wav_S: Tensor, mel_stats: Tensor) -> Tensor:
    """What the conditioning encoder listens to: [80, F]. Arguments as for `dvae_mel`."""
    return log_mel(wav_S, CONDITIONING_FFT) / mel_stats[:, None]


def log_mel(wav_S: Tensor, n_fft: int) -> Tensor:
    """Natural logarithm of the mel power spectrogram: [80, F]."""
    mel: Tensor = _spectrogram(n_fft)(wav_S)
    return torch.log(torch.clamp(mel, min=QUIETEST))


@functools.cache
def _spectrogram(n_fft: int) -> MelSpectrogram:
    return MelSpectrogram(
        sample_rate=SAMPLE_RATE_HZ,
        n_fft=n_fft,
        win_length=1024,
        hop_length=HOP,
        f_min=0.0,
        f_max=8000.0,
        n_mels=BANDS,
        power=2.0,
        norm="slaney",
    )
