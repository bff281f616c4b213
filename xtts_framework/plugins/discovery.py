"""Finds the installed plugins and their packs. One that does not work is described, and takes no other down."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points

import pluggy
from pydantic import BaseModel

from xtts_framework.errors import UserError
from xtts_framework.plugins import hookspecs
from xtts_framework.plugins.language_pack import API_VERSION, LanguagePack

ENTRY_POINT_GROUP = "xtts_framework.plugins"
DISABLED_VARIABLE = "XTTS_DISABLED_PLUGINS"
OWN_DISTRIBUTION = "xtts-framework"
UNKNOWN = "unknown"
LANGUAGE_CODE = re.compile(r"[a-z]{2,3}(-[a-z]+)?")
HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("xtts_"))


class PluginFailure(Exception):
    """What is wrong with a plugin, in a sentence that does not name it."""


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
        disabled: whether it, or the error, comes from `XTTS_DISABLED_PLUGINS`.
    """

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    error: str | None = None
    disabled: bool = False

    def __str__(self) -> str:
        return f"plugin {self.name!r} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Claim:
    """A plugin says: this is the pack of that language."""

    info: PluginInfo
    pack: type[LanguagePack]


@dataclass
class Found:
    """What an environment offers.

    Args:
        manager: with every plugin that works.
        infos: every plugin, by name; several can have one name, and then at most one of them is used.
        claims: by language code, all packs that plugins offer for it.
        refusals: by language code, why none of them can be used.
    """

    manager: pluggy.PluginManager
    infos: list[PluginInfo] = field(default_factory=list)
    claims: dict[str, list[Claim]] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)

    @property
    def packs(self) -> dict[str, type[LanguagePack]]:
        """The packs that can be used, by language code."""
        return {code: claims[0].pack for code, claims in self.claims.items() if code not in self.refusals}


def find_plugins() -> Found:
    """Import and register every plugin of the entry-point group that is not disabled. Never fails because of one."""
    found = Found(_new_manager())
    disabled = disabled_names()
    claims: dict[str, list[Claim]] = defaultdict(list)
    installed = find_entry_points()
    for entry_point in installed:
        info = describe_entry_point(entry_point)
        if info.name in disabled:
            info = replace(info, error=f"disabled by {DISABLED_VARIABLE}", disabled=True)
        else:
            try:
                refuse_shared_name(entry_point, installed)
                info, packs = _load(entry_point, info, found.manager)
            except PluginFailure as failure:
                info, packs = replace(info, error=str(failure)), []
            for pack in packs:
                claims[pack.code].append(Claim(info, pack))
        found.infos.append(info)
    for name in sorted(disabled - {info.name for info in found.infos}):
        error = f"not installed, but in {DISABLED_VARIABLE}"
        found.infos.append(PluginInfo(name, UNKNOWN, UNKNOWN, error=error, disabled=True))
    found.claims = dict(claims)
    _refuse_claims(found)
    return found


def disabled_names() -> set[str]:
    """The plugins that the user has switched off."""
    return {name.strip() for name in os.environ.get(DISABLED_VARIABLE, "").split(",")} - {""}


def find_entry_points() -> list[EntryPoint]:
    """Every installed plugin, by name; nothing of them is imported."""
    return sorted(
        entry_points(group=ENTRY_POINT_GROUP), key=lambda found: (found.name, str(describe_entry_point(found)))
    )


def describe_entry_point(entry_point: EntryPoint) -> PluginInfo:
    """Name, package and version of a plugin, without importing it."""
    distribution = entry_point.dist
    if distribution is None:
        return PluginInfo(entry_point.name, UNKNOWN, UNKNOWN)
    metadata = distribution.metadata  # without its file, all of it is None
    return PluginInfo(entry_point.name, metadata["Name"] or UNKNOWN, metadata["Version"] or UNKNOWN)


def refuse_shared_name(entry_point: EntryPoint, installed: list[EntryPoint]) -> None:
    """A name stands for one plugin. Of several, none is used but the framework's own: a guest takes nobody's place.

    Raises:
        PluginFailure: another plugin has the name.
    """
    infos = [describe_entry_point(other) for other in installed if other.name == entry_point.name]
    own = describe_entry_point(entry_point)
    if len(infos) > 1 and own.distribution != OWN_DISTRIBUTION:
        others = " and ".join(f"{info.distribution} {info.version}" for info in infos if info != own)
        raise PluginFailure(f"{others} has a plugin of the same name; uninstall one of the packages")


def find_target(entry_point: EntryPoint) -> str:
    """What a plugin's entry point names: `module`, or `module:attribute`.

    Raises:
        PluginFailure: it names nothing that could be imported.
    """
    if not entry_point.pattern.match(entry_point.value):
        raise PluginFailure(f"its entry point {entry_point.value!r} is malformed; expected MODULE or MODULE:OBJECT")
    return f"{entry_point.module}:{entry_point.attr}" if entry_point.attr else entry_point.module


def import_plugin(entry_point: EntryPoint) -> object:
    """Import a plugin.

    Raises:
        PluginFailure: it cannot be imported.
    """
    find_target(entry_point)
    with _failing("cannot be imported"):
        return entry_point.load()


def read_hooks(plugin: object) -> tuple[str, ...]:
    """Names of the hooks that a plugin implements; () when it implements none.

    Raises:
        PluginFailure: it implements a hook that does not exist, or asks a hook for arguments that it does not have.
    """
    trial = _new_manager()
    try:
        with _failing("its hooks cannot be read"):
            trial.register(plugin, "trial")
            trial.check_pending()
            return tuple(sorted(caller.name for caller in trial.get_hookcallers(plugin) or ()))
    except PluginFailure as failure:
        if not isinstance(failure.__cause__, pluggy.PluginValidationError):
            raise
        complaint = " ".join(str(failure.__cause__).replace("'trial'", "").split())
        known = ", ".join(HOOKS)
        raise PluginFailure(f"{complaint}\n  The hooks are {known}; docs/hooks.md has their arguments.") from failure


def read_packs(plugin: object) -> list[type[LanguagePack]]:
    """The packs that a plugin offers.

    Raises:
        PluginFailure: its hook fails, or offers something else than packs that say what they are.
    """
    trial = _new_manager()
    with _failing("xtts_language_packs"):
        trial.register(plugin)
        implementations = trial.hook.xtts_language_packs.get_hookimpls()
        offered: list[Iterable[object]] = [implementation.function() for implementation in implementations]  # type: ignore[misc]
        return [_expect_pack(pack) for packs in offered for pack in packs]


def register(manager: pluggy.PluginManager, plugin: object, *, source: str) -> None:
    """Register an object of this process.

    Args:
        source: names the object in errors.
    Raises:
        UserError: it implements a hook that does not exist, or asks a hook for arguments that it does not have.
    """
    try:
        read_hooks(plugin)
    except PluginFailure as failure:
        raise UserError(f"{source}: {failure}") from failure
    manager.register(plugin)


def describe_error(error: BaseException) -> str:
    """`ImportError: No module named 'x'`, printable whatever the error holds."""
    try:
        message = str(error).encode("utf-8", "backslashreplace").decode("utf-8")
    except KeyboardInterrupt:
        raise
    except BaseException:
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    """Turn all that a plugin raises into a failure; some raise what is no `Exception`. Ctrl-C stays Ctrl-C.

    What the plugin prints goes to stderr: stdout is the command's own, and may be read by a program.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginFailure(f"{what}: {describe_error(error)}") from error


def _load(
    entry_point: EntryPoint, info: PluginInfo, manager: pluggy.PluginManager
) -> tuple[PluginInfo, list[type[LanguagePack]]]:
    """Import and register a plugin; a plugin whose packs are refused keeps its other hooks.

    Raises:
        PluginFailure: it cannot be used at all; it is not registered.
    """
    plugin = import_plugin(entry_point)
    if any(plugin is other for other in manager.get_plugins()):
        raise PluginFailure("the same module or object is registered under another name")
    hooks = read_hooks(plugin)
    if not hooks:
        raise PluginFailure("implements no hook; is @hookimpl missing?")
    with _failing("cannot be registered"):
        manager.register(plugin, info.name)
    info = replace(info, hooks=hooks)
    try:
        packs = read_packs(plugin)
    except PluginFailure as failure:
        return replace(info, error=str(failure)), []
    return replace(info, languages=tuple(pack.code for pack in packs)), packs


def _expect_pack(pack: object) -> type[LanguagePack]:
    if not (inspect.isclass(pack) and issubclass(pack, LanguagePack)):
        raise TypeError(f"expected subclasses of LanguagePack, found {pack!r}")
    code = getattr(pack, "code", None)
    if not (isinstance(code, str) and LANGUAGE_CODE.fullmatch(code)):
        raise ValueError(f"{pack.__name__}.code: expected a language code such as 'am' or 'zh-cn', found {code!r}")
    if not isinstance(getattr(pack, "name", None), str):
        raise ValueError(f"{pack.__name__}.name: expected the language's English name, such as 'Amharic'")
    if type(pack.api_version) is not int:  # True is one, too
        raise ValueError(f"{pack.__name__}.api_version: expected a whole number, found {pack.api_version!r}")
    if not (inspect.isclass(pack.Options) and issubclass(pack.Options, BaseModel)):
        raise TypeError(f"{pack.__name__}.Options: expected a pydantic model, found {pack.Options!r}")
    return pack


def _refuse_claims(found: Found) -> None:
    """Refuse the packs that cannot work and those that claim one code, and say so in the infos of their plugins."""
    errors: dict[PluginInfo, list[str]] = defaultdict(list)
    for code, claims in found.claims.items():
        refusal = _find_refusal(code, claims)
        if refusal is not None:
            found.refusals[code] = refusal
            for info in dict.fromkeys(claim.info for claim in claims):
                errors[info].append(refusal)
    found.infos = [replace(info, error="; ".join(errors[info])) if info in errors else info for info in found.infos]


def _find_refusal(code: str, claims: list[Claim]) -> str | None:
    """Why the language cannot be used, or None."""
    first, *others = claims
    if others:
        names = " and ".join(str(claim.info) for claim in claims)
        return f"the language {code!r} is claimed twice, by {names}; switch one off with {DISABLED_VARIABLE}=NAME"
    if first.pack.api_version != API_VERSION:
        outdated = first.pack.api_version < API_VERSION
        remedy = f"a newer version of {first.info.distribution}" if outdated else "a newer xtts-framework"
        return (
            f"the pack {code!r} of {first.info} is written for API version {first.pack.api_version}, "
            f"this xtts-framework has API version {API_VERSION}; install {remedy}"
        )
    return None
