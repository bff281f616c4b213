"""Speaking: the text path of training, nothing lost on the way, the same audio every time."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from xtts_framework.errors import UserError
from xtts_framework.files import sha256_of
from xtts_framework.model.base import read_base
from xtts_framework.model.inference import (
    MAX_SENTENCE_CHARACTERS,
    PAUSE_S,
    SAMPLE_RATE_HZ,
    Sampling,
    SpeakingModel,
    Voice,
    code_limit,
    split_to_fit,
    write_wav,
)
from xtts_framework.plugins.language_pack import LanguagePack, NoOptions
from xtts_framework.plugins.registry import load_plugins


class English(LanguagePack):
    """Enough of a pack for the base's own English vocabulary."""

    code: ClassVar[str] = "en"
    name: ClassVar[str] = "English"

    @property
    def alphabet(self) -> frozenset[str]:
        return frozenset("abcdefghijklmnopqrstuvwxyz ,.")

    def normalize(self, text: str) -> str:
        return " ".join(text.lower().split())


@pytest.fixture(autouse=True)
def brevity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights babble up to the limit, and the vocoder is slow: let them babble for half a second."""
    monkeypatch.setattr("xtts_framework.model.inference.CODES_PER_SENTENCE", 10)
    monkeypatch.setattr("xtts_framework.model.inference.CODES_PER_CHARACTER", 0)


@pytest.fixture(scope="module")
def model(tiny_base: Path) -> SpeakingModel:
    return SpeakingModel(read_base(tiny_base), {"en": English(NoOptions())}, load_plugins())


@pytest.fixture(scope="module")
def recording(speech_dataset: Path) -> Path:
    return max((speech_dataset / "wavs").glob("*.wav"), key=lambda path: soundfile.info(path).duration)


@pytest.fixture(scope="module")
def voice(model: SpeakingModel, recording: Path) -> Voice:
    return model.hear(recording)


def test_the_same_text_voice_and_seed_give_the_same_audio(model: SpeakingModel, voice: Voice) -> None:
    first = model.speak("so.", "en", voice)
    model.speak("no.", "en", voice, Sampling(seed=5))
    again = model.speak("so.", "en", voice)
    other = model.speak("so.", "en", voice, Sampling(seed=2))
    assert first.samples.dtype == np.float32
    assert np.array_equal(first.samples, again.samples)
    assert not np.array_equal(first.samples[:2000], other.samples[:2000])


def test_a_sentence_sounds_the_same_wherever_it_stands(model: SpeakingModel, voice: Voice) -> None:
    alone = model.speak("so.", "en", voice).samples
    both = model.speak("oh. so.", "en", voice)
    pause = round(PAUSE_S * SAMPLE_RATE_HZ)
    assert both.sentences == ["oh.", "so."]
    assert np.array_equal(both.samples[-len(alone) :], alone)
    assert not both.samples[-len(alone) - pause : -len(alone)].any()


def test_coquis_own_generation_gives_the_same_codes(model: SpeakingModel, voice: Voice) -> None:
    """Nothing of ours stands between the ids and coqui's sampling."""
    import torch

    from xtts_framework.model import inference

    ours = model.speak("so.", "en", voice)
    coqui = model._model
    coqui.gpt.max_gen_mel_tokens = code_limit("so.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(inference._sentence_seed(1, "en", "so."))
        theirs = coqui.inference("so.", "en", voice.gpt_latents, voice.speaker_embedding)
    assert np.array_equal(ours.samples, theirs["wav"])


def test_a_reference_gives_the_latents_that_coqui_computes(
    model: SpeakingModel, voice: Voice, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Coqui reads files through FFmpeg; its own conditioning on the same samples must agree with ours."""
    import torch
    from TTS.tts.models import xtts

    from xtts_framework.model.inference import HEARING_RATE_HZ, read_reference

    samples = torch.from_numpy(read_reference(recording))[None]
    monkeypatch.setattr(xtts, "load_audio", lambda path, rate_hz: samples if rate_hz == HEARING_RATE_HZ else None)
    config = model._model.config
    latents, embedding = model._model.get_conditioning_latents(
        str(recording),
        max_ref_length=config.max_ref_len,
        gpt_cond_len=config.gpt_cond_len,
        gpt_cond_chunk_len=config.gpt_cond_chunk_len,
    )
    assert torch.equal(voice.gpt_latents, latents)
    assert torch.equal(voice.speaker_embedding, embedding)


def test_babbling_is_cut_and_reported(model: SpeakingModel, voice: Voice) -> None:
    stop = model._model.gpt.mel_head.bias
    before = stop.detach().clone()
    stop.data[model._model.gpt.stop_audio_token] = -1e9
    try:
        speech = model.speak("so.", "en", voice)
    finally:
        stop.data.copy_(before)
    assert speech.cut == ["so."]
    assert speech.duration_s == pytest.approx(code_limit("so.") * 1024 / 22050, abs=0.1)


def test_the_limit_is_more_than_twice_what_the_demo_speech_takes(
    speech_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    spoken = 0
    for line in (speech_dataset / "metadata.csv").read_text(encoding="utf-8").splitlines():
        name, text = line.split("|")[:2]
        recording = speech_dataset / "wavs" / name
        if recording.is_file() and not any(map(str.isdigit, text)):  # what is said must be what is written
            spoken += 1
            assert code_limit(text) > 2 * soundfile.info(recording).duration * 22050 / 1024, text
    assert spoken > 20


def test_text_that_cannot_be_read_says_why(model: SpeakingModel, voice: Voice) -> None:
    with pytest.raises(UserError, match=r"(?s)English cannot read 'größe 12'.*'1' \(U\+0031\).*'ß' \(U\+00DF\)"):
        model.speak("größe 12", "en", voice)
    with pytest.raises(UserError, match="nothing is left to say"):
        model.speak(" \n", "en", voice)
    with pytest.raises(UserError, match="No language 'fr' here; this voice speaks en"):
        model.speak("oui", "fr", voice)


def test_no_word_is_lost_however_long_the_text(model: SpeakingModel) -> None:
    text = "one two three, four five. " * 100 + "x" * 900
    pieces = model.split_text(text, "en")
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")
    assert max(map(len, pieces)) <= MAX_SENTENCE_CHARACTERS
    limit = model._model.args.gpt_max_text_tokens
    assert all(len(model._tokenizer.encode(piece, "en")) < limit for piece in pieces)


@given(st.text("ab ,.", max_size=300), st.integers(1, 12))
def test_pieces_fit_whatever_the_limit(text: str, most: int) -> None:
    pieces = split_to_fit(English(NoOptions()), text, lambda piece: len(piece) <= most)
    assert all(1 <= len(piece) <= most for piece in pieces)
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")


def test_what_no_pack_can_split_is_refused() -> None:
    class Stubborn(English):
        def split_sentences(self, text: str, max_characters: int) -> list[str]:
            return [text]

    with pytest.raises(UserError, match="cannot be split"):
        split_to_fit(Stubborn(NoOptions()), "aaaa", lambda piece: len(piece) < 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such recording"), (b"", "cannot be read"), (b"RIFF1234WAVE", "cannot be read"), ("short", "too short")],
)
def test_a_useless_reference_is_named(
    model: SpeakingModel, tmp_path: Path, content: bytes | str | None, message: str
) -> None:
    path = tmp_path / "me.wav"
    if content == "short":
        soundfile.write(path, np.zeros(12_000, dtype=np.float32), 24_000)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"me\.wav: .*{message}"):
        model.hear(path)


def test_weights_can_be_exchanged_and_only_for_fitting_ones(model: SpeakingModel, voice: Voice) -> None:
    own = {name: tensor.clone() for name, tensor in model._model.gpt.state_dict().items() if name in model._gpt_names}
    other = {name: tensor + 0.02 if tensor.is_floating_point() else tensor for name, tensor in own.items()}
    before = model.speak("so.", "en", voice).samples
    model.replace_gpt(other, Path("step-2"))
    assert not np.array_equal(model.speak("so.", "en", voice).samples[:2000], before[:2000])
    model.replace_gpt(own, Path("step-1"))
    assert np.array_equal(model.speak("so.", "en", voice).samples, before)
    for wrong in (
        {name: tensor for name, tensor in own.items() if name != "mel_head.bias"},
        own | {"mel_head.bias": own["mel_head.bias"][1:]},
        own | {"extra": own["mel_head.bias"]},
    ):
        with pytest.raises(UserError, match="step-3: this checkpoint does not belong to the bundle; 1 tensors differ"):
            model.replace_gpt(wrong, Path("step-3"))


def test_a_base_is_only_read(tiny_base: Path, model: SpeakingModel, voice: Voice) -> None:
    times = {path.name: path.stat().st_mtime_ns for path in tiny_base.iterdir()}
    digest = sha256_of(tiny_base / "model.pth")
    SpeakingModel(read_base(tiny_base), {"en": English(NoOptions())}, load_plugins()).speak("so.", "en", voice)
    assert {path.name: path.stat().st_mtime_ns for path in tiny_base.iterdir()} == times
    assert sha256_of(tiny_base / "model.pth") == digest


def test_wavs_are_24_khz_pcm16_and_whole(tmp_path: Path) -> None:
    samples = np.linspace(-1, 1, 2400, dtype=np.float32)
    write_wav(tmp_path / "new" / "out.wav", samples)
    header = soundfile.info(tmp_path / "new" / "out.wav")
    assert (header.samplerate, header.subtype, header.channels, header.frames) == (24_000, "PCM_16", 1, 2400)
    written, _ = soundfile.read(tmp_path / "new" / "out.wav", dtype="float32")
    assert np.abs(written - samples).max() <= 1 / 32767
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.wav"]
