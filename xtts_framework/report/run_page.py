"""What the report says: read from the files of a run, before any of it becomes HTML.

Every part may be missing (a run that was stopped early, a folder that was thinned out). A part that is missing is
None or empty, and the page says so in a sentence.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import polars

import xtts_framework
from xtts_framework.data.advice import explain
from xtts_framework.data.tables import read_table
from xtts_framework.errors import UserError
from xtts_framework.files import read_json
from xtts_framework.layout import DatasetFolder, RunFolder, inside
from xtts_framework.report.audio import embed_audio
from xtts_framework.report.charts import Chart, Histogram, Level, Marker, Point, Series, histogram, line_chart

MAX_SENTENCES = 12
MAX_CHECKPOINTS = 6
MAX_EXAMPLES = 3
FEW_CLIPS = 500
"""Training clips below which the guide expects little: shown as a warning."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Did it learn, and did it learn more than how often each audio code occurs?"""

    before: float
    after: float
    step: int
    mel: float | None
    entropy: float | None

    @property
    def change(self) -> float:
        """Relative change of the evaluation loss; negative is better."""
        return self.after / self.before - 1 if self.before else 0.0

    @property
    def improved(self) -> bool:
        return self.after < self.before

    @property
    def uses_context(self) -> bool | None:
        """Whether the audio loss is below what code frequencies alone reach; None if either is unknown."""
        return None if self.mel is None or self.entropy is None else self.mel < self.entropy


@dataclass(frozen=True)
class Reason:
    """A code of rows that were refused or warned about, how many have it, and the first of them."""

    code: str
    count: int
    explanation: str
    examples: list[Json]


@dataclass(frozen=True)
class Dataset:
    name: str
    path: str
    languages: str
    rows: int | None
    rejected: int
    clips: dict[str, int]
    hours: dict[str, float]
    speakers: int
    durations: Histogram | None
    rejects: list[Reason]
    warnings: list[Reason]
    page: str


@dataclass(frozen=True)
class Take:
    """One sentence at one checkpoint."""

    audio: str | None
    duration_s: float | None
    cut: bool


@dataclass(frozen=True)
class SpokenSentence:
    text: str
    normalized: str
    language: str
    recording: str | None
    takes: list[Take | None]


@dataclass(frozen=True)
class Listening:
    """Rows of sentences, columns of checkpoints."""

    reference: str | None
    speaker: str
    steps: list[int]
    selected_step: int | None
    sentences: list[SpokenSentence]
    left_out: str


@dataclass(frozen=True)
class RunPage:
    template: ClassVar[str] = "run.html.j2"

    run: str
    framework_version: str
    verdict: Verdict | None
    summary: Json | None
    selected: Json | None
    tokenizer: Json | None
    bundle: Json | None
    listening: Listening | None
    datasets: list[Dataset]
    charts: list[Chart]
    notes: list[str]
    warnings: list[str] = field(default_factory=list)


def gather_run_page(
    name: str, run: RunFolder, datasets: Mapping[str, DatasetFolder], dataset_paths: Mapping[str, Path]
) -> RunPage:
    """Read everything a report shows.

    Args:
        name: of the run.
        datasets: folders of results by dataset name.
        dataset_paths: folders of recordings by dataset name.
    Raises:
        UserError: a file of the run is there but cannot be understood.
    """
    summary, selected = _read(run.summary), _read(run.selected)
    tokenizer, bundle = _read(run.tokenizer_report), _read(run.bundle / "bundle.json")
    log = _read_log(run.metrics)
    sections = [_read_dataset(key, folder, dataset_paths.get(key)) for key, folder in datasets.items()]
    verdict = _judge(summary, selected)
    listening = _read_synthesis(run)
    return RunPage(
        run=name,
        framework_version=xtts_framework.__version__,
        verdict=verdict,
        summary=summary,
        selected=selected,
        tokenizer=tokenizer,
        bundle=bundle,
        listening=listening,
        datasets=sections,
        charts=_draw(log, summary, selected),
        notes=[str(line.get("message", "")) for line in log if line.get("kind") == "note" and line.get("message")],
        warnings=_warn(verdict, summary, tokenizer, sections, listening),
    )


def _read(path: Path) -> Any:
    """Parsed JSON, or None if there is no such file."""
    return read_json(path) if path.is_file() else None


def _read_log(path: Path) -> list[Json]:
    """Lines of metrics.jsonl; an unfinished last line (training is still writing) is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    log = []
    for number, line in enumerate(lines, start=1):
        try:
            log.append(json.loads(line))
        except ValueError as error:
            if number == len(lines):
                break
            raise UserError(f"{path} line {number}: not valid JSON ({error}), found {line[:80]!r}.") from error
    return log


def _judge(summary: Json | None, selected: Json | None) -> Verdict | None:
    """First evaluation against the selected checkpoint, or the best evaluation if none was selected yet."""
    evaluations = (summary or {}).get("eval") or {}
    first, best = evaluations.get("first"), evaluations.get("best")
    chosen = next((one for one in (selected or {}).get("candidates", []) if one.get("selected")), None)
    after = chosen if chosen and chosen.get("loss_total") is not None else best
    if not first or not after:
        return None
    return Verdict(
        before=first["loss_total"],
        after=after["loss_total"],
        step=after["step"],
        mel=after.get("loss_mel"),
        entropy=(summary or {}).get("eval_unigram_entropy"),
    )


def _read_dataset(name: str, folder: DatasetFolder, recordings: Path | None) -> Dataset:
    validation = _read(folder.validation) or {}
    clips: dict[str, int] = {}
    hours: dict[str, float] = {}
    languages, speakers, durations = "", 0, None
    if folder.manifest.is_file():
        table = read_table(folder.manifest, ["split", "duration_s", "speaker", "language"], stage="validate")
        groups = {
            split: table.filter(polars.col("split") == split)["duration_s"].to_list() for split in ("train", "eval")
        }
        clips = {split: len(values) for split, values in groups.items()}
        hours = {split: sum(values) / 3600 for split, values in groups.items()}
        languages = ", ".join(sorted(table["language"].unique()))
        speakers = table.filter(polars.col("speaker") != "")["speaker"].n_unique()
        durations = histogram(list(groups.items()), "s")
    rejects = _read_reasons(folder.rejects)
    return Dataset(
        name=name,
        path=str(recordings or ""),
        languages=languages,
        rows=validation.get("rows"),
        rejected=validation.get("rejected", sum(reason.count for reason in rejects)),
        clips=clips,
        hours=hours,
        speakers=speakers,
        durations=durations,
        rejects=rejects,
        warnings=_read_reasons(folder.warnings),
        page=str(folder.validation_page) if folder.validation_page.is_file() else "",
    )


def _read_reasons(path: Path) -> list[Reason]:
    """Rows grouped by code, most frequent first; a row with two codes counts under both."""
    if not path.is_file():
        return []
    rows: dict[str, list[Json]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            for code in (row.get("codes") or "").split(";"):
                rows.setdefault(code, []).append(row)
    return [
        Reason(code, len(found), explain(code).meaning, found[:MAX_EXAMPLES])
        for code, found in sorted(rows.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _draw(log: Sequence[Json], summary: Json | None, selected: Json | None) -> list[Chart]:
    markers = [Marker(f"LR {change['lr']:.3g}", change["step"]) for change in _rate_changes(summary)]
    if selected and selected.get("step") is not None:
        markers.append(Marker("selected", selected["step"]))
    entropy = (summary or {}).get("eval_unigram_entropy")
    charts = []
    for title, key, levels in (
        ("Audio loss (nats per code)", "loss_mel", [Level("code frequencies alone", entropy)] if entropy else []),
        ("Text loss (nats per token)", "loss_text", []),
        ("Total loss", "loss_total", []),
    ):
        series = [
            Series("train", "train", _points(log, "train", key)),
            Series("eval", "eval", _points(log, "eval", key), dots=True),
        ]
        charts.append(line_chart(title, series, markers=markers, levels=levels))
    rate = _steps_of(_points(log, "train", "lr"))
    charts.append(line_chart("Learning rate", [Series("rate", "train", rate)], markers=markers, from_zero=True))
    norm = Series("norm", "train", _points(log, "train", "grad_norm"))
    charts.append(line_chart("Gradient norm, before clipping", [norm], from_zero=True))
    return [chart for chart in charts if chart]


def _rate_changes(summary: Json | None) -> list[Json]:
    return (summary or {}).get("learning_rate_changes") or []


def _points(log: Sequence[Json], kind: str, key: str) -> list[Point]:
    return [(line["step"], line[key]) for line in log if line.get("kind") == kind and line.get(key) is not None]


def _steps_of(points: Sequence[Point]) -> list[Point]:
    """The corners of a piecewise constant curve: it is drawn as stairs, and averaging cannot blur them."""
    corners: list[Point] = []
    for index, (x, y) in enumerate(points):
        if index and y != points[index - 1][1]:
            corners += [(x, points[index - 1][1]), (x, y)]
        elif index in (0, len(points) - 1):
            corners.append((x, y))
    return corners


def _read_synthesis(run: RunFolder) -> Listening | None:
    entries: list[Json] = _read(run.synthesis / "synthesis.json") or []
    if not entries:
        return None
    every_step = sorted({entry["step"] for entry in entries})
    selected = next((entry["step"] for entry in entries if entry.get("selected")), None)
    steps = _spread(every_step, MAX_CHECKPOINTS, keep=selected)
    sentences = list(dict.fromkeys(entry["sentence"] for entry in entries))
    taken = {(entry["sentence"], entry["step"]): entry for entry in entries}
    spoken = []
    for sentence in sentences[:MAX_SENTENCES]:
        any_entry = next(entry for entry in entries if entry["sentence"] == sentence)
        recording = any_entry.get("recording")
        spoken.append(
            SpokenSentence(
                text=sentence,
                normalized=any_entry.get("normalized", ""),
                language=any_entry.get("language", ""),
                recording=embed_audio(Path(recording)) if recording else None,
                takes=[_take(run, taken.get((sentence, step))) for step in steps],
            )
        )
    left_out = len(sentences) - len(spoken), len(every_step) - len(steps)
    return Listening(
        reference=embed_audio(run.synthesis / "reference.wav") or embed_audio(run.bundle / "reference.wav"),
        speaker=str(entries[0].get("speaker", "")),
        steps=steps,
        selected_step=selected,
        sentences=spoken,
        left_out=f"{left_out[0]} more sentence(s) and {left_out[1]} more checkpoint(s)" if any(left_out) else "",
    )


def _take(run: RunFolder, entry: Json | None) -> Take | None:
    if entry is None:
        return None
    file = inside(run.synthesis, entry["file"], named_in=run.synthesis / "synthesis.json")
    return Take(embed_audio(file), entry.get("duration_s"), bool(entry.get("cut")))


def _spread(steps: list[int], most: int, *, keep: int | None) -> list[int]:
    """At most `most` of the sorted steps, evenly spread, first and last and `keep` among them."""
    if len(steps) <= most:
        return steps
    chosen = {steps[round(index * (len(steps) - 1) / (most - 1))] for index in range(most)}
    if keep is not None and keep not in chosen:
        chosen.remove(min(chosen - {steps[0], steps[-1]}, key=lambda step: abs(step - keep)))
        chosen.add(keep)
    return sorted(chosen)


def _warn(
    verdict: Verdict | None,
    summary: Json | None,
    tokenizer: Json | None,
    datasets: Sequence[Dataset],
    listening: Listening | None,
) -> list[str]:
    """What somebody should know before they believe the numbers, in sentences."""
    warnings = []
    if verdict and not verdict.improved:
        warnings.append("The evaluation loss did not fall: this run made the base no better on the evaluation clips.")
    if verdict and verdict.uses_context is False:
        warnings.append(
            "The audio loss is not below the entropy of the code frequencies: the model has learned which sounds are "
            "frequent, not yet which sound comes next."
        )
    if summary and summary.get("skipped_batches"):
        warnings.append(
            f"{summary['skipped_batches']} update(s) were skipped because a loss or gradient was not finite; "
            "the training log names the clips."
        )
    for code, language in ((tokenizer or {}).get("languages") or {}).items():
        if language.get("unk"):
            warnings.append(f"The tokenizer does not know {language['unk']} character(s) of the {code} texts.")
        if language.get("unreachable"):
            warnings.append(f"{language['unreachable']} added token(s) for {code} cannot be reached by any merge.")
    for dataset in datasets:
        if dataset.rows and dataset.rejected > 0.1 * dataset.rows:
            share = math.ceil(100 * dataset.rejected / dataset.rows)
            warnings.append(f"{share} % of the rows of {dataset.name} were rejected; the reasons are below.")
    training_clips = sum(dataset.clips.get("train", 0) for dataset in datasets)
    if 0 < training_clips < FEW_CLIPS:
        warnings.append(f"There are only {training_clips} training clips; expect a model that imitates little else.")
    takes = [take for sentence in (listening.sentences if listening else []) for take in sentence.takes if take]
    if cut := sum(take.cut for take in takes):
        warnings.append(
            f"{cut} of {len(takes)} spoken sentences ran into the length limit and were cut: the model did not "
            "find the end of the sentence."
        )
    return warnings
