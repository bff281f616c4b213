"""A project folder: the user's configuration beside a Snakefile that includes the installed workflow."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import xtts_framework
from xtts_framework.config import refuse_wildcards
from xtts_framework.config_file import commented_yaml, new_project
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_folder, write_text
from xtts_framework.plugins.registry import load_plugins

SNAKEFILE = """\
from xtts_framework.project import workflow_folder


configfile: "config.yaml"


include: str(workflow_folder() / "workflow" / "Snakefile")


rule default:
    input:
        rules.all.input,
    default_target: True
"""


def workflow_folder() -> Path:
    """The folder that holds `workflow/` and `profiles/`: in the installed package, or the repository."""
    package = Path(xtts_framework.__file__).parent
    installed = package / "_workflow"
    return installed if installed.is_dir() else package.parent


def create_project(project: Path, language: str, dataset: Path) -> None:
    """Write a new project folder for one dataset. The dataset is only read.

    Raises:
        UserError: the folder exists and is not empty, the language has no pack, the dataset is no folder or has a
            name that the workflow cannot carry.
    """
    load_plugins().pack(language, {})
    if not dataset.is_dir():
        raise UserError(f"{dataset}: no such folder; expected the dataset's folder with metadata.csv in it")
    if project.exists() and (not project.is_dir() or any(project.iterdir())):
        raise UserError(f"{project}: exists already and is not empty; choose another name or remove it")
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", dataset.resolve().name).strip("-.") or "dataset"
    relative = Path(os.path.relpath(dataset.resolve(), project.resolve()))
    config = new_project(language, relative, name=name)
    refuse_wildcards(config)
    with replacing_folder(project) as folder:
        write_text(folder / "config.yaml", commented_yaml(config))
        write_text(folder / "Snakefile", SNAKEFILE)
        shutil.copytree(workflow_folder() / "profiles", folder / "profiles")
