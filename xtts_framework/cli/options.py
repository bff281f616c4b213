"""Options of a language pack on the command line: `--options KEY=VALUE`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Options as in `language.options` of the configuration: values are YAML, and so is JSON.

    Args:
        options: each `KEY=VALUE`, or an object that sets several.
    Raises:
        click.UsageError: one is neither.
    """
    import yaml

    parsed: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        try:
            if option.lstrip().startswith("{"):
                parsed |= yaml.safe_load(option)
            elif equals:
                parsed[key.strip()] = yaml.safe_load(value)
            else:
                raise click.UsageError(f"--options {option}: expected KEY=VALUE or a JSON object")
        except yaml.YAMLError as error:
            raise click.UsageError(f"--options {option}: cannot be understood: {error}") from error
    return parsed
