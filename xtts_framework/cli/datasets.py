"""The option `--dataset NAME=FOLDER`, which several stages share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from xtts_framework.layout import DatasetFolder


def dataset_option(*, required: bool = True) -> Callable[[Any], Any]:
    """Decorate a command with `--dataset`; it receives `datasets: dict[str, DatasetFolder]` in the order given."""
    return click.option(
        "--dataset",
        "datasets",
        multiple=True,
        required=required,
        metavar="NAME=FOLDER",
        callback=_parse,
        help="A dataset of the run and its results (results/datasets/NAME). May be repeated.",
    )


def _parse(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, DatasetFolder]:
    from xtts_framework.layout import DatasetFolder

    datasets: dict[str, DatasetFolder] = {}
    for value in values:
        name, equals, folder = value.partition("=")
        if not (name and equals and folder):
            raise click.BadParameter(f"expected NAME=FOLDER, found {value!r}")
        if name in datasets:
            raise click.BadParameter(f"dataset {name!r} is given twice")
        datasets[name] = DatasetFolder(Path(folder))
    return datasets
