"""Which clips an update had that was not finite: what a person needs to find the bad one."""

from __future__ import annotations

import math
from pathlib import Path

from xtts_framework.console import say
from xtts_framework.files import write_json
from xtts_framework.training.update import UpdateResult


def write_skipped(folder: Path, number: int, result: UpdateResult) -> str:
    """Write `update-XXXXXXXX.json` with every clip and its losses, and say so.

    Returns:
        The cause in words.
    """
    clips = [
        (clip, mel, text)
        for clip_ids, losses in result.losses
        for clip, mel, text in zip(clip_ids, *losses.tolist(), strict=True)
    ]
    broken = [clip for clip, mel, text in clips if not math.isfinite(mel + text)]
    listed = [{"clip": clip, "loss_mel": _as_json(mel), "loss_text": _as_json(text)} for clip, mel, text in clips]
    path = folder / f"update-{number:08d}.json"
    write_json(path, {"update": number, "broken": broken, "clips": listed})
    cause = f"the loss of {', '.join(broken[:5])} is not finite" if broken else "its gradient is not finite"
    say(f"update {number}: skipped, {cause}; all its clips are listed in {path}")
    return cause


def _as_json(loss: float) -> float | str:
    """JSON has no NaN: such a loss is written as text."""
    return loss if math.isfinite(loss) else str(loss)
