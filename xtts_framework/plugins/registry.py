"""What the stages ask of the installed plugins. A plugin that fails is named, and fails alone."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, TypeVar

import pluggy

from xtts_framework.config import parse_config
from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.plugins.discovery import (
    DISABLED_VARIABLE,
    Found,
    PluginInfo,
    describe_error,
    find_plugins,
    register,
)
from xtts_framework.plugins.language_pack import FreezingPlan, LanguagePack, TextProblem

Answer = TypeVar("Answer")

PACK_ERROR = "pack_error"
"""Reject code of a text on which a plugin failed."""


def load_plugins() -> Plugins:
    """Find the installed plugins, but for those that `XTTS_DISABLED_PLUGINS` lists, separated by commas.

    What is wrong with one of them is said on stderr, once per process; the others work.
    """
    found = find_plugins()
    for info in found.infos:
        if info.error and not info.disabled:
            _warn_once(f"warning: {info}: {info.error}")
    return Plugins(found)


@functools.cache
def _warn_once(warning: str) -> None:
    say(f"{warning}\n  The rest works. Mend or uninstall it; {DISABLED_VARIABLE}=NAME switches a plugin off.")


class Plugins:
    """The plugins of this process."""

    def __init__(self, found: Found) -> None:
        self._found = found

    @property
    def infos(self) -> list[PluginInfo]:
        """Every installed plugin, working or not, by name."""
        return list(self._found.infos)

    @property
    def hook(self) -> pluggy.HookRelay:
        """Calls a hook of all plugins: `plugins.hook.xtts_on_metrics(step=…, metrics=…)`."""
        return self._found.manager.hook

    def register(self, listener: object) -> None:
        """Add an object with hook implementations for the life of this process, as the trainer does its listeners.

        Raises:
            UserError: it implements a hook that does not exist.
        """
        register(self._found.manager, listener, source=type(listener).__name__)

    def pack(self, code: str, options: dict[str, Any]) -> LanguagePack:
        """The language pack of `code`, set up with its options.

        Raises:
            UserError: no such pack (the message names those there are), two packs of one code, a pack for another API
                version, or options that the pack does not know.
        """
        if code in self._found.refusals:
            raise UserError(f"{self._found.refusals[code]}.")
        if code not in self._found.packs:
            raise UserError(self._explain_unknown(code))
        pack = self._found.packs[code]
        source = f"options of language {code!r}"
        with contextlib.redirect_stdout(sys.stderr), _blaming(f"language pack {code!r} cannot be set up"):
            if options and not pack.Options.model_fields:
                found = ", ".join(map(repr, options))
                raise UserError(f"{source}: {pack.name} takes no options, found {found}. Remove them.")
            set_up = pack(parse_config(options, pack.Options, source=source))
            if not isinstance(set_up.alphabet, AbstractSet):
                raise TypeError(f"alphabet: expected a frozenset, found {set_up.alphabet!r}")
            return set_up

    def read_text(self, pack: LanguagePack, raw: str) -> tuple[str, list[TextProblem]]:
        """A text as the model reads it, and all reasons to refuse it. Never raises: a failing pack is a reason.

        Returns:
            The normalised text ("" when the pack fails to normalise) and the problems.
        """
        try:
            normalized = pack.normalize(raw)
            if not isinstance(normalized, str):
                raise TypeError(f"expected a str, found {type(normalized).__name__}")
        except Exception as error:
            return "", [TextProblem(PACK_ERROR, f"language pack {pack.code!r}, normalize: {describe_error(error)}")]
        return normalized, self.check_text(pack, raw, normalized)

    def check_text(self, pack: LanguagePack, raw: str, normalized: str) -> list[TextProblem]:
        """All reasons to refuse a text: of its own pack, then of every plugin with `xtts_check_text`. Never raises."""
        problems = _ask(f"language pack {pack.code!r}, check", partial(pack.check, raw, normalized))
        arguments = {"language": pack.code, "raw": raw, "normalized": normalized}
        for plugin, check in self._calls("xtts_check_text", arguments):
            problems += _ask(f"plugin {plugin!r}, xtts_check_text", check)
        return problems

    def freezing_plan(self, pack: LanguagePack, training_clips: int, blocks: int) -> FreezingPlan:
        """What to freeze: the first plugin's plan that is not None, else the pack's.

        Raises:
            UserError: a plugin or the pack fails, or answers with something else than a plan.
        """
        arguments = {"language": pack.code, "training_clips": training_clips, "blocks": blocks}
        for plugin, decide in self._calls("xtts_freezing_plan", arguments):
            with _blaming(f"plugin {plugin!r}, xtts_freezing_plan"):
                plan = decide()
                if plan is not None:
                    return _expect(plan, FreezingPlan)
        with _blaming(f"language pack {pack.code!r}, freezing_plan"):
            return _expect(pack.freezing_plan(training_clips, blocks), FreezingPlan)

    def _calls(self, hook: str, arguments: dict[str, Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Each plugin's implementation of a hook, ready to be called, so that one that fails can be named."""
        caller: pluggy.HookCaller = getattr(self.hook, hook)
        for implementation in reversed(caller.get_hookimpls()):  # pluggy's own order: the last registered first
            chosen = {name: arguments[name] for name in implementation.argnames}
            yield implementation.plugin_name, partial(implementation.function, **chosen)

    def _explain_unknown(self, code: str) -> str:
        found = self._found
        installed = ", ".join(f"{code} ({pack.name})" for code, pack in sorted(found.packs.items())) or "none"
        broken = [f"  {info}: {info.error}" for info in self.infos if info.error]
        return "\n".join(
            [
                f"language {code!r}: no installed pack knows it. Installed: {installed}.",
                *(["Plugins that do not work:", *broken] if broken else []),
                "  Install its pack, or begin one with `xtts plugins new`.",
            ]
        )


@contextlib.contextmanager
def _blaming(who: str) -> Iterator[None]:
    """Turn whatever a plugin raises into an error that names it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{who}: {describe_error(error)}\n  Tell its author.") from error


def _ask(who: str, check: Callable[[], Any]) -> list[TextProblem]:
    try:
        return [_expect(problem, TextProblem) for problem in check()]
    except Exception as error:
        return [TextProblem(PACK_ERROR, f"{who}: {describe_error(error)}")]


def _expect(value: object, kind: type[Answer]) -> Answer:
    if not isinstance(value, kind):
        raise TypeError(f"expected a {kind.__name__}, found {value!r}")
    return value
