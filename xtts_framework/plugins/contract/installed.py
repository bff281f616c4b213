"""Checks an installed plugin and its packs, each in a process of its own.

A plugin that hangs, or ends the process that loads it, becomes a report. The process of one plugin, or of one of its
packs, writes a line of JSON before each check and one after it:

    python -m xtts_framework.plugins.contract.installed NAME DISTRIBUTION [LANGUAGE OPTIONS]
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from typing import Any, TextIO

from xtts_framework.errors import UserError
from xtts_framework.plugins.contract.alone import load_alone
from xtts_framework.plugins.contract.candidate import Candidate
from xtts_framework.plugins.contract.checks import CHECKS, LOADING_CHECKS, Breach, Outcome, examine
from xtts_framework.plugins.discovery import (
    DISABLED_VARIABLE,
    PluginFailure,
    PluginInfo,
    describe_entry_point,
    disabled_names,
    find_entry_points,
    find_plugins,
    import_plugin,
    read_hooks,
    read_packs,
    refuse_shared_name,
)
from xtts_framework.plugins.language_pack import LanguagePack

LIMIT_S = 8.5
"""What checking a plugin and its first pack may take, and each further pack."""


@dataclass(frozen=True)
class Part:
    """The outcomes of a plugin itself (`language` None), or of one of its packs."""

    info: PluginInfo
    language: str | None
    outcomes: tuple[Outcome, ...]

    @property
    def broken(self) -> bool:
        return any(outcome.breaches for outcome in self.outcomes)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"plugin": asdict(self.info), "language": self.language, "checks": [asdict(o) for o in self.outcomes]}

    def lines(self) -> Iterator[str]:
        """For a person: each check with `ok`, `BROKEN` and how, or `skipped` and why."""
        yield f"language {self.language}" if self.language else str(self.info)
        for outcome in self.outcomes:
            if outcome.breaches:
                yield f"  BROKEN   {outcome.check}"
                yield from (f"           {breach.detail}" for breach in outcome.breaches)
            elif outcome.skipped:
                yield f"  skipped  {outcome.check}: {outcome.skipped}"
            else:
                yield f"  ok       {outcome.check}"


def check_installed(name: str, options: Mapping[str, Any], limit_s: float = LIMIT_S) -> Iterator[Part]:
    """Check all installed plugins of a name, or those that offer a language.

    Args:
        name: of an entry point, or a language code; then only the packs of this language are checked.
        options: for the packs, as under `language.options`.
        limit_s: seconds for a plugin and its first pack, and for each further pack.
    Raises:
        UserError: nothing installed has that name, or it is switched off.
    """
    infos, language = _find_plugins_called(name)
    for info in infos:
        started = time.monotonic()
        outcomes, languages = _run([info.name, info.distribution], limit_s)
        yield Part(info, None, outcomes)
        for code in languages:
            if language in (None, code):
                left = limit_s - (time.monotonic() - started)
                outcomes, _ = _run([info.name, info.distribution, code, json.dumps(dict(options))], left)
                yield Part(info, code, outcomes)
                started = time.monotonic()


def _find_plugins_called(name: str) -> tuple[list[PluginInfo], str | None]:
    """The plugins to check, and the language to check them for, or None. Imports nothing if the name is a plugin's."""
    installed = [describe_entry_point(entry_point) for entry_point in find_entry_points()]
    infos = [info for info in installed if info.name == name]
    if name in disabled_names():
        raise UserError(f"plugin {name!r} is disabled by {DISABLED_VARIABLE}. Take it out of there to check it.")
    if infos:
        return infos, None
    found = find_plugins()
    if name in found.claims:
        return list(dict.fromkeys(claim.info for claim in found.claims[name])), name
    languages = ", ".join(sorted(found.claims)) or "none"
    raise UserError(
        f"{name!r}: no installed plugin has this name or offers this language.\n"
        f"  Plugins: {', '.join(info.name for info in installed) or 'none'}. Languages: {languages}."
    )


def _run(arguments: list[str], limit_s: float) -> tuple[tuple[Outcome, ...], list[str]]:
    """Run one process; returns its outcomes, and the languages that it found."""
    command = [sys.executable, "-m", "xtts_framework.plugins.contract.installed", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    end = ""
    try:
        lines, errors = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        end = f"not finished after {limit_s:.0f} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with whatever the plugin has started
    if end:
        lines, errors = process.communicate()
    elif process.returncode != 0:
        last_words = errors.strip().rpartition("\n")[2] or "without a word"
        end = f"the process ended with status {process.returncode}: {last_words}"
    return _read_lines(lines, end)


def _read_lines(lines: str, end: str) -> tuple[tuple[Outcome, ...], list[str]]:
    """Outcomes and languages. `end` is what happened to the process: a breach of the check that was under way."""
    outcomes: list[Outcome] = []
    languages: list[str] = []
    under_way = "loads"
    for line in lines.splitlines():
        match json.loads(line):
            case {"languages": found}:
                languages = found
            case {"check": check, "breaches": details, "skipped": skipped}:
                breaches = tuple(Breach(check, breach["detail"]) for breach in details)
                outcomes.append(Outcome(check, breaches, skipped))
            case {"check": check}:
                under_way = check
    if end:
        outcomes.append(Outcome(under_way, (Breach(under_way, end),)))
    return tuple(outcomes), languages


def _main() -> None:
    name, distribution, *pack = sys.argv[1:]
    (entry_point,) = (
        entry_point
        for entry_point in find_entry_points()
        if (entry_point.name, describe_entry_point(entry_point).distribution) == (name, distribution)
    )
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the plugin prints is no answer
    if pack:
        language, options = pack
        _check_pack(entry_point, language, json.loads(options), answers)
    else:
        _check_plugin(entry_point, answers)


def _check_plugin(entry_point: EntryPoint, answers: TextIO) -> None:
    """Whether the plugin takes part at all; the first failure ends it, for what follows needs it."""
    languages: list[str] = []
    target = f"{entry_point.module}:{entry_point.attr}" if entry_point.attr else entry_point.module
    load = functools.cache(lambda: load_alone(target, {}, []))

    def has_its_own_name() -> Iterable[str]:
        refuse_shared_name(entry_point, find_entry_points())
        return ()

    def loads_without_torch() -> Iterable[str]:
        if load().error:
            asked = f"; it imports {', '.join(load().heavy_at_load)}" if load().heavy_at_load else ""
            yield f"cannot be imported without torch: {load().error}{asked}"

    def imports_no_torch_at_load() -> Iterable[str]:
        if load().heavy_at_load:
            yield f"imports {', '.join(load().heavy_at_load)} when it is loaded"

    def implements_known_hooks() -> Iterable[str]:
        hooks = read_hooks(import_plugin(entry_point))
        return () if hooks else ("implements no hook; is @hookimpl missing?",)

    def offers_packs() -> Iterable[str]:
        languages.extend(pack.code for pack in read_packs(import_plugin(entry_point)))
        return ()

    checks = (has_its_own_name, loads_without_torch, imports_no_torch_at_load, implements_known_hooks, offers_packs)
    for check in checks:
        _write(answers, {"check": check.__name__})
        try:
            details = list(check())
        except PluginFailure as failure:
            details = [str(failure)]
        breaches = tuple(Breach(check.__name__, detail) for detail in details)
        _write(answers, asdict(Outcome(check.__name__, breaches)))
        if breaches:
            return
    _write(answers, {"languages": list(dict.fromkeys(languages))})


def _check_pack(entry_point: EntryPoint, language: str, options: Mapping[str, Any], answers: TextIO) -> None:
    _write(answers, {"check": "offers_packs"})
    packs: list[type[LanguagePack]] = [pack for pack in read_packs(import_plugin(entry_point)) if pack.code == language]
    for candidate in (Candidate(pack, options) for pack in packs):
        for check in CHECKS[len(LOADING_CHECKS) :]:  # the plugin has passed these
            _write(answers, {"check": check.__name__})
            _write(answers, asdict(examine(candidate, check)))


def _write(answers: TextIO, line: Mapping[str, Any]) -> None:
    print(json.dumps(line), file=answers, flush=True)


if __name__ == "__main__":
    _main()
