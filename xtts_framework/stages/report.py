"""Stage report: everything a run made, as one page to read and to listen to. Imports neither torch nor TTS."""

from __future__ import annotations

from collections.abc import Mapping

from xtts_framework.config import ReportConfig
from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import write_text
from xtts_framework.layout import DatasetFolder, RunFolder, require_datasets
from xtts_framework.report.render import render_page
from xtts_framework.report.run_page import gather_run_page


def report(config: ReportConfig, run: RunFolder, datasets: Mapping[str, DatasetFolder]) -> None:
    """Write `report.html` of a run: data and rejects, curves, selection, players, recipe.

    Parts that are missing are named on the page; nothing but the page is written.

    Args:
        datasets: results by dataset name, in the order they are shown.
    Raises:
        UserError: no such run, a dataset is missing or not of this run, or a file cannot be understood.
    """
    if not run.path.is_dir():
        raise UserError(f"{run.path}: no such folder; expected the results of a run, results/runs/RUN")
    require_datasets(config.dataset_paths, datasets)
    page = gather_run_page(config.run, run, datasets, config.dataset_paths)
    html = render_page(page)
    write_text(run.report, html)
    say(f"{run.report}: {len(html.encode()) / 1e6:.1f} MB, complete in itself")
