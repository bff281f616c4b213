"""Coqui's cleaners, from the installed coqui-tts, without torch.

They live in the module of XTTS's tokenizer, which imports torch for one `isinstance` and the package around it for two
functions of a line: 10 seconds for nothing that a text needs. So the module is run here by itself, with an `import`
statement of its own; `sys.modules` never hears of it.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from functools import cache, lru_cache
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

Cleaner = Callable[[str, str], str]
"""From a text and coqui's language code (`zh` for Chinese) to what XTTS reads. Raises whatever it likes."""

NUMBERS_REMEMBERED = 10_000


@cache
def load_cleaner() -> Cleaner:
    """What coqui does to a text before it is encoded: `VoiceBpeTokenizer.preprocess_text`.

    Raises:
        ModuleNotFoundError: coqui-tts, or a module of it, is not where it was in 0.28.0.
    """
    tokenizer: Any = _run("TTS.tts.layers.xtts.tokenizer")
    cleaner: Cleaner = tokenizer.VoiceBpeTokenizer().preprocess_text
    return cleaner


def _run(name: str) -> ModuleType:
    """Run one module of coqui-tts, and none of the packages that it lies in."""
    path = _find(name)
    module = ModuleType(name)
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import}
    exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    return module


def _find(name: str) -> Path:
    package, *inner = name.split(".")
    spec = PathFinder.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, *inner).with_suffix(".py")
        if path.is_file():
            return path
    raise ModuleNotFoundError(f"no module {name}; is coqui-tts 0.28.0 installed?", name=name)


def _import(name: str, *arguments: Any, **named: Any) -> Any:
    """The `import` statement of coqui's modules."""
    if name == "torch":
        return ModuleType(name)
    if name == "TTS.tts.utils.text.cleaners":
        return SimpleNamespace(lowercase=str.lower, collapse_whitespace=_collapse_whitespace)
    if name.startswith("TTS."):
        return _run(name)
    if name == "num2words":
        return SimpleNamespace(num2words=_remember_numbers())
    return builtins.__import__(name, *arguments, **named)


def _collapse_whitespace(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


@cache
def _remember_numbers() -> Callable[..., str]:
    """num2words takes most of the time, and texts repeat their numbers."""
    library: Any = import_module("num2words")
    return lru_cache(NUMBERS_REMEMBERED, typed=True)(library.num2words)
