"""Stage export: the selected checkpoint and its base become a bundle that speaks without us."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xtts_framework
from xtts_framework.config import ExportConfig, LanguageConfig
from xtts_framework.console import say
from xtts_framework.data.evaluation_clips import EvaluationClip, choose_voice, read_evaluation_clips
from xtts_framework.data.tables import read_table
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, replacing_folder, sha256_of
from xtts_framework.layout import DatasetFolder, RunFolder, require_datasets
from xtts_framework.model.base import BASE_FILES, Base, read_base
from xtts_framework.model.bundle import DESCRIPTION_FILE, REFERENCE_FILE, PackUse, pack_source, write_bundle
from xtts_framework.plugins.registry import Plugins, load_plugins
from xtts_framework.stages.select import read_selected
from xtts_framework.training.checkpoint import MODEL_FILE, Checkpoint, read_checkpoint
from xtts_framework.training.fingerprint import base_hashes

if TYPE_CHECKING:
    import jinja2

CPML = "Coqui Public Model License 1.0.0 (non-commercial)"
UNKNOWN_LICENCE = "unknown"
PACKAGES = ("torch", "coqui-tts", "transformers", "tokenizers")


def export(config: ExportConfig, base_folder: Path, run: RunFolder, datasets: Mapping[str, DatasetFolder]) -> None:
    """Write `bundle/` of a run, whole or not at all; an older one is replaced.

    Args:
        base_folder: the base that the run was trained from; only read.
        datasets: results by dataset name.
    Raises:
        UserError: nothing selected yet, a damaged checkpoint, one that fits neither base nor vocabulary, or a dataset
            that is missing or not of this run.
    """
    require_datasets(config.languages, datasets)
    base = read_base(base_folder)
    plugins = load_plugins()
    selected = read_selected(run)
    checkpoint = _selected_checkpoint(run, selected)
    _require_its_base(base, checkpoint, datasets)
    packs = [_describe_pack(plugins, language) for language in _languages(config)]
    description = _describe(config, base, run, datasets, selected, checkpoint)
    voice = _default_voice(config, datasets)
    card = _card_template().render(**description, packs=packs, voice=voice)
    with replacing_folder(run.bundle) as folder:
        write_bundle(
            folder,
            base=base,
            gpt=checkpoint.tensors(MODEL_FILE),
            vocab=run.vocab,
            packs=packs,
            description=description,
            card=card,
        )
        if voice:
            _copy_voice(voice, folder / REFERENCE_FILE)
    say(f"{run.bundle}: checkpoint of step {checkpoint.step} exported")


def _selected_checkpoint(run: RunFolder, selected: dict[str, Any]) -> Checkpoint:
    folder = run.path / selected["folder"]
    checkpoint = read_checkpoint(folder)
    if checkpoint is None:
        raise UserError(f"{folder}: the selected checkpoint is missing or incomplete. Run `xtts select` again.")
    if MODEL_FILE in checkpoint.damaged_files():
        raise UserError(
            f"{folder / MODEL_FILE}: not what training saved, its hash differs. Remove {folder.name} and run "
            "`xtts select` again."
        )
    if checkpoint.state["vocab_sha256"] != sha256_of(run.vocab):
        raise UserError(
            f"{folder} was trained with another vocabulary than {run.vocab}, which has changed since. "
            "Run training again."
        )
    return checkpoint


def _require_its_base(base: Base, checkpoint: Checkpoint, datasets: Mapping[str, DatasetFolder]) -> None:
    """Everything but the GPT comes from the base: another one of the same shape would make a broken voice."""
    different = []
    if base_hashes(base.folder) != checkpoint.state["fingerprint_inputs"]["base"]:
        different.append("model.pth or config.json")
    keys = [read_table(dataset.features, stage="encode")["base_features_key"] for dataset in datasets.values()]
    if any((key != base.features_key).any() for key in keys):
        different.append("dvae.pth or mel_stats.pth")
    if different:
        raise UserError(
            f"{base.folder}: not the base that this run was trained from; {' and '.join(different)} differ. "
            "Export with that base."
        )


def _languages(config: ExportConfig) -> list[LanguageConfig]:
    """One entry per language, in the order of the datasets."""
    return list({language.code: language for language in reversed(config.languages.values())}.values())[::-1]


def _describe_pack(plugins: Plugins, language: LanguageConfig) -> PackUse:
    pack = plugins.pack(language.code, language.options)
    distribution, version = pack_source(plugins, language.code)
    return PackUse(language.code, pack.name, distribution, version, language.options)


def _describe(
    config: ExportConfig,
    base: Base,
    run: RunFolder,
    datasets: Mapping[str, DatasetFolder],
    selected: dict[str, Any],
    checkpoint: Checkpoint,
) -> dict[str, Any]:
    """What `bundle.json` and the model card tell; all of it is JSON."""
    summary = read_json(run.summary)
    return {
        "run": config.run,
        "framework": xtts_framework.__version__,
        "versions": {
            "python": platform.python_version(),
            "xtts-framework": xtts_framework.__version__,
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "base": {
            "name": config.base,
            "licence": _licence(config, base),
            "features_key": base.features_key,
            "files": {name: sha256_of(base.folder / name) for name in BASE_FILES},
        },
        "selected": {
            "step": checkpoint.step,
            "folder": selected["folder"],
            "reason": selected.get("reason", ""),
            **(checkpoint.metrics or {}),
        },
        "eval": {key: summary["eval"][key] for key in ("first", "best")},
        "eval_unigram_entropy": summary.get("eval_unigram_entropy"),
        "datasets": {
            name: {"language": config.languages[name].code, **summary.get("datasets", {}).get(name, {})}
            for name in datasets
        },
        "training": config.training.model_dump(mode="json"),
        "freezing": summary.get("freezing"),
        "steps": summary["steps"],
    }


def _licence(config: ExportConfig, base: Base) -> str:
    """Of the base's weights, which the bundle inherits."""
    if config.base == "xtts-v2":
        return CPML
    made_from = base.folder / DESCRIPTION_FILE
    return str(read_json(made_from)["base"]["licence"]) if made_from.is_file() else UNKNOWN_LICENCE


def _default_voice(config: ExportConfig, datasets: Mapping[str, DatasetFolder]) -> EvaluationClip | None:
    """An evaluation clip of the first dataset; None if the recordings cannot be found."""
    for name, dataset in datasets.items():
        voice = choose_voice(read_evaluation_clips(dataset, config.dataset_paths[name]))
        if voice and voice.recording.is_file():
            return voice
    say(f"no evaluation recording found: the bundle has no {REFERENCE_FILE}")
    return None


def _copy_voice(voice: EvaluationClip, destination: Path) -> None:
    """The recording as PCM16, whatever its own format is."""
    import soundfile

    samples, rate_hz = soundfile.read(voice.recording, dtype="float32")
    soundfile.write(destination, samples, rate_hz, subtype="PCM_16")


def _card_template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # Markdown, not HTML
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("model_card.md.j2")
