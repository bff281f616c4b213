"""A corpus without recordings: clips of random codes, texts and mels, as long as those of a real dataset.

What a training costs depends on how long its clips are, not on what is said in them, so this is all that a
measurement of speed needs.
"""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor

from xtts_framework.audio.mels import BANDS
from xtts_framework.audio.rates import SAMPLE_RATE_HZ, code_count, frame_count
from xtts_framework.config import MODEL_MAX_TEXT_IDS
from xtts_framework.training.corpus import Corpus, Utterance

DATASET = "synthetic"
MEDIAN_S, SPREAD = 7.2, 0.4
"""Of the log-normal distribution that durations are drawn from: seconds, and standard deviation of the logarithm."""
SHORTEST_S, LONGEST_S = 2.0, 11.6
"""What is drawn beyond is drawn again; 11.6 s is the usual limit of a clip (`validation.max_duration_s`)."""
TEXT_IDS_PER_S, TEXT_SPREAD = 5.8, 0.15
"""Text ids of a second of speech, and the spread of its logarithm: some speak faster than others."""


def synthetic_corpus(clips: int, *, text_rows: int, codes: int, seed: int = 1) -> Corpus:
    """Training clips of 2 to 11.6 s, 7 s on average: about 150 codes and 40 text ids. The same seed, the same clips.

    Args:
        text_rows: text ids are drawn below this number.
        codes: so many audio codes are there, without start and stop.
    """
    dice = random.Random(seed)
    utterances = [_utterance(index, dice, text_rows) for index in range(clips)]
    readers: Any = {DATASET: _RandomFeatures(utterances, codes, seed)}
    return Corpus(utterances, readers)


def _utterance(index: int, dice: random.Random, text_rows: int) -> Utterance:
    duration_s = 0.0
    while not SHORTEST_S <= duration_s <= LONGEST_S:
        duration_s = MEDIAN_S * dice.lognormvariate(0.0, SPREAD)
    samples = int(duration_s * SAMPLE_RATE_HZ)
    text_ids = int(duration_s * TEXT_IDS_PER_S * dice.lognormvariate(0.0, TEXT_SPREAD))
    return Utterance(
        name=f"{DATASET}/{index}",
        dataset=DATASET,
        clip_id=str(index),
        split="train",
        speaker=f"{DATASET}#{index}",
        duration_s=duration_s,
        text_ids=tuple(dice.randrange(text_rows) for _ in range(min(text_ids, MODEL_MAX_TEXT_IDS))),
        codes=code_count(samples),
        mel_frames=frame_count(samples),
    )


class _RandomFeatures:
    """Takes the place of `FeatureReader`; everything lies in memory, in the form in which shards hold it."""

    def __init__(self, utterances: list[Utterance], codes: int, seed: int) -> None:
        dice = torch.Generator().manual_seed(seed)
        names = [utterance.clip_id for utterance in utterances]
        lengths, frames = ([clip.codes for clip in utterances], [clip.mel_frames for clip in utterances])
        all_codes = torch.randint(0, codes, (sum(lengths),), generator=dice)
        all_mels_FM = torch.randn(sum(frames), BANDS, generator=dice).half()
        self._codes = dict(zip(names, torch.split(all_codes, lengths), strict=True))
        self._mels = dict(zip(names, torch.split(all_mels_FM, frames), strict=True))

    def codes(self, clip_id: str) -> Tensor:
        """Codes of one clip, int64 [L]."""
        return self._codes[clip_id]

    def mel(self, clip_id: str, frames: slice | None = None) -> Tensor:
        """Mel of one clip, or some of its frames: float16 [80, F]."""
        return self._mels[clip_id][frames or slice(None)].T
