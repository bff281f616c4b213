"""Everything a language pack may import."""

from xtts_framework.plugins.hookspecs import hookimpl
from xtts_framework.plugins.language_pack import API_VERSION, FreezingPlan, LanguagePack, NoOptions, TextProblem

__all__ = ["API_VERSION", "FreezingPlan", "LanguagePack", "NoOptions", "TextProblem", "hookimpl"]
