"""Stage ingest: turn what people have into a dataset folder, or add to one what is new.

The source is only read. metadata.csv is the ledger and is always whole: clips are written first, their rows after.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from xtts_framework.console import progress, say
from xtts_framework.errors import UserError
from xtts_framework.files import PARTIAL_PREFIX
from xtts_framework.ingest.clips import Clip, name_alone, name_clip, write_clips
from xtts_framework.ingest.common_voice import read_common_voice
from xtts_framework.ingest.jsonl import read_jsonl
from xtts_framework.ingest.kaldi import read_kaldi
from xtts_framework.ingest.ledger import (
    Ledger,
    LeftOut,
    Stamp,
    escape,
    is_confident,
    parse_stamp,
    read_left_out,
    stamp_utterance,
    write_left_out,
)
from xtts_framework.ingest.recognition import Format, Found, recognize
from xtts_framework.ingest.source import Source
from xtts_framework.ingest.subtitles import read_subtitles
from xtts_framework.ingest.table import read_table
from xtts_framework.ingest.transcript import Transcript, lines_of, list_transcripts, read_transcript
from xtts_framework.ingest.utterance import RETRIED, Fault, Utterance, on_one_line
from xtts_framework.locks import alone

LOCK_FILE = "ingest.lock"
CLIPS_PER_COMMIT = 1000
CLIPS_PER_JOB = 200
CUT_IN_PLACE = frozenset({".wav", ".flac", ".aif", ".aiff", ".sph"})
"""Suffixes of recordings that several threads may cut at once; others are decoded as a whole first."""
FOUND_WHEN_WRITING = frozenset({"unreadable_audio", "beyond_end"})
"""Faults that cost an attempt; while nothing changes there is no other."""
SHOWN_REASONS = 8
READERS = {
    "table": read_table,
    "common-voice": read_common_voice,
    "kaldi": read_kaldi,
    "jsonl": read_jsonl,
    "subtitles": read_subtitles,
}
PARTS = {"subtitles": "cues", "transcript": "sentences"}
"""What utterances are made of; rows where nothing else is said."""


@dataclass
class Ingested:
    """What became of a source's rows, cues or sentences: `read` = `kept` + `added` + `replaced` + `left_out`.

    Args:
        kept: parts of clips that were there already.
        edited: of these, parts of rows edited by hand whose utterance has changed since.
        added, replaced: parts of clips that were written, for new and for changed utterances.
        clips: clips written.
        vanished: rows of metadata.csv whose utterances the source has no longer.
        codes: parts that were left out, by reason.
    """

    read: int = 0
    kept: int = 0
    edited: int = 0
    added: int = 0
    replaced: int = 0
    clips: int = 0
    vanished: int = 0
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def left_out(self) -> int:
        return self.codes.total()


def ingest(
    path: Path,
    out: Path,
    *,
    wanted: Format | None = None,
    audio: Path | None = None,
    min_confidence: float = 0.8,
    name: str | None = None,
) -> Ingested:
    """Write or extend `metadata.csv`, `wavs/` and `left_out.csv` of a dataset.

    Args:
        path: the source, a file or a folder.
        wanted: its format; by default told from its files.
        audio: folder of the recordings when it is another than the source's.
        min_confidence: sentences of a transcript below are left out, 0 to 1.
        name: of the source in the dataset; by default its folder's.

    Raises:
        UserError: no such source, none or several formats fit, a file that cannot be read, a dataset that is not ours
            or lies in the source, or not one clip; then left_out.csv says why.
        OSError: the dataset cannot be written.
    """
    found = recognize(path, wanted, audio, name)
    _require_apart(out, path, found.source)
    files = ", ".join(file.name for file in found.source.files[:3])
    say(f"{path}: read as {found.format} ({files}{', …' if len(found.source.files) > 3 else ''})")
    with alone(out / LOCK_FILE, "xtts ingest"):
        _clear_leftovers(out)
        return _Ingestion(found, out, min_confidence).run(path)


class _Ingestion:
    """One source on its way into one dataset."""

    def __init__(self, found: Found, out: Path, min_confidence: float) -> None:
        self._found, self._source, self._out, self._min_confidence = found, found.source, out, min_confidence
        self._prefix = escape(f"{found.source.name}/")
        self._ledger = Ledger(out / "metadata.csv")
        self._earlier = read_left_out(out / "left_out.csv")
        self._refused = {row.source: row for row in self._earlier if row.code in FOUND_WHEN_WRITING}
        self._left_out: list[LeftOut] = []
        self._taken = {stem.casefold(): key for stem, key in self._ledger.names()}
        self._seen: set[str] = set()
        self._done = Ingested()

    def run(self, path: Path) -> Ingested:
        for batch in self._read():
            self._done.read += sum(utterance.parts for utterance in batch)
            self._write(self._plan(batch))
        self._ledger.commit()
        others = [row for row in self._earlier if not row.source.startswith(self._prefix)]
        write_left_out(self._out / "left_out.csv", [*others, *self._left_out])
        self._done.vanished = self._ledger.count_vanished(self._prefix)
        self._tell(path)
        return self._done

    def _read(self) -> Iterator[list[Utterance]]:
        """Utterances in batches; each is written before the next is read."""
        if self._found.format != "transcript":
            yield list(READERS[self._found.format](self._source))
            return
        for transcript in list_transcripts(self._source):
            if not self._pass_over(transcript):
                say(f"{transcript.name}: listening")
                yield list(read_transcript(transcript, self._source, self._min_confidence, self._out))

    def _pass_over(self, transcript: Transcript) -> bool:
        """Whether every line of a transcript is a clip or left out already, as it is now: nobody need listen again."""
        if isinstance(transcript.recording, Fault):
            return False
        wanted = stamp_utterance(
            self._source.name, Utterance("", "", transcript.recording.path, state=transcript.state), ""
        )

        def lines_in(stamp: Stamp | None) -> set[int]:
            if stamp is None or (stamp.audio, stamp.state) != (wanted.audio, wanted.state):
                return set()
            return lines_of(stamp.key.removeprefix(self._prefix), escape(transcript.name))

        clips = {stamp.key: lines for stamp in self._ledger.stamps(self._prefix) if (lines := lines_in(stamp))}
        refused = [
            (row, lines)
            for row in self._earlier
            if row.code not in RETRIED and not is_confident(row, self._min_confidence)
            if (lines := lines_in(parse_stamp(row.source)))
        ]
        in_clips: set[int] = set().union(*clips.values())
        others = [(row, lines) for row, lines in refused if not lines & in_clips]
        dealt_with = in_clips.union(*(lines for _, lines in others))
        if not dealt_with.issuperset(number for number, _ in transcript.lines):
            return False
        for key, lines in clips.items():
            self._ledger.find(key)
            self._done.kept += len(lines)
        for row, lines in others:
            self._left_out.append(row)
            self._done.codes[row.code] += len(lines)
        self._done.read += len(transcript.lines)
        return True

    def _plan(self, batch: Sequence[Utterance]) -> list[tuple[Clip, Stamp]]:
        """Leave out what has a fault, pass over what is there, and name the clips to be written."""
        candidates: list[tuple[Utterance, Stamp, str]] = []
        known = foreign = 0
        for utterance in batch:
            stem = self._name(utterance)
            stamp = stamp_utterance(self._source.name, utterance, stem)
            if utterance.fault:
                self._leave_out(utterance, stamp, utterance.fault)
                continue
            if stamp.key in self._seen:
                self._leave_out(utterance, stamp, Fault("duplicate_id", "listed already, the first one counts"))
                continue
            self._seen.add(stamp.key)
            row = self._ledger.find(stamp.key)
            if row is None or row.stamp is None:
                candidates.append((utterance, stamp, stem))
                continue
            known += 1
            if row.stamp == stamp or row.edited:
                self._done.kept += utterance.parts
                self._done.edited += utterance.parts if row.stamp != stamp else 0
                continue
            foreign += row.stamp.audio != stamp.audio and row.stamp.said != stamp.said
            candidates.append((utterance, stamp, stem))
        self._require_same_source(known, foreign)
        return [
            (Clip(utterance, self._free_names(stem, stamp)), stamp)
            for utterance, stamp, stem in candidates
            if self._is_wanted(utterance, stamp)
        ]

    def _name(self, utterance: Utterance) -> str:
        if utterance.audio is None:
            return ""
        return name_clip(utterance, utterance.audio.relative_to(self._source.audio).as_posix())

    def _is_wanted(self, utterance: Utterance, stamp: Stamp) -> bool:
        """Not when it could not be written and nothing has changed, nor where a row edited by hand has been cut."""
        refused = self._refused.get(str(stamp))
        if refused:
            self._leave_out(utterance, stamp, Fault(refused.code, refused.detail))
            return False
        if utterance.span_ms and self._ledger.find_edited(utterance.recording, utterance.span_ms):
            self._done.kept += utterance.parts
            self._done.edited += utterance.parts
            return False
        return True

    def _free_names(self, stem: str, stamp: Stamp) -> tuple[str, ...]:
        """The plain name, or the one with the source's, as far as no other clip has it; then one that none can have."""
        alone = name_alone(f"{stamp.key} {stamp.audio} {stem}", stem)
        for name in (stem, f"{self._source.name}-{stem}"):
            if "/" not in name and self._taken.setdefault(name.casefold(), stamp.key) == stamp.key:
                return name, alone
        return (alone,)

    def _require_same_source(self, known: int, foreign: int) -> None:
        """Two folders of one name are two sources; the second must not replace the first."""
        if known > 2 and 2 * foreign > known:
            raise UserError(
                f"{foreign} of {known} utterances are called as in an earlier source {self._source.name!r}, but both "
                "their recordings and their texts are others. Nothing has been changed.\n"
                "  If this is another source, give it a name of its own with --name. If all of it has changed, ingest "
                "it into a new dataset with another --out."
            )

    def _write(self, plan: Sequence[tuple[Clip, Stamp]]) -> None:
        """Write clips in threads, and their rows in order."""
        if not plan:
            return
        folder = self._out / "wavs"
        folder.mkdir(exist_ok=True)
        waiting = 0
        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            jobs = list(_divide(plan))
            written = pool.map(
                lambda job: write_clips(job[0], [clip for clip, _ in job[1]], folder, self._out), jobs, chunksize=1
            )
            with progress("ingest", len(plan), "clips") as advance:
                for (_, clips), files in zip(jobs, written, strict=True):
                    for (clip, stamp), file in zip(clips, files, strict=True):
                        self._enter(clip.utterance, stamp, file)
                    waiting += len(clips)
                    if waiting >= CLIPS_PER_COMMIT:
                        self._ledger.commit()
                        waiting = 0
                    advance(len(clips))
        finally:
            # Interrupted: what is under way ends, what is done is entered.
            pool.shutdown(cancel_futures=True)
            self._ledger.commit()

    def _enter(self, utterance: Utterance, stamp: Stamp, file: str | Fault) -> None:
        if isinstance(file, Fault):
            self._leave_out(utterance, stamp, file)
            return
        before = self._ledger.find(stamp.key)
        if before and before.stamp and (before.file, before.stamp.said) == (f"wavs/{file}", stamp.said):
            # Only the time of the recording is another: copied, or unpacked again.
            self._ledger.put(utterance, stamp, before.file)
            self._done.kept += utterance.parts
            return
        self._done.clips += 1
        if self._ledger.put(utterance, stamp, f"wavs/{file}"):
            self._done.replaced += utterance.parts
        else:
            self._done.added += utterance.parts

    def _leave_out(self, utterance: Utterance, stamp: Stamp, fault: Fault) -> None:
        self._done.codes[fault.code] += utterance.parts
        confidence = "" if fault.confidence is None else f"{fault.confidence:.3f}"
        row = LeftOut(str(stamp), utterance.recording, fault.code, fault.detail, utterance.text, confidence)
        self._left_out.append(row)

    def _tell(self, path: Path) -> None:
        """Say what became of everything.

        Raises:
            UserError: there is no clip.
        """
        done, parts = self._done, PARTS.get(self._found.format, "rows")
        where = self._out / "left_out.csv"
        if done.read == 0:
            raise UserError(f"{path}: has no {parts}. Expected at least one.")
        if done.read == done.left_out:
            raise UserError(
                f"{path}: not one of {done.read} {parts} could be ingested.\n{self._describe_reasons()}\n"
                f"  All of them are listed in {where}."
            )
        say(
            f"{done.read} {parts}: {done.kept} in clips already, {done.added} new, {done.replaced} changed "
            f"({done.clips} clips written), {done.left_out} left out"
        )
        if done.left_out:
            say(f"{self._describe_reasons()}\n  All of them are listed in {where}.")
        if done.edited:
            say(
                f"{done.edited} {parts} have changed, but their rows in metadata.csv were edited by hand: these stay. "
                "Delete such a row to have it ingested again."
            )
        if done.vanished:
            say(f"{done.vanished} clips are of utterances that {path} has no longer: they stay.")

    def _describe_reasons(self) -> str:
        lines = []
        for code, count in self._done.codes.most_common(SHOWN_REASONS):
            example = next(row for row in self._left_out if row.code == code)
            utterance = example.source.rpartition("@")[0]
            lines.append(f"  {count} {code}, for example {utterance}: {on_one_line(example.detail)}")
        return "\n".join(lines)


def _divide(plan: Iterable[tuple[Clip, Stamp]]) -> Iterator[tuple[Path, list[tuple[Clip, Stamp]]]]:
    """Jobs for threads: the clips of a recording, in pieces where it need not be decoded first."""
    by_recording: dict[Path, list[tuple[Clip, Stamp]]] = {}
    for clip, stamp in plan:
        assert clip.utterance.audio is not None, "without a recording it has a fault"
        by_recording.setdefault(clip.utterance.audio, []).append((clip, stamp))
    for audio, clips in by_recording.items():
        size = CLIPS_PER_JOB if audio.suffix.lower() in CUT_IN_PLACE else len(clips)
        for start in range(0, len(clips), size):
            yield audio, clips[start : start + size]


def _require_apart(out: Path, path: Path, source: Source) -> None:
    """The source is only read: the dataset must not be written into it."""
    target = out.resolve()
    # A file is a source by itself; what is beside it may be anything, also its dataset.
    only_read = {source.folder} if path.is_dir() else set()
    only_read |= {source.audio} - {source.folder}
    if (
        any(target.is_relative_to(folder) for folder in only_read)
        or target in (source.folder, source.audio)
        or source.folder.is_relative_to(target / "wavs")
    ):
        raise UserError(
            f"{out}: is, or lies in, the source {path}, which is only read. Choose a folder elsewhere with --out."
        )
    if target.exists() and not target.is_dir():
        raise UserError(f"{out}: is a file. Expected a folder for the dataset, or a name for a new one.")


def _clear_leftovers(out: Path) -> None:
    """Remove what an interrupted run left behind."""
    for leftover in [*out.glob(f"{PARTIAL_PREFIX}*"), *(out / "wavs").glob(f"{PARTIAL_PREFIX}*")]:
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
