"""Finds the installed plugins and their packs. One that does not work is described, and takes no other down."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points

import pluggy

from xtts_framework.errors import UserError
from xtts_framework.plugins import hookspecs
from xtts_framework.plugins.language_pack import API_VERSION, LanguagePack

ENTRY_POINT_GROUP = "xtts_framework.plugins"
DISABLED_VARIABLE = "XTTS_DISABLED_PLUGINS"
UNKNOWN = "unknown"
LANGUAGE_CODE = re.compile(r"[a-z]{2,3}(-[a-z]+)?")


@dataclass(frozen=True)
class PluginInfo:
    """One plugin, as `xtts plugins list` shows it.

    Args:
        name: of the entry point; what `XTTS_DISABLED_PLUGINS` takes.
        distribution: the installed package that brings it.
        version: of that package.
        hooks: names of the hooks that it implements.
        languages: codes of the packs that it offers.
        error: why it, or something it offers, cannot be used.
    """

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    error: str | None = None

    def __str__(self) -> str:
        return f"plugin {self.name!r} ({self.distribution} {self.version})"


@dataclass
class Found:
    """What an environment offers.

    Args:
        manager: with every plugin that could be imported.
        infos: every plugin, by name.
        packs: pack classes that can be used, by language code.
        refusals: by language code, why the packs that claim it cannot be used.
    """

    manager: pluggy.PluginManager
    infos: dict[str, PluginInfo] = field(default_factory=dict)
    packs: dict[str, type[LanguagePack]] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)


def find_plugins() -> Found:
    """Import and register every plugin of the entry-point group that is not disabled.

    Raises:
        UserError: a plugin implements a hook that does not exist, or with arguments that the hook does not have.
    """
    found = Found(pluggy.PluginManager(hookspecs.PROJECT))
    found.manager.add_hookspecs(hookspecs)
    disabled = {name.strip() for name in os.environ.get(DISABLED_VARIABLE, "").split(",")} - {""}
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry_point: entry_point.name):
        info = _describe(entry_point)
        if info.name in found.infos:
            raise UserError(f"{found.infos[info.name]} and {info} have one name; uninstall one of the packages.")
        if info.name in disabled:
            info = replace(info, error=f"disabled by {DISABLED_VARIABLE}")
        else:
            info = _load(entry_point, info, found.manager)
        found.infos[info.name] = info
    for name in sorted(disabled - found.infos.keys()):
        found.infos[name] = PluginInfo(name, UNKNOWN, UNKNOWN, error=f"not installed, but in {DISABLED_VARIABLE}")
    _collect_packs(found)
    return found


def register(manager: pluggy.PluginManager, plugin: object, *, name: str | None, source: str) -> None:
    """Register a plugin.

    Args:
        name: under which it can be found again; None makes one up.
        source: names the plugin in errors.
    Raises:
        UserError: it implements a hook that does not exist, or asks a hook for arguments that it does not have.
    """
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        known = ", ".join(name for name in vars(hookspecs) if name.startswith("xtts_"))
        raise UserError(
            f"{source}: {error}\n"
            f"  The hooks are {known}; docs/hooks.md has their arguments.\n"
            f"  Mend the plugin; {DISABLED_VARIABLE}=NAME switches an installed one off."
        ) from error


def describe_error(error: BaseException) -> str:
    """`ImportError: No module named 'x'`."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _describe(entry_point: EntryPoint) -> PluginInfo:
    distribution = entry_point.dist
    if distribution is None:
        return PluginInfo(entry_point.name, UNKNOWN, UNKNOWN)
    return PluginInfo(entry_point.name, distribution.name, distribution.version)


def _load(entry_point: EntryPoint, info: PluginInfo, manager: pluggy.PluginManager) -> PluginInfo:
    try:
        plugin = entry_point.load()
    except (Exception, SystemExit) as error:
        return replace(info, error=f"cannot be imported: {describe_error(error)}")
    if manager.is_registered(plugin):
        return replace(info, error="the same module or object is registered under another name")
    register(manager, plugin, name=info.name, source=str(info))
    hooks = tuple(sorted(caller.name for caller in manager.get_hookcallers(plugin) or ()))
    return replace(info, hooks=hooks, error=None if hooks else "implements no hook; is @hookimpl missing?")


def _collect_packs(found: Found) -> None:
    """Ask every plugin for its packs; refuse those that cannot work and those that claim one code."""
    claims: dict[str, list[tuple[PluginInfo, type[LanguagePack]]]] = defaultdict(list)
    for implementation in found.manager.hook.xtts_language_packs.get_hookimpls():
        info = found.infos[implementation.plugin_name]
        try:
            offered: Iterable[object] = implementation.function()  # type: ignore[assignment]
            packs = [_expect_pack(pack) for pack in offered]
        except Exception as error:
            found.infos[info.name] = replace(info, error=f"xtts_language_packs: {describe_error(error)}")
            continue
        for pack in packs:
            claims[pack.code].append((info, pack))
        found.infos[info.name] = replace(info, languages=tuple(pack.code for pack in packs))
    for code, claimed in claims.items():
        refusal = _refusal(code, claimed)
        if refusal is None:
            found.packs[code] = claimed[0][1]
            continue
        found.refusals[code] = refusal
        for name in {info.name for info, _ in claimed}:
            earlier = found.infos[name].error
            found.infos[name] = replace(found.infos[name], error=f"{earlier}; {refusal}" if earlier else refusal)


def _expect_pack(pack: object) -> type[LanguagePack]:
    if not (isinstance(pack, type) and issubclass(pack, LanguagePack)):
        raise TypeError(f"expected subclasses of LanguagePack, found {pack!r}")
    code = getattr(pack, "code", None)
    if not (isinstance(code, str) and LANGUAGE_CODE.fullmatch(code)):
        raise ValueError(f"{pack.__name__}.code: expected a language code such as 'am' or 'zh-cn', found {code!r}")
    if not isinstance(getattr(pack, "name", None), str):
        raise ValueError(f"{pack.__name__}.name: expected the language's English name, such as 'Amharic'")
    if not isinstance(pack.api_version, int):
        raise ValueError(f"{pack.__name__}.api_version: expected a whole number, found {pack.api_version!r}")
    return pack


def _refusal(code: str, claimed: list[tuple[PluginInfo, type[LanguagePack]]]) -> str | None:
    """Why the language cannot be used, or None."""
    (info, pack), *others = claimed
    if others:
        names = " and ".join(str(info) for info, _ in claimed)
        return f"the language {code!r} is claimed twice, by {names}; switch one off with {DISABLED_VARIABLE}=NAME"
    if pack.api_version != API_VERSION:
        outdated = pack.api_version < API_VERSION
        remedy = f"a newer version of {info.distribution}" if outdated else "a newer xtts-framework"
        return (
            f"the pack {code!r} of {info} is written for API version {pack.api_version}, "
            f"this xtts-framework has API version {API_VERSION}; install {remedy}"
        )
    return None
