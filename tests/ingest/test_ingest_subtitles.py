"""Cues become clips: joined at their boundaries, with the text of exactly their time, and no neighbour's speech."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from small_sources import read_left_out, read_rows, write_noise

from xtts_framework.errors import UserError
from xtts_framework.ingest.subtitles import Cue, join_cues, parse_cues, span_of
from xtts_framework.stages.ingest import ingest


def clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 3600000:02d}:{milliseconds // 60000 % 60:02d}:{milliseconds / 1000 % 60:06.3f}"


def srt(*cues: tuple[float, float, str]) -> str:
    return "\n\n".join(
        f"{number}\n{clock(start).replace('.', ',')} --> {clock(end).replace('.', ',')}\n{text}"
        for number, (start, end, text) in enumerate(cues, 1)
    )


def texts(content: str, suffix: str = ".srt", duration_s: float | None = None) -> list[tuple[str, str]]:
    """Text and code of each group."""
    groups = join_cues(parse_cues(content, suffix), duration_s)
    return [(" ".join(cue.text for cue in group), group[0].fault.code if group[0].fault else "") for group in groups]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    write_noise(folder / "talk.wav", 60)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "dataset"


def test_cues_are_joined_until_a_sentence_ends() -> None:
    content = srt((1, 3, "ዛሬ የአየር ሁኔታው"), (3.1, 5, "በጣም ደስ ይላል።"), (5.1, 10, "ነገ ጠዋት ወደ"), (10.1, 13, "ባሕር ዳር እንሄዳለን።"))
    assert texts(content) == [("ዛሬ የአየር ሁኔታው በጣም ደስ ይላል።", ""), ("ነገ ጠዋት ወደ ባሕር ዳር እንሄዳለን።", "")]


def test_short_cues_are_joined_or_left_out() -> None:
    assert texts(srt((1, 2, "አንድ።"), (2.2, 3.5, "ሁለት።"))) == [("አንድ። ሁለት።", "")]
    assert texts(srt((1, 2, "አንድ።"), (6, 9, "ሁለት።"))) == [("አንድ።", "too_short"), ("ሁለት።", "")]


def test_overlapping_and_long_cues_are_left_out_and_break_joining() -> None:
    content = srt((0, 3, "ሀ"), (3, 6, "ለ"), (5, 8, "ሐ"), (8, 20, "መ"), (20, 23, "ሠ"))
    assert texts(content) == [("ሀ", ""), ("ለ", "overlapping"), ("ሐ", "overlapping"), ("መ", "too_long"), ("ሠ", "")]


def test_a_cue_within_a_longer_one_overlaps_all_that_it_should() -> None:
    content = srt((0, 10, "ሀ"), (1, 2, "ለ"), (3, 6, "ሐ"), (10, 13, "መ"))
    assert [code for _, code in texts(content)] == ["overlapping"] * 3 + [""]


@pytest.mark.parametrize(
    "text", ["[ጭብጨባ]", "(music)", "♪ la la ♪", "♪", "...", "<i>[laughs]</i>", "- [door]", "*sighs*"]
)
def test_sounds_are_no_speech_and_break_joining(text: str) -> None:
    content = srt((0, 3, "ሀ"), (3.1, 4, text), (4.1, 7, "ለ"))
    assert [(found, code) for found, code in texts(content)][::2] == [("ሀ", ""), ("ለ", "")]
    assert texts(content)[1][1] == "no_speech"


def test_tags_entities_and_sounds_within_a_cue_are_stripped() -> None:
    assert texts(srt((0, 3, "<i>ሰላም</i> {\\an8}<font color=red>ዓለም</font>\n[ሳቅ] &amp; 5 < 6"))) == [
        ("ሰላም ዓለም & 5 < 6", "")
    ]


def test_vtt_headers_notes_styles_identifiers_and_voices() -> None:
    content = (
        "WEBVTT - a title\nKind: captions\n\nNOTE a note\nof two lines --\n\nSTYLE\n::cue { color: red }\n\n"
        "intro-1\n00:01.000 --> 00:04.000 align:start\n<v Abebe>ሰላም <00:02.000><c>ለሁላችሁ</c>\n\n"
        "NOTE between\n\n2\n00:00:04.100 --> 00:00:07.000\n<v Almaz>እንደምን አደራችሁ?\n"
    )
    cues = parse_cues(content, ".vtt")
    assert [(cue.start_s, cue.end_s, cue.text, cue.speaker) for cue in cues] == [
        (1.0, 4.0, "ሰላም ለሁላችሁ", "Abebe"),
        (4.1, 7.0, "እንደምን አደራችሁ?", "Almaz"),
    ]
    assert len(join_cues(cues, None)) == 2  # two voices are not joined


def test_a_number_that_is_spoken_stays_and_the_number_of_a_cue_goes() -> None:
    content = "1\n00:00:01,000 --> 00:00:04,000\nበዓመተ ምሕረት\n1984\n\n2\n00:00:06,000 --> 00:00:09,000\n7\n"
    assert texts(content)[0][0] == "በዓመተ ምሕረት 1984"
    assert texts(content)[1][0] == "7"
    crowded = "1\n00:00:01,000 --> 00:00:04,000\nሀ\n2\n00:00:06,000 --> 00:00:09,000\nለ"
    assert texts(crowded) == [("ሀ", ""), ("ለ", "")]


def test_a_cue_goes_on_after_a_blank_line_in_srt() -> None:
    assert texts("1\n00:00:01,000 --> 00:00:04,000\nሀ\n\nለ\n\n2\n00:00:06,000 --> 00:00:09,000\nሐ") == [
        ("ሀ ለ", ""),
        ("ሐ", ""),
    ]


@pytest.mark.parametrize(
    "times", ["00:00:05 --> soon", "-00:00:05,000 --> 00:00:07,000", "00:00:07,000 --> 00:00:05,000", "-->"]
)
def test_damaged_times_are_reported_and_joined_to_nothing(times: str) -> None:
    content = f"{srt((0, 3, 'ሀ'))}\n\n2\n{times}\nለ\n\n3\n00:00:03,500 --> 00:00:06,500\nሐ\n"
    found = texts(content)
    assert sorted(code for _, code in found) == ["", "", found[0][1]]
    assert found[0] in [("ለ", "malformed_row"), ("ለ", "bad_times")]


def test_clips_have_the_sound_of_their_cues_and_of_no_neighbour(source: Path, out: Path) -> None:
    cues = [(1.0, 4.0, "ሀ።"), (4.06, 8.0, "ለ።"), (8.5, 15.0, "ሐ።"), (55.0, 59.95, "መ።"), (58, 70, "ሠ።")]
    (source / "talk.srt").write_text(srt(*cues), encoding="utf-8")
    ingest(source, out)
    rows = read_rows(out)
    assert [row["text"] for row in rows] == ["ሀ። ለ።", "ሐ።", "መ።"] or [row["text"] for row in rows][:2] == [
        "ሀ። ለ።",
        "ሐ።",
    ]
    recorded, rate_hz = soundfile.read(source / "talk.wav", dtype="int16")
    for row in rows:
        start, end = (int(part) for part in Path(row["audio_file"]).stem.split("-")[-2:])
        cut, _ = soundfile.read(out / row["audio_file"], dtype="int16")
        expected = recorded[start * rate_hz // 1000 : end * rate_hz // 1000]
        assert abs(len(cut) - len(expected)) <= 1
        assert (cut[: len(expected)] == expected[: len(cut)]).all()
    assert {row["code"] for row in read_left_out(out)} >= {"beyond_end"}


def test_subtitles_of_a_language_beside_a_recording_and_two_of_one_recording(source: Path, out: Path) -> None:
    (source / "talk.am.srt").write_text(srt((1, 4, "ሰላም።")), encoding="utf-8")
    assert ingest(source, out).clips == 1
    (source / "talk.en.srt").write_text(srt((1, 4, "hello.")), encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)talk\.am\.srt and talk\.en\.srt both belong to talk\.wav"):
        ingest(source, out)
    assert ingest(source / "talk.am.srt", out).kept == 1


def test_cues_without_a_recording_are_left_out(source: Path, out: Path) -> None:
    (source / "talk.srt").write_text(srt((1, 4, "ሰላም።")), encoding="utf-8")
    (source / "other.srt").write_text(srt((1, 4, "ሀ"), (5, 8, "ለ")), encoding="utf-8")
    done = ingest(source, out)
    assert (done.read, done.clips, done.codes["missing_audio"]) == (3, 1, 2)


@given(
    st.lists(
        st.tuples(st.integers(0, 4000), st.integers(1, 13000), st.sampled_from(["ሀ።", "ለ", "[x]", "ሐ ♪", "መ?"])),
        max_size=25,
    )
)
def test_however_cues_lie_every_one_is_used_once_and_clips_never_overlap(cues: list[tuple[int, int, str]]) -> None:
    placed, position = [], 0
    for number, (gap, length, text) in enumerate(cues, 1):
        start = max(0, position + gap - 300)  # some overlap
        position = start + length
        placed.append(Cue(number, start / 1000, position / 1000, text))
    groups = join_cues(placed, None)
    assert sorted(cue.number for group in groups for cue in group) == [cue.number for cue in placed]
    good = [group for group in groups if not group[0].fault]
    spans = sorted(span_of(group, placed) for group in good)
    for (start, end), (following, _) in pairwise([*spans, (1e9, 1e9)]):
        assert start < end <= following
    for group in good:
        start, end = span_of(group, placed)
        assert start <= group[0].start_s
        assert end >= group[-1].end_s
        assert group[-1].end_s - group[0].start_s >= 2
        assert end - start <= 11 + 1e-9
        for cue in placed:
            assert cue in group or cue.end_s <= start + 1e-9 or cue.start_s >= end - 1e-9
