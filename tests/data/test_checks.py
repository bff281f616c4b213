"""Every value beyond a limit and every clip that stands out has its code; what is within has none."""

from __future__ import annotations

import polars as pl
import pytest

from xtts_framework.config import SeverityConfig, ValidationConfig
from xtts_framework.data.advice import ADVICE
from xtts_framework.data.checks import (
    Problem,
    check_dataset,
    check_limits,
    compare_clips,
    find_duplicates,
    limits_of,
    severity_of,
)

SOUND = {
    "samples": 22050.0,
    "duration_s": 1.0,
    "sample_rate_hz": 22050.0,
    "finite": True,
    "speech_share": 0.9,
    "leading_silence_s": 0.1,
    "trailing_silence_s": 0.1,
    "clipped_share": 0.0,
    "level_dbfs": -23.0,
    "speech_over_noise_db": 40.0,
    "dc_offset": 0.0,
    "channel_difference": 0.0,
    "characters": 10,
    "digits": 0,
    "characters_per_s": 12.0,
}
"""A clip without fault."""


def codes_of(wanted: ValidationConfig | None = None, **values: object) -> list[str]:
    row = pl.DataFrame([SOUND | values], schema_overrides=dict.fromkeys(values, pl.Float64)).with_row_index("index")
    return [problem.code for _, problem in check_limits(row, wanted or ValidationConfig())]


def test_a_sound_clip_has_no_code() -> None:
    assert codes_of() == []


@pytest.mark.parametrize(
    ("column", "within", "beyond", "code"),
    [
        ("samples", 1, 0, "empty_audio"),
        ("finite", 1, 0, "non_finite_samples"),
        ("duration_s", 0.5, 0.4999, "too_short"),
        ("duration_s", 11.6, 11.601, "too_long"),
        ("sample_rate_hz", 16000, 15999, "low_sample_rate"),
        ("speech_share", 0.2, 0.19, "mostly_silent"),
        ("leading_silence_s", 1.0, 1.02, "leading_silence"),
        ("trailing_silence_s", 1.0, 1.02, "trailing_silence"),
        ("clipped_share", 0.001, 0.0011, "clipped"),
        ("level_dbfs", -40, -40.1, "low_level"),
        ("speech_over_noise_db", 15, 14.9, "noisy"),
        ("dc_offset", 0.02, 0.021, "dc_offset"),
        ("channel_difference", 0.1, 0.11, "channels_differ"),
        ("characters", 1, 0, "empty_text"),
        ("characters", 400, 401, "text_too_long"),
        ("digits", 0, 1, "digits_left"),
        ("characters_per_s", 1, 0.9, "length_mismatch"),
        ("characters_per_s", 40, 41, "length_mismatch"),
    ],
)
def test_limits_hold_to_the_last_value(column: str, within: float, beyond: float, code: str) -> None:
    assert codes_of(**{column: within}) == []
    assert codes_of(**{column: beyond}) == [code]
    assert codes_of(**{column: None}) == []


def test_all_limits_that_a_row_breaks_are_told_at_once_with_its_values() -> None:
    row = pl.DataFrame([SOUND | {"duration_s": 30.0, "sample_rate_hz": 8000.0, "finite": False}]).with_row_index(
        "index"
    )
    problems = {problem.code: problem for _, problem in check_limits(row, ValidationConfig())}
    assert {code: problem.detail for code, problem in problems.items()} == {
        "too_long": "30.00 s, longer than 11.6 s",
        "low_sample_rate": "8000 Hz, below 16000 Hz",
        "non_finite_samples": "has samples that are NaN or infinite",
    }
    assert problems["too_long"].excess == pytest.approx(18.4)


def test_every_threshold_of_the_configuration_moves_its_limit() -> None:
    """A setting that nothing reads would be a lie."""
    for name, value in {
        "min_duration_s": 2,
        "max_duration_s": 0.9,
        "min_sample_rate_hz": 30000,
        "min_speech_share": 0.95,
        "max_edge_silence_s": 0.05,
        "max_clipped_share": 0.5,
        "min_level_dbfs": -20,
        "min_speech_over_noise_db": 50,
        "max_dc_offset": 0.5,
        "max_channel_difference": 0.5,
        "min_characters_per_s": 13,
        "max_characters_per_s": 11,
    }.items():
        limits = limits_of(ValidationConfig.model_validate({name: value}))
        changed = [new.code for new, old in zip(limits, limits_of(ValidationConfig()), strict=True) if new != old]
        assert changed, name


def clips(*rows: tuple[str, str, float, float]) -> pl.DataFrame:
    """`normalized`, `speaker`, `speech_s`, `characters_per_s`."""
    schema = {"normalized": pl.String, "speaker": pl.String, "speech_s": pl.Float64, "characters_per_s": pl.Float64}
    table = pl.DataFrame(rows, schema=schema, orient="row").with_row_index("index")
    return table.with_columns((pl.col("index") + 1).alias("line"))


def find(table: pl.DataFrame, code: str, **wanted: float) -> list[int]:
    found = compare_clips(table, ValidationConfig.model_validate(wanted))
    return [index for index, problem in found if problem.code == code]


def test_unusual_speed_is_judged_by_the_speakers_own_habit() -> None:
    slow = [(f"s{number}", "slow", 5.0, 8 + 0.1 * (number % 7)) for number in range(30)]
    fast = [(f"f{number}", "fast", 5.0, 16 + 0.2 * (number % 7)) for number in range(30)]
    assert find(clips(*slow, *fast), "unusual_speed") == []
    mixed_up = [("half a text", "fast", 5.0, 8.0), ("two texts", "slow", 5.0, 17.0)]
    assert find(clips(*slow, *fast, *mixed_up), "unusual_speed") == [60, 61]
    assert find(clips(*slow, *fast, *mixed_up), "unusual_speed", max_speed_deviation=50) == []


def test_few_clips_show_no_habit() -> None:
    assert (
        find(clips(*[(f"{number}", "", 5.0, 8.0) for number in range(10)], ("x", "", 5.0, 30.0)), "unusual_speed") == []
    )


def test_steady_voices_are_not_held_to_their_own_steadiness() -> None:
    steady = [(f"{number}", "", 5.0, 10.0) for number in range(50)]
    assert find(clips(*steady, ("x", "", 5.0, 11.0), ("y", "", 5.0, 20.0)), "unusual_speed") == [51]


def test_a_repeated_text_is_told_and_so_is_one_that_takes_too_different_times() -> None:
    table = clips(
        ("ሰላም", "a", 1.0, 4), ("ዓለም", "a", 1.0, 4), ("ሰላም", "a", 1.9, 4), ("ሰላም", "b", 9.0, 4), ("ዓለም", "a", 2.1, 4)
    )
    assert find(table, "duplicate_text") == [2, 4]
    assert sorted(find(table, "uneven_durations")) == [1, 4]
    assert find(table, "uneven_durations", max_duration_ratio=3) == []


def test_of_one_recording_the_first_sound_row_stays() -> None:
    measured = pl.DataFrame(
        {
            "line": [1, 2, 3, 4, 5],
            "file": ["a.wav", "a.wav", "copy.wav", "a.wav", "gone.wav"],
            "text": ["2 ብር", "ሁለት ብር", "ሁለት ብር", "ሌላ", "ሌላ"],
            "content_sha256": ["x", "x", "x", "x", None],
        }
    )
    assert list(find_duplicates(measured, [True, False, False, False, False])) == [
        (2, Problem("duplicate_audio", "the same recording as a.wav in line 2")),
        (3, Problem("duplicate_file", "listed already in line 2, with another text: ሁለት ብር")),
    ]


def test_a_dataset_is_told_what_it_lacks() -> None:
    training = pl.DataFrame({"duration_s": [60.0, 10.0, 10.0], "speaker": ["a", "b", ""], "recording": ["x", "y", "z"]})
    strict = ValidationConfig(min_clips=4, min_minutes=1.5, max_share_of_one=0.7)
    assert [problem.code for problem in check_dataset(training, strict)] == [
        "few_clips",
        "few_minutes",
        "dominant_speaker",
        "dominant_recording",
    ]
    assert not list(check_dataset(training, ValidationConfig(min_clips=3, min_minutes=1.3, max_share_of_one=0.8)))


def test_one_speaker_alone_dominates_nobody() -> None:
    training = pl.DataFrame({"duration_s": [4000.0] * 500, "speaker": ["a"] * 500, "recording": [""] * 500})
    assert not list(check_dataset(training, ValidationConfig()))


def test_severity_is_the_configurations_where_it_may_be() -> None:
    severities = SeverityConfig(clipped="reject", noisy="ignore")
    codes = ("clipped", "noisy", "missing_audio", "a_packs_own")
    assert [severity_of(code, severities) for code in codes] == ["reject", "ignore", "reject", "reject"]


def test_every_configurable_code_and_every_limit_has_advice() -> None:
    codes = set(SeverityConfig.model_fields) | {limit.code for limit in limits_of(ValidationConfig())}
    assert codes <= set(ADVICE)
