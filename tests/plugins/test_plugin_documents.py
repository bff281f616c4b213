"""The documents for plugin authors: complete, and every file on them works as it stands."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import pytest
from click.testing import CliRunner

from xtts_framework.cli.main import cli
from xtts_framework.plugins import LanguagePack, hookspecs, load_plugins, rules
from xtts_framework.plugins.contract.checks import CHECKS

DOCUMENTS = Path(__file__).parents[2] / "docs"
GUIDE = DOCUMENTS / "writing-a-pack.md"
SPECIFICATIONS = {name: spec for name, spec in vars(hookspecs).items() if name.startswith("xtts_")}

PUBLISHED = {
    "xtts_language_packs": (),
    "xtts_check_text": ("language", "raw", "normalized"),
    "xtts_freezing_plan": ("language", "training_clips", "blocks"),
    "xtts_on_run_start": ("run_folder", "description"),
    "xtts_on_metrics": ("step", "metrics"),
    "xtts_on_checkpoint": ("step", "folder"),
    "xtts_on_run_end": ("step", "reason"),
}
"""What plugins out there may implement. Lines and arguments are added here, never changed or taken out."""


def test_hooks_and_arguments_are_added_but_never_renamed_or_removed() -> None:
    assert {name: tuple(inspect.signature(spec).parameters) for name, spec in SPECIFICATIONS.items()} == PUBLISHED


def sections() -> dict[str, str]:
    """The sections of `docs/hooks.md` that describe a hook."""
    _, *parts = re.split(r"^## ", (DOCUMENTS / "hooks.md").read_text("utf-8"), flags=re.MULTILINE)
    return {title: body for title, _, body in (part.partition("\n") for part in parts)}


def python_blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_every_hook_is_documented_and_nothing_else() -> None:
    assert list(sections()) == list(SPECIFICATIONS)


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_the_documented_signature_is_the_real_one(name: str) -> None:
    documented, _ = python_blocks(sections()[name])
    real = str(inspect.signature(SPECIFICATIONS[name])).replace("'", "")
    assert documented.strip() == f"def {name}{real}"


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_every_hook_says_what_it_is_for(name: str) -> None:
    assert inspect.getdoc(SPECIFICATIONS[name])


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_the_example_of_each_hook_works(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, example = python_blocks(sections()[name])
    plugin = ModuleType("example")
    exec(compile(example, f"hooks.md, {name}", "exec"), plugin.__dict__)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    arguments: dict[str, Any] = {
        "language": "am",
        "raw": "ሰላም",
        "normalized": "ሰላም",
        "training_clips": 100,
        "blocks": 30,
        "run_folder": Path("run"),
        "description": {"first_step": 0, "last_step": 8},
        "step": 4,
        "metrics": {"eval/loss_mel": 5.0},
        "folder": Path("step-00000004"),
        "reason": "max_steps 4 reached",
    }
    asked = inspect.signature(SPECIFICATIONS[name]).parameters
    answer = getattr(manager.hook, name)(**{argument: arguments[argument] for argument in asked})
    assert answer or capsys.readouterr().out


def test_the_guide_explains_every_member_of_a_pack_and_nothing_else() -> None:
    bullets = re.findall(r"^- \*\*.*?(?=^- |^\S)", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    explained = {name for bullet in bullets for name in re.findall(r"\*\*`(\w+)`\*\*", bullet)}
    assert explained == {name for name in vars(LanguagePack) | inspect.get_annotations(LanguagePack) if name[0] != "_"}


def test_the_guide_names_every_ready_made_rule() -> None:
    ready_made = [name for name, rule in vars(rules).items() if inspect.isfunction(rule)]
    assert len(ready_made) == 4
    assert [name for name in ready_made if f"`{name}`" not in GUIDE.read_text("utf-8")] == []


def files_of_the_guide() -> dict[str, str]:
    text = GUIDE.read_text("utf-8")
    return dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL | re.MULTILINE))


def test_the_pack_of_the_guide_works_as_it_stands(
    tmp_path: Path, install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of_the_guide()
    assert list(files) == ["xtts_armenian.py", "pyproject.toml", "test_armenian.py"]
    project = tomllib.loads(files["pyproject.toml"])["project"]
    ((name, module),) = project["entry-points"]["xtts_framework.plugins"].items()
    install(name, files["xtts_armenian.py"], module=module, package=project["name"])
    plugins = load_plugins()
    pack = plugins.pack("hy", {"ligature": "split"})
    assert plugins.read_text(pack, "Ես  և դու:") == ("ես եւ դու։", [])
    assert pack.split_sentences("ես։ դու։", 100) == ["ես։", "դու։"]
    assert [problem.code for problem in plugins.read_text(pack, "abc")[1]] == ["unknown_character"]
    (command,) = re.findall(r"^xtts (text .*)$", GUIDE.read_text("utf-8"), re.MULTILINE)
    shown = CliRunner().invoke(cli, shlex.split(command))
    assert shown.exit_code == 0, shown.output
    assert "replace marks" in shown.output
    assert 'ես և "դու"։' in shown.output


def test_the_tests_of_the_guide_pass(tmp_path: Path) -> None:
    for name, content in files_of_the_guide().items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "test_armenian.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 * len(CHECKS)} passed" in done.stdout
    assert "skipped" not in done.stdout


def test_the_commands_of_the_guide_check_its_pack(install: Callable[..., Path]) -> None:
    files = files_of_the_guide()
    folder = install("armenian", files["xtts_armenian.py"], module="xtts_armenian", package="xtts-armenian")
    commands = re.findall(r"^xtts (plugins check .*)$", GUIDE.read_text("utf-8"), re.MULTILINE)
    assert len(commands) == 2
    start = [sys.executable, "-c", "from xtts_framework.cli.main import main; main()"]
    for command in commands:
        main = [*start, *command.split(), "--limit=60"]
        environment = os.environ | {"PYTHONPATH": str(folder)}
        done = subprocess.run(main, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "normalize_is_idempotent" in done.stdout
