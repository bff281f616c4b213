"""Where every result lies: the one place that spells a file name shared by two stages.

`results/datasets/{dataset}/…` and `results/runs/{run}/…` (design: stages are commands, files are their contract).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xtts_framework.errors import UserError


@dataclass(frozen=True)
class DatasetFolder:
    """Everything the workflow knows about one dataset. Shared by all runs that use it."""

    path: Path

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.parquet"

    @property
    def rejects(self) -> Path:
        return self.path / "rejects.csv"

    @property
    def warnings(self) -> Path:
        return self.path / "warnings.csv"

    @property
    def validation(self) -> Path:
        return self.path / "validation.json"

    @property
    def validation_page(self) -> Path:
        return self.path / "validation.html"

    @property
    def sides(self) -> Path:
        """Which clip is held out and which trains, over all versions of the dataset. Never a declared output."""
        return self.path / "split.parquet"

    @property
    def features(self) -> Path:
        """Index of the feature store, one row per clip of the manifest."""
        return self.path / "features.parquet"

    @property
    def feature_store(self) -> Path:
        """Content-addressed shards. Never a declared output: it must survive a failed or repeated encode."""
        return self.path / "features"


def require_datasets(configured: Collection[str], given: Mapping[str, DatasetFolder]) -> None:
    """Refuse results of other datasets than those that a run is configured with.

    Raises:
        UserError: a name is missing or unknown.
    """
    if set(configured) != set(given):
        raise UserError(
            f"the configuration names the datasets {sorted(configured)}, but --dataset names {sorted(given)}; "
            "give --dataset NAME=FOLDER once for each."
        )


def inside(folder: Path, name: str, *, named_in: Path) -> Path:
    """`folder / name`, for a name that stands in a file: results may come from somebody else.

    Raises:
        UserError: it leads out of the folder.
    """
    if not isinstance(name, str) or not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise UserError(
            f"{named_in}: names {name!r}, which is not inside of {folder} and was not opened. xtts-framework writes no "
            "such name: run the stage again that wrote this file, and ask whoever gave it to you."
        )
    return folder / name


@dataclass(frozen=True)
class RunFolder:
    """Everything one training run makes."""

    path: Path

    @property
    def vocab(self) -> Path:
        return self.path / "tokenizer" / "vocab.json"

    @property
    def tokenizer_report(self) -> Path:
        return self.path / "tokenizer" / "tokenizer.json"

    @property
    def checkpoints(self) -> Path:
        """`checkpoints/<fingerprint>/step-XXXXXXXX/`. Never a declared output."""
        return self.path / "checkpoints"

    @property
    def training(self) -> Path:
        """TensorBoard events and `metrics.jsonl` (`tensorboard --logdir results/runs/RUN/training`)."""
        return self.path / "training"

    @property
    def metrics(self) -> Path:
        return self.training / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def selected(self) -> Path:
        return self.path / "selected.json"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    @property
    def synthesis(self) -> Path:
        """Spoken sentences: `synthesis.json` and wavs, one folder per checkpoint that spoke."""
        return self.path / "synthesis"

    @property
    def report(self) -> Path:
        return self.path / "report.html"
