"""Kaldi data directories: `text`, `wav.scp`, and where there are `segments` and `utt2spk`.

A line of `wav.scp` may be a command that ends in '|'. None is ever run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xtts_framework.errors import UserError
from xtts_framework.ingest.source import Recording, Source, read_lines
from xtts_framework.ingest.utterance import Fault, Utterance, check_times, has_words


@dataclass(frozen=True)
class _Segment:
    recording: str
    start_s: float
    end_s: float
    fault: Fault | None = None


def read_kaldi(source: Source) -> Iterator[Utterance]:
    """Utterances of `text`, and of `segments` that have none; recordings are found by the end of their path.

    Raises:
        UserError: no `text`, or a file that cannot be read.
    """
    text_file, segments_file = source.find_file("text"), source.find_file("segments")
    if text_file is None:
        raise UserError(
            f"{source.folder}: has no file `text`. Expected a Kaldi data directory: text, wav.scp, segments."
        )
    texts = read_lines(text_file)
    has_segments = segments_file is not None
    segments = _read_segments(segments_file) if segments_file else {}
    paths = _read_pairs(source.find_file("wav.scp"))
    speakers = _read_pairs(source.find_file("utt2spk"))
    found: dict[str, Recording | Fault] = {}

    def find(recording: str) -> Recording | Fault:
        if recording not in found:
            found[recording] = _find(recording, paths, source)
        return found[recording]

    spoken = set()
    for number, line in enumerate(texts, 1):
        words = line.split(maxsplit=1)
        if not words:
            continue
        name, text = words[0], words[1].strip() if len(words) == 2 else ""
        if name in spoken:
            fault = Fault("duplicate_id", f"{name} is in `text` already, before line {number}")
            yield Utterance(f"text:line {number}", text, fault=fault)
            continue
        spoken.add(name)
        segment = segments.get(name) if has_segments else _Segment(name, 0, 0)
        if segment is None:
            fault = Fault("missing_audio", f"{name} is not in `segments`")
            yield Utterance(name, text, speaker=speakers.get(name, ""), fault=fault)
        else:
            yield _join(name, text, speakers.get(name, ""), segment, find(segment.recording), has_segments, source)
    for name, segment in segments.items():
        if name not in spoken:
            fault = segment.fault or Fault("no_text", f"{name} is not in `text`")
            yield Utterance(name, "", speaker=speakers.get(name, ""), fault=fault)


def _join(
    name: str,
    text: str,
    speaker: str,
    segment: _Segment,
    found: Recording | Fault,
    is_cut: bool,
    source: Source,
) -> Utterance:
    fault = segment.fault or (None if has_words(text) else Fault("no_text", f"{name} has no text"))
    if isinstance(found, Fault):
        return Utterance(name, text, speaker=speaker, fault=fault or found)
    if not is_cut or segment.fault:
        return Utterance(name, text, found.path, speaker=speaker, fault=fault)
    times = (segment.start_s, segment.end_s)
    return Utterance(name, text, found.path, *times, speaker, source.name_recording(found), fault=fault)


def _read_segments(path: Path) -> dict[str, _Segment]:
    """Segments by utterance; of several with one name the first. A line that is no segment keeps its fault."""
    segments: dict[str, _Segment] = {}
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            recording, start, end = fields[1:4]
            start_s, end_s = float(start), float(end)
        except ValueError:
            detail = f"segments line {number}: expected utterance, recording, start and end, found {line.strip()!r}"
            segments.setdefault(fields[0], _Segment("", 0, 0, Fault("malformed_row", detail)))
            continue
        segments.setdefault(fields[0], _Segment(recording, start_s, end_s, check_times(start_s, end_s)))
    return segments


def _read_pairs(path: Path | None) -> dict[str, str]:
    """Name and rest of each line; nothing when there is no such file."""
    if path is None:
        return {}
    pairs = (line.split(maxsplit=1) for line in read_lines(path))
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}


def _find(recording: str, paths: dict[str, str], source: Source) -> Recording | Fault:
    written = paths.get(recording)
    if written is None:
        return source.find(recording) if not paths else Fault("missing_audio", f"{recording!r} is not in wav.scp")
    if written.endswith("|") or written.startswith("|"):
        detail = f"wav.scp makes {recording} with a command, which is never run: {written}. Run it, and list the file."
        return Fault("command_not_run", detail)
    return source.find_end(written)
