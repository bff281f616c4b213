"""What is trained and evaluated on: the clips of a run's datasets, checked before the first update."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import torch

from xtts_framework.audio.codes import count_targets, unigram_entropy
from xtts_framework.audio.rates import AUDIO_STOPS
from xtts_framework.config import MODEL_MAX_CODES, MODEL_MAX_TEXT_IDS, TrainConfig
from xtts_framework.data.features import BYTES_PER_FRAME, FeatureReader
from xtts_framework.data.tables import read_table
from xtts_framework.errors import UserError
from xtts_framework.layout import DatasetFolder
from xtts_framework.model.base import Base
from xtts_framework.model.forward import CONDITIONING_LATENTS, MEL_BANDS
from xtts_framework.text.tokenizer import UNKNOWN, XttsTokenizer
from xtts_framework.training.distributed import Ranks
from xtts_framework.training.sampling import Pool, pools_of

if TYPE_CHECKING:
    from torch import Tensor

PROBLEMS_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Utterance:
    """One clip as the trainer knows it, without its features.

    Args:
        name: `dataset/clip_id`, unique in the run.
        speaker: `dataset/speaker`; unique by clip when the speaker is unknown.
        text_ids: language tag included, without start and stop.
        codes: number of audio codes.
        mel_frames: frames of its conditioning mel.
    """

    name: str
    dataset: str
    clip_id: str
    split: str
    speaker: str
    duration_s: float
    text_ids: tuple[int, ...]
    codes: int
    mel_frames: int

    @property
    def text_targets(self) -> int:
        return len(self.text_ids) + 1

    @property
    def mel_targets(self) -> int:
        return self.codes + AUDIO_STOPS

    @property
    def tokens(self) -> int:
        """Rows of the packed sequence, as `Clip.tokens`."""
        return CONDITIONING_LATENTS + self.text_targets + self.mel_targets


class Corpus:
    """All clips of a run, by name, and their features.

    Codes are small and stay in memory once read. Mels are read from their files, part by part, or held on a device
    (`hold_mels`).
    """

    def __init__(self, utterances: list[Utterance], readers: Mapping[str, FeatureReader]) -> None:
        self.utterances = {utterance.name: utterance for utterance in utterances}
        self._readers = readers
        self._codes: dict[str, Tensor] = {}
        self._held: dict[str, Tensor] = {}

    def of(self, split: str, dataset: str | None = None) -> list[Utterance]:
        """The clips of a split ("train" or "eval"), of one dataset or of all, in manifest order."""
        return [
            utterance
            for utterance in self.utterances.values()
            if utterance.split == split and dataset in (None, utterance.dataset)
        ]

    def read_codes(self, utterance: Utterance) -> Tensor:
        """Codes of a clip, int64 [L]."""
        if utterance.name not in self._codes:
            self._codes[utterance.name] = self._readers[utterance.dataset].codes(utterance.clip_id)
        return self._codes[utterance.name]

    def read_mel(self, utterance: Utterance, frames: slice | None = None) -> Tensor:
        """Conditioning mel of a clip, or some of its frames: float16 [80, F], on the device that holds it."""
        if utterance.name in self._held:
            return self._held[utterance.name][:, frames or slice(None)]
        return self._readers[utterance.dataset].mel(utterance.clip_id, frames)

    @property
    def mel_bytes(self) -> int:
        """What all mels take in memory."""
        return sum(utterance.mel_frames * BYTES_PER_FRAME for utterance in self.utterances.values())

    def hold_mels(self, device: torch.device) -> None:
        """Keep all mels on a device from here on, so that training moves none of them there."""
        lengths = [utterance.mel_frames for utterance in self.utterances.values()]
        mels_FM = torch.empty(sum(lengths), MEL_BANDS, dtype=torch.float16, device=device)
        held = {}
        for utterance, mel_FM in zip(self.utterances.values(), torch.split(mels_FM, lengths), strict=True):
            mel_FM.copy_(self.read_mel(utterance).T)
            held[utterance.name] = mel_FM.T
        self._held = held

    def check_features(self, known_codes: int, ranks: Ranks) -> None:
        """Read every clip once: numbers that are not finite would be found much later, as a loss that is not.

        Args:
            known_codes: audio codes of the model, without start and stop.
            ranks: each reads its share.
        Raises:
            UserError: names the clips.
        """
        problems: list[str] = []
        for utterance in list(self.utterances.values())[ranks.rank :: ranks.size]:
            codes, mel = self.read_codes(utterance), self.read_mel(utterance)
            if not mel.isfinite().all():
                problems.append(f"{utterance.name}: its mel holds numbers that are not finite")
            if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < known_codes:
                problems.append(f"{utterance.name}: codes up to {int(codes.max())}, the model knows {known_codes}")
        problems = [problem for found in ranks.gather(problems) for problem in found]
        _refuse(problems, "features that cannot be trained on", "Encode the dataset again with this run's base.")

    def eval_unigram_entropy(self, stop_token: int) -> float:
        """Entropy of the evaluation targets in nats: the loss of a model that knows frequencies and no context."""
        return unigram_entropy(count_targets(map(self.read_codes, self.of("eval")), stop_token))


def read_corpus(
    config: TrainConfig, datasets: Mapping[str, DatasetFolder], tokenizer: XttsTokenizer, base: Base
) -> Corpus:
    """Read manifests and feature indices and encode every text once.

    Raises:
        UserError: a file is missing; the features belong to another base or lack clips; a text has an unknown
            character; a clip is above the model's limits; a dataset has nothing to train on, or none to evaluate on.
    """
    utterances: list[Utterance] = []
    for name, folder in datasets.items():
        utterances += _read_dataset(name, folder, config.languages[name].code, tokenizer, base)
    corpus = Corpus(utterances, {name: FeatureReader(folder) for name, folder in datasets.items()})
    _refuse(
        list(_problems(utterances, tokenizer)), "clips that cannot be trained on", "Run validate and tokenize again."
    )
    for name, folder in datasets.items():
        if not corpus.of("train", name):
            raise UserError(f"{folder.manifest}: no training clip; dataset {name} needs at least one.")
    if not corpus.of("eval"):
        manifests = ", ".join(str(folder.manifest) for folder in datasets.values())
        raise UserError(f"{manifests}: no evaluation clip, so no checkpoint could be chosen. Raise eval_min.")
    return corpus


def training_pools(config: TrainConfig, corpus: Corpus) -> dict[str, Pool]:
    """What this training draws its samples from."""
    clips = {name: [clip.name for clip in corpus.of("train", name)] for name in config.datasets}
    return pools_of(clips, {name: use.share for name, use in config.datasets.items()})


def _read_dataset(
    name: str, folder: DatasetFolder, language: str, tokenizer: XttsTokenizer, base: Base
) -> list[Utterance]:
    manifest = read_table(folder.manifest, stage="validate")
    index = read_table(folder.features, stage="encode")
    made_with = set(index["base_features_key"].unique())
    if made_with - {base.features_key}:
        raise UserError(
            f"{folder.features}: the features of dataset {name} were made with another base than {base.folder} "
            "(its dvae.pth or mel_stats.pth differ). Run `xtts encode` with this base."
        )
    joined = manifest.join(index.select("clip_id", "codes_length", "mel_frames"), on="clip_id", how="left")
    without = joined.filter(pl.col("codes_length").is_null())["clip_id"].to_list()
    _refuse(
        [f"{name}/{clip_id}" for clip_id in without],
        "clips of the manifest without features",
        "Run `xtts encode` again: the manifest has changed since.",
    )
    return [
        Utterance(
            name=f"{name}/{row['clip_id']}",
            dataset=name,
            clip_id=row["clip_id"],
            split=row["split"],
            speaker=f"{name}/{row['speaker']}" if row["speaker"] else f"{name}#{row['clip_id']}",
            duration_s=row["duration_s"],
            text_ids=tuple(tokenizer.encode_normalized(row["normalized"], language)),
            codes=row["codes_length"],
            mel_frames=row["mel_frames"],
        )
        for row in joined.iter_rows(named=True)
    ]


def _problems(utterances: list[Utterance], tokenizer: XttsTokenizer) -> Iterator[str]:
    unknown = tokenizer.tokenizer.token_to_id(UNKNOWN)
    for utterance in utterances:
        if unknown in utterance.text_ids:
            yield f"{utterance.name}: its text has a character that the vocabulary lacks ({UNKNOWN})"
        if len(utterance.text_ids) > MODEL_MAX_TEXT_IDS:
            yield f"{utterance.name}: {len(utterance.text_ids)} text ids, the model takes {MODEL_MAX_TEXT_IDS}"
        if not 1 <= utterance.codes <= MODEL_MAX_CODES:
            yield f"{utterance.name}: {utterance.codes} audio codes, the model takes 1 to {MODEL_MAX_CODES}"


def _refuse(problems: list[str], what: str, remedy: str) -> None:
    if problems:
        shown = "\n".join(f"  {problem}" for problem in problems[:PROBLEMS_SHOWN])
        more = f"\n  … and {len(problems) - PROBLEMS_SHOWN} more" if len(problems) > PROBLEMS_SHOWN else ""
        raise UserError(f"{len(problems)} {what}:\n{shown}{more}\n  {remedy}")
