"""Speaking: text in, 24 kHz audio out, along the same text path as in training.

pack.normalize -> pack.check -> sentences of a bearable length -> ids -> coqui's `Xtts.inference` -> joined with
short pauses. Nothing is truncated silently: text that does not fit is split or refused, and a sentence whose end the
model does not find is reported. Sampling is seeded per sentence: the same text, voice and seed give the same audio on
the CPU, whatever was spoken before.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from xtts_framework.audio.rates import SAMPLE_RATE_HZ as HEARING_RATE_HZ
from xtts_framework.audio.reading import read_audio
from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_file
from xtts_framework.model.base import Base, load_model_state
from xtts_framework.model.bundle import load_packs, read_bundle
from xtts_framework.plugins.language_pack import find_unknown_characters
from xtts_framework.text.tokenizer import XttsTokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from xtts_framework.plugins import LanguagePack
    from xtts_framework.plugins.registry import Plugins

SAMPLE_RATE_HZ = 24_000
MIN_REFERENCE_S = 1.0
PAUSE_S = 0.25
MAX_SENTENCE_CHARACTERS = 160
"""Longer sentences are spoken in pieces: about the longest clip of training, 11.6 s."""
CODES_PER_CHARACTER = 8
CODES_PER_SENTENCE = 24
"""A sentence may have 24 + 8 codes per character (1.1 s + 0.37 s): nearly three times as long as speech at an ordinary
pace, 7 Amharic characters a second. A model that has not learned to stop would babble on to the end of its position
table, 28 s."""


@dataclass(frozen=True)
class Sampling:
    """How audio codes are drawn. Defaults: coqui's."""

    temperature: float = 0.75
    top_k: int = 50
    top_p: float = 0.85
    repetition_penalty: float = 10.0
    seed: int = 1


@dataclass(frozen=True)
class Voice:
    """A speaker as the model hears one: latents for the GPT [1, 32, D], embedding for the vocoder [1, 512, 1].

    It belongs to the weights that heard it: after `replace_gpt`, hear the recording again.
    """

    gpt_latents: Tensor
    speaker_embedding: Tensor


@dataclass(frozen=True)
class Speech:
    """Audio and what was said.

    Args:
        samples: float32, mono, `SAMPLE_RATE_HZ`.
        sentences: the normalised pieces, in order.
        cut: those of them that ran into the length limit.
    """

    samples: NDArray[np.float32]
    sentences: list[str]
    cut: list[str]

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


class SpeakingModel:
    """XTTS with a vocabulary and the language packs that belong to it.

    Args:
        base: a base or bundle folder; it is only read.
        packs: language packs by code; the languages it speaks.
        device: torch's name of it.
    """

    def __init__(
        self,
        base: Base,
        packs: Mapping[str, LanguagePack],
        plugins: Plugins,
        *,
        device: str = "cpu",
    ) -> None:
        self._plugins = plugins
        self._packs = dict(packs)
        self._tokenizer = XttsTokenizer(base.folder / "vocab.json", self._packs)
        self._model = _build_xtts(base)
        self._gpt_names = frozenset(self._model.gpt.state_dict())
        self._max_codes = int(self._model.gpt.max_gen_mel_tokens)
        self._model.tokenizer = self._tokenizer
        self._model.eval()
        self._model.to(device)

    @classmethod
    def load(cls, folder: Path, plugins: Plugins, *, device: str = "cpu") -> Self:
        """Load a bundle.

        Raises:
            UserError: no bundle, damaged, or its language pack is not installed.
        """
        bundle = read_bundle(folder)
        return cls(bundle.base, load_packs(bundle, plugins), plugins, device=device)

    @property
    def languages(self) -> list[str]:
        return sorted(self._packs)

    def replace_gpt(self, weights: Mapping[str, Tensor], source: Path) -> None:
        """Speak with another checkpoint of the same run from now on.

        Args:
            weights: coqui's GPT names without prefix, as in `model.safetensors`.
            source: where they come from, for the message.
        Raises:
            UserError: names or shapes differ; nothing has changed.
        """
        own = self._model.gpt.state_dict()
        differing = sorted(self._gpt_names ^ weights.keys())
        differing += [name for name in self._gpt_names & weights.keys() if own[name].shape != weights[name].shape]
        if differing:
            raise UserError(
                f"{source}: this checkpoint does not belong to the bundle; {len(differing)} tensors differ "
                f"({', '.join(differing[:3])}). Use a checkpoint of the run that the bundle was exported from."
            )
        self._model.gpt.load_state_dict(dict(weights), strict=False)

    def hear(self, reference: Path) -> Voice:
        """Take over the voice of a recording; the longer, the better, up to half a minute.

        Raises:
            UserError: no such file, no audio, or too short.
        """
        import torch

        samples = read_reference(reference)
        config = self._model.config
        audio = torch.from_numpy(samples[: HEARING_RATE_HZ * config.max_ref_len])[None]
        return Voice(
            gpt_latents=self._model.get_gpt_cond_latents(
                audio, HEARING_RATE_HZ, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
            ),
            speaker_embedding=self._model.get_speaker_embedding(audio, HEARING_RATE_HZ),
        )

    def speak(self, text: str, language: str, voice: Voice, sampling: Sampling | None = None) -> Speech:
        """Read a text aloud, sentence by sentence.

        Args:
            text: as a person writes it.
            language: code of one of `languages`.
            voice: from `hear`.
        Raises:
            UserError: unknown language; a text that is empty or holds what the language pack cannot read.
        """
        return self.speak_all([text], language, voice, sampling)

    def speak_all(self, texts: Sequence[str], language: str, voice: Voice, sampling: Sampling | None = None) -> Speech:
        """Read several texts aloud, one after the other; a text always ends a sentence."""
        sampling = sampling or Sampling()
        sentences = [sentence for text in texts for sentence in self.split_text(text, language)]
        pause = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), dtype=np.float32)
        parts: list[NDArray[np.float32]] = []
        cut = []
        for sentence in sentences:
            samples, ended = self._speak_sentence(sentence, language, voice, sampling)
            parts += [pause, samples] if parts else [samples]
            if not ended:
                cut.append(sentence)
        return Speech(np.concatenate(parts), sentences, cut)

    def split_text(self, text: str, language: str) -> list[str]:
        """The normalised pieces that `speak` reads, none longer than the model can take."""
        pack = self._pack(language)
        normalized = self._read_text(pack, text)
        most_ids = self._model.args.gpt_max_text_tokens - 1
        return split_to_fit(
            pack, normalized, lambda piece: len(self._tokenizer.encode_normalized(piece, language)) <= most_ids
        )

    def _pack(self, language: str) -> LanguagePack:
        if language not in self._packs:
            raise UserError(f"No language {language!r} here; this voice speaks {', '.join(self.languages)}.")
        return self._packs[language]

    def _read_text(self, pack: LanguagePack, text: str) -> str:
        """The normalised text, or every reason why it cannot be read aloud."""
        normalized, problems = self._plugins.read_text(pack, text)
        problems = problems or find_unknown_characters(normalized, pack.alphabet)
        if problems:
            listed = "\n".join(f"  {problem.code}: {problem.detail}" for problem in problems)
            raise UserError(f"{pack.name} cannot read {text!r}:\n{listed}")
        if not normalized.strip():
            raise UserError(f"There is nothing to say: {text!r} is empty once it is normalised for {pack.name}.")
        return normalized

    def _speak_sentence(
        self, sentence: str, language: str, voice: Voice, sampling: Sampling
    ) -> tuple[NDArray[np.float32], bool]:
        """Samples of one sentence, and whether the model found its end."""
        import torch

        limit = min(self._max_codes, code_limit(sentence))
        self._model.gpt.max_gen_mel_tokens = limit
        devices = [self._model.device] if self._model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(_sentence_seed(sampling.seed, language, sentence))
            spoken = self._model.inference(
                sentence,
                language,
                voice.gpt_latents,
                voice.speaker_embedding,
                temperature=sampling.temperature,
                top_k=sampling.top_k,
                top_p=sampling.top_p,
                repetition_penalty=sampling.repetition_penalty,
                enable_text_splitting=False,
            )
        codes = spoken["gpt_latents"].shape[1]
        samples: NDArray[np.float32] = np.asarray(spoken["wav"], dtype=np.float32)
        return samples, codes < limit


def code_limit(sentence: str) -> int:
    """Audio codes after which a sentence is cut; see `CODES_PER_CHARACTER`."""
    return CODES_PER_SENTENCE + CODES_PER_CHARACTER * len(sentence)


def split_to_fit(pack: LanguagePack, text: str, fits: Callable[[str], bool]) -> list[str]:
    """Split a normalised text into sentences that fit, and those that do not into ever smaller pieces.

    Raises:
        UserError: a pack with a way of its own to split loses text, or keeps together what does not fit.
    """
    pieces: list[str] = []
    for sentence in pack.split_sentences(text, MAX_SENTENCE_CHARACTERS):
        pieces += _halve_until(pack, sentence, fits)
    if "".join("".join(pieces).split()) != "".join(text.split()):
        raise UserError(
            f"language pack {pack.code!r}, split_sentences: the pieces are not the text that was to be split.\n"
            "  Tell its author."
        )
    return pieces


def _halve_until(pack: LanguagePack, piece: str, fits: Callable[[str], bool]) -> list[str]:
    if fits(piece):
        return [piece]
    halves = pack.split_sentences(piece, len(piece) // 2) if len(piece) > 1 else [piece]
    if max(map(len, halves), default=0) >= len(piece):
        raise UserError(
            f"Too long for the model at once, and it cannot be split: {piece[:40]!r}… ({len(piece)} characters). "
            "Put spaces or punctuation into it."
        )
    return [smaller for half in halves for smaller in _halve_until(pack, half, fits)]


def read_reference(path: Path) -> NDArray[np.float32]:
    """A reference recording: float32, mono, `HEARING_RATE_HZ`.

    Raises:
        UserError: no such file, no audio, or shorter than `MIN_REFERENCE_S`.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such recording; expected a few seconds of one speaker.")
    samples = read_audio(path, HEARING_RATE_HZ)
    duration_s = len(samples) / HEARING_RATE_HZ
    if duration_s < MIN_REFERENCE_S:
        raise UserError(
            f"{path}: {duration_s:.2f} s is too short for a reference voice; at least {MIN_REFERENCE_S:.0f} s is "
            "needed, 6 s and more are better."
        )
    return samples


def write_wav(path: Path, samples: NDArray[np.float32]) -> None:
    """Write 24 kHz mono PCM16, whole or not at all."""
    import soundfile

    with replacing_file(path) as partial:
        soundfile.write(partial, samples, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")


def say_cut(cut: Sequence[str]) -> None:
    """Warn about sentences whose end the model did not find."""
    for sentence in cut:
        say(
            f"cut after {code_limit(sentence)} audio codes, the model did not find the end of: {sentence} "
            "(usual for a model that has trained little)"
        )


def _build_xtts(base: Base) -> Any:
    """Coqui's model with the weights of a base, loaded strictly and without touching the folder."""
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    # It warns of GPT-2's own token ids, which XTTS does not use.
    logging.getLogger("transformers").setLevel(logging.ERROR)
    state = load_model_state(base)
    config = XttsConfig()
    config.from_dict(base.config)
    for key in ("gpt_start_text_token", "gpt_stop_text_token"):
        setattr(config.model_args, key, base.args[key])
    config.model_args.gpt_number_text_tokens = state["gpt.text_embedding.weight"].shape[0]
    model = Xtts(config)
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise UserError(f"{base.folder / 'model.pth'} does not fit config.json beside it: {error}") from error
    return model


def _sentence_seed(seed: int, language: str, sentence: str) -> int:
    """A seed of its own for each sentence, so that its audio does not depend on what was spoken before it."""
    digest = hashlib.sha256(f"{seed}\0{language}\0{sentence}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
