"""A project whose dataset comes from a bucket and whose bundle goes to one, as docs/storage.md says."""

from __future__ import annotations

import copy
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
BINARIES = Path(sys.executable).parent
DOCUMENT = (ROOT / "docs" / "storage.md").read_text("utf-8")
CONFIG = yaml.safe_load("""
base: base
runs:
  first:
    datasets: [amharic]
    tokenizer: {new_tokens: 500}
    training: {learning_rate: 1.0e-3, grad_accum: 1, max_steps: 4, eval_every_steps: 2, dropout: 0.0}
    synthesis: {sentences: [ሰላም ዓለም።], checkpoints: selected}
""")


def blocks(language: str) -> list[str]:
    """What docs/storage.md shows."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def documented_config() -> dict[str, Any]:
    """The configuration of the document, with a run that takes seconds."""
    (shown,) = blocks("yaml")
    config = copy.deepcopy(CONFIG) | yaml.safe_load(shown)
    config["datasets"]["amharic"]["validation"] = {"eval_min": 4}
    return config


def write_config(project: Path, config: dict[str, Any]) -> None:
    project.mkdir(exist_ok=True)
    (project / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")


def packed(folder: Path, *, top: str = ".") -> bytes:
    """A folder as tar.gz, its files at the top of the archive or in the folder `top`."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(folder, arcname=top)
    return content.getvalue()


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as a user starts it whose home, and whose environment, know of no storage but the one given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SNAKEMAKE_"))}
    kept |= {"PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    kept |= {"HOME": str(folder / "home"), "AWS_EC2_METADATA_DISABLED": "true"}
    return subprocess.run(
        command, cwd=folder, env=kept | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def snakemake(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml", *arguments]
    return run(command, project, **environment)


def rules_of(output: str) -> list[str]:
    """Every rule that Snakemake started, in order."""
    return re.findall(r"^(?:local)?rule ([\w.-]+):$", output, re.MULTILINE)
