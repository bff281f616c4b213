"""`xtts text`: how a language pack reads a text, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xtts_framework.cli.options import parse_options

if TYPE_CHECKING:
    from tokenizers import Encoding

    from xtts_framework.plugins import LanguagePack, Plugins
    from xtts_framework.text.reading import Reading, Step


@click.command("text")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--language", metavar="CODE", help="Language of the text, `am` for example; `xtts plugins list` names all."
)
@click.option("--options", multiple=True, metavar="KEY=VALUE", help="Option of the language pack, or a JSON object.")
@click.option("--vocab", type=click.Path(path_type=Path), help="A vocab.json: shows tokens and ids.")
@click.option("--bundle", type=click.Path(path_type=Path), help="A bundle: its language, options and vocabulary.")
@click.option("--file", "corpus", type=click.Path(path_type=Path), help="Read this file, and sum up its lines.")
@click.option("--all", "show_all", is_flag=True, help="Show the rules that change nothing, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per text or line.")
def command(
    texts: tuple[str, ...],
    language: str | None,
    options: tuple[str, ...],
    vocab: Path | None,
    bundle: Path | None,
    corpus: Path | None,
    show_all: bool,
    as_json: bool,
) -> None:
    """Show what a language pack makes of each TEXT: the effect of each rule, tokens and ids, and reasons to refuse it.

    \b
    xtts text --language am "ሰላም ለዓለም"
    xtts text --language am --file corpus.txt
    xtts text --language am --json < corpus.txt

    Without TEXT, or with -, every line of the standard input is a text. A text that begins with a dash comes after --.
    A text that is refused is an answer too: the exit code is 0.
    """
    import contextlib
    import json
    import sys

    from xtts_framework.plugins import load_plugins
    from xtts_framework.text.reading import read_by_rules
    from xtts_framework.text.showing import show_reading
    from xtts_framework.text.survey import Survey

    if corpus and texts:
        raise click.UsageError("give texts or --file, not both")
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    plugins = load_plugins()
    pack, encode = _prepare(plugins, language, options, vocab, bundle)
    survey = Survey()
    for line, raw in enumerate(_read_texts(texts, corpus), 1):
        with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no answer
            reading = read_by_rules(plugins, pack, raw)
        steps = reading.steps if show_all else reading.changes
        encoding = encode(reading.normalized) if encode and not reading.problems else None
        if as_json:
            click.echo(json.dumps(_describe(line, reading, steps, encoding), ensure_ascii=False))
        elif corpus:
            survey.add(line, reading, encoding)
        else:
            click.echo("\n" * (line > 1) + show_reading(reading, steps, encoding))
    if corpus and not as_json:
        click.echo(survey.describe())


def _read_texts(texts: Sequence[str], corpus: Path | None) -> Iterator[str]:
    import os
    import sys

    from xtts_framework.text.reading import decode_lines, decode_text

    if corpus:
        with corpus.open("rb") as lines:
            yield from decode_lines(lines)
    elif not texts or texts == ("-",):
        yield from decode_lines(sys.stdin.buffer)
    else:
        yield from (decode_text(os.fsencode(text)) for text in texts)


def _prepare(
    plugins: Plugins, language: str | None, options: Sequence[str], vocab: Path | None, bundle: Path | None
) -> tuple[LanguagePack, Callable[[str], Encoding] | None]:
    """The pack, and what encodes the texts that it has normalised, if there is a vocabulary."""
    from xtts_framework.text.tokenizer import XttsTokenizer, encode_texts

    if bundle:
        if vocab or options:
            raise click.UsageError("--bundle brings its own vocabulary and options; leave --vocab and --options out")
        pack, vocab = _open_bundle(plugins, bundle, language)
    elif language:
        pack = plugins.pack(language, parse_options(options))
    else:
        known = ", ".join(sorted(code for info in plugins.infos for code in info.languages))
        raise click.UsageError(f"name the language of the text with --language; installed: {known or 'none'}")
    if not vocab:
        return pack, None
    tokenizer = XttsTokenizer(vocab, {pack.code: pack}).tokenizer
    return pack, lambda normalized: next(encode_texts(tokenizer, pack.code, [normalized]))


def _open_bundle(plugins: Plugins, folder: Path, language: str | None) -> tuple[LanguagePack, Path]:
    """The pack of a bundle, with the options it was made with, and its vocabulary."""
    from xtts_framework.errors import UserError
    from xtts_framework.model.bundle import load_packs, read_bundle

    packs = load_packs(read_bundle(folder), plugins)
    code = language or (next(iter(packs)) if len(packs) == 1 else "")
    if code not in packs:
        raise UserError(f"{folder}: choose one of its languages with --language: {', '.join(packs)}.")
    return packs[code], folder / "vocab.json"


def _describe(line: int, reading: Reading, steps: Sequence[Step], encoding: Encoding | None) -> dict[str, Any]:
    from xtts_framework.text.reading import find_unknown

    return {
        "line": line,
        "raw": reading.raw,
        "normalized": reading.normalized,
        "steps": [{"rule": step.rule, "text": step.text} for step in steps],
        "tokens": encoding.tokens if encoding else None,
        "ids": encoding.ids if encoding else None,
        "unknown": find_unknown(reading.normalized, encoding) if encoding else None,
        "rejects": reading.rejects,
        "problems": [{"code": problem.code, "detail": problem.detail} for problem in reading.problems],
    }
