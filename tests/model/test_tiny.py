"""The tiny base: XTTS-v2's architecture and files, codes that describe real speech."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import torch
from click.testing import CliRunner

from xtts_framework.audio.mels import DVAE_FFT, dvae_mel, log_mel
from xtts_framework.cli.base import command
from xtts_framework.errors import UserError
from xtts_framework.model.base import BASE_FILES, load_dvae, load_mel_stats, read_base
from xtts_framework.model.tiny import LANGUAGES, create_tiny_base, recordings_in, train_vocabulary


def read(path: Path) -> torch.Tensor:
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])


def test_coqui_loads_it_strictly_and_speaks_with_it(tiny_base: Path, speech_dataset: Path) -> None:
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    config = XttsConfig()
    config.load_json(str(tiny_base / "config.json"))
    model = Xtts(config)
    model.load_checkpoint(config, checkpoint_dir=str(tiny_base), eval=True, strict=True)
    assert model.tokenizer.get_number_tokens() == model.gpt.text_embedding.num_embeddings

    (voice,) = model.speaker_manager.speakers.values()
    first = read(recordings_in(speech_dataset)[0])[None]
    torch.testing.assert_close(voice["gpt_cond_latent"], model.get_gpt_cond_latents(first, 22050, length=6))
    torch.testing.assert_close(voice["speaker_embedding"], model.get_speaker_embedding(first, 22050))

    model.gpt.max_gen_mel_tokens = 12
    spoken = model.inference("hello, world.", "en", voice["gpt_cond_latent"], voice["speaker_embedding"])
    assert spoken["wav"].size > 1000 and abs(spoken["wav"]).max() > 0


def test_the_codes_describe_the_speech(tiny_base: Path, speech_dataset: Path) -> None:
    base = read_base(tiny_base)
    dvae, mel_stats = load_dvae(base), load_mel_stats(base)
    codes = torch.cat(
        [dvae.get_codebook_indices(dvae_mel(read(path), mel_stats)[None])[0] for path in recordings_in(speech_dataset)]
    )
    counts = codes.bincount(minlength=1024).double()
    shares = counts[counts > 0] / counts.sum()
    assert len(shares) >= 256
    assert float(-(shares * shares.log()).sum()) >= 4.0
    assert base.args["gpt_num_audio_tokens"] == dvae.num_tokens + 2


def test_codewords_beyond_the_fitted_ones_are_out_of_reach(tiny_base: Path) -> None:
    base = read_base(tiny_base)
    dvae = load_dvae(base)
    extremes = torch.cat([torch.full((80, 64), 20.0), torch.full((80, 64), -20.0)], dim=1)
    assert int(dvae.get_codebook_indices(extremes[None]).max()) < 320


def test_the_encoder_is_linear_so_codes_follow_speech_smoothly(tiny_base: Path) -> None:
    encoder = load_dvae(read_base(tiny_base)).encoder
    one, two = torch.randn(2, 1, 80, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(encoder(one - 3 * two), encoder(one) - 3 * encoder(two), rtol=1e-4, atol=1e-4)
        assert encoder(one).std() > 0.1


def test_mel_statistics_scale_every_band_to_one(tiny_base: Path, speech_dataset: Path) -> None:
    mels = torch.cat([log_mel(read(path), DVAE_FFT) for path in recordings_in(speech_dataset)], dim=1)
    scaled = mels / load_mel_stats(read_base(tiny_base))[:, None]
    torch.testing.assert_close(scaled.abs().mean(dim=1), torch.ones(80), rtol=1e-3, atol=1e-3)


def test_the_same_seed_gives_the_same_base_and_another_seed_another(
    tiny_base: Path, speech_dataset: Path, tmp_path: Path
) -> None:
    result = CliRunner().invoke(
        command, ["create", "--size", "tiny", "--speech", str(speech_dataset), "--out", str(tmp_path / "again")]
    )
    assert result.exit_code == 0, result.output
    assert "does not speak a language" in result.output
    recordings = recordings_in(speech_dataset)
    random_state = torch.random.get_rng_state()
    fit = create_tiny_base(tmp_path / "other", recordings, seed=2)
    assert torch.equal(torch.random.get_rng_state(), random_state), "the caller's random numbers are its own"
    assert (fit.clips, fit.codes_in_use >= 256, fit.unigram_entropy >= 4) == (len(recordings), True, True)
    for name in BASE_FILES:
        same = (tmp_path / "again" / name).read_bytes() == (tiny_base / name).read_bytes()
        other = (tmp_path / "other" / name).read_bytes() == (tiny_base / name).read_bytes()
        assert same, name
        assert other == (name in ("config.json", "vocab.json", "mel_stats.pth")), name


def test_the_vocabulary_is_sound() -> None:
    from tokenizers import Tokenizer

    vocab = train_vocabulary()
    ids = vocab["model"]["vocab"]
    assert [ids["[STOP]"], ids["[UNK]"], ids["[SPACE]"]] == [0, 1, 2]
    assert sorted(ids.values()) == list(range(len(ids))), "no holes"
    merges = [merge.split(" ") for merge in vocab["model"]["merges"]]
    assert len(merges) > 200
    assert all({left, right, left + right} <= ids.keys() for left, right in merges)
    tokenizer = Tokenizer.from_str(json.dumps(vocab))
    for language in LANGUAGES:
        encoded = tokenizer.encode(f"[{language}]the[SPACE]weather.").ids
        assert encoded[0] == ids[f"[{language}]"]
        assert ids["[SPACE]"] in encoded and ids["[UNK]"] not in encoded
    assert tokenizer.encode("the").ids == [ids["the"]], "merges are in use"
    assert ids["[UNK]"] in tokenizer.encode("ሰላም").ids, "it knows no Ethiopic, which is what training adds"


def test_too_little_speech_is_refused_and_leaves_nothing(speech_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"320 codewords need at least 640: about 30 s of recordings"):
        create_tiny_base(tmp_path / "base", recordings_in(speech_dataset)[:1])
    with pytest.raises(UserError, match="no recordings"):
        recordings_in(tmp_path)
    assert list(tmp_path.iterdir()) == []
