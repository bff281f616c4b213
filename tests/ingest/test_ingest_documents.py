"""docs/ingest.md lists the reasons that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from xtts_framework.cli.ingest import FORMATS
from xtts_framework.ingest.recognition import LOOKED_FOR, Format
from xtts_framework.ingest.utterance import CODES, RETRIED

ROOT = Path(__file__).parents[2]


def section(title: str) -> str:
    text = (ROOT / "docs" / "ingest.md").read_text(encoding="utf-8")
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_table_of_reasons_is_that_of_the_code() -> None:
    assert re.findall(r"^\| `(\w+)`", section("Why something is left out"), re.MULTILINE) == list(CODES)
    assert CODES.keys() > RETRIED


def test_every_reason_is_used_and_no_other() -> None:
    sources = [*(ROOT / "xtts_framework" / "ingest").glob("*.py"), ROOT / "xtts_framework" / "stages" / "ingest.py"]
    used = {code for path in sources for code in re.findall(r'Fault\(\s*"(\w+)"', path.read_text(encoding="utf-8"))}
    assert used == CODES.keys()


def test_formats_are_the_same_in_the_command_the_code_and_the_documents() -> None:
    assert ("auto", *get_args(Format)) == FORMATS
    assert list(LOOKED_FOR) == list(get_args(Format))
    assert re.findall(r"^\| `([\w-]+)` \|", section("Formats"), re.MULTILINE) == list(get_args(Format))
