"""What is wrong with clips: measured values held against limits, clips against each other, and the dataset as a whole.

A row gets all its codes at once. What a code means and what to do about it is in `advice.py`; whether it refuses a row
or only warns is the configuration's (`validation.severity`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from xtts_framework.config import MODEL_MAX_TEXT_IDS, Severity, SeverityConfig, ValidationConfig
from xtts_framework.data.measuring import Problem

MAX_CHARACTERS = MODEL_MAX_TEXT_IDS - 1
"""A character is at worst one token, and the language tag is one more."""
CLIPS_FOR_A_HABIT = 20
"""Fewer clips of a speaker say nothing about the usual speed; then all speakers together do."""
MAD_TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
LEAST_SPEED_DEVIATION = 0.05
"""Nobody is steadier than this (5 %); only a machine is."""


@dataclass(frozen=True)
class Limit:
    """A number that a measured value must not be below (`least`) or above (`most`).

    Args:
        column: of the measured values.
        found: what to say of a value that breaks it: a format string for the value.
    """

    code: str
    column: str
    found: str
    least: float | None = None
    most: float | None = None

    @property
    def broken(self) -> pl.Expr:
        value = pl.col(self.column)
        return value < self.least if self.most is None else value > self.most

    def problem(self, value: float) -> Problem:
        limit = self.least if self.most is None else self.most
        assert limit is not None, "a limit is one of the two"
        return Problem(self.code, self.found.format(value), abs(value - limit))


def severity_of(code: str, severities: SeverityConfig) -> Severity:
    """What a finding means for its row; codes that cannot be configured refuse it."""
    severity: Severity = getattr(severities, code, "reject")
    return severity


def limits_of(wanted: ValidationConfig) -> list[Limit]:
    """The limits of a configuration, with words for what breaks them."""
    shortest, longest, lowest_hz = wanted.min_duration_s, wanted.max_duration_s, wanted.min_sample_rate_hz
    edge_s, quietest = wanted.max_edge_silence_s, wanted.min_level_dbfs
    slowest, fastest = wanted.min_characters_per_s, wanted.max_characters_per_s
    speech, clipped = wanted.min_speech_share, wanted.max_clipped_share
    distance_db, offset, difference = (
        wanted.min_speech_over_noise_db,
        wanted.max_dc_offset,
        wanted.max_channel_difference,
    )
    too_many = f"more than {MAX_CHARACTERS} characters, which may be more than the model can read"
    return [
        Limit("empty_audio", "samples", "the recording has no samples", least=1),
        Limit("non_finite_samples", "finite", "has samples that are NaN or infinite", least=1),
        Limit("too_short", "duration_s", f"{{:.2f}} s, shorter than {shortest:g} s", least=shortest),
        Limit("too_long", "duration_s", f"{{:.2f}} s, longer than {longest:g} s", most=longest),
        Limit("low_sample_rate", "sample_rate_hz", f"{{:.0f}} Hz, below {lowest_hz} Hz", least=lowest_hz),
        Limit("mostly_silent", "speech_share", f"{{:.0%}} of it is speech, less than {speech:.0%}", least=speech),
        Limit("leading_silence", "leading_silence_s", f"{{:.2f}} s before speech, more than {edge_s:g}", most=edge_s),
        Limit("trailing_silence", "trailing_silence_s", f"{{:.2f}} s after speech, more than {edge_s:g}", most=edge_s),
        Limit("clipped", "clipped_share", f"{{:.2%}} of the samples are cut off, above {clipped:.2%}", most=clipped),
        Limit("low_level", "level_dbfs", f"speech at {{:.1f}} dBFS, below {quietest:g} dBFS", least=quietest),
        Limit(
            "noisy",
            "speech_over_noise_db",
            f"speech is {{:.1f}} dB above the noise floor, less than {distance_db:g} dB",
            least=distance_db,
        ),
        Limit("dc_offset", "dc_offset", f"off centre by {{:.3f}} of full scale, more than {offset:g}", most=offset),
        Limit(
            "channels_differ",
            "channel_difference",
            f"its channels differ by {{:.2f}}, more than {difference:g}",
            most=difference,
        ),
        Limit("empty_text", "characters", "nothing is left to say once the text is normalised", least=1),
        Limit("text_too_long", "characters", too_many, most=MAX_CHARACTERS),
        Limit("digits_left", "digits", "{:.0f} digits are left in the normalised text", most=0),
        Limit(
            "length_mismatch",
            "characters_per_s",
            f"{{:.2f}} characters per second of speech, less than {slowest:g}",
            least=slowest,
        ),
        Limit(
            "length_mismatch",
            "characters_per_s",
            f"{{:.1f}} characters per second of speech, more than {fastest:g}",
            most=fastest,
        ),
    ]


def check_limits(measured: pl.DataFrame, wanted: ValidationConfig) -> Iterator[tuple[int, Problem]]:
    """Hold what was measured against the limits; nulls were not measured and are not held against a row.

    Args:
        measured: `index` of the row in the metadata, and the columns of `limits_of`.

    Yields:
        index of a row and a problem it has.
    """
    for limit in limits_of(wanted):
        for index, value in measured.filter(limit.broken).select("index", limit.column).iter_rows():
            yield index, limit.problem(float(value))


def find_duplicates(measured: pl.DataFrame, refused: Sequence[bool]) -> Iterator[tuple[int, Problem]]:
    """Of several rows with one recording the first stays, unless it is refused for another reason.

    Args:
        measured: `line`, `file`, `text`, `content_sha256`.
        refused: whether each row is refused already.

    Yields:
        index of a row and a problem it has.
    """
    kept: dict[str, tuple[int, str, str]] = {}
    for index, (content, *row) in enumerate(measured.select("content_sha256", "line", "file", "text").iter_rows()):
        if content is None:
            continue
        if content not in kept:
            if not refused[index]:
                kept[content] = (row[0], row[1], row[2])
            continue
        line, file, text = kept[content]
        if file != row[1]:
            yield index, Problem("duplicate_audio", f"the same recording as {file} in line {line}")
        else:
            said = "the same text" if text == row[2] else f"another text: {text}"
            yield index, Problem("duplicate_file", f"listed already in line {line}, with {said}")


def compare_clips(clips: pl.DataFrame, wanted: ValidationConfig) -> Iterator[tuple[int, Problem]]:
    """What stands out beside the other clips of a dataset.

    Args:
        clips: those not refused: `index` (of the row in the metadata), `line`, `normalized`, `speaker`, `speech_s`,
            `characters_per_s`.

    Yields:
        index of a row and a problem it has.
    """
    yield from _find_unusual_speed(clips, wanted.max_speed_deviation)
    yield from _find_repeated_texts(clips, wanted.max_duration_ratio)


def _find_unusual_speed(clips: pl.DataFrame, most: float) -> Iterator[tuple[int, Problem]]:
    """By the logarithm of the speed: twice as fast is as far from usual as half as fast."""
    everybody = pl.lit("everybody")
    speaker = pl.when(pl.len().over("speaker") >= CLIPS_FOR_A_HABIT).then("speaker").otherwise(everybody)
    spoken = clips.filter(pl.col("characters_per_s") > 0).with_columns(
        pl.col("characters_per_s").log().alias("speed"), speaker.alias("of")
    )
    usual = spoken.with_columns(pl.col("speed").median().over("of").alias("usual"), pl.len().over("of").alias("clips"))
    spread = MAD_TO_DEVIATION * (pl.col("speed") - pl.col("usual")).abs().median().over("of")
    deviation = (pl.col("speed") - pl.col("usual")).abs() / pl.max_horizontal(spread, pl.lit(LEAST_SPEED_DEVIATION))
    unusual = usual.with_columns(deviation.alias("deviation")).filter(
        (pl.col("deviation") > most) & (pl.col("clips") >= CLIPS_FOR_A_HABIT)
    )
    columns = ["index", "characters_per_s", "deviation", pl.col("usual").exp()]
    for index, found, deviations, median in unusual.select(columns).iter_rows():
        detail = f"{found:.1f} characters per second, {deviations:.1f} deviations from the usual {median:.1f}"
        yield index, Problem("unusual_speed", detail, deviations)


def _find_repeated_texts(clips: pl.DataFrame, most_ratio: float) -> Iterator[tuple[int, Problem]]:
    """The same text by the same speaker: every clip but the first; the shortest and the longest, if far apart."""
    repeated = clips.filter(pl.len().over("normalized", "speaker") > 1)
    for group in repeated.partition_by("normalized", "speaker", maintain_order=True):
        lines, indices, seconds = group["line"].to_list(), group["index"].to_list(), group["speech_s"].to_list()
        for index in indices[1:]:
            yield index, Problem("duplicate_text", f"the text of line {lines[0]}")
        short, long = seconds.index(min(seconds)), seconds.index(max(seconds))
        ratio = seconds[long] / seconds[short] if seconds[short] > 0 else float("inf")
        if ratio > most_ratio:
            for one, other in ((short, long), (long, short)):
                detail = f"{seconds[one]:.2f} s of speech, but {seconds[other]:.2f} s in line {lines[other]}"
                yield indices[one], Problem("uneven_durations", detail, min(ratio, 1e6))


def check_dataset(training: pl.DataFrame, wanted: ValidationConfig) -> Iterator[Problem]:
    """What is wrong with the dataset as a whole; never refuses it.

    Args:
        training: `duration_s`, `speaker`, `recording` ("" where not known) of the clips to train on.
    """
    minutes = float(training["duration_s"].sum()) / 60
    if training.height < wanted.min_clips:
        yield Problem("few_clips", f"{training.height} clips to train on, fewer than {wanted.min_clips}")
    if minutes < wanted.min_minutes:
        yield Problem("few_minutes", f"{minutes:.1f} minutes to train on, fewer than {wanted.min_minutes:g}")
    for column in ("speaker", "recording"):
        seconds = training.filter(pl.col(column) != "").group_by(column).agg(pl.col("duration_s").sum())
        if seconds.height < 2:
            continue
        greatest = seconds.sort("duration_s", column).row(-1, named=True)
        share = greatest["duration_s"] / float(training["duration_s"].sum())
        if share > wanted.max_share_of_one:
            found = f"{share:.0%} of the speech is of {greatest[column]!r}, more than {wanted.max_share_of_one:.0%}"
            yield Problem(f"dominant_{column}", found)
