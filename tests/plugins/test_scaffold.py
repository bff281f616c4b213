"""`xtts plugins new`: a package that installs, passes its own tests and tells what is left to decide."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from xtts_framework.cli.main import cli
from xtts_framework.plugins import load_plugins

GUIDE = Path(__file__).parents[2] / "docs" / "third-party-packs.md"
MODULE = "xtts_lang_tigre.py"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DECISIONS = {
    'LETTERS = ""': 'LETTERS = "abcdefghijklmnopqrstuvwxyz"',
    'MARKS = ""': 'MARKS = ".,-"',
    'REPLACEMENTS: dict[str, str] = {}': 'REPLACEMENTS: dict[str, str] = {"-": "–—"}',
    'SENTENCE_MARKS = ""': 'SENTENCE_MARKS = "."',
    'CLAUSE_MARKS = ""': 'CLAUSE_MARKS = ","',
    'ABBREVIATIONS: dict[str, str] = {}': 'ABBREVIATIONS: dict[str, str] = {"dr.": "doctor"}',
    "    return digits": f"    return ' '.join({DIGITS}[int(digit)] for digit in digits)",
}  # fmt: skip
"""Line of the new pack -> what an author might make of it."""


def run_new(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["plugins", "new", *arguments])


def complaint(*arguments: str) -> str:
    result = run_new(*arguments)
    assert result.exit_code != 0
    return result.output + str(result.exception or "")


def run_tests(package: Path, module_folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The package's own pytest, with the module from `module_folder`. In CI pytest shortens no line."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments],
        cwd=package,
        env=os.environ | {"CI": "1", "PYTHONPATH": str(module_folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def edit(file: Path, lines: dict[str, str]) -> None:
    """Replace whole lines, each of which the file has once."""
    text = file.read_text("utf-8")
    for old, new in lines.items():
        assert text.count(f"\n{old}\n") == 1, old
        text = text.replace(f"\n{old}\n", f"\n{new}\n")
    file.write_text(text, encoding="utf-8")


def empty_the_list(file: Path) -> None:
    emptied, count = re.subn(r"UNDECIDED: .*?\n\)", "UNDECIDED = ()", file.read_text("utf-8"), flags=re.DOTALL)
    assert count == 1
    file.write_text(emptied, encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "xtts-lang-tigre"
    result = run_new("tigre", "--language", "tig", "--out", str(folder))
    assert result.exit_code == 0, result.output
    return folder


def test_the_package_installs_passes_its_tests_and_lists_what_is_undecided(package: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *isolation, "--target", str(installed)]
    done = subprocess.run([*command, str(package)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (installed / MODULE).read_text("utf-8") == (package / MODULE).read_text("utf-8")
    entry_points = next(installed.glob("xtts_lang_tigre-0.1.0.dist-info/entry_points.txt")).read_text("utf-8")
    assert entry_points.split() == ["[xtts_framework.plugins]", "tigre", "=", "xtts_lang_tigre"]
    tested = run_tests(package, installed)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert set(re.findall(r"XFAIL .*\[(\w+)\] - undecided", tested.stdout)) == {
        "LETTERS", "MARKS", "REPLACEMENTS", "SENTENCE_MARKS", "CLAUSE_MARKS", "ABBREVIATIONS", "read_number",
    }  # fmt: skip


def test_the_guide_lists_the_files_of_the_package(package: Path) -> None:
    rows = [line.split("|")[1] for line in GUIDE.read_text("utf-8").splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert listed == {str(file.relative_to(package)) for file in package.rglob("*") if file.is_file()}


def test_an_undecided_pack_refuses_every_text_and_says_where_to_decide(
    package: Path, install: Callable[..., Path]
) -> None:
    install("tigre", (package / MODULE).read_text("utf-8"))
    plugins = load_plugins()
    pack = plugins.pack("tig", {})
    for text in ("", "abc", "ሰላም"):
        (problem,) = plugins.read_text(pack, text)[1]
        assert problem.code == "undecided"
        assert problem.detail.startswith(f"{MODULE} leaves undecided: LETTERS, MARKS")


def test_decisions_that_are_still_listed_fail_the_tests_one_by_one(package: Path) -> None:
    edit(package / MODULE, DECISIONS)
    tested = run_tests(package, package, "-k", "undecided")
    assert tested.returncode == 1, tested.stdout
    failed = re.findall(r"^FAILED .*\[(\w+)\] - \[XPASS\(strict\)\] .*delete its name", tested.stdout, re.MULTILINE)
    assert len(failed) == len(DECISIONS)


def test_a_pack_that_only_says_it_is_decided_fails_its_tests(package: Path) -> None:
    empty_the_list(package / MODULE)
    tested = run_tests(package, package, "-k", "examples")
    assert tested.returncode == 1, tested.stdout
    assert "give some examples" in tested.stdout


def decide_everything(package: Path) -> None:
    edit(package / MODULE, DECISIONS)
    empty_the_list(package / MODULE)


def test_a_pack_with_every_decision_made_passes_its_tests(package: Path) -> None:
    decide_everything(package)
    edit(
        package / "tests" / f"test_{MODULE}",
        {"EXAMPLES: list[tuple[str, str]] = []": 'EXAMPLES = [("Dr. No — 7, and  A.", "doctor no - seven, and a.")]'},
    )
    tested = run_tests(package, package)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "xfailed" not in tested.stdout


def test_numbers_that_stand_alone_are_read_and_all_others_refuse_the_text(
    package: Path, install: Callable[..., Path]
) -> None:
    decide_everything(package)
    install("tigre", (package / MODULE).read_text("utf-8"))
    plugins = load_plugins()
    pack = plugins.pack("tig", {})
    for text, read in {
        "In 1987, all of 5.": "in one nine eight seven, all of five.",
        "7, 8 and \u0667": "seven, eight and seven",
        "0": "zero",
        "Dr. 9": "doctor nine",
    }.items():
        assert plugins.read_text(pack, text) == (read, [])
    for text in (
        *(
            "12.05.2024",
            "3,5",
            "1.250",
            "14:30",
            "2-1",
            "007",
            "\u0660\u0667",
            "5km",
            "x5",
            "5%",
            "$5",
            "-5",
            "5\u0300",
        ),
        *("1 500", "1 000 000", "2 - 1", "2 – 1", "032 2 12", "1/2", "5²", "9" * 13, "9" * 5000),
    ):
        normalized, problems = plugins.read_text(pack, f"a {text} b")
        assert [problem.code for problem in problems] == ["unknown_character"], normalized
        assert not set(DIGITS) & set(re.split(r"\W", normalized)), normalized


def test_a_rule_before_read_numbers_reads_what_the_skeleton_leaves(package: Path, install: Callable[..., Path]) -> None:
    decide_everything(package)
    rule = 'def read_percent(text: str) -> str:\n    return regex.sub(r"(?<=\\d)%", " percent", text)'
    edit(
        package / MODULE,
        {"RULES = (": f"{rule}\n\n\nRULES = (", "    read_numbers,": "    read_percent,\n    read_numbers,"},
    )
    install("tigre", (package / MODULE).read_text("utf-8"))
    plugins = load_plugins()
    assert plugins.read_text(plugins.pack("tig", {}), "Some 25%.") == ("some two five percent.", [])


@pytest.mark.parametrize(
    ("name", "language", "english_name"),
    [("tigre", "tig", "Tigre"), ("norwegian-bokmal", "nb", "Norwegian (Bokmål)"), ("nko", "nqo", "N'Ko")],
)
def test_what_is_written_is_well_formed(tmp_path: Path, name: str, language: str, english_name: str) -> None:
    result = run_new(name, "--language", language, "--english-name", english_name, "--out", str(tmp_path / name))
    assert result.exit_code == 0, result.output
    for check in (["check", "--select", "E,F,I,UP,B,SIM,C4,PTH"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *check, str(tmp_path / name)], capture_output=True)
        assert done.returncode == 0, done.stdout.decode()
    (module,) = (tmp_path / name).glob("*.py")
    done = subprocess.run(
        [sys.executable, "-c", f"import {module.stem} as m; (pack,) = m.xtts_language_packs(); print(pack.name)"],
        cwd=tmp_path / name,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == english_name


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["Tigre", "--language", "tig"], "'Tigre' cannot name a package: expected lower-case letters"),
        (["../tigre", "--language", "tig"], "cannot name a package"),
        (["language-pack", "--language", "tig"], "LanguagePack is taken"),
        (["none", "--language", "tig"], "None is taken"),
        (["tigre", "--language", "Tigre"], "'Tigre' is no language code"),
        (["tigre", "--language", "tig", "--english-name", 'Ti"gre'], "cannot be the English name"),
        (["tigre", "--language", "am"], "'am' is claimed by plugin 'amharic' (xtts-framework"),
        (["amharic", "--language", "tig"], "plugin 'amharic' (xtts-framework"),
    ],
)
def test_what_cannot_become_a_package_is_refused(tmp_path: Path, arguments: list[str], expected: str) -> None:
    assert expected in complaint(*arguments, "--out", str(tmp_path / "new"))
    assert not list(tmp_path.iterdir())


def test_existing_work_is_never_overwritten(package: Path) -> None:
    edit(package / MODULE, {'LETTERS = ""': 'LETTERS = "abc"'})
    assert "is not empty" in complaint("tigre", "--language", "tig", "--out", str(package))
    assert 'LETTERS = "abc"' in (package / MODULE).read_text("utf-8")
