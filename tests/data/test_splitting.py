"""What is trained on never returns in the evaluation, and a growing dataset keeps its sides."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtts_framework.config import ValidationConfig
from xtts_framework.data.manifest import name_clips
from xtts_framework.data.sides import Sides, read_sides, write_sides
from xtts_framework.data.splitting import Split, name_recording, split_clips
from xtts_framework.errors import UserError

WANTED = ValidationConfig()


def singles(count: int, start: int = 0) -> tuple[list[str], list[str]]:
    """Clips whose names show no recording, each with a text of its own."""
    numbers = range(start, start + count)
    return [f"wavs/clip{number}.wav" for number in numbers], [f"text {number}" for number in numbers]


def segments(recordings: int, each: int) -> tuple[list[str], list[str]]:
    files = [f"wavs/rec{recording}_{number:04}.wav" for recording in range(recordings) for number in range(each)]
    return files, [f"text of {file}" for file in files]


def clips_of(
    files: list[str], texts: list[str], recordings: list[str] | None = None, speakers: list[str] | None = None
) -> pl.DataFrame:
    """Clips as validation has measured them; the sound of each is its file's name."""
    nothing = [""] * len(files)
    return pl.DataFrame(
        {
            "file": files,
            "normalized": texts,
            "recording": recordings or nothing,
            "speaker": speakers or nothing,
            "content_sha256": [f"sound of {file}" for file in files],
        }
    )


def split(files: list[str], texts: list[str], wanted: ValidationConfig = WANTED) -> Split:
    return split_clips(clips_of(files, texts), wanted)


def held_out(files: list[str], texts: list[str], wanted: ValidationConfig = WANTED) -> set[str]:
    return held_out_of(clips_of(files, texts), split(files, texts, wanted))


def held_out_of(clips: pl.DataFrame, found: Split) -> set[str]:
    return {file for file, out in zip(clips["file"], found.evaluation, strict=True) if out}


CLIPS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 40), st.integers(0, 60)),
    min_size=2,
    max_size=80,
    unique_by=lambda c: c[:2],
)


@given(CLIPS, st.integers(0, 3))
@settings(max_examples=200)
def test_no_text_is_on_both_sides_and_at_most_half_is_held_out(clips: list[tuple[int, int, int]], seed: int) -> None:
    files = [f"wavs/rec{recording}_{number}.wav" for recording, number, _ in clips]
    texts = [f"text {text}" for *_, text in clips]
    wanted = ValidationConfig(seed=seed)
    if len(set(texts)) < 2:
        with pytest.raises(UserError, match="two clips with different texts"):
            split(files, texts, wanted)
        return
    evaluation = split(files, texts, wanted).evaluation
    assert 1 <= sum(evaluation) <= len(clips) / 2
    sides = {text: {out for out, other in zip(evaluation, texts, strict=True) if other == text} for text in texts}
    assert all(len(side) == 1 for side in sides.values())


def test_no_recording_is_on_both_sides() -> None:
    files, texts = segments(recordings=40, each=25)
    found = split(files, texts)
    assert found.sides.together == "recording"
    sides: dict[str, set[bool]] = {}
    for file, out in zip(files, found.evaluation, strict=True):
        sides.setdefault(name_recording(file, "", "recording"), set()).add(out)
    assert len(sides) == 40
    assert all(len(side) == 1 for side in sides.values())


def test_one_long_recording_is_held_out_in_stretches() -> None:
    files, texts = segments(recordings=1, each=1000)
    found = split(files, texts)
    assert found.sides.together == "stretch"
    assert 20 <= sum(found.evaluation) <= 100
    assert all(len(set(found.evaluation[start : start + 10])) == 1 for start in range(0, 1000, 10))


def test_numbers_that_run_through_the_whole_dataset_are_no_recording() -> None:
    files = [f"wavs/common_voice_am_{number * 7919:08}.mp3" for number in range(1000)]
    evaluation = split(files, [f"text {file}" for file in files]).evaluation
    assert 25 <= sum(evaluation) <= 75


@pytest.mark.parametrize(
    ("file", "recording"),
    [
        ("wavs/rec01_0007.wav", "recording wavs/rec01"),
        ("wavs/rec01_00000007.wav", "recording wavs/rec01"),
        ("LJ001-0012.wav", "recording LJ001"),
        ("rec01-0012345-0018900.flac", "recording rec01"),
        ("rec01/0007.wav", "recording rec01"),
        ("wavs/LJ001-0012.0123456789ab.wav", "recording wavs/LJ001"),
        ("wavs/clip7.wav", "file wavs/clip7.wav"),
        ("wavs/greeting.wav", "file wavs/greeting.wav"),
    ],
)
def test_a_recording_is_known_by_the_name_before_the_number(file: str, recording: str) -> None:
    assert name_recording(file, "", "recording") == recording


def test_order_of_rows_does_not_matter() -> None:
    files, texts = singles(500)
    shuffled = list(zip(files, texts, strict=True))
    random.Random(1).shuffle(shuffled)
    assert held_out(*map(list, zip(*shuffled, strict=True))) == held_out(files, texts)


def test_sides_stay_when_a_dataset_grows_within_its_bounds() -> None:
    files, texts = singles(3000)
    before = held_out(files[:1000], texts[:1000])
    assert before == held_out(files, texts) & set(files[:1000])
    assert 30 <= len(before) <= 70


@pytest.mark.parametrize(("before", "after"), [(60, 200), (200, 900), (9000, 20000)])
def test_what_was_trained_on_is_never_held_out_later(before: int, after: int) -> None:
    files, texts = singles(after)
    trained = set(files[:before]) - held_out(files[:before], texts[:before])
    assert not trained & held_out(files, texts)


@pytest.mark.parametrize(
    ("clips", "fraction", "expected"), [(100, 0.05, 20), (30, 0.05, 15), (2, 0.05, 1), (20000, 0.05, 500), (100, 0, 20)]
)
def test_bounds_hold_exactly_for_single_clips(clips: int, fraction: float, expected: int) -> None:
    assert len(held_out(*singles(clips), ValidationConfig(eval_fraction=fraction))) == expected


def test_another_seed_holds_out_other_clips() -> None:
    assert held_out(*singles(500)) != held_out(*singles(500), ValidationConfig(seed=2))


def test_recordings_that_the_metadata_names_stay_together() -> None:
    """File names say nothing here; and without the column every clip would stand for itself."""
    files = [f"wavs/{number:x}.wav" for number in range(1000)]
    recordings = [f"interview {number % 40}" for number in range(1000)]
    clips = clips_of(files, [f"text {file}" for file in files], recordings)
    found = split_clips(clips, WANTED)
    sides: dict[str, set[bool]] = {}
    for recording, out in zip(recordings, found.evaluation, strict=True):
        sides.setdefault(recording, set()).add(out)
    assert found.sides.together == "recording"
    assert all(len(side) == 1 for side in sides.values())
    assert 1 <= sum(True in side for side in sides.values()) <= 4


def test_many_speakers_are_held_out_as_wholes_and_few_are_not() -> None:
    files = [f"wavs/{number:x}.wav" for number in range(1000)]
    texts = [f"text {file}" for file in files]
    for speakers, together in ((100, "speaker"), (4, "recording")):
        names = [f"speaker {number % speakers}" for number in range(1000)]
        found = split_clips(clips_of(files, texts, speakers=names), WANTED)
        assert found.sides.together == together
        sides = {
            name: {out for out, other in zip(found.evaluation, names, strict=True) if other == name} for name in names
        }
        assert all((len(side) == 1) == (together == "speaker") for side in sides.values())
        assert 20 <= sum(found.evaluation) <= 100


def test_segments_cut_by_time_stay_together_by_the_minute() -> None:
    files = [f"wavs/long-{start:07}-{start + 5000:07}.wav" for start in range(0, 6_000_000, 6000)]
    found = split(files, [f"text {file}" for file in files])
    assert found.sides.together == "stretch"
    assert all(len(set(found.evaluation[start : start + 10])) == 1 for start in range(0, 1000, 10))


@pytest.mark.parametrize("sizes", [(60, 200, 900), (9000, 12000, 20000), (3, 30, 41)])
def test_remembered_sides_are_kept_by_every_clip_whatever_is_added(sizes: tuple[int, ...]) -> None:
    """Within the bounds and beyond; without a memory a bound moves clips."""
    earlier: Sides | None = None
    before: dict[str, bool] = {}
    for size in sizes:
        files, texts = singles(size)
        found = split_clips(clips_of(files, texts), WANTED, earlier)
        after = dict(zip(files, found.evaluation, strict=True))
        assert not found.afresh
        assert not found.conflicts
        assert {file: after[file] for file in before} == before
        assert WANTED.eval_min <= sum(after.values()) <= WANTED.eval_max or size < 40
        earlier, before = found.sides, after


def test_a_new_clip_follows_its_text_its_recording_and_its_sound() -> None:
    files, texts = segments(recordings=40, each=25)
    first = split(files, texts)
    sides = dict(zip(files, first.evaluation, strict=True))
    out, trained = sorted(sides, key=lambda file: (not sides[file], file))[0], min(set(files) - held_out(files, texts))
    more = [f"wavs/{Path(one).stem[:-4]}9999.wav" for one in (out, trained)] + ["x.wav", "y.wav", "z.wav"]
    new_texts = ["new 1", "new 2", f"text of {out}", f"text of {trained}", "new 3"]
    clips = clips_of(files + more, texts + new_texts).with_columns(
        pl.when(pl.col("file") == "z.wav")
        .then(pl.lit(f"sound of {out}"))
        .otherwise("content_sha256")
        .alias("content_sha256")
    )
    found = split_clips(clips, WANTED, first.sides)
    assert found.evaluation[-5:] == [True, False, True, False, True]
    assert found.evaluation[:-5] == first.evaluation


def test_a_new_clip_that_belongs_to_both_sides_is_on_neither() -> None:
    files, texts = segments(recordings=40, each=25)
    first = split(files, texts)
    out, trained = min(held_out(files, texts)), min(set(files) - held_out(files, texts))
    bridge = f"wavs/{Path(trained).stem[:-4]}9999.wav"
    found = split_clips(clips_of([*files, bridge], [*texts, f"text of {out}"]), WANTED, first.sides)
    assert found.conflicts == {
        1000: (f"recording {Path(trained).parent / Path(trained).stem[:-5]}", f"text text of {out}")
    }
    assert found.evaluation[:1000] == first.evaluation
    assert f"text of {out}" not in {text for text, side in found.sides.held_out.items() if not side}


def test_what_cannot_be_kept_is_divided_afresh() -> None:
    files, texts = singles(100)
    first = split(files, texts)
    trained = [position for position, out in enumerate(first.evaluation) if not out]
    found = split_clips(clips_of(files, texts)[trained], WANTED, first.sides)
    assert found.afresh
    assert 1 <= sum(found.evaluation) <= len(trained) / 2


def test_sides_come_back_from_their_file_unless_another_split_is_wanted(tmp_path: Path) -> None:
    sides = split(*singles(100)).sides
    path = tmp_path / "split.parquet"
    assert read_sides(path, WANTED) is None
    write_sides(sides, path)
    assert read_sides(path, WANTED) == sides
    assert read_sides(path, ValidationConfig(seed=2)) is None
    assert read_sides(path, ValidationConfig(eval_fraction=0.1)) is None
    assert read_sides(path, ValidationConfig(eval_min=30)) is None
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"split\.parquet: damaged.*\n.*Delete it"):
        read_sides(path, WANTED)


def test_clip_names_are_unique_whatever_files_are_called() -> None:
    files = ["x/a.wav", "y/a.wav", "a#2.wav", "a#2#3.flac", "a.b.wav"]
    assert name_clips(files, [1, 2, 3, 4, 5]) == ["a", "a#2", "a#2#3", "a#2#3#4", "a.b"]
