"""The kit turns the contract into tests of the author's: one per promise, named after it, with what was found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xtts_framework.plugins.contract.checks import CHECKS

PACK = """
from xtts_framework.plugins import LanguagePack
from xtts_framework.plugins.testing import LanguagePackContract

class Example(LanguagePack):
    code = "xx"
    name = "Example"
    api_version = 1
    alphabet = frozenset("abcdefghijklmnopqrstuvwxyz .,")
    def normalize(self, text):
        return " ".join(text.{case}().split())

class TestExample(LanguagePackContract):
    pack = Example
    examples = [{examples}]
"""


def run_kit(folder: Path, *, case: str = "lower", examples: str = "") -> tuple[int, str]:
    """Exit status and report of pytest on an author's file, away from this repository."""
    (folder / "test_example.py").write_text(PACK.format(case=case, examples=examples), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_each_promise_is_a_test_and_the_base_class_is_none(tmp_path: Path) -> None:
    status, report = run_kit(tmp_path, examples="('A  b.', 'a b.')")
    assert status == 0, report
    passed = [line.rpartition("::")[2] for line in report.splitlines() if line.startswith("PASSED")]
    assert sorted(passed) == sorted(f"test_{check.__name__}" for check in CHECKS)


def test_a_failure_is_named_after_the_promise_and_shows_the_text(tmp_path: Path) -> None:
    status, report = run_kit(tmp_path, case="strip", examples="('A  b.', 'a b.')")
    assert status == 1
    failed = {line.split(" - ")[0].rpartition("::")[2] for line in report.splitlines() if line.startswith("FAILED")}
    assert failed == {"test_normalize_is_blind_to_case", "test_reads_its_examples"}
    assert "normalize('A  b.'): expected 'a b.', found 'A b.'" in report
    assert "Traceback" not in report


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_promise_is_stated_in_words(check: object) -> None:
    assert check.__doc__
