"""Checks an installed plugin and its packs, each in a process of its own.

A plugin that hangs, or ends the process that loads it, becomes a report. The process of one plugin, or of one of its
packs, writes a line of JSON before each check and one after it:

    python -m xtts_framework.plugins.contract.installed LIMIT_S NAME DISTRIBUTION [LANGUAGE OPTIONS]
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from typing import Any, TextIO

from xtts_framework.config import parse_config
from xtts_framework.errors import UserError
from xtts_framework.plugins.contract.alone import describe_end, load_alone
from xtts_framework.plugins.contract.candidate import Candidate, Uncheckable
from xtts_framework.plugins.contract.checks import (
    CHECKS,
    LOADING_CHECKS,
    Breach,
    Outcome,
    complain_of_failed_load,
    complain_of_heavy_load,
    examine,
)
from xtts_framework.plugins.discovery import (
    DISABLED_VARIABLE,
    PluginFailure,
    PluginInfo,
    describe_entry_point,
    disabled_names,
    find_entry_points,
    find_plugins,
    find_target,
    import_plugin,
    read_hooks,
    read_packs,
    refuse_shared_name,
)
from xtts_framework.plugins.language_pack import LanguagePack

WALL_CLOCK = 2
"""Times its processor time that a process may take by the clock on the wall: it may have to wait for others."""


@dataclass(frozen=True)
class Part:
    """The outcomes of a plugin itself (`language` None), or of one of its packs."""

    info: PluginInfo
    language: str | None
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> bool:
        """Whether a promise is broken, or a check came to no end."""
        return any(outcome.breaches or outcome.unfinished for outcome in self.outcomes)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"plugin": asdict(self.info), "language": self.language, "checks": [asdict(o) for o in self.outcomes]}

    def lines(self) -> Iterator[str]:
        """For a person: each check with `ok`, `BROKEN` and how, `skipped` or `unfinished` and why."""
        yield f"language {self.language}" if self.language else str(self.info)
        for outcome in self.outcomes:
            if outcome.breaches:
                yield f"  BROKEN   {outcome.check}"
                yield from (f"           {breach.detail}" for breach in outcome.breaches)
            elif outcome.unfinished:
                yield f"  unfinished  {outcome.check}: {outcome.unfinished}"
            elif outcome.skipped:
                yield f"  skipped  {outcome.check}: {outcome.skipped}"
            else:
                yield f"  ok       {outcome.check}"


def check_installed(name: str, options: Mapping[str, Any], limit_s: int) -> Iterator[Part]:
    """Check all installed plugins of a name, or those that offer a language.

    Args:
        name: of an entry point, or a language code; then only the packs of this language are checked.
        options: for the packs, as under `language.options`.
        limit_s: processor seconds for a plugin, and for each of its packs.
    Raises:
        UserError: nothing installed has that name, it is switched off, or a pack does not take the options.
    """
    infos, language = _find_plugins_called(name)
    for info in infos:
        outcomes, languages = _run([info.name, info.distribution], limit_s)
        yield Part(info, None, outcomes)
        for code in languages:
            if language in (None, code):
                outcomes, _ = _run([info.name, info.distribution, code, json.dumps(dict(options))], limit_s)
                yield Part(info, code, outcomes)


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


def _run(arguments: list[str], limit_s: int) -> tuple[tuple[Outcome, ...], list[str]]:
    """Run one process; returns its outcomes, and the languages that it found."""
    command = [sys.executable, "-m", "xtts_framework.plugins.contract.installed", str(limit_s), *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    in_time = True
    try:
        lines, errors = process.communicate(timeout=WALL_CLOCK * limit_s)
    except subprocess.TimeoutExpired:
        in_time = False
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with whatever the plugin has started
    if not in_time:
        lines, _ = process.communicate()
        outcomes, languages, under_way, _ = _read_lines(lines)
        reason = (
            f"stopped after {WALL_CLOCK * limit_s} s, though it had not used {limit_s} s of processor time: it waits "
            f"for something, or this machine is busy; try again with --limit {4 * limit_s}"
        )
        return (*outcomes, Outcome(under_way, unfinished=reason)), languages
    outcomes, languages, under_way, is_through = _read_lines(lines)
    if process.returncode == 0 and is_through:
        return outcomes, languages
    end = describe_end(process.returncode, errors)
    if process.returncode == -signal.SIGXCPU:
        end = f"not finished after {limit_s} s of processor time"
    return (*outcomes, Outcome(under_way, (Breach(under_way, end),))), languages


def _read_lines(lines: str) -> tuple[tuple[Outcome, ...], list[str], str, bool]:
    """Outcomes, languages, the check that was under way when the process ended, and whether it came to its own end.

    A line that cannot be read is none: the process was ended in the middle of it, or the plugin wrote it.

    Raises:
        UserError: the pack does not take the options.
    """
    outcomes: list[Outcome] = []
    languages: list[str] = []
    under_way, is_through = "loads", False
    for line in lines.splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        match answer:
            case {"languages": found}:
                languages = found
            case {"options": complaint}:
                raise UserError(complaint)
            case {"check": check, "breaches": details, "skipped": skipped}:
                breaches = tuple(Breach(check, breach["detail"]) for breach in details)
                outcomes.append(Outcome(check, breaches, skipped))
            case {"check": check}:
                under_way = check
            case {"through": True}:
                is_through = True
    return tuple(outcomes), languages, under_way, is_through


def _main() -> None:
    limit_s, name, distribution, *pack = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # reaching the other limit would write one
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s), int(limit_s) + 1))
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
    _write(answers, {"through": True})


def _check_plugin(entry_point: EntryPoint, answers: TextIO) -> None:
    """Whether the plugin takes part at all; the first failure ends it, for what follows needs it."""
    languages: list[str] = []
    load = functools.cache(lambda: load_alone(find_target(entry_point), {}, []))

    def has_its_own_name() -> Iterable[str]:
        refuse_shared_name(entry_point, find_entry_points())
        return ()

    def loads_without_torch() -> Iterable[str]:
        return complain_of_failed_load(load(), entry_point.module)

    def imports_no_torch_at_load() -> Iterable[str]:
        return complain_of_heavy_load(load(), entry_point.module)

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
        if options and (complaint := _find_fault(candidate)):
            _write(answers, {"options": complaint})
            return
        for check in CHECKS:
            if check not in LOADING_CHECKS:  # the plugin has passed these
                _write(answers, {"check": check.__name__})
                _write(answers, asdict(examine(candidate, check)))


def _find_fault(candidate: Candidate) -> str | None:
    """Why the pack cannot be set up with the options it was given, or None."""
    source = f"options of language {candidate.pack.code!r}"
    try:
        parse_config(dict(candidate.options), candidate.pack.Options, source=source)
        candidate.set_up()
    except UserError as error:
        return str(error)
    except Uncheckable as error:
        return f"{source}: {error}"
    return None


def _write(answers: TextIO, line: Mapping[str, Any]) -> None:
    print(json.dumps(line), file=answers, flush=True)


if __name__ == "__main__":
    _main()
