"""Subtitles beside recordings: SRT and WebVTT cues, joined into clips at cue boundaries.

pysubs2 reads times and tags. What belongs to a cue is decided here, since pysubs2 reads notes, identifiers and damaged
time lines of a file as words of the cue before them.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pysubs2

from xtts_framework.errors import UserError
from xtts_framework.ingest.clips import probe_duration
from xtts_framework.ingest.source import Recording, Source, read_text
from xtts_framework.ingest.utterance import Fault, Utterance, check_times, has_words, name_span, on_one_line

SUFFIXES = (".srt", ".vtt")
MIN_CLIP_S = 2.0
MAX_CLIP_S = 11.0
USUAL_CLIP_S = 6.0
MAX_GAP_S = 1.0
"""What is longer may hold speech that nobody wrote down; cues are not joined across it."""
PADDING_S = 0.1
"""Kept before and after a clip, as far as half of the gap to the neighbouring cue allows."""

BLANK_LINES = re.compile(r"\n[ \t]*\n")
TIME_LINE = re.compile(r"\s*[\d:.,]+\s*-->\s*[\d:.,]+(\s.*)?")
COMMENT = re.compile(r"(WEBVTT|NOTE|STYLE|REGION)\b")
VOICE = re.compile(r"<v(?:\.[^ >]*)?[ \t]+([^>]+)>")
TIME_TAG = re.compile(r"<[\d:.,]+>")
SOUND = re.compile(r"\[[^\]]*\]")
ONLY_SOUND = re.compile(r"(\([^)]*\)|\*[^*]*\*|[\W_])*")
MUSIC = re.compile("[♩♪♫♬🎵🎶]")
SENTENCE_END = re.compile(r"[.!?…።፧?!。!?][\"'”’»)\]]*$")


@dataclass(frozen=True)
class Cue:
    """One cue.

    Args:
        number: its place in the file, from 1.
        start_s, end_s: seconds; NaN when its time line cannot be read.
        speaker: of a `<v Name>` tag.
        fault: why it is part of no clip.
    """

    number: int
    start_s: float
    end_s: float
    text: str
    speaker: str = ""
    fault: Fault | None = None


def read_subtitles(source: Source) -> Iterator[Utterance]:
    """Clips of cues, and the cues that are part of none.

    Raises:
        UserError: a file that cannot be read, or two that belong to one recording.
    """
    belongs: dict[Path, Path] = {}
    for path in source.files:
        found = source.find_beside(path)
        if isinstance(found, Recording):
            other = belongs.setdefault(found.path, path)
            if other != path:
                raise UserError(
                    f"{source.folder}: {source.name_file(other)} and {source.name_file(path)} both belong to "
                    f"{found.name}. Expected one, in the language that is spoken: name it instead of the folder."
                )
    for path in source.files:
        yield from _read_file(path, source)


def parse_cues(content: str, suffix: str) -> list[Cue]:
    """Cues of a file, in its order.

    Args:
        suffix: ".srt" or ".vtt".
    """
    cues: list[tuple[str, list[str]]] = []
    for block in BLANK_LINES.split(content.replace("\r\n", "\n").replace("\r", "\n")):
        lines = [line for line in block.split("\n") if line.strip()]
        if not lines or (suffix == ".vtt" and COMMENT.match(lines[0]) and not any("-->" in line for line in lines)):
            continue
        starts = [index for index, line in enumerate(lines) if "-->" in line]
        if not starts:
            _add_lines(lines, cues, suffix)
            continue
        # In WebVTT the line before the times is the cue's own name, in SRT it is a number.
        _add_lines(lines[: max(0, starts[0] - (suffix == ".vtt"))], cues, suffix)
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            payload = lines[start + 1 : end]
            if end < len(lines) and payload and payload[-1].strip().isdecimal():
                payload.pop()  # the number of the next cue, which no blank line keeps apart
            cues.append((lines[start], payload))
    return [_read_cue(number, times, lines, suffix) for number, (times, lines) in enumerate(cues, 1)]


def join_cues(cues: Sequence[Cue], duration_s: float | None) -> list[list[Cue]]:
    """Groups of consecutive cues that make up clips; every cue is in one, those with a fault by themselves.

    Args:
        duration_s: of the recording; None when not known.
    """
    checked = _check(cues, duration_s)
    groups: list[list[Cue]] = []
    run: list[Cue] = []
    for cue in checked:
        if cue.fault or (run and not _may_join(run[-1], cue)):
            groups += _divide(run, checked)
            run = []
        if cue.fault:
            groups.append([cue])
        else:
            run.append(cue)
    return groups + _divide(run, checked)


def span_of(group: Sequence[Cue], cues: Sequence[Cue]) -> tuple[float, float]:
    """Start and end of a clip, seconds: that of its cues and some padding, at most half of the gap to others."""
    first, last = group[0], group[-1]
    ends = [cue.end_s for cue in cues if cue.end_s <= first.start_s and cue is not first]
    starts = [cue.start_s for cue in cues if cue.start_s >= last.end_s and cue is not last]
    before = min(PADDING_S, (first.start_s - max(ends)) / 2 if ends else first.start_s)
    after = min(PADDING_S, (min(starts) - last.end_s) / 2) if starts else PADDING_S
    if last.end_s - first.start_s + before + after > MAX_CLIP_S:
        before = after = 0.0
    # Whole milliseconds, rounded towards the cue.
    return math.ceil((first.start_s - before) * 1000 - 1e-6) / 1000, math.floor(
        (last.end_s + after) * 1000 + 1e-6
    ) / 1000


def _read_file(path: Path, source: Source) -> Iterator[Utterance]:
    name = source.name_file(path)
    cues = parse_cues(read_text(path), path.suffix.lower())
    found = source.find_beside(path)
    if isinstance(found, Fault):
        for cue in cues:
            yield Utterance(_name_cue(name, cue), cue.text, fault=cue.fault or found)
        return
    groups = join_cues(cues, probe_duration(found.path))
    timed = [cue for group in groups for cue in group if math.isfinite(cue.start_s)]
    for group in groups:
        if group[0].fault:
            yield Utterance(_name_cue(name, group[0]), group[0].text, found.path, fault=group[0].fault)
            continue
        start_s, end_s = span_of(group, timed)
        text = " ".join(cue.text for cue in group)
        clip = Utterance(
            name, text, found.path, start_s, end_s, group[0].speaker, source.name_recording(found), parts=len(group)
        )
        assert clip.span_ms is not None, "it has times"
        yield replace(clip, id=f"{name}#{name_span(clip.span_ms)}")


def _add_lines(lines: list[str], cues: list[tuple[str, list[str]]], suffix: str) -> None:
    """Lines without a time line: in SRT the last cue goes on after a blank line; else no time is known."""
    words = [line for line in lines if not line.strip().isdecimal()]
    if not words:
        return
    if suffix == ".srt" and cues:
        cues[-1][1].extend(words)
    else:
        cues.append(("", words))


def _read_cue(number: int, times: str, lines: list[str], suffix: str) -> Cue:
    written = " ".join(line.strip() for line in lines)
    voice = VOICE.search(written)
    speaker = html.unescape(voice[1]).strip() if voice else ""
    try:
        events = pysubs2.SSAFile.from_string(f"{times}\n{TIME_TAG.sub('', written)}\n", format_=suffix[1:])
    except Exception:  # pysubs2 raises whatever its parsers meet
        events = pysubs2.SSAFile()
    if len(events) != 1 or not TIME_LINE.fullmatch(times):
        shown = times.strip() or written
        fault = Fault("malformed_row", f"no times; expected a line 00:00:01,000 --> 00:00:02,500, found {shown[:100]}")
        return Cue(number, math.nan, math.nan, on_one_line(written), fault=fault)
    start_s, end_s = events[0].start / 1000, events[0].end / 1000
    text = on_one_line(html.unescape(events[0].plaintext))
    spoken = " ".join(SOUND.sub(" ", text).split())
    if fault_of_times := check_times(start_s, end_s):
        return Cue(number, math.nan, math.nan, text, fault=fault_of_times)
    if MUSIC.search(text) or not has_words(spoken) or ONLY_SOUND.fullmatch(spoken):
        return Cue(number, start_s, end_s, text, fault=Fault("no_speech", "a sound, or music"))
    return Cue(number, start_s, end_s, spoken, speaker)


def _check(cues: Sequence[Cue], duration_s: float | None) -> list[Cue]:
    """Cues by time, with what keeps single ones from being spoken alone in their time; those without a time first."""
    timeless = [cue for cue in cues if math.isnan(cue.start_s)]
    timed = sorted((cue for cue in cues if not math.isnan(cue.start_s)), key=lambda cue: (cue.start_s, cue.number))
    overlapping: set[int] = set()
    latest: Cue | None = None
    for cue in timed:
        if latest and cue.start_s < latest.end_s:
            overlapping |= {latest.number, cue.number}
        latest = cue if latest is None or cue.end_s > latest.end_s else latest
    return timeless + [_check_cue(cue, cue.number in overlapping, duration_s) for cue in timed]


def _check_cue(cue: Cue, overlaps: bool, duration_s: float | None) -> Cue:
    if cue.fault:
        return cue
    length_s = cue.end_s - cue.start_s
    fault: Fault | None = None
    if duration_s is not None and cue.end_s > duration_s + PADDING_S:
        fault = Fault("beyond_end", f"ends at {cue.end_s:.3f} s, the recording at {duration_s:.3f} s")
    elif overlaps:
        fault = Fault("overlapping", "another cue is shown at the same time, and a clip holds one voice")
    elif length_s > MAX_CLIP_S:
        fault = Fault("too_long", f"{length_s:.2f} s, longer than {MAX_CLIP_S:g} s")
    return replace(cue, fault=fault)


def _may_join(cue: Cue, following: Cue) -> bool:
    """Next to each other in the file too: something without a time may be between them otherwise."""
    close = following.start_s - cue.end_s <= MAX_GAP_S
    return close and following.number == cue.number + 1 and following.speaker == cue.speaker


def _divide(run: Sequence[Cue], cues: Sequence[Cue]) -> list[list[Cue]]:
    """Divide cues that may be joined into clips, at the least cost (a shortest path over the cue boundaries)."""
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(run) + 1):
        choices = []
        for start in range(end - 1, -1, -1):
            if run[end - 1].end_s - run[start].start_s > MAX_CLIP_S:
                break
            choices.append((best[start][0] + _cost(run, start, end), start))
        best.append(min(choices))
    pieces: list[list[Cue]] = []
    end = len(run)
    while end:
        start = best[end][1]
        pieces.insert(0, list(run[start:end]))
        end = start
    return [group for piece in pieces for group in _refuse_short(piece, cues)]


def _cost(run: Sequence[Cue], start: int, end: int) -> float:
    """How bad a clip of these cues is: none at all, words torn apart, or an unusual length."""
    length_s = run[end - 1].end_s - run[start].start_s
    if length_s < MIN_CLIP_S:
        return 10.0 * (end - start)
    torn = 0.0
    if end < len(run) and not SENTENCE_END.search(run[end - 1].text):
        torn = 3.0 - 2.0 * min(1.0, (run[end].start_s - run[end - 1].end_s) / 0.5)
    return 0.2 + torn + 0.5 * abs(math.log(length_s / USUAL_CLIP_S))


def _refuse_short(piece: list[Cue], cues: Sequence[Cue]) -> list[list[Cue]]:
    length_s = piece[-1].end_s - piece[0].start_s
    if length_s >= MIN_CLIP_S:
        return [piece]
    fault = Fault("too_short", f"{length_s:.2f} s, shorter than {MIN_CLIP_S:g} s, and no cue beside it to join")
    return [[replace(cue, fault=fault)] for cue in piece]


def _name_cue(name: str, cue: Cue) -> str:
    return f"{name}:cue {cue.number}"
