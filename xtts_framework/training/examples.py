"""From a sample to what the model sees: the clip, and a voice prompt cut from it or from another clip of its speaker.

Every choice is a pure function of (seed, epoch, clip), so that nothing needs to be remembered: the same sample gives
the same example on every machine, in any order, after any restart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from xtts_framework.model.forward import Clip
from xtts_framework.training.corpus import Corpus, Utterance
from xtts_framework.training.prompts import codes_under, eval_prompt, training_prompt
from xtts_framework.training.sampling import Sample, draw


@dataclass(frozen=True)
class Example:
    """A clip as one update uses it, before its features are read.

    Args:
        utterance: what is to be spoken.
        prompt: whose mel is the voice prompt.
        prompt_frames: the part of that mel.
        masked_codes: codes that are left out of the loss.
    """

    utterance: Utterance
    prompt: Utterance
    prompt_frames: slice
    masked_codes: slice | None

    @property
    def tokens(self) -> int:
        return self.utterance.tokens

    @property
    def text_targets(self) -> int:
        return self.utterance.text_targets

    @property
    def mel_targets(self) -> int:
        masked = len(range(*self.masked_codes.indices(self.utterance.codes))) if self.masked_codes else 0
        return self.utterance.mel_targets - masked


def lengths_of(examples: Sequence[Example]) -> list[int]:
    """Tokens of each: what packing and sharing out go by."""
    return [example.tokens for example in examples]


class Examples:
    """Makes examples.

    Args:
        corpus: the clips.
        seed: of the voice prompts.
        same_speaker: prompt with another clip of the speaker (of the same split) where there is one, not with the
            clip itself.
        mask_prompt: leave the codes under a clip's own prompt out of the training loss.
    """

    def __init__(self, corpus: Corpus, *, seed: int, same_speaker: bool, mask_prompt: bool) -> None:
        self._corpus = corpus
        self._seed = seed
        self._same_speaker = same_speaker
        self._mask_prompt = mask_prompt
        self._speakers: dict[tuple[str, str], list[Utterance]] = defaultdict(list)
        self._places: dict[str, int] = {}
        for _, utterance in sorted(corpus.utterances.items()):
            speaker = self._speakers[utterance.split, utterance.speaker]
            self._places[utterance.name] = len(speaker)
            speaker.append(utterance)

    def for_training(self, sample: Sample) -> Example:
        """A random prompt of 3 to 6 s."""
        utterance = self._corpus.utterances[sample.clip]
        prompt = self._prompt(utterance, sample.epoch)
        frames = training_prompt(self._seed, sample.epoch, utterance.name, prompt.mel_frames)
        masked = codes_under(frames) if self._mask_prompt and prompt is utterance else None
        return Example(utterance, prompt, frames, masked)

    def for_evaluation(self, utterance: Utterance) -> Example:
        """The same prompt every time; no code is left out."""
        prompt = self._prompt(utterance, epoch=0)
        return Example(utterance, prompt, eval_prompt(prompt.mel_frames), None)

    def load(self, example: Example) -> Clip:
        """Read the features."""
        return Clip(
            clip_id=example.utterance.name,
            text_ids=torch.tensor(example.utterance.text_ids),
            codes=self._corpus.read_codes(example.utterance),
            conditioning_mel=self._corpus.read_mel(example.prompt, example.prompt_frames),
            loss_mask=example.masked_codes,
        )

    def _prompt(self, utterance: Utterance, epoch: int) -> Utterance:
        clips = self._speakers[utterance.split, utterance.speaker]
        if not self._same_speaker or len(clips) == 1:
            return utterance
        step = 1 + draw(self._seed, "speaker", epoch, utterance.name) % (len(clips) - 1)
        return clips[(self._places[utterance.name] + step) % len(clips)]
