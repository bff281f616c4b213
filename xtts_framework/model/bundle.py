"""A bundle: the folder that a finished voice is passed on as. Described in docs/bundles.md.

Its files are coqui's own (`BASE_FILES`), so that coqui-tts loads it as it loads XTTS-v2, and a later run may start
from it. Ours is `bundle.json`: which language packs prepare the text, what it was made from, and how good it is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, write_json, write_text
from xtts_framework.model.base import BASE_FILES, Base, check_weights, load_model_state, read_base
from xtts_framework.text.vocabulary import read_vocab, row_count

if TYPE_CHECKING:
    from torch import Tensor

    from xtts_framework.plugins import LanguagePack
    from xtts_framework.plugins.registry import Plugins

DESCRIPTION_FILE = "bundle.json"
REFERENCE_FILE = "reference.wav"
CARD_FILE = "README.md"
FORMAT = 1
COPIED_FILES = ("dvae.pth", "mel_stats.pth", "speakers_xtts.pth")
GPT_PREFIX = "gpt."


@dataclass(frozen=True)
class PackUse:
    """The language pack that prepared the training text; the same one must prepare what is spoken."""

    code: str
    name: str
    distribution: str
    version: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Bundle:
    """A checked bundle folder: `base` is the same folder as coqui sees it."""

    base: Base
    packs: list[PackUse]
    description: dict[str, Any]

    @property
    def folder(self) -> Path:
        return self.base.folder

    @property
    def reference(self) -> Path | None:
        """The recording that gives the default voice, if the bundle has one."""
        path = self.folder / REFERENCE_FILE
        return path if path.is_file() else None


def read_bundle(folder: Path) -> Bundle:
    """Check a bundle, without importing torch.

    Raises:
        UserError: no such folder, no bundle, incomplete, or written by a newer framework.
    """
    path = folder / DESCRIPTION_FILE
    if not path.is_file():
        found = f"{DESCRIPTION_FILE} is missing" if folder.is_dir() else "no such folder"
        raise UserError(
            f"{folder}: no bundle, {found}. Expected a folder that `xtts export` wrote, such as "
            "results/runs/RUN/bundle."
        )
    base = read_base(folder)
    try:
        description = read_json(path)
        if description["format"] > FORMAT:
            raise UserError(
                f"{path}: format {description['format']}, but this version of xtts-framework reads up to {FORMAT}. "
                "Install a newer one."
            )
        packs = [_read_pack(pack) for pack in description["packs"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error!r}). Export the bundle again.") from error
    return Bundle(base, packs, description)


def _read_pack(stored: Mapping[str, Any]) -> PackUse:
    pack = PackUse(**stored)
    expected = dict.fromkeys(stored, str) | {"options": dict}
    for name, kind in expected.items():
        if not isinstance(stored[name], kind):
            raise TypeError(f"{name} of a pack is {stored[name]!r}")
    return pack


def load_packs(bundle: Bundle, plugins: Plugins) -> dict[str, LanguagePack]:
    """The bundle's language packs with their recorded options; says so when a pack has another version now.

    Raises:
        UserError: a pack is not installed; names what to install.
    """
    packs = {}
    for use in bundle.packs:
        try:
            packs[use.code] = plugins.pack(use.code, use.options)
        except UserError as error:
            raise UserError(
                f"{bundle.folder}: this bundle speaks {use.name} with the pack of {use.distribution} {use.version}.\n"
                f"  {error}"
            ) from error
        _, version = pack_source(plugins, use.code)
        if version != use.version:
            say(
                f"{bundle.folder}: made with {use.distribution} {use.version}, installed is {version}; "
                f"{use.name} text may be prepared differently from training"
            )
    return packs


def pack_source(plugins: Plugins, code: str) -> tuple[str, str]:
    """Distribution and version that a language's pack comes from."""
    for info in plugins.infos:
        if code in info.languages:
            return info.distribution, info.version
    return "unknown", "unknown"


def write_bundle(
    folder: Path,
    *,
    base: Base,
    gpt: Mapping[str, Tensor],
    vocab: Path,
    packs: Sequence[PackUse],
    description: Mapping[str, Any],
    card: str,
) -> None:
    """Fill an empty folder with everything but the reference recording.

    Args:
        gpt: trained weights under coqui's GPT names, without prefix.
        vocab: of the run.
        description: what `bundle.json` tells besides format and packs.
        card: README.md.
    Raises:
        UserError: the weights fit neither the base's architecture nor the vocabulary, or a file of the base holds
            more than tensors.
    """
    import torch

    rows = row_count(read_vocab(vocab))
    state = with_gpt(load_model_state(base), gpt, rows=rows, source=vocab)
    torch.save({"model": state}, folder / "model.pth")
    shutil.copyfile(vocab, folder / "vocab.json")
    for name in COPIED_FILES:
        check_weights(base.folder / name)  # nothing that could run code is passed on
        shutil.copyfile(base.folder / name, folder / name)
    config = coqui_config(base, rows, [pack.code for pack in packs])
    # As in the released file, there is an Infinity in it: coqui's JSON is Python's, not the standard's.
    write_text(folder / "config.json", json.dumps(config, ensure_ascii=False, indent=4) + "\n")
    content = {"format": FORMAT, "packs": [asdict(pack) for pack in packs], **description}
    write_json(folder / DESCRIPTION_FILE, content)
    write_text(folder / CARD_FILE, card)
    assert all((folder / name).is_file() for name in BASE_FILES)


def with_gpt(state: Mapping[str, Tensor], gpt: Mapping[str, Tensor], *, rows: int, source: Path) -> dict[str, Tensor]:
    """A model's tensors with its GPT exchanged; every tensor must fit.

    Args:
        state: of the base, under coqui's names.
        gpt: as in `write_bundle`.
        rows: text rows that the vocabulary needs.
        source: where the vocabulary lies, for the message.
    """
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(GPT_PREFIX)}
    replaced = {name.removeprefix(GPT_PREFIX): tensor for name, tensor in state.items() if name not in kept}
    problems = sorted(replaced.keys() ^ gpt.keys())
    problems += [
        name
        for name in sorted(replaced.keys() & gpt.keys())
        if gpt[name].shape[1:] != replaced[name].shape[1:]
        or (gpt[name].shape != replaced[name].shape and not name.startswith("text_"))
    ]
    if problems:
        raise UserError(
            f"The checkpoint does not fit the base: {len(problems)} tensors differ ({', '.join(problems[:5])}). "
            "Export with the base that the run was trained from."
        )
    found = gpt["text_embedding.weight"].shape[0]
    if found != rows:
        raise UserError(
            f"The checkpoint has {found} text rows, but {source} needs {rows}: it was trained with another vocabulary. "
            "Run training again, or export with the vocabulary it was trained with."
        )
    return kept | {f"{GPT_PREFIX}{name}": tensor.contiguous() for name, tensor in gpt.items()}


def coqui_config(base: Base, rows: int, languages: Sequence[str]) -> dict[str, Any]:
    """The base's `config.json` for the extended vocabulary, with the new languages added."""
    args = {**base.config["model_args"], "gpt_number_text_tokens": rows}
    args |= {key: base.args[key] for key in ("gpt_start_text_token", "gpt_stop_text_token")}
    known = base.config.get("languages", [])
    return {**base.config, "model_args": args, "languages": list(dict.fromkeys([*known, *languages]))}
