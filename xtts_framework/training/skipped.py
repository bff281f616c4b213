"""Which clips an update had that was not finite: what a person needs to find the bad one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from xtts_framework.console import say
from xtts_framework.files import write_json
from xtts_framework.training.update import ClipLoss


def cause_of(clips: Sequence[ClipLoss]) -> str:
    """Why an update with these losses was not finite, in words."""
    broken = _broken(clips)
    return f"the loss of {', '.join(broken[:5])} is not finite" if broken else "its gradient is not finite"


def write_skipped(folder: Path, number: int, clips: Sequence[ClipLoss]) -> None:
    """Write `update-XXXXXXXX.json` with every clip and its losses, and say so."""
    listed = [{"clip": clip, "loss_mel": _as_json(mel), "loss_text": _as_json(text)} for clip, mel, text in clips]
    path = folder / f"update-{number:08d}.json"
    write_json(path, {"update": number, "broken": _broken(clips), "clips": listed})
    say(f"update {number}: skipped, {cause_of(clips)}; all its clips are listed in {path}")


def _broken(clips: Sequence[ClipLoss]) -> list[str]:
    return [clip for clip, mel, text in clips if not math.isfinite(mel + text)]


def _as_json(loss: float) -> float | str:
    """JSON has no NaN: such a loss is written as text."""
    return loss if math.isfinite(loss) else str(loss)
