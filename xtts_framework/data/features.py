"""The feature store: audio codes and conditioning mels of a dataset, computed once, read at random.

`features/` holds shards that are never changed, named after the hash of their bytes; each says in its header which
clips it holds, so the folder needs no other record and an interrupted encode goes on where it was. A clip is known by
its key: the hash of its audio, of the base's audio encoder and of this format. `features.parquet` says where the
clips of the current manifest are, row by row.

Tensor legend: L codes of one clip, F mel frames of one clip.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import safetensors
import safetensors.numpy
import torch
from torch import Tensor

from xtts_framework.data.tables import read_table
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_file, sha256_of
from xtts_framework.layout import DatasetFolder, inside

FORMAT_VERSION = 1
"""Changes whenever the same audio and base would be stored differently; older shards are then left aside."""
BYTES_PER_CODE = 2
BYTES_PER_FRAME = 2 * 80
INDEX_SCHEMA = {
    "clip_id": pl.String,
    "key": pl.String,
    "shard": pl.String,
    "codes_start": pl.Int64,
    "codes_length": pl.Int64,
    "mel_start": pl.Int64,
    "mel_frames": pl.Int64,
    "base_features_key": pl.String,
}
NAME_LENGTH = 32
"""Hexadecimal digits of a shard's SHA-256 in its name."""


@dataclass(frozen=True)
class ClipFeatures:
    """Features of one clip, as they are stored.

    Args:
        key: see `clip_key`.
        codes: [L], 0 to 1023.
        mel: conditioning mel of the whole clip, float16 or about to be, [80, F].
    """

    key: str
    codes: Tensor
    mel: Tensor


class Place(NamedTuple):
    """Where a clip lies: rows `codes_start` and on of `codes`, rows `mel_start` and on of `mels`, in one shard."""

    shard: str
    codes_start: int
    codes_length: int
    mel_start: int
    mel_frames: int


def clip_key(audio_sha256: str, base_features_key: str) -> str:
    """Name of a clip's features: equal keys, equal features."""
    return hashlib.sha256(f"{audio_sha256} {base_features_key} {FORMAT_VERSION}".encode()).hexdigest()


def write_shard(store: Path, clips: Sequence[ClipFeatures]) -> dict[str, Place]:
    """Write clips into one new shard, whole or not at all; return the place of each by key.

    Processes may write at the same time, even the same shard: it has the same bytes from each of them.

    Codes become int16 [sum of L], mels float16 [sum of F, 80]. Half precision moves a value by at most 2e-3 while it
    is below 8 in size; a log-mel is at least -11.5, so that holds for `mel_stats` above 1.5.

    Raises:
        OSError: the disk is full or not writable; the store is as before.
    """
    lengths = [(clip.key, len(clip.codes), clip.mel.shape[1]) for clip in clips]
    content = safetensors.numpy.save(
        {
            "codes": torch.cat([clip.codes for clip in clips]).to(torch.int16).numpy(),
            "mels": torch.cat([clip.mel.T for clip in clips]).to(torch.float16).numpy(),
        },
        metadata={"clips": json.dumps(lengths)},
    )
    shard = f"shard-{hashlib.sha256(content).hexdigest()[:NAME_LENGTH]}.safetensors"
    with replacing_file(store / shard, many_writers=True) as partial:
        partial.write_bytes(content)
    return _places(shard, lengths)


@dataclass(frozen=True)
class StoredClips:
    """What a feature store holds.

    Args:
        places: of every clip, by key.
        damaged: shards whose bytes are not those they were written with; what they held must be encoded again.
    """

    places: dict[str, Place]
    damaged: tuple[Path, ...]


def scan_store(store: Path) -> StoredClips:
    """Look through a feature store, checking every byte of it against the shards' names. Changes nothing."""
    shards = sorted(store.glob("shard-*.safetensors"))
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(sha256_of, shards))
    places: dict[str, Place] = {}
    damaged = []
    for shard, digest in zip(shards, digests, strict=True):
        if shard.name == f"shard-{digest[:NAME_LENGTH]}.safetensors":
            places |= _places(shard.name, _clips_of(shard))
        else:
            damaged.append(shard)
    return StoredClips(places, tuple(damaged))


def list_clips(store: Path) -> set[str]:
    """Keys of the clips that a feature store seems to hold, read from the shards' headers: quick, checks no data.

    Shards without a readable header hold nothing. Others may be written meanwhile.
    """
    keys: set[str] = set()
    for shard in store.glob("shard-*.safetensors"):
        with contextlib.suppress(OSError, safetensors.SafetensorError, ValueError, TypeError, KeyError):
            keys |= {key for key, _, _ in _clips_of(shard)}
    return keys


def write_index(
    out: DatasetFolder,
    clip_ids: Sequence[str],
    keys: Sequence[str],
    places: Mapping[str, Place],
    base_features_key: str,
) -> None:
    """Write `features.parquet`: one row per clip, in the given order."""
    rows = [(clip_id, key, *places[key], base_features_key) for clip_id, key in zip(clip_ids, keys, strict=True)]
    index = pl.DataFrame(rows, schema=INDEX_SCHEMA, orient="row")
    with replacing_file(out.features) as partial:
        index.write_parquet(partial)


class FeatureReader:
    """Random access to the features of a dataset's clips.

    Shards are memory-mapped when first asked for: opening a large dataset reads its index only, and processes on one
    machine share what they read.

    Raises:
        UserError: the index is missing or damaged.
    """

    def __init__(self, dataset: DatasetFolder) -> None:
        index = read_table(dataset.features, stage="encode")
        self.clip_ids: list[str] = index["clip_id"].to_list()
        self._index, self._store = dataset.features, dataset.feature_store
        self._places = dict(zip(self.clip_ids, map(Place._make, index.select(Place._fields).iter_rows()), strict=True))
        self._shards: dict[str, tuple[Any, Any]] = {}

    def mel(self, clip_id: str, frames: slice | None = None) -> Tensor:
        """Conditioning mel of one clip as it is stored, float16 [80, F]; of some of its frames, or of all.

        Raises:
            KeyError: no such clip in the index.
            UserError: the shard is missing or too short.
        """
        place = self._places[clip_id]
        start, stop, _ = (frames or slice(None)).indices(place.mel_frames)
        _, mels = self._open(place.shard)
        mel: Tensor = mels[place.mel_start + start : place.mel_start + stop]
        return mel.T

    def codes(self, clip_id: str) -> Tensor:
        """Codes of one clip, int64 [L]. Errors as for `mel`."""
        place = self._places[clip_id]
        codes, _ = self._open(place.shard)
        found: Tensor = codes[place.codes_start : place.codes_start + place.codes_length]
        return found.to(torch.int64)

    def _open(self, shard: str) -> tuple[Any, Any]:
        if shard not in self._shards:
            path = inside(self._store, shard, named_in=self._index)
            try:
                content: Any = safetensors.safe_open(path, "pt")
            except (OSError, safetensors.SafetensorError) as error:
                raise UserError(
                    f"{path}: missing or damaged ({error}). Run `xtts encode` again; it encodes only what is lost."
                ) from error
            self._shards[shard] = content.get_slice("codes"), content.get_slice("mels")
        return self._shards[shard]


def _clips_of(shard: Path) -> list[tuple[str, int, int]]:
    """`(key, codes, frames)` of each clip, from a shard's header."""
    with safetensors.safe_open(shard, "np") as content:
        clips: list[tuple[str, int, int]] = json.loads(content.metadata()["clips"])
    return clips


def _places(shard: str, lengths: Iterable[tuple[str, int, int]]) -> dict[str, Place]:
    """Place of each clip of a shard, from `(key, codes, frames)` in the order in which they lie."""
    places = {}
    codes_start = mel_start = 0
    for key, codes_length, mel_frames in lengths:
        places[key] = Place(shard, codes_start, codes_length, mel_start, mel_frames)
        codes_start += codes_length
        mel_start += mel_frames
    return places
