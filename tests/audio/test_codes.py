"""Clips encoded together get the codes that coqui gives each of them alone."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from TTS.tts.layers.xtts.dvae import DiscreteVAE

from xtts_framework.audio.codes import count_targets, encode_batch, unigram_entropy
from xtts_framework.audio.mels import dvae_mel, mels_together
from xtts_framework.audio.rates import code_count
from xtts_framework.model.base import build_dvae

MEL_STATS = torch.full((80,), 4.0)
LENGTHS = [
    11_025,
    255_780,
    11_264,
    11_265,
    12_287,
    12_288,
    30_000,
    20_479,
    66_150,
    1_025,
    132_300,
    48_000,
    2_048,
    99_999,
]
"""Samples: 0.5 s, 11.6 s, and both sides of a frame's and a code's edge."""


def speechlike(samples: int, seed: int) -> Tensor:
    """Gliding tones under a moving loudness, with noise."""
    generator = torch.Generator().manual_seed(seed)
    time_s = torch.arange(samples) / 22050
    start_hz, glide_hz, wobble_hz = (torch.rand(3, generator=generator) * torch.tensor([900.0, 2500.0, 6.0])).tolist()
    phase = 2 * math.pi * (start_hz * time_s + glide_hz * time_s**2 / 2)
    loudness = 0.5 + 0.5 * torch.sin(2 * math.pi * wobble_hz * time_s)
    voice = sum(torch.sin(phase * harmonic) / harmonic for harmonic in range(1, 6))
    return (0.2 * loudness * voice + 0.02 * torch.randn(samples, generator=generator)).clamp(-1, 1)


@pytest.fixture(scope="module")
def mels() -> list[Tensor]:
    return [dvae_mel(speechlike(samples, seed), MEL_STATS) for seed, samples in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def dvae() -> DiscreteVAE:
    """A random DVAE whose codewords are its outputs on other clips; a random codebook would use about 20.

    Its biases are as large as trained ones: what a missing mask would let through. Fresh layers have next to none.
    """
    return fitted_dvae(hidden_dim=96, codebook_dim=64, num_tokens=512)


def fitted_dvae(hidden_dim: int, codebook_dim: int, num_tokens: int) -> DiscreteVAE:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        dvae = build_dvae(hidden_dim=hidden_dim, codebook_dim=codebook_dim, num_tokens=num_tokens).eval()
        for layer in dvae.encoder.modules():
            if isinstance(layer, torch.nn.Conv1d) and layer.bias is not None:
                layer.bias.normal_(std=0.3)
        others = [dvae_mel(speechlike(150_000, seed), MEL_STATS) for seed in range(100, 108)]
        outputs = torch.cat([dvae.encoder(mel[None])[0].T for mel in others])
        dvae.codebook.embed.copy_(outputs[torch.randperm(len(outputs))[:num_tokens]].T)
    return dvae


def coqui_codes(dvae: DiscreteVAE, mel: Tensor, samples: int) -> Tensor:
    codes: Tensor = dvae.get_codebook_indices(mel[None])[0]
    return codes[: math.ceil(samples / 1024)]


def test_codes_of_a_batch_are_coquis_codes_of_each_clip_alone(dvae: DiscreteVAE, mels: list[Tensor]) -> None:
    batch = encode_batch(dvae, mels, LENGTHS)
    for codes, mel, samples in zip(batch, mels, LENGTHS, strict=True):
        assert codes.tolist() == coqui_codes(dvae, mel, samples).tolist()
    in_use = len(torch.cat(batch).unique())
    assert in_use >= 256, f"{in_use} codes in use prove little"


def test_codes_from_mels_computed_together_differ_only_between_codewords_equally_near(
    dvae: DiscreteVAE, mels: list[Tensor]
) -> None:
    """What a GPU does, on any machine."""
    wavs = [speechlike(samples, seed) for seed, samples in enumerate(LENGTHS)]
    batch = encode_batch(dvae, [for_codes for for_codes, _ in mels_together(wavs, MEL_STATS)], LENGTHS)
    for codes, mel, samples in zip(batch, mels, LENGTHS, strict=True):
        count_ties(dvae, mel, codes, coqui_codes(dvae, mel, samples))


def test_these_clips_would_notice_a_missing_mask(dvae: DiscreteVAE, mels: list[Tensor]) -> None:
    wrong = 0
    for mel, samples in zip(mels, LENGTHS, strict=True):
        padded = torch.nn.functional.pad(mel, (0, 64))
        wrong += int((coqui_codes(dvae, padded, samples) != coqui_codes(dvae, mel, samples)).sum())
    assert wrong >= len(mels) // 2, wrong


@settings(max_examples=25, deadline=None)
@given(chosen=st.lists(st.integers(0, len(LENGTHS) - 1), min_size=1, max_size=6))
def test_codes_do_not_depend_on_the_neighbours(dvae: DiscreteVAE, mels: list[Tensor], chosen: list[int]) -> None:
    batch = encode_batch(dvae, [mels[i] for i in chosen], [LENGTHS[i] for i in chosen])
    for codes, i in zip(batch, chosen, strict=True):
        (alone,) = encode_batch(dvae, [mels[i]], [LENGTHS[i]])
        assert codes.tolist() == alone.tolist()


def test_every_clip_gets_one_code_per_started_1024_samples(dvae: DiscreteVAE, mels: list[Tensor]) -> None:
    assert [len(codes) for codes in encode_batch(dvae, mels, LENGTHS)] == [code_count(samples) for samples in LENGTHS]
    assert [code_count(samples) for samples in (1, 1024, 1025, 255_780)] == [1, 1, 2, 250]


def test_encoding_leaves_the_precision_settings_as_they_were(dvae: DiscreteVAE, mels: list[Tensor]) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        convolutions = torch.backends.cudnn.allow_tf32
        encode_batch(dvae, mels[:1], LENGTHS[:1])
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32 == convolutions
        assert torch.backends.cudnn.enabled
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_codes_on_a_gpu_differ_only_between_codewords_equally_near(dvae: DiscreteVAE, mels: list[Tensor]) -> None:
    on_gpu = encode_batch(build_copy(dvae).cuda(), mels, LENGTHS)
    for codes, mel, samples in zip(on_gpu, mels, LENGTHS, strict=True):
        count_ties(dvae, mel, codes, coqui_codes(dvae, mel, samples))


@torch.no_grad()
def count_ties(dvae: DiscreteVAE, mel: Tensor, codes: Tensor, expected: Tensor) -> int:
    """How many codes differ from coqui's; each of them must name a codeword as near as coqui's, to 1e-4 relative."""
    outputs = dvae.encoder(mel[None])[0].T[: len(expected)].double()
    distances = torch.cdist(outputs, dvae.codebook.embed.T.double())
    chosen = distances.gather(1, codes[:, None])[:, 0]
    nearest = distances.gather(1, expected[:, None])[:, 0]
    differ = codes != expected
    assert (((chosen - nearest) / nearest.clamp(min=1e-6))[differ] < 1e-4).all()
    return int(differ.sum())


def test_an_encoder_of_real_size_differs_from_coqui_in_at_most_a_tie_in_a_thousand_codes() -> None:
    dvae = fitted_dvae(hidden_dim=512, codebook_dim=512, num_tokens=1024)
    lengths = LENGTHS * 3
    mels = [dvae_mel(speechlike(samples, 200 + seed), MEL_STATS) for seed, samples in enumerate(lengths)]
    total = ties = in_use = 0
    for start in range(0, len(lengths), len(LENGTHS)):
        batch = slice(start, start + len(LENGTHS))
        together = encode_batch(dvae, mels[batch], lengths[batch])
        for codes, mel, samples in zip(together, mels[batch], lengths[batch], strict=True):
            ties += count_ties(dvae, mel, codes, coqui_codes(dvae, mel, samples))
            total += len(codes)
        in_use = max(in_use, len(torch.cat(together).unique()))
    assert total > 2000
    assert in_use >= 256, f"{in_use} codes in use prove little"
    assert ties <= total / 1000, f"{ties} of {total} codes differ"


def build_copy(dvae: DiscreteVAE) -> DiscreteVAE:
    copy = build_dvae(hidden_dim=96, codebook_dim=64, num_tokens=512).eval()
    copy.load_state_dict(dvae.state_dict())
    return copy


def test_entropy_of_equally_frequent_tokens_is_the_logarithm_of_their_number() -> None:
    assert unigram_entropy(torch.tensor([0, 5, 5, 0, 5, 5])) == pytest.approx(math.log(4))
    assert unigram_entropy(torch.tensor([7])) == 0.0
    with pytest.raises(ValueError, match="no token"):
        unigram_entropy(torch.zeros(3, dtype=torch.int64))


def test_targets_are_each_clips_codes_and_its_four_stops() -> None:
    counts = count_targets([torch.tensor([3, 3, 5]), torch.tensor([5])], stop_token=8)
    assert counts.tolist() == [0, 0, 0, 2, 0, 2, 0, 0, 8]
