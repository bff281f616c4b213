"""What is trained on never returns in the evaluation, and a growing dataset keeps its sides."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtts_framework.config import ValidationConfig
from xtts_framework.data.manifest import name_clips
from xtts_framework.data.splitting import name_group, split_clips
from xtts_framework.errors import UserError

WANTED = ValidationConfig()


def singles(count: int, start: int = 0) -> tuple[list[str], list[str]]:
    """Clips whose names show no recording, each with a text of its own."""
    numbers = range(start, start + count)
    return [f"wavs/clip{number}.wav" for number in numbers], [f"text {number}" for number in numbers]


def segments(recordings: int, each: int) -> tuple[list[str], list[str]]:
    files = [f"wavs/rec{recording}_{number:04}.wav" for recording in range(recordings) for number in range(each)]
    return files, [f"text of {file}" for file in files]


def held_out(files: list[str], texts: list[str], wanted: ValidationConfig = WANTED) -> set[str]:
    return {file for file, out in zip(files, split_clips(files, texts, wanted).evaluation, strict=True) if out}


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
            split_clips(files, texts, wanted)
        return
    evaluation = split_clips(files, texts, wanted).evaluation
    assert 1 <= sum(evaluation) <= len(clips) / 2
    sides = {text: {out for out, other in zip(evaluation, texts, strict=True) if other == text} for text in texts}
    assert all(len(side) == 1 for side in sides.values())


def test_no_recording_is_on_both_sides() -> None:
    files, texts = segments(recordings=40, each=25)
    split = split_clips(files, texts, WANTED)
    assert split.together == "recording"
    sides: dict[str, set[bool]] = {}
    for file, out in zip(files, split.evaluation, strict=True):
        sides.setdefault(name_group(file, "recording"), set()).add(out)
    assert len(sides) == 40
    assert all(len(side) == 1 for side in sides.values())


def test_one_long_recording_is_held_out_in_stretches() -> None:
    files, texts = segments(recordings=1, each=1000)
    split = split_clips(files, texts, WANTED)
    assert split.together == "stretch"
    assert 20 <= sum(split.evaluation) <= 100
    assert all(len(set(split.evaluation[start : start + 10])) == 1 for start in range(0, 1000, 10))


def test_numbers_that_run_through_the_whole_dataset_are_no_recording() -> None:
    files = [f"wavs/common_voice_am_{number * 7919:08}.mp3" for number in range(1000)]
    evaluation = split_clips(files, [f"text {file}" for file in files], WANTED).evaluation
    assert 25 <= sum(evaluation) <= 75


@pytest.mark.parametrize(
    ("file", "recording"),
    [
        ("wavs/rec01_0007.wav", "recording wavs/rec01"),
        ("wavs/rec01_00000007.wav", "recording wavs/rec01"),
        ("LJ001-0012.wav", "recording LJ001"),
        ("rec01-0012345-0018900.flac", "recording rec01"),
        ("rec01/0007.wav", "recording rec01"),
        ("wavs/clip7.wav", "file wavs/clip7.wav"),
        ("wavs/greeting.wav", "file wavs/greeting.wav"),
    ],
)
def test_a_recording_is_known_by_the_name_before_the_number(file: str, recording: str) -> None:
    assert name_group(file, "recording") == recording


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


def test_clip_names_are_unique_whatever_files_are_called() -> None:
    files = ["x/a.wav", "y/a.wav", "a#2.wav", "a#2#3.flac", "a.b.wav"]
    assert name_clips(files, [1, 2, 3, 4, 5]) == ["a", "a#2", "a#2#3", "a#2#3#4", "a.b"]
