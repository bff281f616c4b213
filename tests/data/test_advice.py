"""Every code is documented with what it means, what to do, what it does by default and which setting moves it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from xtts_framework.config import SeverityConfig, ValidationConfig
from xtts_framework.data.advice import ADVICE
from xtts_framework.data.checks import severity_of

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
ROWS = {
    match[1]: [cell.strip() for cell in re.split(r"(?<!\\)\|", match[2])[:-1]]
    for match in re.finditer(r"^\| `(\w+)` \|(.*\|)$", DOCUMENT, re.MULTILINE)
}


def test_the_document_has_every_code_with_its_advice() -> None:
    assert set(ROWS) == set(ADVICE)
    for code, advice in ADVICE.items():
        assert ROWS[code][-2:] == [advice.meaning.replace("|", "\\|"), advice.remedy.replace("|", "\\|")], code


def test_the_document_has_every_default_severity() -> None:
    configurable = set(SeverityConfig.model_fields)
    documented = {code for code, cells in ROWS.items() if cells[0] in ("reject", "warn")}
    assert documented == configurable
    for code in configurable:
        assert ROWS[code][0] == severity_of(code, SeverityConfig())


def test_the_document_names_settings_that_exist() -> None:
    named = {name for cells in ROWS.values() for name in re.findall(r"`(m\w+)`", " ".join(cells[:-2]))}
    assert len(named) > 10
    assert named <= set(ValidationConfig.model_fields)


def test_every_code_that_a_pack_or_a_check_gives_has_advice() -> None:
    """The codes are read from the source: a new one without advice fails here."""
    used = set()
    for path in [*(ROOT / "xtts_framework").rglob("*.py"), *(ROOT / "xtts_plugins").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "Problem",
                "TextProblem",
                "Limit",
                "_refuse",
            ):
                code = node.args[0] if node.args else None
                if isinstance(code, ast.Constant):
                    used.add(code.value)
    assert {"missing_audio", "wrong_script", "too_long", "truncated_audio"} <= used
    assert used <= set(ADVICE) | {"not_utf8"}
