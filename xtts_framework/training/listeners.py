"""Who is told how training goes: the console, `metrics.jsonl` and TensorBoard, through the same hooks as any plugin.

A training that continues from a checkpoint first cuts its records back to that checkpoint, so that every step
appears in them once, as if nothing had happened.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xtts_framework.console import say
from xtts_framework.files import write_text
from xtts_framework.layout import RunFolder, inside
from xtts_framework.plugins import hookimpl

FINGERPRINT_NOTE = "fingerprint"
EVENTS = "events.out.tfevents."
"""What the names of event files begin with; then comes a time in seconds, host and process."""


class Console:
    """One line for each log and evaluation that a person can read."""

    def __init__(self) -> None:
        self._last_step = 0
        self._batch_size = 0

    @hookimpl
    def xtts_on_run_start(self, run_folder: Path, description: dict[str, Any]) -> None:
        self._last_step = description["last_step"]
        self._batch_size = description["batch_size"]

    @hookimpl
    def xtts_on_metrics(self, step: int, metrics: dict[str, float]) -> None:
        if "eval/loss_total" in metrics:
            say(f"step {step}  eval {_losses(metrics, 'eval')}")
            return
        left_s = (self._last_step - step) * self._batch_size / max(metrics["train/clips_per_s"], 1e-9)
        say(
            f"step {step}  {100 * step / self._last_step:.1f} %  epoch {metrics['train/epoch']:.2f}  "
            f"{_losses(metrics, 'train')}  lr {metrics['train/lr']:g}  grad norm {metrics['train/grad_norm']:.3g}  "
            f"{metrics['train/clips_per_s']:.1f} clips/s  {_duration(left_s)} left"
        )

    @hookimpl
    def xtts_on_checkpoint(self, step: int, folder: Path) -> None:
        say(f"step {step}  saved {folder}")

    @hookimpl
    def xtts_on_run_end(self, step: int, reason: str) -> None:
        say(f"step {step}  end: {reason}")


class NobodyListens:
    """Stands for the hooks in all processes but the main one, which speaks for all."""

    def __getattr__(self, hook: str) -> Callable[..., None]:
        return lambda **facts: None


class MetricsFile:
    """`metrics.jsonl`: one JSON object per log, evaluation or note.

    Args:
        path: the file; what it says about later steps than `start_step` is cut off.
        start_step: step from which training continues; 0 starts the file anew.
    """

    def __init__(self, path: Path, fingerprint: str, *, start_step: int) -> None:
        records = read_metrics(path)
        self._notes = {record["message"] for record in records if record["kind"] == "note" and start_step}
        kept = [record for record in records if record["step"] <= start_step] if start_step else []
        if not kept:
            kept = [{"kind": "note", "step": 0, "message": f"{FINGERPRINT_NOTE} {fingerprint}"}]
        write_text(path, "".join(map(_line, kept)))
        self._path = path

    @hookimpl
    def xtts_on_metrics(self, step: int, metrics: dict[str, float]) -> None:
        kind = next(iter(metrics)).partition("/")[0]
        self._append({"kind": kind, "step": step} | {tag.partition("/")[2]: value for tag, value in metrics.items()})

    def note(self, step: int, message: str) -> bool:
        """Add a note; whether it is new, that is, no earlier attempt has said so already."""
        is_new = message not in self._notes
        self._notes.add(message)
        self._append({"kind": "note", "step": step, "message": message})
        return is_new

    def _append(self, record: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(_line(record))


class TensorBoard:
    """Event files with the tags of the quick-start guide; the x-axis is the step."""

    def __init__(self, folder: Path, *, start_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        _date_before(folder, round(time.time()))
        # Everything from purge_step on belongs to an attempt that broke off; TensorBoard leaves it out.
        self._writer = SummaryWriter(str(folder), purge_step=start_step + 1 if start_step else 0)

    @hookimpl
    def xtts_on_metrics(self, step: int, metrics: dict[str, float]) -> None:
        for tag, value in metrics.items():
            self._writer.add_scalar(tag, value, step)
        self._writer.flush()

    @hookimpl
    def xtts_on_run_end(self, step: int, reason: str) -> None:
        self._writer.close()


def open_training_folder(run: RunFolder, fingerprint: str) -> None:
    """Make `training/` hold the records of this training; those of another one move to its checkpoints, and back."""
    kept = run.checkpoints / fingerprint / run.training.name
    present = recorded_fingerprint(run.metrics)
    if present not in (None, fingerprint):
        destination = inside(run.checkpoints, str(present), named_in=run.metrics) / run.training.name
        if not destination.exists():
            destination.parent.mkdir(parents=True, exist_ok=True)
            run.training.rename(destination)
    run.training.mkdir(parents=True, exist_ok=True)
    if kept.is_dir() and not any(run.training.iterdir()):
        kept.replace(run.training)


def _date_before(folder: Path, now_s: int) -> None:
    """Give event files earlier times than now, in their order, where the clock has been set back.

    TensorBoard reads files in the order of their names, which hold the time: those of earlier attempts would come
    last, and what they say about later steps would count.
    """
    files = sorted(folder.glob(f"{EVENTS}*"))
    if files and files[-1].name >= f"{EVENTS}{now_s:010d}":
        for time_s, file in enumerate(files, start=now_s - len(files)):
            file.rename(folder / f"{EVENTS}{time_s:010d}.{file.name.removeprefix(EVENTS).partition('.')[2]}")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines; the one that was being written when the process was killed is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def recorded_fingerprint(metrics: Path) -> str | None:
    """Of the training whose records these are, the latest in the run; None when there are none."""
    for record in read_metrics(metrics)[:1]:
        kind, _, fingerprint = str(record.get("message", "")).partition(" ")
        return fingerprint if kind == FINGERPRINT_NOTE else None
    return None


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


def _losses(metrics: dict[str, float], kind: str) -> str:
    total, mel, text = (metrics[f"{kind}/loss_{part}"] for part in ("total", "mel", "text"))
    return f"loss {total:.4f} (audio {mel:.4f}, text {text:.4f})"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
