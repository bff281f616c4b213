"""The two mel spectrograms of XTTS-v2: one clip at a time on a processor, many at once on a GPU.

They differ only in the length of the Fourier transform: 1024 samples for what the DVAE turns into codes, 2048 for
the voice prompt. Both use windows of 1024 samples every 256, 80 Slaney bands up to 8 kHz, and are divided by the
base's `mel_stats`. Source: `TorchMelSpectrogram` and `GPTTrainer` of coqui-tts 0.28.0.

Tensor legend: S samples, F = 1 + S // 256 mel frames, R samples of a row of clips, B frequencies of the transform.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor
from torchaudio.transforms import MelSpectrogram

from xtts_framework.audio.precision import without_tf32
from xtts_framework.audio.rates import HOP, SAMPLE_RATE_HZ, frame_count

BANDS = 80
WINDOW = 1024
DVAE_FFT = 1024
CONDITIONING_FFT = 2048
EDGE = CONDITIONING_FFT // 2
"""Samples that the longer transform mirrors at each end of a clip."""
MIN_SAMPLES = EDGE + 1
"""Fewest samples that can be mirrored so (46 ms)."""
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
    return _log_mel_of_row(wav_S, CONDITIONING_FFT, mirror_ends=True) / mel_stats[:, None]


def log_mel(wav_S: Tensor, n_fft: int) -> Tensor:
    """Natural logarithm of the mel power spectrogram: [80, F]; bit for bit coqui's, for codes are made of it."""
    mel: Tensor = _spectrogram(n_fft, wav_S.device)(wav_S)
    return torch.log(torch.clamp(mel, min=QUIETEST))


@torch.inference_mode()
def mels_together(wavs: Sequence[Tensor], mel_stats: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Both mels of many clips on the device of `mel_stats`: a GPU takes as long to start on one clip as on a hundred.

    Clips lie end to end in one row, each mirrored at its ends as if alone and starting at a multiple of the hop, so
    that every frame is the same sum of products as alone; only the order of summation differs.

    Args:
        wavs: samples of each clip on the CPU, as for `dvae_mel`.
        mel_stats: [80].

    Returns:
        `dvae_mel` and `conditioning_mel` of each clip, views of one tensor each.
    """
    pieces: list[Tensor] = []
    starts_F = [0]
    for wav_S in wavs:
        slots = -(-(len(wav_S) + 2 * EDGE) // HOP)
        rest = slots * HOP - len(wav_S) - 2 * EDGE
        pieces += [wav_S[1 : EDGE + 1].flip(0), wav_S, wav_S[-EDGE - 1 : -1].flip(0), wav_S.new_zeros(rest)]
        starts_F.append(starts_F[-1] + slots)
    row_R = torch.cat(pieces).to(mel_stats.device)
    with without_tf32():
        dvae_mels, conditioning_mels = (
            _log_mel_of_row(row_R[EDGE - n_fft // 2 :], n_fft, mirror_ends=False) / mel_stats[:, None]
            for n_fft in (DVAE_FFT, CONDITIONING_FFT)
        )
    frames = [slice(start, start + frame_count(len(wav_S))) for start, wav_S in zip(starts_F, wavs, strict=False)]
    return [(dvae_mels[:, here], conditioning_mels[:, here]) for here in frames]


def _log_mel_of_row(row_R: Tensor, n_fft: int, *, mirror_ends: bool) -> Tensor:
    """Like `log_mel`, without coqui's detour over magnitudes: the last bit may differ, and it takes half as long."""
    spectrogram = _spectrogram(n_fft, row_R.device)
    window = spectrogram.spectrogram.window
    spectrum_BF = torch.stft(row_R, n_fft, HOP, WINDOW, window, center=mirror_ends, return_complex=True)
    power_BF = spectrum_BF.real.square().addcmul_(spectrum_BF.imag, spectrum_BF.imag)
    mel: Tensor = spectrogram.mel_scale(power_BF)
    return mel.clamp_(min=QUIETEST).log_()


@functools.cache
def _spectrogram(n_fft: int, device: torch.device) -> MelSpectrogram:
    return MelSpectrogram(
        sample_rate=SAMPLE_RATE_HZ,
        n_fft=n_fft,
        win_length=WINDOW,
        hop_length=HOP,
        f_min=0.0,
        f_max=8000.0,
        n_mels=BANDS,
        power=2.0,
        norm="slaney",
    ).to(device)
