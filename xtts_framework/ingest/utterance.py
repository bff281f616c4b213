"""An utterance of a source: what is said where, or why it cannot become a clip."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

CODES = {
    "malformed_row": "the line cannot be understood",
    "no_text": "nothing is said, or nobody says what",
    "missing_audio": "no such recording",
    "outside_source": "the recording lies outside of the source",
    "command_not_run": "the recording would be made by a command",
    "needs_ffmpeg": "the recording needs FFmpeg, which is not installed",
    "unreadable_audio": "the recording cannot be read as audio",
    "bad_times": "start and end are not times in this order",
    "beyond_end": "the recording ends before the utterance does",
    "duplicate_id": "listed already",
    "no_speech": "a sound or music, no speech",
    "overlapping": "another cue is shown at the same time",
    "too_short": "shorter than a clip may be, and nothing to join it to",
    "too_long": "longer than a clip may be",
    "low_confidence": "where it is spoken is not certain enough",
    "too_long_to_align": "recording and transcript are too long to align at once",
}
"""Every reason to leave an utterance out; docs/ingest.md says what to do about each."""

RETRIED = frozenset({"missing_audio", "outside_source", "needs_ffmpeg"})
"""Reasons that may end without the utterance itself changing."""

NO_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Fault:
    """Why an utterance is left out.

    Args:
        code: one of `CODES`.
        detail: what was found and what was expected.
        confidence: of `low_confidence`, 0 to 1.
    """

    code: str
    detail: str
    confidence: float | None = None


@dataclass(frozen=True)
class Utterance:
    """One row, segment, group of cues, or sentence of a source.

    Args:
        id: names it within its source, today and when the source has grown.
        text: what is said.
        audio: its recording; None only with a fault.
        start_s: where it begins in the recording, seconds; None for a recording that is the utterance.
        end_s: where it ends.
        speaker: "" when not known.
        recording: what the clip is a part of; "" when not known.
        parts: rows, cues or sentences it consists of.
        state: what its boundaries depend on, besides the recording; "" when on nothing.
        fault: why it cannot become a clip.
    """

    id: str
    text: str
    audio: Path | None = None
    start_s: float | None = None
    end_s: float | None = None
    speaker: str = ""
    recording: str = ""
    parts: int = 1
    state: str = ""
    fault: Fault | None = None

    @property
    def span_ms(self) -> tuple[int, int] | None:
        """Start and end in the recording, milliseconds; None when it is the whole recording."""
        if self.start_s is None or self.end_s is None:
            return None
        return round(self.start_s * 1000), round(self.end_s * 1000)


def name_span(span_ms: tuple[int, int]) -> str:
    """Start and end as they are written in names: seven digits each, milliseconds."""
    return f"{span_ms[0]:07d}-{span_ms[1]:07d}"


def check_times(start_s: float, end_s: float) -> Fault | None:
    """Whether these are times in seconds, in order, at least a millisecond apart."""
    if not (math.isfinite(start_s) and math.isfinite(end_s)):
        return Fault("bad_times", f"from {start_s} to {end_s} s; expected two finite numbers")
    if start_s < 0 or round(end_s * 1000) <= round(start_s * 1000):
        return Fault("bad_times", f"from {start_s:g} to {end_s:g} s; expected 0 <= start < end")
    if end_s > MAX_TIME_S:
        return Fault("bad_times", f"ends at {end_s:g} s; expected seconds, and no recording is that long")
    return None


MAX_TIME_S = 1e6
"""Eleven days: what is later was not meant in seconds."""


def on_one_line(text: str) -> str:
    """Text as a line can hold it: line breaks and control characters become spaces, lone surrogates U+FFFD."""
    if text.isprintable():
        return text.strip()
    visible = "".join(" " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter for letter in text)
    return NO_SURROGATES.sub("\ufffd", visible).strip()


def has_words(text: str) -> bool:
    """Whether there is a letter or a digit to read aloud."""
    return any(letter.isalnum() for letter in text)
