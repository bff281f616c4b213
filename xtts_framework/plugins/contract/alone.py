"""Loads a plugin or a pack in a process of its own, in which torch and its like cannot be imported.

    python -m xtts_framework.plugins.contract.alone < QUESTION > ANSWER

The question is `sys.path` and the arguments of `load_alone`, the answer the fields of an `Answer`. Both are pickled:
JSON changes lone surrogates. The answer comes from a process in which a plugin runs: it is read as plain values, and
anything else in it is an error.
"""

from __future__ import annotations

import contextlib
import io
import operator
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

HEAVY_PACKAGES = ("torch", "torchaudio", "TTS", "trainer", "transformers")
"""What no pack may need: validate and tokenize read texts without them, and importing them takes seconds."""

LIMIT_S = 60.0


@dataclass(frozen=True)
class Answer:
    """What happened.

    Args:
        error: why the target could not be loaded.
        heavy_at_load: heavy packages that loading asked for.
        heavy_in_use: heavy packages that reading and checking the texts asked for.
        readings: the normalised texts; None for a text on which the pack failed.
    """

    error: str | None
    heavy_at_load: list[str]
    heavy_in_use: list[str]
    readings: list[str | None]


def load_alone(target: str, options: Mapping[str, Any], texts: Sequence[str]) -> Answer:
    """Load `module:name` in a fresh process without heavy packages, and let it read texts.

    Args:
        target: an entry point's value, or a pack class. `module` alone will do when there is nothing to read.
        options: of the pack.
        texts: what the pack shall normalise.
    """
    question = pickle.dumps((sys.path, target, dict(options), list(texts)))
    command = [sys.executable, "-m", "xtts_framework.plugins.contract.alone"]
    try:
        done = subprocess.run(command, input=question, capture_output=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return Answer(f"not finished after {LIMIT_S:.0f} s", [], [], [])
    if done.returncode == 0:
        return _read_answer(done.stdout)
    return Answer(describe_end(done.returncode, done.stderr.decode("utf-8", "backslashreplace")), [], [], [])


class _PlainValues(pickle.Unpickler):
    """Reads strings, lists and the like; a pickle that names anything to be called or made is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def _read_answer(pickled: bytes) -> Answer:
    try:
        return Answer(**_PlainValues(io.BytesIO(pickled)).load())
    except Exception as error:  # a damaged pickle may raise anything
        return Answer(f"the process gave no answer that can be read ({error})", [], [], [])


def describe_end(status: int, errors: str) -> str:
    """How a process ended that has failed.

    Args:
        status: its exit status; below 0 the signal that ended it.
        errors: what it wrote on stderr.
    """
    if status == -signal.SIGXCPU:
        return "not finished within the processor time that it may take"
    last_words = errors.strip().rpartition("\n")[2] or "it said nothing"
    return f"the process ended with status {status}: {last_words}"


class _Refusing(Loader):
    """Stands for a package that is there, but whose import fails."""

    def __init__(self, asked: list[str]) -> None:
        self.asked = asked

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        self.asked.append(spec.name)
        raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        raise AssertionError("create_module has raised")


class _HeavyPackages(MetaPathFinder):
    """Finds heavy packages before anybody else does. Looking whether they are installed is allowed."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, _Refusing(self.asked)) if fullname.partition(".")[0] in HEAVY_PACKAGES else None

    def list_asked(self) -> list[str]:
        asked, self.asked = self.asked, []
        return sorted(set(asked))


def _answer(target: str, options: dict[str, Any], texts: list[str]) -> Answer:
    heavy = _HeavyPackages()
    sys.meta_path.insert(0, heavy)
    module, _, name = target.partition(":")
    try:
        loaded = import_module(module)
        if name:
            loaded = operator.attrgetter(name)(loaded)
    except BaseException as error:
        return Answer(f"{type(error).__name__}: {error}", heavy.list_asked(), [], [])
    at_load = heavy.list_asked()
    readings = _read(loaded, options, texts) if texts else []
    return Answer(None, at_load, heavy.list_asked(), readings)


def _read(pack: Any, options: dict[str, Any], texts: list[str]) -> list[str | None]:
    readings: list[str | None] = []
    try:
        instance = pack(pack.Options.model_validate(options))
    except Exception:
        return []
    for text in texts:
        try:
            readings.append(instance.normalize(text))
        except Exception:
            readings.append(None)
            continue
        with contextlib.suppress(Exception):  # other checks tell
            instance.check(text, readings[-1])
    return readings


def _main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the plugin prints is no answer
    sys.path[:], target, options, texts = pickle.load(sys.stdin.buffer)
    with answers:
        pickle.dump(asdict(_answer(target, options, texts)), answers)


if __name__ == "__main__":
    _main()
