"""JSON Lines manifests, NeMo's and its relatives: one object per line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from xtts_framework.ingest.source import Source, read_lines
from xtts_framework.ingest.utterance import Fault, Utterance, check_times, has_words, name_span

AUDIO_KEYS = ("audio_filepath", "audio_file", "audio_path", "audio", "file", "path", "wav")
TEXT_KEYS = ("text", "sentence", "transcript", "transcription")
SPEAKER_KEYS = ("speaker", "speaker_id", "speaker_name")
SHOWN_CHARACTERS = 120


def read_jsonl(source: Source) -> Iterator[Utterance]:
    """Objects of manifests. With an offset or a start, the utterance is a part of the recording, else all of it.

    Raises:
        UserError: a file that cannot be read.
    """
    for path in source.files:
        for number, line in enumerate(read_lines(path), 1):
            if line.strip():
                yield _read_line(line, f"{source.name_file(path)}:line {number}", source)


def parse_object(line: str) -> dict[str, Any] | Fault:
    """The object of a line that names a recording and a text."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Fault("malformed_row", f"not JSON ({error}): {line.strip()[:SHOWN_CHARACTERS]}")
    if not isinstance(value, dict):
        return Fault("malformed_row", f"expected a JSON object, found {line.strip()[:SHOWN_CHARACTERS]}")
    for what, keys in (("recording", AUDIO_KEYS), ("text", TEXT_KEYS)):
        if not isinstance(_first(value, keys), str):
            detail = f"no {what}: expected a string under one of {', '.join(keys)}; found the keys {', '.join(value)}"
            return Fault("malformed_row", detail)
    return value


def _read_line(line: str, where: str, source: Source) -> Utterance:
    value = parse_object(line)
    if isinstance(value, Fault):
        return Utterance(where, "", fault=value)
    text, speaker = _first(value, TEXT_KEYS).strip(), _first(value, SPEAKER_KEYS)
    speaker = "" if speaker is None else str(speaker).strip()
    times = _read_times(value)
    found = source.find_end(_first(value, AUDIO_KEYS))
    fault = times if isinstance(times, Fault) else None
    if isinstance(found, Fault) or fault:
        return Utterance(where, text, speaker=speaker, fault=fault or (found if isinstance(found, Fault) else None))
    fault = None if has_words(text) else Fault("no_text", "the text is empty")
    if not isinstance(times, tuple):
        return Utterance(found.name, text, found.path, speaker=speaker, fault=fault)
    recording = source.name_recording(found)
    part = Utterance(found.name, text, found.path, *times, speaker, recording, fault=fault)
    assert part.span_ms is not None, "it has times"
    return Utterance(
        f"{found.name}#{name_span(part.span_ms)}", text, found.path, *times, speaker, recording, fault=fault
    )


def _read_times(value: Mapping[str, Any]) -> tuple[float, float] | Fault | None:
    """Start and end in seconds; None for the whole recording, whose `duration` may be given without an offset."""
    start, end, duration = _first(value, ("offset", "start")), value.get("end"), value.get("duration")
    if start is None and end is None:
        return None
    try:
        start_s = _read_number(start or 0)
        end_s = _read_number(end) if end is not None else start_s + _read_number(duration)
    except (TypeError, ValueError, OverflowError):
        detail = f"expected numbers of seconds, found {start!r} for the start, {end!r} for the end, {duration!r} long"
        return Fault("bad_times", detail)
    return check_times(start_s, end_s) or (start_s, end_s)


def _read_number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError("true is no number")
    return float(value)


def _first(value: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((value[key] for key in keys if value.get(key) is not None), None)
