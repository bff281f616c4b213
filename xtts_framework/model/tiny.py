"""A base of XTTS-v2's exact architecture and file layout, with small dimensions and random weights.

It proves the plumbing and speaks no language. Its audio codes are real all the same: mel statistics and codebook are
fitted on speech, so that training on them has something to learn.

Tensor legend: S samples, N codes over all speech, C channels of the codebook, K codewords; P and Q directions inside
the encoder, M mel bands, H channels of its first layer.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtts_framework.audio.rates import SAMPLE_RATE_HZ
from xtts_framework.audio.reading import read_audio
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_folder, write_json
from xtts_framework.model.base import BASE_FILES, build_dvae, build_gpt

if TYPE_CHECKING:
    from torch import Tensor, nn
    from TTS.tts.layers.xtts.dvae import DiscreteVAE
    from TTS.tts.layers.xtts.gpt import GPT
    from TTS.tts.layers.xtts.hifigan_decoder import HifiDecoder

LANGUAGES = ("en", "es", "fr", "de", "it", "pt", "pl", "tr", "ru", "nl", "cs", "ar", "zh-cn", "hu", "ko", "ja", "hi")
PUNCTUATION = "!'(),-./:;?"
LATIN = "abcdefghijklmnopqrstuvwxyzßàáâãäæçèéêëíîïñóôöùúûüąćčďęěğıłńňœřśşšťůźżž"
ENGLISH_TOKENS = 400
"""Size of the vocabulary before the language tags: characters and merges."""


@dataclass(frozen=True)
class Shape:
    """Dimensions of a base. Everything else is XTTS-v2's own.

    Args:
        layers, model_dim, heads: of the GPT; `model_dim / heads` is the width of a head.
        dvae_hidden, codebook_dim: of the DVAE.
    """

    layers: int
    model_dim: int
    heads: int
    dvae_hidden: int
    codebook_dim: int


SHAPES = {
    "tiny": Shape(layers=4, model_dim=128, heads=4, dvae_hidden=64, codebook_dim=32),
    "xtts-v2": Shape(layers=30, model_dim=1024, heads=16, dvae_hidden=512, codebook_dim=512),
}
CODES = 1024
FITTED_CODES = 320
"""Codewords fitted on speech; the others lie far away and are never chosen, which keeps the codes learnable."""


@dataclass(frozen=True)
class CodebookFit:
    """How the codebook describes the speech it was fitted on.

    Args:
        clips, seconds: of speech.
        codes_in_use: codewords chosen at least once, of 1024.
        unigram_entropy: nats per code; what a model without context can reach at best.
        bigram_entropy: nats per code of every fourth clip, predicted from the code before it by counts over the
            other clips; a model that learns from context gets below it.
    """

    clips: int
    seconds: float
    codes_in_use: int
    unigram_entropy: float
    bigram_entropy: float


def create_tiny_base(out: Path, speech: Sequence[Path], *, seed: int = 1, shape: Shape = SHAPES["tiny"]) -> CodebookFit:
    """Write a complete base folder; the same speech and seed give the same weights.

    Args:
        out: the base folder; replaced as a whole when it exists.
        speech: recordings to fit mel statistics and codebook on, and to compute one voice from.

    Raises:
        UserError: too little speech for the codebook.
    """
    import torch

    from xtts_framework.audio.codes import unigram_entropy
    from xtts_framework.audio.mels import DVAE_FFT, log_mel

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        audios = [torch.from_numpy(read_audio(path)) for path in speech]
        log_mels = [log_mel(audio, DVAE_FFT) for audio in audios]
        mel_stats = torch.cat(log_mels, dim=1).abs().mean(dim=1)
        mels = [mel / mel_stats[:, None] for mel in log_mels]
        dvae = build_dvae(hidden_dim=shape.dvae_hidden, codebook_dim=shape.codebook_dim, num_tokens=CODES).eval()
        _make_encoder_smooth(dvae)
        _fit_codebook(dvae, mels, seed=seed)
        vocab = train_vocabulary()
        config = _config(shape, vocab)
        gpt, decoder = _random_gpt(config.model_args), _random_decoder(config.model_args)
        voices = {speech[0].stem: _voice(gpt, decoder, audios[0], mel_stats)}
        state = {
            **{f"gpt.{name}": tensor for name, tensor in gpt.state_dict().items()},
            **{f"hifigan_decoder.{name}": tensor for name, tensor in decoder.state_dict().items()},
            "mel_stats": mel_stats,
        }
        codes = [dvae.get_codebook_indices(mel[None])[0] for mel in mels]
        with replacing_folder(out) as folder:
            torch.save({"model": state}, folder / "model.pth")
            torch.save(dvae.state_dict(), folder / "dvae.pth")
            torch.save(mel_stats, folder / "mel_stats.pth")
            torch.save(voices, folder / "speakers_xtts.pth")
            write_json(folder / "vocab.json", vocab)
            config.save_json(folder / "config.json")  # like the released one, it holds Infinity
            assert {path.name for path in folder.iterdir()} == set(BASE_FILES)
    return CodebookFit(
        clips=len(audios),
        seconds=sum(len(audio) for audio in audios) / SAMPLE_RATE_HZ,
        codes_in_use=int((torch.cat(codes).bincount() > 0).sum()),
        unigram_entropy=unigram_entropy(torch.cat(codes).bincount()),
        bigram_entropy=_bigram_entropy(codes),
    )


def recordings_in(folder: Path) -> list[Path]:
    """The wav files of a dataset folder, in `wavs/` or in the folder itself, sorted by name.

    Raises:
        UserError: there are none.
    """
    for place in (folder / "wavs", folder):
        if recordings := sorted(place.glob("*.wav")):
            return recordings
    raise UserError(f"{folder}: no recordings. Expected a dataset folder with wavs/*.wav or *.wav in it.")


def train_vocabulary() -> dict[str, Any]:
    """A small vocabulary in XTTS's file format: Latin characters, English merges, a tag per language."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    sentences = resources.files(__package__).joinpath("english_sentences.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=ENGLISH_TOKENS,
        special_tokens=["[STOP]", "[UNK]", "[SPACE]"],
        initial_alphabet=list(PUNCTUATION + LATIN),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.add_special_tokens(["[START]", *(f"[{language}]" for language in LANGUAGES)])
    vocab: dict[str, Any] = json.loads(tokenizer.to_str())
    # As in the released file: tags are in the model's vocabulary as well, and a merge is one string.
    vocab["model"]["vocab"] |= {token["content"]: token["id"] for token in vocab["added_tokens"]}
    vocab["model"]["merges"] = [" ".join(merge) for merge in vocab["model"]["merges"]]
    return vocab


def _make_encoder_smooth(dvae: DiscreteVAE) -> None:
    """Make the encoder a random projection of mels averaged over time, linear in spite of its ReLUs.

    A default random encoder follows noise more than speech. Here each direction w occurs as +w and -w, so that
    relu(wx) - relu(-wx) = wx passes the ReLU unharmed, and the residual blocks start as identities. Codes then
    follow the speech smoothly, which is what makes them learnable.
    """
    import torch

    first, second, last = dvae.encoder[0][0], dvae.encoder[1][0], dvae.encoder[-1]
    window = torch.tensor([0.25, 0.5, 0.25])
    pairs = first.out_channels // 2
    directions_PM = torch.nn.init.orthogonal_(torch.empty(pairs, first.in_channels))
    _set_signed_pairs(first, directions_PM, window)
    join_PH = torch.cat([torch.eye(pairs), -torch.eye(pairs)], dim=1)
    widen_QP = torch.nn.init.orthogonal_(torch.empty(second.out_channels // 2, pairs))
    _set_signed_pairs(second, widen_QP @ join_PH, window)
    for block in dvae.encoder[2:-1]:
        block.net[-1].weight.zero_()
        block.net[-1].bias.zero_()
    # The residual blocks and the last layer see [relu(y); relu(-y)]; their difference is y, and widen_QP is undone.
    narrow_PQ = torch.linalg.pinv(widen_QP)
    project_CP = torch.nn.init.orthogonal_(torch.empty(last.out_channels, pairs))
    project_CQ = project_CP @ narrow_PQ
    last.weight.copy_(torch.cat([project_CQ, -project_CQ], dim=1)[:, :, None])
    last.bias.zero_()


def _set_signed_pairs(conv: nn.Conv1d, directions: Tensor, window: Tensor) -> None:
    import torch

    kernel = directions[:, :, None] * window
    conv.weight.copy_(torch.cat([kernel, -kernel]))
    assert conv.bias is not None
    conv.bias.zero_()


def _fit_codebook(dvae: DiscreteVAE, mels: Sequence[Tensor], *, seed: int) -> None:
    """Put `FITTED_CODES` codewords where the speech is (k-means), and the others out of its reach."""
    import torch
    from scipy.cluster.vq import kmeans2  # type: ignore[import-untyped]

    frames_NC = torch.cat([dvae.encoder(mel[None])[0].T for mel in mels])
    needed = 2 * FITTED_CODES
    if len(frames_NC) < needed:
        raise UserError(
            f"The speech gives {len(frames_NC)} audio codes, but {FITTED_CODES} codewords need at least {needed}: "
            f"about {math.ceil(needed * 1024 / SAMPLE_RATE_HZ)} s of recordings."
        )
    with warnings.catch_warnings():
        # A cluster may end up empty, for silent frames are all alike; it stays where it started.
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        centres_KC, _ = kmeans2(frames_NC.double().numpy(), FITTED_CODES, iter=20, minit="points", rng=seed)
    far_away_K = 100.0 * frames_NC.abs().max() * (1 + torch.arange(CODES - FITTED_CODES))
    far_away_KC = far_away_K[:, None].expand(-1, frames_NC.shape[1])
    embed_KC = torch.cat([torch.from_numpy(centres_KC).float(), far_away_KC])
    dvae.codebook.embed.copy_(embed_KC.T)
    dvae.codebook.embed_avg.copy_(embed_KC.T)


def _bigram_entropy(codes: Sequence[Tensor], *, prior: float = 5.0) -> float:
    """Cross-entropy of held-out clips under counted bigrams, smoothed with `prior` counts of the unigrams."""
    import torch

    fitted = [clip for index, clip in enumerate(codes) if index % 4 != 3]
    held_out = [clip for index, clip in enumerate(codes) if index % 4 == 3] or fitted
    unigrams_K = torch.cat(fitted).bincount(minlength=CODES).double() + 0.1
    unigrams_K /= unigrams_K.sum()
    bigrams_KK = prior * unigrams_K.expand(CODES, CODES).clone()
    for clip in fitted:
        bigrams_KK.index_put_((clip[:-1], clip[1:]), torch.ones(len(clip) - 1).double(), accumulate=True)
    log_shares_KK = (bigrams_KK / bigrams_KK.sum(dim=1, keepdim=True)).log()
    return float(-torch.cat([log_shares_KK[clip[:-1], clip[1:]] for clip in held_out]).mean())


def _config(shape: Shape, vocab: dict[str, Any]) -> Any:
    from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig

    ids = vocab["model"]["vocab"]
    return XttsConfig(
        languages=list(LANGUAGES),
        model_args=XttsArgs(
            gpt_layers=shape.layers,
            gpt_n_model_channels=shape.model_dim,
            gpt_n_heads=shape.heads,
            gpt_number_text_tokens=max(ids.values()) + 1,
            gpt_start_text_token=ids["[START]"],
            gpt_stop_text_token=ids["[STOP]"],
            gpt_num_audio_tokens=CODES + 2,
            gpt_start_audio_token=CODES,
            gpt_stop_audio_token=CODES + 1,
            gpt_use_perceiver_resampler=True,
            decoder_input_dim=shape.model_dim,
        ),
    )


def _random_gpt(args: Mapping[str, Any]) -> GPT:
    """Coqui's GPT with weights at the scale of GPT-2's."""
    import torch
    from TTS.tts.layers.tortoise.arch_utils import AttentionBlock

    gpt = build_gpt(dict(args), text_rows=args["gpt_number_text_tokens"])
    for embedding in (gpt.text_embedding, gpt.mel_embedding):
        torch.nn.init.normal_(embedding.weight, std=0.02)
    for head in (gpt.text_head, gpt.mel_head):
        torch.nn.init.normal_(head.weight, std=0.02)
        torch.nn.init.zeros_(head.bias)
    for module in gpt.conditioning_encoder.modules():
        if isinstance(module, AttentionBlock):
            # Coqui starts this layer at zero, which would leave attention over the voice prompt without effect.
            module.proj_out.reset_parameters()
    return gpt.eval()


def _random_decoder(args: Mapping[str, Any]) -> HifiDecoder:
    """Coqui's vocoder and speaker encoder, as `Xtts.init_models` builds them."""
    from TTS.tts.layers.xtts.hifigan_decoder import HifiDecoder

    return HifiDecoder(
        ar_mel_length_compression=args["gpt_code_stride_len"],
        **{
            name: args[name]
            for name in (
                "input_sample_rate",
                "output_sample_rate",
                "output_hop_length",
                "decoder_input_dim",
                "d_vector_dim",
                "cond_d_vector_in_each_upsampling_layer",
            )
        },
    ).eval()


def _voice(gpt: GPT, decoder: HifiDecoder, audio_S: Tensor, mel_stats: Tensor) -> dict[str, Tensor]:
    """One entry of `speakers_xtts.pth`, as `Xtts.get_conditioning_latents` computes it for at most 6 s."""
    from torchaudio.functional import resample

    from xtts_framework.audio.mels import conditioning_mel

    start = audio_S[: 6 * SAMPLE_RATE_HZ]
    latents = gpt.get_style_emb(conditioning_mel(start, mel_stats)[None])
    at_16_khz = resample(audio_S[None], SAMPLE_RATE_HZ, 16_000)
    embedding = decoder.speaker_encoder(at_16_khz, l2_norm=True)
    return {"gpt_cond_latent": latents.transpose(1, 2).contiguous(), "speaker_embedding": embedding[:, :, None]}
