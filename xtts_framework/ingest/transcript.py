"""Long recordings with a transcript beside them, a sentence per line: found by voice activity, cut in the pauses.

Nothing here understands speech: durations and pauses decide, and their confidence with them (`alignment`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from xtts_framework.ingest.clips import readable
from xtts_framework.ingest.source import Recording, Source, read_lines
from xtts_framework.ingest.utterance import Fault, Utterance, has_words

if TYPE_CHECKING:
    from xtts_framework.ingest.alignment import Placement, Segments

METHOD = "1"
"""Changes when sentences are found in another way, so that they are found anew."""
MAX_CLIP_S = 11.0
MARGIN_S = 0.2
"""Kept of the pauses around a sentence, as far as half of them allows."""
LINES = re.compile(r"(?P<file>.*):lines? (?P<first>\d+)(?:-(?P<last>\d+))?")


@dataclass(frozen=True)
class Transcript:
    """A transcript and what it belongs to.

    Args:
        name: path of its file in the source.
        lines: those that are not empty, with their numbers.
        recording: or why there is none.
        state: what was aligned: a hash of the file's bytes.
    """

    name: str
    lines: tuple[tuple[int, str], ...]
    recording: Recording | Fault
    state: str

    def id_of(self, first: int, last: int) -> str:
        """Names the utterance of some lines."""
        return f"{self.name}:line {first}" if first == last else f"{self.name}:lines {first}-{last}"


def list_transcripts(source: Source) -> Iterator[Transcript]:
    """The transcripts of a source; recordings are not opened.

    Raises:
        UserError: a file that cannot be read.
    """
    for path in source.files:
        lines = [line.strip() for line in read_lines(path)]
        digest = hashlib.blake2b("\n".join([METHOD, *lines]).encode(), digest_size=16).hexdigest()
        numbered = tuple((number, line) for number, line in enumerate(lines, 1) if line)
        yield Transcript(source.name_file(path), numbered, source.find_beside(path), digest)


def read_transcript(
    transcript: Transcript, source: Source, min_confidence: float, scratch: Path
) -> Iterator[Utterance]:
    """Clips of sentences, and the sentences that are part of none.

    Args:
        min_confidence: sentences found less surely have a fault.
        scratch: folder for a decoded recording, meanwhile.
    """
    from xtts_framework.ingest.alignment import align_sentences, count_characters

    found = transcript.recording
    if isinstance(found, Fault):
        yield from _refuse_all(transcript, found)
        return
    spoken = [(number, text) for number, text in transcript.lines if has_words(text)]
    for number, text in transcript.lines:
        if not has_words(text):
            fault = Fault("no_text", f"line {number} has no words")
            yield Utterance(transcript.id_of(number, number), text, found.path, state=transcript.state, fault=fault)
    try:
        segments, duration_s = _listen(found.path, scratch)
        placements, best_J = align_sentences([max(1.0, count_characters(text)) for _, text in spoken], segments)
    except _CannotListen as error:
        yield from _refuse(transcript, spoken, found.path, error.fault)
        return
    except ValueError as error:
        fault = Fault("too_long_to_align", f"{error}; divide the recording and its transcript at a pause")
        yield from _refuse(transcript, spoken, found.path, fault)
        return
    recording = source.name_recording(found)
    chosen = {placement.sentence: placement for placement in placements if placement.confidence >= min_confidence}
    index = 0
    while index < len(spoken):
        placement = chosen.get(index)
        if placement is None:
            fault = _doubt(float(best_J[index]), min_confidence)
            yield from _refuse(transcript, spoken[index : index + 1], found.path, fault)
            index += 1
        else:
            lines = spoken[index : index + placement.sentences]
            yield _cut(transcript, lines, placement, segments, duration_s, found.path, recording)
            index += placement.sentences


def lines_of(key: str, name: str) -> set[int]:
    """Numbers of the lines of a transcript that a key names; none when it is of another file.

    Args:
        key: of an utterance, without the source's name.
        name: of the transcript.
    """
    match = LINES.fullmatch(key)
    if match is None or match["file"] != name:
        return set()
    return set(range(int(match["first"]), int(match["last"] or match["first"]) + 1))


class _CannotListen(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


def _listen(path: Path, scratch: Path) -> tuple[Segments, float]:
    from xtts_framework.ingest.voice_activity import find_speech

    with readable(path, scratch) as recording:
        if isinstance(recording, Fault):
            raise _CannotListen(recording)
        try:
            return find_speech(recording)
        except (soundfile.SoundFileError, OSError) as error:
            raise _CannotListen(Fault("unreadable_audio", "damaged, or not audio")) from error


def _cut(
    transcript: Transcript,
    lines: list[tuple[int, str]],
    placement: Placement,
    segments: Segments,
    duration_s: float,
    audio: Path,
    recording: str,
) -> Utterance:
    """The clip of a placement: cut in the pauses around it, never beyond their middle."""
    first, last = placement.segment, placement.segment + placement.segments - 1
    start_s, end_s = float(segments[first, 0]), float(segments[last, 1])
    before_s = start_s - (float(segments[first - 1, 1]) if first else 0.0)
    after_s = (float(segments[last + 1, 0]) if last + 1 < len(segments) else duration_s) - end_s
    start_s -= min(MARGIN_S, before_s / 2 if first else before_s)
    end_s += min(MARGIN_S, after_s / 2 if last + 1 < len(segments) else after_s)
    fault = None
    if end_s - start_s > MAX_CLIP_S:
        fault = Fault("too_long", f"{end_s - start_s:.2f} s, longer than {MAX_CLIP_S:g} s")
    text = " ".join(text for _, text in lines)
    utterance_id = transcript.id_of(lines[0][0], lines[-1][0])
    return Utterance(
        utterance_id, text, audio, max(0.0, start_s), end_s, "", recording, len(lines), transcript.state, fault
    )


def _doubt(confidence: float, min_confidence: float) -> Fault:
    detail = f"found with a confidence of {confidence:.2f}, below {min_confidence:g}"
    return Fault("low_confidence", detail, min(confidence, 1.0))


def _refuse_all(transcript: Transcript, fault: Fault) -> Iterator[Utterance]:
    for number, text in transcript.lines:
        yield Utterance(transcript.id_of(number, number), text, state=transcript.state, fault=fault)


def _refuse(transcript: Transcript, lines: Iterable[tuple[int, str]], audio: Path, fault: Fault) -> Iterator[Utterance]:
    for number, text in lines:
        yield Utterance(transcript.id_of(number, number), text, audio, state=transcript.state, fault=fault)
