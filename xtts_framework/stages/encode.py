"""Encode: audio codes and conditioning mels of every clip of a manifest, each computed once."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import torch
from torch import Tensor

from xtts_framework.audio.codes import encode_batch
from xtts_framework.audio.mels import MIN_SAMPLES, conditioning_mel, dvae_mel, mels_together
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
    list_clips,
    scan_store,
    write_index,
    write_shard,
)
from xtts_framework.data.tables import read_table
from xtts_framework.errors import UserError
from xtts_framework.files import PARTIAL_PREFIX, sha256_of
from xtts_framework.layout import DatasetFolder, inside
from xtts_framework.model.base import Base, load_dvae, load_mel_stats, read_base

if TYPE_CHECKING:
    from TTS.tts.layers.xtts.dvae import DiscreteVAE

CLIPS_PER_SHARD = 1000
"""About 1.4 h of speech and 70 MB; what an interruption can cost at most."""


class Pace(NamedTuple):
    """How much is done at once: memory and speed only, never the result.

    Args:
        batch_s: speech through the DVAE at once, unless one clip is longer.
        clips_ahead: clips that are read before they are asked for.
    """

    batch_s: int
    clips_ahead: int


PACES = {"cpu": Pace(batch_s=96, clips_ahead=64), "cuda": Pace(batch_s=480, clips_ahead=256)}


@dataclass(frozen=True)
class Recording:
    """An audio file of the manifest, as it was at validation."""

    path: Path
    sha256: str
    key: str
    duration_s: float


Clip = tuple[Recording, Samples]


def encode(
    config: EncodeConfig,
    base_folder: Path,
    out: DatasetFolder,
    *,
    part: tuple[int, int] | None = None,
    shard_clips: int = CLIPS_PER_SHARD,
) -> None:
    """Bring the feature store of a dataset up to its manifest and write the index.

    Only clips whose audio is not in the store for this base are encoded. Finished shards survive any interruption.
    The manifest's clips form groups, in order, and what is missing of a group becomes one shard. So the shards are
    the same whoever encodes which group, and jobs can share the work.

    Args:
        config: where the recordings are.
        base_folder: its `dvae.pth` and `mel_stats.pth` are used.
        out: holds `manifest.parquet`; gets `features/` and `features.parquet`.
        part: `(k, n)`, k from 1 to n: encode every n-th group only, remove nothing, write no index. Encoding without
            a part, after all of them, checks the store and writes the index.
        shard_clips: clips of a group, the most that a shard can have.

    Raises:
        UserError: no manifest; an unusable base; a recording that changed since validation; a full disk.
    """
    manifest = read_table(out.manifest, ["clip_id", "file", "audio_sha256", "duration_s"], stage="validate")
    base = read_base(base_folder)
    keys = [clip_key(sha256, base.features_key) for sha256 in manifest["audio_sha256"]]
    unique = manifest.with_columns(pl.Series("key", keys, pl.String)).unique("key", keep="first", maintain_order=True)
    recordings = [
        Recording(inside(config.dataset_path, file, named_in=out.manifest), sha256, key, duration_s)
        for file, sha256, key, duration_s in unique.select("file", "audio_sha256", "key", "duration_s").iter_rows()
    ]
    groups = [recordings[start : start + shard_clips] for start in range(0, len(recordings), shard_clips)]
    out.feature_store.mkdir(parents=True, exist_ok=True)
    if part:
        number, jobs = part
        encoded = _encode_missing(base, groups[number - 1 :: jobs], list_clips(out.feature_store), out.feature_store)
        say(f"part {number} of {jobs}: encoded {len(encoded)} clips")
        return
    places = _clean_store(out.feature_store)
    encoded = _encode_missing(base, groups, places, out.feature_store)
    write_index(out, manifest["clip_id"].to_list(), keys, places | encoded, base.features_key)
    say(f"encoded {len(encoded)} clips, reused {len(manifest) - len(encoded)}")


def _clean_store(store: Path) -> dict[str, Place]:
    """Remove what an interruption or a failing disk left behind; return the places of all good clips by key."""
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


def _encode_missing(
    base: Base, groups: Iterable[Sequence[Recording]], stored: Collection[str], store: Path
) -> dict[str, Place]:
    """Encode what is not stored yet, one shard for each group that lacks anything; return the new places by key."""
    missing = [lacking for group in groups if (lacking := [clip for clip in group if clip.key not in stored])]
    if not missing:
        return {}
    recordings = list(itertools.chain.from_iterable(missing))
    _require_space(store, sum(recording.duration_s for recording in recordings))
    dvae = load_dvae(base).to("cuda" if torch.cuda.is_available() else "cpu")
    mel_stats = load_mel_stats(base)
    places: dict[str, Place] = {}
    with read_ahead(recordings, dvae) as clips, progress("encode", len(recordings), "clips") as advance:
        for group in missing:
            shard: list[ClipFeatures] = []
            for batch in features_of(itertools.islice(clips, len(group)), dvae, mel_stats):
                shard += batch
                advance(len(batch))
            places |= _write(store, shard)
    return places


@contextlib.contextmanager
def read_ahead(recordings: Iterable[Recording], dvae: DiscreteVAE) -> Iterator[Iterator[Clip]]:
    """Yield recordings with their samples, in order, read in threads while `dvae` works.

    Raises:
        UserError: while iterating: a recording is not what it was at validation, or too short for a mel.
    """
    device = _device_of(dvae)
    pool = ThreadPoolExecutor(torch.get_num_threads() if device.type == "cpu" else os.cpu_count())
    try:
        yield _read_in(pool, recordings, PACES[device.type].clips_ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def features_of(clips: Iterable[Clip], dvae: DiscreteVAE, mel_stats: Tensor) -> Iterator[list[ClipFeatures]]:
    """Yield the features of clips, in order, a batch at a time; computed where `dvae` is.

    Args:
        clips: recordings and their samples.
        mel_stats: [80], on the CPU.
    """
    device = _device_of(dvae)
    for batch in _batches(clips, PACES[device.type].batch_s):
        wavs = [torch.from_numpy(samples) for _, samples in batch]
        if device.type == "cpu":
            mels = [(dvae_mel(wav_S, mel_stats), conditioning_mel(wav_S, mel_stats)) for wav_S in wavs]
        else:
            mels = mels_together(wavs, mel_stats.to(device))
        codes = encode_batch(dvae, [mel for mel, _ in mels], [len(wav_S) for wav_S in wavs])
        yield [
            ClipFeatures(recording.key, clip_codes, mel.half().cpu())
            for (recording, _), clip_codes, (_, mel) in zip(batch, codes, mels, strict=True)
        ]


def _device_of(dvae: DiscreteVAE) -> torch.device:
    device: torch.device = dvae.codebook.embed.device
    return device


def _read(recording: Recording) -> Clip:
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


def _read_in(pool: ThreadPoolExecutor, recordings: Iterable[Recording], clips_ahead: int) -> Iterator[Clip]:
    """Read recordings in order, at most so many before they are asked for."""
    pending: deque[Future[Clip]] = deque()
    for recording in recordings:
        pending.append(pool.submit(_read, recording))
        if len(pending) > clips_ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _batches(clips: Iterable[Clip], batch_s: int) -> Iterator[list[Clip]]:
    """Groups of clips, in order, of at most `batch_s` seconds, or of one clip."""
    batch: list[Clip] = []
    room = full = batch_s * SAMPLE_RATE_HZ
    for clip in clips:
        _, samples = clip
        if batch and len(samples) > room:
            yield batch
            batch, room = [], full
        batch.append(clip)
        room -= len(samples)
    if batch:
        yield batch
