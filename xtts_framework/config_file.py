"""Writing configuration files: commented YAML and the JSON schema, both generated from the typed tree."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from xtts_framework.config import DatasetUse, LanguageConfig, ProjectConfig, ProjectDataset, RunConfig

COMMENT_WIDTH = 118
HEADER = """\
# Configuration of xtts-framework. Every key below shows its default; delete what you do not change.
# Unknown keys are errors. A default without a source is this project's own choice.
# Generated from xtts_framework/config.py by `xtts config write`.
"""


def new_project(language: str, dataset: Path, *, name: str) -> ProjectConfig:
    """A project of one dataset and one run, everything else at its default."""
    return ProjectConfig(
        datasets={name: ProjectDataset(path=dataset, language=LanguageConfig(code=language))},
        runs={name: RunConfig(datasets={name: DatasetUse()})},
    )


def default_project() -> ProjectConfig:
    """What `config/config.yaml` shows: one Amharic dataset in `data/amharic`."""
    return new_project("am", Path("data/amharic"), name="amharic")


def commented_yaml(project: ProjectConfig) -> str:
    """The configuration as YAML with each field's description above it."""
    return HEADER + "\n".join(_lines(project, indent=0)) + "\n"


def json_schema() -> str:
    """JSON schema of the configuration, for editors and for other tools."""
    return json.dumps(ProjectConfig.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def _lines(model: BaseModel, indent: int) -> Iterator[str]:
    pad = " " * indent
    for name, field in type(model).model_fields.items():
        if field.description:
            yield from textwrap.wrap(
                field.description, COMMENT_WIDTH - indent, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# "
            )
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield f"{pad}{name}:"
            yield from _lines(value, indent + 2)
        elif isinstance(value, dict) and value and all(isinstance(item, BaseModel) for item in value.values()):
            yield f"{pad}{name}:"
            for key, item in value.items():
                yield f"{pad}  {_scalar(key)}:"
                yield from _lines(item, indent + 4)
        else:
            yield f"{pad}{name}: {_scalar(model.model_dump(mode='json')[name])}".rstrip()


def _scalar(value: Any) -> str:
    """One-line YAML; an absent value is written as nothing, which YAML reads as null."""
    if value is None:
        return ""
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")
