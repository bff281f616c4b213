"""Encode: audio codes and conditioning mels of every clip of a manifest, each computed once."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import polars as pl
import torch
from torch import Tensor

from xtts_framework.audio.codes import encode_batch
from xtts_framework.audio.mels import MIN_SAMPLES, conditioning_mel, dvae_mel
from xtts_framework.audio.rates import HOP, SAMPLE_RATE_HZ, SAMPLES_PER_CODE
from xtts_framework.audio.reading import Samples, read_audio
from xtts_framework.config import EncodeConfig
from xtts_framework.console import progress, say
from xtts_framework.data.features import (
    BYTES_PER_CODE,
    BYTES_PER_FRAME,
    ClipFeatures,
    Place,
    clip_key,
    scan_store,
    write_index,
    write_shard,
)
from xtts_framework.data.tables import read_table
from xtts_framework.errors import UserError
from xtts_framework.files import PARTIAL_PREFIX, sha256_of
from xtts_framework.layout import DatasetFolder
from xtts_framework.model.base import Base, load_dvae, load_mel_stats, read_base

if TYPE_CHECKING:
    from TTS.tts.layers.xtts.dvae import DiscreteVAE

CLIPS_PER_SHARD = 1000
"""About 1.4 h of speech and 70 MB; what an interruption can cost at most."""
SECONDS_PER_BATCH = 48
"""Speech through the DVAE at once, unless one clip is longer. Memory and speed only, never the result."""
CLIPS_READ_AHEAD = 64
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Recording:
    """An audio file of the manifest, as it was at validation."""

    path: Path
    sha256: str
    key: str


def encode(config: EncodeConfig, base_folder: Path, out: DatasetFolder, *, shard_clips: int = CLIPS_PER_SHARD) -> None:
    """Bring the feature store of a dataset up to its manifest and write the index.

    Only clips whose audio is not in the store for this base are encoded. Finished shards survive any interruption.

    Args:
        config: where the recordings are.
        base_folder: its `dvae.pth` and `mel_stats.pth` are used.
        out: holds `manifest.parquet`; gets `features/` and `features.parquet`.
        shard_clips: clips per shard.

    Raises:
        UserError: no manifest; an unusable base; a recording that changed since validation; a full disk.
    """
    manifest = read_table(out.manifest, ["clip_id", "file", "audio_sha256", "duration_s"], stage="validate")
    base = read_base(base_folder)
    keys = [clip_key(sha256, base.features_key) for sha256 in manifest["audio_sha256"]]
    places = _clean_store(out.feature_store)
    missing = (
        manifest.with_columns(pl.Series("key", keys, pl.String))
        .unique("key", keep="first", maintain_order=True)
        .filter(~pl.col("key").is_in(list(places)))
    )
    if len(missing):
        _require_space(out.feature_store, float(missing["duration_s"].sum()))
        recordings = [
            Recording(config.dataset_path / file, sha256, key)
            for file, sha256, key in missing.select("file", "audio_sha256", "key").iter_rows()
        ]
        places |= _encode_recordings(base, recordings, out.feature_store, shard_clips)
    write_index(out, manifest["clip_id"].to_list(), keys, places, base.features_key)
    say(f"encoded {len(missing)} clips, reused {len(manifest) - len(missing)}")


def _clean_store(store: Path) -> dict[str, Place]:
    """Remove what an interruption or a failing disk left behind; return the places of all good clips by key."""
    store.mkdir(parents=True, exist_ok=True)
    for leftover in store.glob(f"{PARTIAL_PREFIX}*"):
        leftover.unlink()
    stored = scan_store(store)
    for shard in stored.damaged:
        say(f"{shard}: damaged, its bytes are not those that were written; removed, its clips are encoded again")
        shard.unlink()
    return stored.places


def _require_space(store: Path, seconds: float) -> None:
    """Say what the features of so much speech take, and refuse to start when that is not there."""
    samples = seconds * SAMPLE_RATE_HZ
    needed = samples / SAMPLES_PER_CODE * BYTES_PER_CODE + samples / HOP * BYTES_PER_FRAME
    free = shutil.disk_usage(store).free
    say(f"{store}: {seconds / 60:.1f} min to encode take about {needed / 1e6:.1f} MB, {free / 1e6:.0f} MB are free")
    if needed > free:
        raise UserError(
            f"{store}: the disk is too full: about {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free. "
            "Make room, or put the results on another disk."
        )


def _encode_recordings(base: Base, recordings: list[Recording], store: Path, shard_clips: int) -> dict[str, Place]:
    """Encode recordings into new shards; return their places by key."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batches = features_of(recordings, load_dvae(base).to(device), load_mel_stats(base))
    places: dict[str, Place] = {}
    shard: list[ClipFeatures] = []
    with progress("encode", len(recordings), "clips") as advance:
        for batch in batches:
            shard += batch
            advance(len(batch))
            if len(shard) >= shard_clips:
                places |= _write(store, shard)
                shard = []
    return places | _write(store, shard) if shard else places


def features_of(recordings: Sequence[Recording], dvae: DiscreteVAE, mel_stats: Tensor) -> Iterator[list[ClipFeatures]]:
    """Yield the features of recordings, in order, a batch at a time.

    Files are read ahead in threads; torch works in the calling thread alone, with all of its own.

    Raises:
        UserError: a recording is not what it was at validation, or too short for a mel.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for batch in _batches(_map_ahead(pool, _read, recordings)):
            wavs_S = [torch.from_numpy(samples) for _, samples in batch]
            mels = [dvae_mel(wav_S, mel_stats) for wav_S in wavs_S]
            codes = encode_batch(dvae, mels, [len(wav_S) for wav_S in wavs_S])
            yield [
                ClipFeatures(recording.key, clip_codes, conditioning_mel(wav_S, mel_stats))
                for (recording, _), clip_codes, wav_S in zip(batch, codes, wavs_S, strict=True)
            ]


def _read(recording: Recording) -> tuple[Recording, Samples]:
    """Read one recording and make sure that it is the one that was validated."""
    try:
        unchanged = sha256_of(recording.path) == recording.sha256
    except OSError as error:
        raise UserError(
            f"{recording.path}: cannot be read any more ({error.strerror}). "
            "Put it back, or run validate again without it."
        ) from error
    if not unchanged:
        raise UserError(f"{recording.path}: changed since validation; run validate again.")
    samples = read_audio(recording.path, SAMPLE_RATE_HZ)
    if len(samples) < MIN_SAMPLES:
        raise UserError(
            f"{recording.path}: {len(samples)} samples at {SAMPLE_RATE_HZ} Hz, but a mel needs {MIN_SAMPLES}. "
            "Raise validation.min_duration_s to at least 0.05 and run validate again."
        )
    return recording, samples


def _write(store: Path, clips: list[ClipFeatures]) -> dict[str, Place]:
    try:
        return write_shard(store, clips)
    except OSError as error:
        raise UserError(
            f"{store}: cannot write features: {error.strerror}. Finished shards are kept; "
            "make room and run the same command again to go on from there."
        ) from error


def _map_ahead(pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Like `map`, in order, with a bounded number of results computed before they are asked for."""
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) == CLIPS_READ_AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _batches(clips: Iterable[tuple[Recording, Samples]]) -> Iterator[list[tuple[Recording, Samples]]]:
    """Groups of clips, in order, of at most `SECONDS_PER_BATCH`, or of one clip."""
    batch: list[tuple[Recording, Samples]] = []
    room = full = SECONDS_PER_BATCH * SAMPLE_RATE_HZ
    for clip in clips:
        _, samples = clip
        if batch and len(samples) > room:
            yield batch
            batch, room = [], full
        batch.append(clip)
        room -= len(samples)
    if batch:
        yield batch
