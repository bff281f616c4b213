"""Which clips are held out for evaluation: nothing heard or read in training returns there.

The rule, told to users in docs/data.md:

1. Clips with the same normalised text stay together, and so do segments of one recording, as file names show them.
2. A group is held out when a hash of its text, keyed by the seed, falls below `eval_fraction`. That depends on no other
   clip: a dataset may grow or be put in another order, and what was held out stays held out.
3. Then groups are added or left out, in the order of their hashes, until `eval_min` and `eval_max` hold.

A group larger than the wished number of evaluation clips trains. Where recordings are so few or so long that they leave
too little to hold out, stretches of ten segments stay together instead; where that is still too coarse, texts alone.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, get_args

from xtts_framework.config import ValidationConfig
from xtts_framework.errors import UserError

SEGMENT = re.compile(r"(?P<recording>.*?)(?:[-_]\d{5,}[-_]\d{5,}|(?:^|[-_])(?P<number>\d+))")
"""Segments of `rec01`: `rec01_0007`, `rec01-0012345-0018900` (start and end), and `0007` in a folder `rec01`."""
STRETCH = 10
"""Segments with neighbouring numbers overlap in sound, if any do."""

Togetherness = Literal["recording", "stretch", "text"]


@dataclass(frozen=True)
class Split:
    """Sides of clips.

    Args:
        evaluation: for each clip, whether it is held out.
        together: what lies on one side as a whole, besides clips of one text.
    """

    evaluation: list[bool]
    together: Togetherness


def split_clips(files: Sequence[str], texts: Sequence[str], wanted: ValidationConfig) -> Split:
    """Hold clips out for evaluation.

    Args:
        files: POSIX paths within the dataset, each once.
        texts: normalised.
        wanted: `eval_fraction`, `eval_min`, `eval_max`, `seed`.

    Raises:
        UserError: fewer than two different texts, so that one side would be empty.
    """
    different_texts = len(set(texts))
    if different_texts < 2:
        raise UserError(
            f"{len(files)} clip(s) accepted, with {different_texts} different text(s). Expected at least two clips "
            "with different texts: one to train, one to evaluate."
        )
    least, _, _ = _bounds(len(files), wanted)
    for together in get_args(Togetherness):
        groups = _connect(
            [(f"text {text}", name_group(file, together)) for file, text in zip(files, texts, strict=True)]
        )
        held_out = _hold_out(groups, files, texts, wanted)
        if 2 * len(held_out) >= least:
            break
    chosen = set(held_out or min((len(group), group) for group in groups)[1])
    return Split([index in chosen for index in range(len(files))], together)


def name_group(file: str, together: Togetherness) -> str:
    """What a file belongs to, as far as its name shows: a recording, or a stretch of one; otherwise itself."""
    path = PurePosixPath(file)
    segment = SEGMENT.fullmatch(path.stem)
    if segment is None or together == "text":
        return f"file {file}"
    recording = f"recording {path.parent / segment['recording']}"
    if together == "recording":
        return recording
    return f"file {file}" if segment["number"] is None else f"{recording} {int(segment['number']) // STRETCH}"


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
    groups: list[list[int]], files: Sequence[str], texts: Sequence[str], wanted: ValidationConfig
) -> list[int]:
    least, aim, most = _bounds(len(files), wanted)

    def score(group: list[int]) -> float:
        return _hash_to_unit(texts[min(group, key=files.__getitem__)], wanted.seed)

    held_out: list[int] = []
    for score_of_group, group in sorted((score(group), group) for group in groups):
        if score_of_group >= wanted.eval_fraction and len(held_out) >= least:
            break
        if len(group) <= aim and len(held_out) + len(group) <= most:
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
