"""The `xtts` command. Command modules are imported only when needed, and import nothing heavy themselves."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from types import FrameType

import click

from xtts_framework import __version__
from xtts_framework.errors import UserError
from xtts_framework.files import DISK_FULL, NOT_WRITABLE

COMMANDS = {
    "new": "xtts_framework.cli.new",
    "ingest": "xtts_framework.cli.ingest",
    "unpack": "xtts_framework.cli.unpack",
    "plan": "xtts_framework.cli.plan",
    "validate": "xtts_framework.cli.validate",
    "encode": "xtts_framework.cli.encode",
    "tokenize": "xtts_framework.cli.tokenize",
    "train": "xtts_framework.cli.train",
    "select": "xtts_framework.cli.select",
    "export": "xtts_framework.cli.export",
    "synthesize": "xtts_framework.cli.synthesize",
    "report": "xtts_framework.cli.report",
    "show": "xtts_framework.cli.show",
    "base": "xtts_framework.cli.base",
    "plugins": "xtts_framework.cli.plugins",
    "text": "xtts_framework.cli.text",
    "bench": "xtts_framework.cli.bench",
    "config": "xtts_framework.cli.config",
    "demo-data": "xtts_framework.cli.demo_data",
}
"""Command name -> module whose `command` it is, in the order of `xtts --help`."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name]).command
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="xtts")
def cli() -> None:
    """Teach XTTS-v2 a language it has never heard.

    Every stage of the workflow is a command; `snakemake` runs them all in order.
    """


def main() -> None:
    """Entry point: a user's mistake ends in its message, never in a traceback."""
    # Threads that spin while they wait cost a shared machine most of its time: training here was 5 to 8 times slower
    # beside two busy processes. Read by OpenMP when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        cli(standalone_mode=False)
    except UserError as error:
        process = os.environ.get("RANK", "0")
        if process == "0":
            click.echo(f"error: {error}", err=True)
        elif error.exit_code != os.EX_TEMPFAIL:  # all have stopped together, and one says so
            click.echo(f"error in process {process}: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort as abort:
        if isinstance(abort.__cause__, _Terminated):
            sys.exit(128 + signal.SIGTERM)
        click.echo("aborted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"error: {error.filename or ''}: {error.strerror or error}".replace(": :", ":"), err=True)
        if error.errno in DISK_FULL:
            click.echo("  Make room there, then run the same command again; nothing is half written.", err=True)
        elif error.errno in NOT_WRITABLE:
            click.echo("  Have it made writable, or choose another folder with --out or `results:`.", err=True)
        sys.exit(1)


class _Terminated(KeyboardInterrupt):
    """Somebody asks the command to end, as Ctrl-C does: no plugin under way is to blame, and none may hold it up."""


def _terminate(number: int, frame: FrameType | None) -> None:
    """End by way of every `finally`: a cancelled job leaves nothing unfinished. Training saves first, instead."""
    with contextlib.suppress(OSError):
        os.write(2, b"terminated\n")  # not by way of sys.stderr, which may be in the middle of another line
    raise _Terminated
