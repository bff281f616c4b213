"""Which clips are held out for evaluation: nothing heard or read in training returns there, and sides stay.

The rule, told to users in docs/data.md:

1. Clips with the same normalised text stay together, and so do those of one speaker, or segments of one recording.
2. A group with a clip, text, recording or speaker that has a side already goes to that side.
3. Another group is held out when a hash of its text, keyed by the seed, falls below `eval_fraction`. That depends on no
   other clip: a dataset may be put in another order, and the same clips are held out.
4. Then such groups are added or left out, in the order of their hashes, until `eval_min` and `eval_max` hold.

A group larger than the wished number of evaluation clips trains. Where speakers are so few, or clips of each so many,
that too little is left to hold out, recordings stay together instead; then stretches of ten segments, or of a minute;
where that is still too coarse, texts alone.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import get_args

import polars as pl

from xtts_framework.config import ValidationConfig
from xtts_framework.data.sides import Sides, Togetherness, settings_of
from xtts_framework.errors import UserError

SEGMENT = re.compile(
    r"(?P<recording>.*?)(?:[-_](?P<start>\d{5,})[-_]\d{5,}|(?:^|[-_])(?P<number>\d+))(?:\.[0-9a-f]{12})?"
)
"""Segments of `rec01`: `rec01_0007`, `rec01-0012345-0018900` (start and end), and `0007` in a folder `rec01`; each also
with the mark behind it that `xtts ingest` gives to a recording that has changed."""
STRETCH = 10
"""Segments with neighbouring numbers overlap in sound, if any do."""
STRETCH_MS = 60_000
"""So do those that start within a minute."""


MANY_SPEAKERS = 20
"""With fewer, a whole speaker is too great a part of the voices to hold out."""


@dataclass(frozen=True)
class Split:
    """Sides of clips.

    Args:
        evaluation: for each clip, whether it is held out.
        conflicts: clips (their positions) that belong to both sides, and therefore to neither; with what they share
            with clips that train, and with clips that are held out: `text …`, `recording …`, `speaker …`, `sound …`.
        sides: what is to be remembered for the next time.
        afresh: whether earlier sides could not be kept, because one of the two would have no clip.
    """

    evaluation: list[bool]
    conflicts: dict[int, tuple[str, str]]
    sides: Sides
    afresh: bool = False


def split_clips(clips: pl.DataFrame, wanted: ValidationConfig, earlier: Sides | None = None) -> Split:
    """Hold clips out for evaluation.

    Args:
        clips: `file` (POSIX path within the dataset, each once), `normalized`, `speaker`, `recording` ("" where not
            known), `content_sha256`.
        wanted: `eval_fraction`, `eval_min`, `eval_max`, `seed`.
        earlier: sides of an earlier version of this dataset.

    Raises:
        UserError: fewer than two different texts, so that one side would be empty.
    """
    different_texts = clips["normalized"].n_unique()
    if different_texts < 2:
        raise UserError(
            f"{clips.height} clip(s) accepted, with {different_texts} different text(s). Expected at least two clips "
            "with different texts: one to train, one to evaluate."
        )
    if earlier is not None:
        keys = _keys_of(clips, earlier.together)
        evaluation, conflicts = _divide(clips, keys, wanted, earlier.held_out)
        if 0 < sum(evaluation) < len(evaluation) - len(conflicts):
            sides = replace(earlier, held_out=_remember(keys, evaluation, conflicts, earlier.held_out))
            return Split(evaluation, conflicts, sides)
    least, _, _ = _bounds(clips.height, wanted)
    for together in _levels(clips):
        keys = _keys_of(clips, together)
        evaluation, _ = _divide(clips, keys, wanted, {})
        if 2 * sum(evaluation) >= least:
            break
    if not any(evaluation):
        smallest = min((len(group), group) for group in _connect(keys))[1]
        evaluation = [index in smallest for index in range(clips.height)]
    sides = Sides(together, settings_of(wanted), _remember(keys, evaluation, {}, {}))
    return Split(evaluation, {}, sides, afresh=earlier is not None)


def name_recording(file: str, recording: str, together: Togetherness) -> str:
    """The recording that a clip was cut from, or the stretch of it, as far as that is known; else the clip itself.

    Args:
        recording: "" when the metadata does not say; it may show in the file's name then.
    """
    path = PurePosixPath(file)
    segment = SEGMENT.fullmatch(path.stem)
    if together == "text" or (segment is None and not recording):
        return f"file {file}"
    of = f"recording {recording or (path.parent / segment['recording'] if segment else '')}"
    if together in ("speaker", "recording"):
        return of
    if segment is None:
        return f"file {file}"
    if segment["start"] is not None:
        return f"{of} minute {int(segment['start']) // STRETCH_MS}"
    return f"{of} {int(segment['number']) // STRETCH}"


def _levels(clips: pl.DataFrame) -> Iterator[Togetherness]:
    """What to keep together, the most first."""
    for together in get_args(Togetherness):
        if together != "speaker" or clips["speaker"].n_unique() >= MANY_SPEAKERS:
            yield together


def _keys_of(clips: pl.DataFrame, together: Togetherness) -> list[tuple[str, ...]]:
    """What each clip must not share with the other side."""
    columns = clips.select("file", "recording", "speaker", "normalized", "content_sha256").iter_rows()
    return [
        (f"text {text}", f"sound {content}", *_name_origins(file, recording, speaker, together))
        for file, recording, speaker, text, content in columns
    ]


def _name_origins(file: str, recording: str, speaker: str, together: Togetherness) -> Iterator[str]:
    """Speaker and recording of a clip; where the speaker is known, a file's name is not asked for a recording."""
    if together == "speaker" and speaker:
        yield f"speaker {speaker}"
    if together != "speaker" or recording or not speaker:
        yield name_recording(file, recording, together)


def _divide(
    clips: pl.DataFrame, keys: Sequence[Sequence[str]], wanted: ValidationConfig, known: Mapping[str, bool]
) -> tuple[list[bool], dict[int, tuple[str, str]]]:
    """Follow the known sides, and decide about the other groups; returns who is held out, and who belongs to both."""
    sides, conflicts = _follow(keys, known)
    others = [index for index in range(len(keys)) if index not in sides and index not in conflicts]
    groups = [[others[place] for place in group] for group in _connect([keys[index] for index in others])]
    files, texts = clips["file"].to_list(), clips["normalized"].to_list()
    chosen = set(_hold_out(groups, sum(sides.values()), files, texts, wanted))
    return [sides.get(index, index in chosen) for index in range(len(keys))], conflicts


def _follow(
    keys: Sequence[Sequence[str]], known: Mapping[str, bool]
) -> tuple[dict[int, bool], dict[int, tuple[str, str]]]:
    """Sides of the clips that share a key with a known one, also by way of others; and clips that share with both."""
    sides: dict[int, bool] = {}
    conflicts: dict[int, tuple[str, str]] = {}
    grown = dict(known)
    pending = list(range(len(keys))) if known else []
    while pending:
        postponed = []
        for index in pending:
            found = {grown[key]: key for key in keys[index] if key in grown}
            if len(found) == 2:
                conflicts[index] = found[False], found[True]
            elif found:
                sides[index] = next(iter(found))
                grown |= dict.fromkeys(keys[index], sides[index])
            else:
                postponed.append(index)
        if len(postponed) == len(pending):
            break
        pending = postponed
    return sides, conflicts


def _remember(
    keys: Sequence[Sequence[str]], evaluation: Sequence[bool], conflicts: Collection[int], known: Mapping[str, bool]
) -> dict[str, bool]:
    """The sides known before and those of these clips, by key."""
    held_out = dict(known)
    for index, own in enumerate(keys):
        if index not in conflicts:
            held_out |= dict.fromkeys(own, evaluation[index])
    return held_out


def _connect(keys: Sequence[Sequence[str]]) -> list[list[int]]:
    """Indices of clips in groups; clips that share a key are in one group, also by way of others (union-find)."""
    parents = list(range(len(keys)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first_with: dict[str, int] = {}
    for index, own in enumerate(keys):
        for key in own:
            parents[root(index)] = root(first_with.setdefault(key, index))
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(keys)):
        groups[root(index)].append(index)
    return list(groups.values())


def _hold_out(
    groups: list[list[int]], before: int, files: Sequence[str], texts: Sequence[str], wanted: ValidationConfig
) -> list[int]:
    """Clips of the groups to hold out, beside `before` that are held out already."""
    least, aim, most = _bounds(len(files), wanted)

    def score(group: list[int]) -> float:
        return _hash_to_unit(texts[min(group, key=files.__getitem__)], wanted.seed)

    held_out: list[int] = []
    for score_of_group, group in sorted((score(group), group) for group in groups):
        if score_of_group >= wanted.eval_fraction and before + len(held_out) >= least:
            break
        if len(group) <= aim and before + len(held_out) + len(group) <= most:
            held_out += group
    return held_out


def _bounds(clips: int, wanted: ValidationConfig) -> tuple[int, int, int]:
    """Least, wished and greatest number of evaluation clips; never more than half."""
    most = min(wanted.eval_max, clips // 2)
    least = min(wanted.eval_min, most)
    return least, min(max(round(wanted.eval_fraction * clips), least), most), most


def _hash_to_unit(text: str, seed: int) -> float:
    """A number in [0, 1) that only text and seed decide."""
    digest = hashlib.blake2b(f"{seed} {text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
