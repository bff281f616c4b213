"""Stage tokenize: the base's vocabulary, extended with the languages of a run. Imports neither torch nor TTS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars
from tokenizers import Tokenizer

from xtts_framework.config import MODEL_MAX_TEXT_IDS, TokenizeConfig
from xtts_framework.console import say
from xtts_framework.data.tables import read_table
from xtts_framework.errors import UserError
from xtts_framework.files import write_json
from xtts_framework.layout import DatasetFolder, RunFolder, require_datasets
from xtts_framework.plugins import LanguagePack, load_plugins
from xtts_framework.text.tokenizer import UNKNOWN, encode_texts
from xtts_framework.text.vocabulary import extend_vocab, read_vocab, tokens_per_character

COLUMNS = ["clip_id", "normalized", "language", "split"]
CLIPS_IN_ERROR = 10


def tokenize(config: TokenizeConfig, base_folder: Path, datasets: Mapping[str, DatasetFolder], run: RunFolder) -> None:
    """Write `tokenizer/vocab.json` and its report, `tokenizer/tokenizer.json`.

    The vocabulary learns from the training clips alone. Then every clip, evaluation included, is checked against it,
    and nothing is written when one fails.

    Args:
        base_folder: only its `vocab.json` is read.
        datasets: the validated datasets of the run, by name.
    Raises:
        UserError: a dataset, a manifest or the vocabulary is missing or wrong; a clip has a character that the
            vocabulary lacks, or more ids than the model has positions.
    """
    require_datasets(config.languages, datasets)
    packs = _load_packs(config)
    base_vocab = read_vocab(base_folder / "vocab.json")
    clips = polars.concat(
        [_read_clips(name, language.code, datasets[name]) for name, language in config.languages.items()]
    )
    training = clips.filter(split="train")
    vocab, report = extend_vocab(
        base_vocab,
        [(pack, training.filter(language=code)["normalized"]) for code, pack in packs.items()],
        new_tokens=config.tokenizer.new_tokens,
        own_merges=config.tokenizer.own_merges,
    )
    tokenizer = Tokenizer.from_str(json.dumps(vocab))
    _check_clips(tokenizer, clips)
    for code, language in report["languages"].items():
        held_out = clips.filter(split="eval", language=code)["normalized"].to_list()
        language["tokens_per_character_held_out"] = tokens_per_character(tokenizer, code, held_out)
    write_json(run.vocab, vocab)
    write_json(run.tokenizer_report, report)
    _tell(report)


def _load_packs(config: TokenizeConfig) -> dict[str, LanguagePack]:
    """The pack of each language, which all its datasets share."""
    options: dict[str, dict[str, object]] = {}
    for name, language in config.languages.items():
        if options.setdefault(language.code, language.options) != language.options:
            raise UserError(
                f"dataset {name!r} gives language {language.code!r} the options {language.options}, "
                f"another dataset of the run {options[language.code]}.\n"
                "  One run reads a language in one way; give both datasets the same options."
            )
    plugins = load_plugins()
    return {code: plugins.pack(code, chosen) for code, chosen in options.items()}


def _read_clips(dataset: str, code: str, folder: DatasetFolder) -> polars.DataFrame:
    """What tokenize needs of a manifest: `dataset`, `clip_id`, `normalized`, `language`, `split`."""
    manifest = folder.manifest
    clips = read_table(manifest, COLUMNS, stage="validate")
    others = sorted(set(clips["language"]) - {code})
    if others:
        raise UserError(
            f"{manifest}: validated as language {', '.join(others)}, but the configuration says {code}.\n"
            "  Run `xtts validate` again with this configuration."
        )
    if clips.filter(split="train").is_empty():
        raise UserError(f"{manifest}: dataset {dataset!r} has no training clips; its rejects.csv says why.")
    return clips.select(polars.lit(dataset).alias("dataset"), *COLUMNS)


def _check_clips(tokenizer: Tokenizer, clips: polars.DataFrame) -> None:
    problems = list(_problems(tokenizer, clips))
    if problems:
        more = [f"  … and {len(problems) - CLIPS_IN_ERROR} more"] if len(problems) > CLIPS_IN_ERROR else []
        raise UserError(
            "\n".join(
                [
                    f"{len(problems)} of {len(clips)} clips cannot be encoded:",
                    *problems[:CLIPS_IN_ERROR],
                    *more,
                    "  Mend or remove these lines of the metadata, then run `xtts validate` again.",
                ]
            )
        )


def _problems(tokenizer: Tokenizer, clips: polars.DataFrame) -> Iterator[str]:
    for (code,), group in clips.group_by("language", maintain_order=True):
        encodings = encode_texts(tokenizer, str(code), group["normalized"].to_list())
        for (dataset, clip_id, text), encoding in zip(
            group.select("dataset", "clip_id", "normalized").iter_rows(), encodings, strict=True
        ):
            if UNKNOWN in encoding.tokens:
                named = _name_characters(character for character in text if tokenizer.token_to_id(character) is None)
                yield f"  {dataset}/{clip_id}: characters outside the vocabulary: {named}"
            if len(encoding) > MODEL_MAX_TEXT_IDS:
                yield f"  {dataset}/{clip_id}: {len(encoding)} text ids, the model takes {MODEL_MAX_TEXT_IDS}"


def _name_characters(characters: Iterable[str]) -> str:
    return ", ".join(f"{character!r} (U+{ord(character):04X})" for character in sorted({*characters} - {" "}))


def _tell(report: dict[str, Any]) -> None:
    merges = f"{report['added_merges']} merges"
    say(f"vocabulary: {report['added_tokens']} rows added to {report['base_rows']}, {merges} learnt")
    if report["added_merges"] > 0 and report["added_tokens"] < report["requested_tokens"]:
        say(f"  {report['requested_tokens']} rows were asked for, but the texts repeat no more pieces than these")
    for code, language in report["languages"].items():
        before, after = language["tokens_per_character_before"], language["tokens_per_character_after"]
        held_out = language["tokens_per_character_held_out"]
        evaluated = "" if held_out is None else f", {held_out} in evaluation clips"
        say(f"  [{code}] {language['characters_added']} characters added")
        say(f"  [{code}] {before} -> {after} tokens per character{evaluated}")
        if language["tag_added"] and not language["merged_tokens"] and language["script_in_base"]:
            say(f"  [{code}] no merges: the base covers the script, and new ones would change its own languages")
