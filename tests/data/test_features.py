"""What was stored is what is read, and nothing damaged is ever read."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xtts_framework.data.features import (
    ClipFeatures,
    FeatureReader,
    clip_key,
    list_clips,
    scan_store,
    write_index,
    write_shard,
)
from xtts_framework.errors import UserError
from xtts_framework.layout import DatasetFolder


def make_clip(name: str, codes: int = 10, frames: int = 40) -> ClipFeatures:
    generator = torch.Generator().manual_seed(sum(name.encode()))
    return ClipFeatures(
        key=clip_key(name, "base"),
        codes=torch.randint(0, 1024, (codes,), generator=generator),
        mel=16 * torch.rand(80, frames, generator=generator) - 8,
    )


def store_of(out: DatasetFolder, *names: str) -> Path:
    """Write one shard with these clips and their index; return the shard."""
    places = write_shard(out.feature_store, [make_clip(name) for name in names])
    write_index(out, names, [clip_key(name, "base") for name in names], places, "base")
    return out.feature_store / places[clip_key(names[0], "base")].shard


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 603), st.integers(1, 2412)), min_size=1, max_size=5))
def test_clips_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, int]]
) -> None:
    out = DatasetFolder(tmp_path_factory.mktemp("dataset"))
    clips = {f"clip{i}": make_clip(f"clip{i}", *size) for i, size in enumerate(sizes)}
    places = write_shard(out.feature_store, list(clips.values()))
    write_index(out, list(clips), [clip.key for clip in clips.values()], places, "base")
    reader = FeatureReader(out)
    for clip_id, clip in clips.items():
        codes, mel = reader.codes(clip_id), reader.mel(clip_id)
        assert codes.dtype == torch.int64
        assert codes.tolist() == clip.codes.tolist()
        assert mel.dtype == torch.float16
        assert mel.shape == clip.mel.shape
        assert (mel - clip.mel).abs().max() <= 2e-3
        part = slice(mel.shape[1] // 3, mel.shape[1] // 2 + 1)
        assert torch.equal(reader.mel(clip_id, part), mel[:, part])


def test_index_has_one_row_per_clip_in_the_order_given(tmp_path: Path) -> None:
    out = DatasetFolder(tmp_path)
    store_of(out, "b", "a", "c")
    index = pl.read_parquet(out.features)
    assert index["clip_id"].to_list() == FeatureReader(out).clip_ids == ["b", "a", "c"]
    assert index.columns == [
        "clip_id",
        "key",
        "shard",
        "codes_start",
        "codes_length",
        "mel_start",
        "mel_frames",
        "base_features_key",
    ]
    assert index["base_features_key"].unique().to_list() == ["base"]


def test_key_follows_audio_and_base() -> None:
    assert clip_key("audio", "base") == clip_key("audio", "base")
    assert len({clip_key("audio", "base"), clip_key("audio2", "base"), clip_key("audio", "base2")}) == 3


def test_store_is_known_from_its_shards_alone(tmp_path: Path) -> None:
    out = DatasetFolder(tmp_path)
    write_shard(out.feature_store, [make_clip("a"), make_clip("b")])
    write_shard(out.feature_store, [make_clip("c")])
    stored = scan_store(out.feature_store)
    assert stored.places.keys() == {clip_key(name, "base") for name in "abc"}
    assert stored.damaged == ()
    write_index(out, ["c", "b"], [clip_key("c", "base"), clip_key("b", "base")], stored.places, "base")
    assert FeatureReader(out).codes("b").tolist() == make_clip("b").codes.tolist()


def test_missing_store_holds_nothing(tmp_path: Path) -> None:
    assert scan_store(tmp_path / "none").places == {}
    assert list_clips(tmp_path / "none") == set()


def test_clips_are_listed_from_headers_and_what_has_none_holds_none(tmp_path: Path) -> None:
    damaged = store_of(DatasetFolder(tmp_path), "a", "b")
    store = damaged.parent
    write_shard(store, [make_clip("c")])
    assert list_clips(store) == {clip_key(name, "base") for name in "abc"}
    damaged.write_bytes(damaged.read_bytes()[:-1])
    safetensors.numpy.save_file({}, store / "shard-1.safetensors", metadata={"clips": "[1]"})
    safetensors.numpy.save_file({}, store / "shard-2.safetensors")
    assert list_clips(store) == {clip_key("c", "base")}


def test_one_shard_written_by_many_at_once_is_whole(tmp_path: Path) -> None:
    store = tmp_path / "features"
    clips = [make_clip("a", codes=600, frames=2400), make_clip("b")]
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda _: write_shard(store, clips), range(40)))
    assert all(found == places[0] for found in places)
    assert len(list(store.iterdir())) == 1
    assert scan_store(store).places == places[0]


def test_the_documented_way_to_read_features_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = Path(__file__).parent.parent.parent / "docs/features.md"
    (snippet,) = re.findall(r"```python\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    store_of(DatasetFolder(tmp_path / "results/datasets/am"), "a")
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    exec(snippet, found)
    assert torch.equal(found["codes"], make_clip("a").codes)
    assert torch.equal(found["mel"], make_clip("a").mel.half())


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_changed_or_missing_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    out = DatasetFolder(tmp_path_factory.mktemp("dataset"))
    damaged = store_of(out, "a", "b")
    write_shard(out.feature_store, [make_clip("c")])
    content = bytearray(damaged.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans(), label="truncate"):
        del content[position:]
    else:
        content[position] ^= data.draw(st.integers(1, 255))
    damaged.write_bytes(content)
    stored = scan_store(out.feature_store)
    assert stored.damaged == (damaged,)
    assert stored.places.keys() == {clip_key("c", "base")}


def test_reader_names_a_lost_or_cut_shard(tmp_path: Path) -> None:
    out = DatasetFolder(tmp_path)
    shard = store_of(out, "a")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match=rf"{shard.name}.*encode"):
        FeatureReader(out).mel("a")
    shard.unlink()
    with pytest.raises(UserError, match=rf"{shard.name}.*encode"):
        FeatureReader(out).codes("a")


def test_reader_says_which_command_makes_a_missing_index(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"features\.parquet: missing; run `xtts encode`"):
        FeatureReader(DatasetFolder(tmp_path))
