"""The whole workflow on odd names: folders, recordings and texts that a shell, Snakemake or a page could take amiss."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from xtts_framework.layout import DatasetFolder, RunFolder

ROOT = Path(__file__).parent.parent.parent
BINARIES = Path(sys.executable).parent
MARKER = "MARKER"
"""The file that `touch` would make, were any name or text run by a shell."""
ODD = f'it\'s "odd" $(touch {MARKER}) `touch {MARKER}` ;#[a]*?%s~!&|<>\\ é ሰላም\nline'
DATASET, RUN = "0.-_d", "1.-_R"

FILE_NAMES = [
    "it's.wav",
    'say "x".wav',
    f"$(touch {MARKER}).wav",
    f"`touch {MARKER}`;touch {MARKER}.wav",
    "{run}{{x}}.wav",
    "-rf --help.wav",
    "..hidden.wav",
    "[a]*?%s~!&<>\\n.wav",
    "a|b.wav",
    "ሰላም é.wav",
    "x" * 240 + ".wav",
]
"""Names that the first recordings get."""

TEXTS = [
    f"$(touch {MARKER})",
    f"`touch {MARKER}`; touch {MARKER}",
    "{run} {input} {{ 7 * 7 }} {% raw %}",
    '<script>alert("x")</script>',
    "__import__('os').system('touch MARKER')",
    "!!python/object/apply:os.mkdir [MARKER]",
]
"""Texts of further rows; the language pack refuses them, and the pages of the workflow show them."""

SPOKEN = " \"ሰላም\"; 'ዓለም' (ዛሬ) – ነገ!"
"""What one text ends in that trains."""

SECRETS = {
    "HF_TOKEN": "hfPLANTEDtoken0123456789",
    "HF_ENDPOINT": "https://planted:PLANTEDpassword0123456789@localhost:9",
    "AWS_SECRET_ACCESS_KEY": "PLANTEDaws0123456789",
    "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "PLANTEDstorage0123456789",
}
"""Environment of the workflow; each value holds `PLANTED`."""


@dataclass(frozen=True)
class OddWorkflow:
    """A folder with a project, the home of its user, and what Snakemake printed."""

    folder: Path
    plain: bool = False

    @property
    def project(self) -> Path:
        return self.folder / ("project" if self.plain else f"-{{run}} {ODD}")

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text(encoding="utf-8")

    def name(self, kind: str) -> str:
        return kind if self.plain else f"-{kind} {ODD}"

    @property
    def dataset(self) -> Path:
        return self.project / self.name("dataset")

    @property
    def base(self) -> Path:
        return self.project / self.name("base")

    @property
    def results(self) -> Path:
        return self.project / self.name("results")

    @property
    def of_dataset(self) -> DatasetFolder:
        return DatasetFolder(self.results / "datasets" / DATASET)

    @property
    def of_run(self) -> RunFolder:
        return RunFolder(self.results / "runs" / RUN)

    def slice(self, stage: str) -> Path:
        """The stage's configuration as the workflow wrote it."""
        folder = self.of_dataset.path if stage in ("validate", "encode") else self.of_run.path
        return folder / "config" / f"{stage}.yaml"

    def markers(self) -> list[Path]:
        return [path for path in (*self.folder.rglob(MARKER), ROOT / MARKER) if path.exists()]


def run_workflow(odd: OddWorkflow, speech: Path, base: Path) -> None:
    """Fill an empty folder: copy dataset and base to odd names, run Snakemake with secrets in its environment."""
    odd.project.mkdir()
    odd.home.mkdir()
    shutil.copytree(speech, odd.dataset)
    shutil.copytree(base, odd.base)
    _make_odd(odd.dataset)
    config = odd.project / f"{odd.name('config')}.yaml"
    config.write_text(yaml.safe_dump(_config(odd), allow_unicode=True), encoding="utf-8")
    done = snakemake(odd.project, config, **SECRETS, HOME=str(odd.home), XDG_CACHE_HOME=str(odd.home / "cache"))
    (odd.folder / "output.txt").write_text(done.stdout, encoding="utf-8")
    assert done.returncode == 0, done.stdout


def snakemake(project: Path, config: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command, as people run it in a clone."""
    path = f"{BINARIES}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["snakemake", "--directory", str(project), "--configfile", str(config), "--printshellcmds", *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def xtts(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command."""
    return subprocess.run(
        [BINARIES / "xtts", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )


def _make_odd(dataset: Path) -> None:
    """Rename the first recordings and add rows with odd texts."""
    metadata = dataset / "metadata.csv"
    rows = [line.split("|") for line in metadata.read_text(encoding="utf-8").splitlines()]
    for row, name in zip(rows, FILE_NAMES, strict=False):
        (dataset / "wavs" / row[0]).rename(dataset / "wavs" / name)
        row[0] = f'"{name}"' if "|" in name else name
    spoken = rows[len(FILE_NAMES)]
    spoken[1:] = [spoken[1] + SPOKEN]
    rows += [[spoken[0], f'"{text.replace(chr(34), chr(34) * 2)}"'] for text in TEXTS]
    metadata.write_text("".join("|".join(row) + "\n" for row in rows), encoding="utf-8")


def _config(odd: OddWorkflow) -> dict[str, object]:
    training = {"learning_rate": 1e-3, "milestones": [4], "grad_accum": 1, "max_steps": 4, "eval_every_steps": 2}
    run = {
        "datasets": [DATASET],
        "tokenizer": {"new_tokens": 500},
        "training": training | {"dropout": 0.0},
        "synthesis": {
            "sentences": ["ሰላም ዓለም።"],
            "checkpoints": "selected",
            "speaker": f"{odd.name('dataset')}/wavs/{FILE_NAMES[2]}",
        },
    }
    return {
        "results": odd.name("results"),
        "base": odd.name("base"),
        "datasets": {DATASET: {"path": odd.name("dataset"), "language": "am", "validation": {"eval_min": 4}}},
        "runs": {RUN: run},
    }
