"""What a plugin may import: `LanguagePack` and its records, ready-made rules, the marker of hook implementations."""

from xtts_framework.errors import UserError
from xtts_framework.plugins.discovery import PluginInfo
from xtts_framework.plugins.hookspecs import hookimpl
from xtts_framework.plugins.language_pack import (
    API_VERSION,
    FreezingPlan,
    LanguagePack,
    NoOptions,
    Rule,
    TextProblem,
    find_unknown_characters,
)
from xtts_framework.plugins.registry import Plugins, load_plugins
from xtts_framework.plugins.rules import collapse_spaces, compose, lower_case, strip_invisible

__all__ = [
    "API_VERSION",
    "FreezingPlan",
    "LanguagePack",
    "NoOptions",
    "PluginInfo",
    "Plugins",
    "Rule",
    "TextProblem",
    "UserError",
    "collapse_spaces",
    "compose",
    "find_unknown_characters",
    "hookimpl",
    "load_plugins",
    "lower_case",
    "strip_invisible",
]
