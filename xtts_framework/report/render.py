"""The page as HTML: one file, nothing loaded from anywhere, everything from the user escaped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from xtts_framework.report.charts import compact, grouped
from xtts_framework.report.dataset_page import DatasetPage
from xtts_framework.report.run_page import RunPage

FOLDER = Path(__file__).parent
MISSING = "–"


def render_page(page: RunPage | DatasetPage) -> str:
    """Fill the page's template. Style and script are ours and go in as they are; all else is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": lambda value: _or_missing(value, grouped),
        "measure": lambda value: _or_missing(value, compact),
        "loss": lambda value: _or_missing(value, "{:.3f}".format),
        "percent": lambda value: _or_missing(value, lambda share: f"{100 * share:.1f} %"),
        "hours": lambda value: _or_missing(value, _hours),
        "words": _words,
        "code": _mark_code,
    }
    return environment.get_template(page.template).render(
        page=page,
        style=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        script=Markup((FOLDER / "page.js").read_text(encoding="utf-8")),
    )


def _or_missing(value: Any, show: Any) -> str:
    return MISSING if value is None or isinstance(value, jinja2.Undefined) else str(show(value))


def _mark_code(text: str) -> Markup:
    """Escaped text, in which what stands between backticks is code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _hours(hours: float) -> str:
    """Hours as people say them: 13.4 h, 42 min, 7 s."""
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"


def _words(value: Any) -> str:
    """A configuration value for a table: lists with commas, switches in words."""
    if value is None or isinstance(value, jinja2.Undefined):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(one)}" for key, one in value.items()) or "none"
    return compact(value) if isinstance(value, float) else str(value)
