"""No source of ours has a way to run what a file or a name says: read from the syntax, not from the wording."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
import yaml
from odd_workflow import ROOT

from xtts_framework.config import _UniqueKeys

SOURCES = sorted(path for folder in ("xtts_framework", "xtts_plugins") for path in (ROOT / folder).rglob("*.py"))
RULES = sorted((ROOT / "workflow").rglob("*.smk"))
ALLOWED = {
    ("xtts_framework/plugins/contract/alone.py", "pickle.load"): "the child reads its parent's question",
    **{
        ("xtts_framework/stages/unpack.py", name): "member by member, files and folders inside only"
        for name in ("tarfile.open", "zipfile.ZipFile")
    },
    **{
        ("xtts_plugins/native/coqui.py", name): "a module of the installed coqui-tts is imported by hand"
        for name in ("exec", "compile", "builtins.__import__")
    },
}
"""Where a danger is none, and why."""

FORBIDDEN = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__"), "runs text"),
    **dict.fromkeys(("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"), "a shell"),
    **dict.fromkeys(("pty.spawn", "asyncio.create_subprocess_shell"), "a shell"),
    **dict.fromkeys(("pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "shelve.open"), "unpickles"),
    **dict.fromkeys(("joblib.load", "dill.load", "dill.loads", "cloudpickle.load", "torch.hub.load"), "unpickles"),
    **dict.fromkeys(("trainer.io.load_fsspec", "TTS.utils.io.load_fsspec"), "unpickles"),
    **dict.fromkeys(("yaml.unsafe_load", "yaml.full_load", "yaml.load_all"), "makes objects"),
    **dict.fromkeys(("jinja2.Template", "string.Formatter"), "a template from text"),
    **dict.fromkeys(("tarfile.open", "zipfile.ZipFile", "shutil.unpack_archive"), "unpacks an archive"),
}
FORBIDDEN_METHODS = {
    "from_string": "a template from text",
    "load_checkpoint": "coqui's loader unpickles",
    "extractall": "unpacks",
}
HARMLESS_OWNERS = ("pysubs2.SSAFile",)
STARTS_PROCESS = frozenset(f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output"))


def dangers(source: str) -> list[tuple[str, str]]:
    """Calls in a module that could run what somebody else wrote: the function, and what it does."""
    tree = ast.parse(source)
    names = dict(_imported(tree))
    calls = [(call, _dotted(call.func, names)) for call in ast.walk(tree) if isinstance(call, ast.Call)]
    return [(name, danger) for call, name in calls if (danger := _danger_of(call, name))]


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Name in the module, and what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                package = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (package, package)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted(function: ast.expr, names: dict[str, str]) -> str:
    if isinstance(function, ast.Attribute):
        return f"{_dotted(function.value, names)}.{function.attr}"
    return names.get(function.id, function.id) if isinstance(function, ast.Name) else "?"


def _danger_of(call: ast.Call, name: str) -> str | None:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if danger := FORBIDDEN.get(name.removeprefix("builtins.")):
        return danger
    owner, _, method = name.rpartition(".")
    if owner and owner not in HARMLESS_OWNERS and method in FORBIDDEN_METHODS:
        return FORBIDDEN_METHODS[method]
    if name == "torch.load" and not _is(keywords.get("weights_only"), True):
        return "without weights_only=True"
    if name == "yaml.load" and not _names(keywords.get("Loader"), "_UniqueKeys"):
        return "with another loader than the safe one"
    if name == "numpy.load" and "allow_pickle" in keywords:
        return "with allow_pickle"
    if name not in STARTS_PROCESS:
        return None
    if "shell" in keywords and not _is(keywords["shell"], False):
        return "with a shell"
    command = call.args[0] if call.args else keywords.get("args")
    is_text = isinstance(command, ast.Constant | ast.JoinedStr | ast.BinOp) or (
        isinstance(command, ast.Call) and _dotted(command.func, {}).endswith((".join", ".format", "str"))
    )
    return "with a command that is text" if is_text else None


def _is(value: ast.expr | None, constant: bool) -> bool:
    return isinstance(value, ast.Constant) and value.value is constant


def _names(value: ast.expr | None, name: str) -> bool:
    return isinstance(value, ast.Name) and value.id == name


def test_no_source_runs_what_others_wrote() -> None:
    found = [
        (path.relative_to(ROOT).as_posix(), name, danger)
        for path in SOURCES
        for name, danger in dangers(path.read_text("utf-8"))
    ]
    assert [where for where in found if where[:2] not in ALLOWED] == []
    assert {where[:2] for where in found} == set(ALLOWED), "no exception without its reason"


def test_the_loader_of_configurations_makes_plain_values() -> None:
    assert issubclass(_UniqueKeys, yaml.SafeLoader)


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "import builtins\nbuiltins.exec(text)",
        "import os\nos.system(f'rm {name}')",
        "from os import system as run\nrun(text)",
        "import pickle as p\np.load(stream)",
        "from pickle import loads\nloads(content)",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "from torch import load\nload(path, weights_only=wanted)",
        "import subprocess\nsubprocess.run(command, shell=True)",
        "import subprocess\nsubprocess.run(command, shell=wanted)",
        "import subprocess\nsubprocess.Popen(f'ffmpeg {name}')",
        "from subprocess import run\nrun(' '.join(words))",
        "import subprocess\nsubprocess.run(args='ls ' + name)",
        "import yaml\nyaml.load(text, Loader=yaml.UnsafeLoader)",
        "import yaml\nyaml.unsafe_load(text)",
        "import jinja2\njinja2.Template(text)",
        "environment.from_string(text)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import tarfile\ntarfile.open(path).extractall(folder)",
        "model.load_checkpoint(config, folder)",
    ],
)
def test_each_danger_is_seen(source: str) -> None:
    """Guards the guard."""
    assert dangers(source)


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(path, map_location='cpu', weights_only=True)",
        "import subprocess\nsubprocess.run([program, name], capture_output=True)",
        "import re\nre.compile(text)",
        "model.eval()",
    ],
)
def test_what_is_safe_is_left_alone(source: str) -> None:
    assert dangers(source) == []


def placeholders(rules: str) -> list[str]:
    """What Snakemake fills into the shell commands of a file of rules."""
    commands = re.findall(r"^    shell:\n((?:^ {8,}.*\n)+)", rules, re.MULTILINE)
    return re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", "".join(commands))


PLAIN = re.compile(r"resources\.\w+|wildcards\.parts?|params\.stop_early_s|threads")
"""Numbers, and two wildcards that are constrained to digits."""


def test_rules_quote_whatever_they_hand_to_a_shell() -> None:
    found = [name for path in RULES for name in placeholders(path.read_text("utf-8"))]
    assert len(found) > 20, "rules have commands"
    assert [name for name in found if not (name.endswith(":q") or PLAIN.fullmatch(name))] == []


def test_an_unquoted_name_is_seen() -> None:
    """Guards the guard."""
    assert placeholders('rule x:\n    shell:\n        "xtts {input.config:q}"\n        " {output}"\n') == [
        "input.config:q",
        "output",
    ]
