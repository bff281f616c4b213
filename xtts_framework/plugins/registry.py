"""Which plugins are installed, and how they are asked. A broken one is reported by name and takes nothing down."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pluggy
from pydantic import ValidationError

from xtts_framework.errors import UserError
from xtts_framework.plugins import hookspecs
from xtts_framework.plugins.language_pack import API_VERSION, FreezingPlan, LanguagePack, TextProblem

GROUP = "xtts_framework.plugins"
DISABLED_VARIABLE = "XTTS_DISABLED_PLUGINS"


@dataclass(frozen=True)
class PluginInfo:
    """One entry point of the group, as `xtts plugins list` shows it.

    Args:
        name: of the entry point.
        distribution, version: the installed package it comes from.
        hooks: names of the hooks it implements.
        languages: codes of its language packs.
        error: why it was not loaded; empty when it was.
    """

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Plugins:
    """The loaded plugins.

    Args:
        manager: pluggy's; further listeners are registered on it.
        packs: pack class by language code.
        infos: every entry point, also those that failed or are disabled.
    """

    manager: pluggy.PluginManager
    packs: Mapping[str, type[LanguagePack]] = field(default_factory=dict)
    infos: tuple[PluginInfo, ...] = ()

    @property
    def hook(self) -> Any:
        """Caller of the `xtts_` hooks."""
        return self.manager.hook

    def pack(self, code: str, options: Mapping[str, Any]) -> LanguagePack:
        """The pack of a language with its options.

        Raises:
            UserError: no such language (names the installed ones and the broken plugins), or options it refuses.
        """
        if code not in self.packs:
            installed = ", ".join(f"{known} ({pack.name})" for known, pack in sorted(self.packs.items()))
            broken = "".join(f"\n  not loaded: {info.name}: {info.error}" for info in self.infos if info.error)
            raise UserError(
                f"no language pack for {code!r} is installed; installed: {installed or 'none'}. "
                f"See docs/writing-a-pack.md for making one.{broken}"
            )
        pack = self.packs[code]
        try:
            return pack(pack.Options.model_validate(dict(options)))
        except ValidationError as error:
            problems = "\n".join(
                f"  {'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
            )
            known = ", ".join(pack.Options.model_fields) or "none"
            raise UserError(f"options of language pack {code!r} (it knows: {known}):\n{problems}") from error

    def check_text(self, pack: LanguagePack, raw: str, normalized: str) -> list[TextProblem]:
        """What the pack and every other plugin have against a text; a plugin that raises is itself a problem."""
        arguments = {"language": pack.code, "raw": raw, "normalized": normalized}
        problems = _ask(pack.code, pack.check, {"raw": raw, "normalized": normalized})
        for implementation in self.manager.hook.xtts_check_text.get_hookimpls():
            given = {name: arguments[name] for name in implementation.argnames}
            problems += _ask(implementation.plugin_name, implementation.function, given)
        return problems

    def normalize(self, pack: LanguagePack, raw: str) -> tuple[str, list[TextProblem]]:
        """The text as it is read aloud, and the reasons to refuse it."""
        try:
            normalized = pack.normalize(raw)
        except Exception as error:
            return "", [TextProblem("pack_error", f"normalize of {pack.code} raised {type(error).__name__}: {error}")]
        return normalized, self.check_text(pack, raw, normalized)

    def freezing_plan(self, pack: LanguagePack, training_clips: int, blocks: int) -> FreezingPlan:
        """The first plan that a plugin gives, else the pack's own."""
        plan: FreezingPlan | None = self.hook.xtts_freezing_plan(
            language=pack.code, training_clips=training_clips, blocks=blocks
        )
        return plan or pack.freezing_plan(training_clips, blocks)


def load_plugins() -> Plugins:
    """Load every entry point of the group.

    Raises:
        UserError: a plugin implements a hook that does not exist, or two packs claim one language.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    disabled = {name.strip() for name in os.environ.get(DISABLED_VARIABLE, "").split(",")}
    packs: dict[str, type[LanguagePack]] = {}
    owners: dict[str, str] = {}
    infos = []
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        info = _load(entry, manager, disabled)
        for pack in info.packs:
            if pack.code in packs:
                raise UserError(
                    f"two plugins bring a pack for {pack.code!r}: {owners[pack.code]} and {entry.name}. "
                    f"Disable one: {DISABLED_VARIABLE}={entry.name}"
                )
            packs[pack.code], owners[pack.code] = pack, entry.name
        infos.append(info.info)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        known = ", ".join(name for name in vars(hookspecs) if name.startswith("xtts_"))
        raise UserError(f"{error}\n  Hooks that exist: {known}") from error
    return Plugins(manager, packs, tuple(infos))


def _ask(name: str, check: Callable[..., Any], arguments: dict[str, str]) -> list[TextProblem]:
    try:
        return list(check(**arguments))
    except Exception as error:
        return [TextProblem("pack_error", f"the text check of {name} raised {type(error).__name__}: {error}")]


@dataclass(frozen=True)
class _Loaded:
    info: PluginInfo
    packs: tuple[type[LanguagePack], ...] = ()


def _load(entry: importlib.metadata.EntryPoint, manager: pluggy.PluginManager, disabled: set[str]) -> _Loaded:
    distribution = entry.dist.name if entry.dist else "unknown"
    version = entry.dist.version if entry.dist else "unknown"
    if entry.name in disabled:
        return _Loaded(PluginInfo(entry.name, distribution, version, error=f"disabled by {DISABLED_VARIABLE}"))
    try:
        plugin = entry.load()
        packs = tuple(plugin.xtts_language_packs()) if hasattr(plugin, "xtts_language_packs") else ()
        for pack in packs:
            _check_pack(pack)
        manager.register(plugin, name=entry.name)
    except pluggy.PluginValidationError as error:
        raise UserError(f"plugin {entry.name} ({distribution} {version}): {error}") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return _Loaded(PluginInfo(entry.name, distribution, version, error=reason))
    hooks = tuple(sorted(caller.name for caller in manager.get_hookcallers(plugin) or ()))
    languages = tuple(sorted(pack.code for pack in packs))
    return _Loaded(PluginInfo(entry.name, distribution, version, hooks, languages), packs)


def _check_pack(pack: type[LanguagePack]) -> None:
    if not (isinstance(pack, type) and issubclass(pack, LanguagePack)):
        raise TypeError(f"{pack!r} is no subclass of LanguagePack")
    if pack.api_version != API_VERSION:
        remedy = "update the pack" if pack.api_version < API_VERSION else "update xtts-framework"
        raise ValueError(
            f"pack {pack.code!r} is written for API version {pack.api_version}, "
            f"this framework has {API_VERSION}: {remedy}"
        )
