"""Malicious files in the place of every file that a stage reads: nothing in them runs, and the message says what is
wrong. Each goes through the real command of a stage that reads it."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars
import pytest
import yaml
from hostile_pickle import replace_by_pickle
from odd_workflow import DATASET, OddWorkflow, xtts

from xtts_framework.config import EncodeConfig, ReportConfig, read_config
from xtts_framework.data.evaluation_clips import read_evaluation_clips
from xtts_framework.data.features import FeatureReader
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, sha256_of, write_json
from xtts_framework.model.base import load_dvae, load_gpt, read_base
from xtts_framework.model.bundle import read_bundle
from xtts_framework.stages.encode import encode
from xtts_framework.stages.export import export
from xtts_framework.stages.report import report
from xtts_framework.stages.select import select
from xtts_framework.training.checkpoint import _write_state, read_checkpoint
from xtts_framework.training.listeners import open_training_folder


def command(stage: str, odd: OddWorkflow) -> list[object]:
    """Arguments of `xtts` with which the workflow runs a stage."""
    out = odd.of_dataset.path if stage in ("validate", "encode") else odd.of_run.path
    options: list[object] = [stage, "--out", out]
    if stage != "select":
        options += ["--config", odd.slice(stage)]
    if stage in ("encode", "tokenize", "train", "export"):
        options += ["--base", odd.base]
    if stage not in ("validate", "encode", "select"):
        options += [f"--dataset={DATASET}={odd.of_dataset.path}"]
    return [*options, "--", odd.of_run.bundle] if stage == "synthesize" else options


def newest_checkpoint(odd: OddWorkflow) -> Path:
    return max(odd.of_run.checkpoints.glob("*/step-*"))


def selected_checkpoint(odd: OddWorkflow) -> Path:
    return odd.of_run.path / str(read_json(odd.of_run.selected)["folder"])


@pytest.fixture
def plain(copied: OddWorkflow) -> OddWorkflow:
    """The copy, and configuration that names its dataset."""
    for folder in (copied.of_dataset.path, copied.of_run.path):
        for path in (folder / "config").glob("*.yaml"):
            text = yaml.safe_load(path.read_text(encoding="utf-8"))
            for key in ("dataset_path", "dataset_paths"):
                if key in text:
                    text[key] = str(copied.dataset) if key == "dataset_path" else {DATASET: str(copied.dataset)}
            if "dataset" in text:
                text["dataset"]["path"] = str(copied.dataset)
            path.unlink()
            path.write_text(yaml.safe_dump(text, allow_unicode=True), encoding="utf-8")
    return copied


def refused(odd: OddWorkflow, *arguments: object, says: str) -> None:
    done = xtts(*arguments)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 1, done.stderr
    assert says in done.stderr


def test_the_pickles_would_run(tmp_path: Path) -> None:
    """Guards the guard."""
    import torch

    replace_by_pickle(tmp_path / "plain", tmp_path / "first")
    pickle.loads((tmp_path / "plain").read_bytes())
    replace_by_pickle(tmp_path / "model.pth", tmp_path / "second")
    torch.load(tmp_path / "model.pth", weights_only=False)
    assert (tmp_path / "first").is_dir()
    assert (tmp_path / "second").is_dir()


ATTACKS: dict[str, tuple[str, Callable[[OddWorkflow], Path]]] = {
    "model.pth": ("train", lambda odd: odd.base / "model.pth"),
    "dvae.pth": ("encode", lambda odd: odd.base / "dvae.pth"),
    "mel_stats.pth": ("encode", lambda odd: odd.base / "mel_stats.pth"),
    "speakers_xtts.pth": ("export", lambda odd: odd.base / "speakers_xtts.pth"),
    "config.json": ("export", lambda odd: odd.base / "config.json"),
    "vocab.json of the base": ("tokenize", lambda odd: odd.base / "vocab.json"),
    "vocab.json of the run": ("train", lambda odd: odd.of_run.vocab),
    "manifest for encode": ("encode", lambda odd: odd.of_dataset.manifest),
    "manifest for tokenize": ("tokenize", lambda odd: odd.of_dataset.manifest),
    "features.parquet": ("train", lambda odd: odd.of_dataset.features),
    "split.parquet": ("validate", lambda odd: odd.of_dataset.sides),
    "summary.json": ("select", lambda odd: odd.of_run.summary),
    "selected.json": ("export", lambda odd: odd.of_run.selected),
    "state.json": ("export", lambda odd: selected_checkpoint(odd) / "state.json"),
    "model.safetensors": ("export", lambda odd: selected_checkpoint(odd) / "model.safetensors"),
    "bundle's model.pth": ("synthesize", lambda odd: odd.of_run.bundle / "model.pth"),
    "bundle's vocab.json": ("synthesize", lambda odd: odd.of_run.bundle / "vocab.json"),
    "bundle.json": ("synthesize", lambda odd: odd.of_run.bundle / "bundle.json"),
    "metadata.csv": ("validate", lambda odd: odd.dataset / "metadata.csv"),
}
"""File -> a stage that reads it, and where it lies."""


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_pickle_in_the_place_of_a_file_does_not_run(plain: OddWorkflow, tmp_path: Path, attack: str) -> None:
    stage, file = ATTACKS[attack]
    path = file(plain)
    assert path.is_file(), "the workflow wrote it"
    if stage == "encode":
        shutil.rmtree(plain.of_dataset.feature_store)  # else nothing is left to encode
    witness = tmp_path / "it ran"
    replace_by_pickle(path, witness)
    named = selected_checkpoint(plain) if attack == "state.json" else path
    refused(plain, *command(stage, plain), says=named.name)
    assert not witness.exists()


def test_a_malicious_shard_is_encoded_again(plain: OddWorkflow, tmp_path: Path) -> None:
    witness, replaced = tmp_path / "it ran", next(plain.of_dataset.feature_store.glob("shard-*"))
    replace_by_pickle(replaced, witness)
    refused(plain, *command("train", plain), "--restart", says=f"{replaced}: missing or damaged")
    done = xtts(*command("encode", plain))
    assert done.returncode == 0, done.stderr
    reader = FeatureReader(plain.of_dataset)
    assert all(len(reader.codes(clip)) for clip in reader.clip_ids)
    assert not witness.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "the folder"])
def test_resuming_from_a_malicious_checkpoint_runs_nothing(plain: OddWorkflow, tmp_path: Path, name: str) -> None:
    witness, folder = tmp_path / "it ran", newest_checkpoint(plain)
    assert (folder / "optimizer.safetensors").is_file()
    replace_by_pickle(folder if name == "the folder" else folder / name, witness)
    refused(plain, *command("train", plain), "--resume", folder, says=f"--resume {folder}: ")
    assert not witness.exists()


def test_a_checkpoint_with_a_forged_hash_is_still_no_pickle(plain: OddWorkflow, tmp_path: Path) -> None:
    """Whoever can replace a file can replace its hash."""
    witness, folder = tmp_path / "it ran", selected_checkpoint(plain)
    replace_by_pickle(folder / "model.safetensors", witness)
    forge(folder, lambda state: state["files"].update({"model.safetensors": sha256_of(folder / "model.safetensors")}))
    refused(plain, *command("export", plain), says=str(folder / "model.safetensors"))
    assert not witness.exists()


def test_a_configuration_that_names_python_objects_runs_nothing(plain: OddWorkflow, tmp_path: Path) -> None:
    witness, config = tmp_path / "it ran", plain.slice("tokenize")
    config.unlink()
    config.write_text(f"tokenizer: !!python/object/apply:os.mkdir ['{witness}']\n", encoding="utf-8")
    refused(plain, *command("tokenize", plain), says=f"{config}: not valid YAML")
    assert not witness.exists()


def forge(checkpoint: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change `state.json` of a checkpoint and give it the right checksum."""
    state = read_json(checkpoint / "state.json")
    del state["checksum"]
    change(state)
    (checkpoint / "state.json").unlink()
    _write_state(checkpoint, state)


def rewrite(path: Path, change: Callable[[Any], None]) -> None:
    value = read_json(path)
    change(value)
    write_json(path, value)


OUTSIDE = ["../../../base", "/etc", "checkpoints/../../../../base"]


@pytest.mark.parametrize("outside", OUTSIDE)
def test_names_in_results_lead_nowhere_outside(plain: OddWorkflow, outside: str) -> None:
    """Results, too, may be somebody else's: what they name is looked for inside of their own folders only."""
    run, dataset = plain.of_run, plain.of_dataset
    recordings = read_config(plain.slice("encode"), EncodeConfig).dataset_path
    base = plain.base

    rewrite(run.selected, lambda selected: selected.update(folder=outside))
    with pytest.raises(UserError, match=r"selected\.json: names '.*', which is not inside"):
        export(_export_config(plain), base, run, {DATASET: dataset})

    index = polars.read_parquet(dataset.features, glob=False).with_columns(polars.lit(outside).alias("shard"))
    dataset.features.unlink()
    index.write_parquet(dataset.features)
    reader = FeatureReader(dataset)
    with pytest.raises(UserError, match=r"features\.parquet: names '.*', which is not inside"):
        reader.codes(reader.clip_ids[0])

    rewrite(run.synthesis / "synthesis.json", lambda takes: [take.update(file=outside) for take in takes])
    with pytest.raises(UserError, match=r"synthesis\.json: names '.*', which is not inside"):
        report(ReportConfig(run="r", dataset_paths={DATASET: recordings}), run, {DATASET: dataset})

    manifest = polars.read_parquet(dataset.manifest, glob=False).with_columns(polars.lit(outside).alias("file"))
    dataset.manifest.unlink()
    manifest.write_parquet(dataset.manifest)
    with pytest.raises(UserError, match=r"manifest\.parquet: names '.*', which is not inside"):
        read_evaluation_clips(dataset, recordings)
    with pytest.raises(UserError, match=r"manifest\.parquet: names '.*', which is not inside"):
        encode(EncodeConfig(dataset_path=recordings), base, dataset)

    rewrite(run.summary, lambda summary: summary.update(fingerprint=outside))
    with pytest.raises(UserError, match=r"summary\.json: names '.*', which is not inside"):
        select(run)

    run.metrics.unlink()
    run.metrics.write_text(json.dumps({"kind": "note", "step": 0, "message": f"fingerprint {outside}"}) + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl: names '.*', which is not inside"):
        open_training_folder(run, "0123456789ab")
    assert run.training.is_dir(), "it was not moved there"


def _export_config(odd: OddWorkflow) -> Any:
    from xtts_framework.config import ExportConfig

    return read_config(odd.slice("export"), ExportConfig)


def test_a_checkpoint_that_names_other_files_does_not_exist(plain: OddWorkflow) -> None:
    folder = newest_checkpoint(plain)
    assert read_checkpoint(folder)
    forge(folder, lambda state: state["files"].update({"../../../../../../../dev/zero": "0" * 64}))
    assert read_checkpoint(folder) is None


BAD_PACKS = [{"code": ["am"]}, {"options": "am"}, {"name": None}, {"unknown": 1}]


@pytest.mark.parametrize("change", BAD_PACKS, ids=str)
def test_a_bundle_that_describes_no_pack_is_refused(plain: OddWorkflow, change: dict[str, Any]) -> None:
    rewrite(plain.of_run.bundle / "bundle.json", lambda bundle: bundle["packs"][0].update(change))
    with pytest.raises(UserError, match=r"bundle\.json: damaged"):
        read_bundle(plain.of_run.bundle)


BAD_BASES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "gpt_layers is 'many'": ("config.json", lambda config: config["model_args"].update(gpt_layers="many")),
    "an added token is no object": ("vocab.json", lambda vocab: vocab["added_tokens"].append({"id": 1})),
    "whole number as the id": ("vocab.json", lambda vocab: vocab["model"]["vocab"].update({"x": "1"})),
}
"""What the message says -> the file, and what is done to it."""


@pytest.mark.parametrize("says", BAD_BASES)
def test_a_base_of_the_wrong_types_is_refused(plain: OddWorkflow, says: str) -> None:
    name, change = BAD_BASES[says]
    path = plain.base / name
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.unlink()
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=f"{name}: .*{says}"):
        read_base(plain.base)


@pytest.mark.parametrize("name", ["config.json", "vocab.json"])
def test_json_nested_without_end_is_refused(plain: OddWorkflow, name: str) -> None:
    (plain.base / name).unlink()
    (plain.base / name).write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(UserError, match=f"{name}: expected JSON"):
        read_base(plain.base)


@pytest.mark.parametrize("value", [5, "text", [1, 2], None])
def test_weights_that_are_no_tensors_are_refused(plain: OddWorkflow, value: Any) -> None:
    import torch

    for name, state in (
        ("model.pth", {"model": {"gpt.text_embedding.weight": value}}),
        ("dvae.pth", {"codebook.embed": value, "encoder.0.0.weight": value}),
    ):
        (plain.base / name).unlink()
        torch.save(state, plain.base / name)
    base = read_base(plain.base)
    with pytest.raises(UserError, match=r"model\.pth: expected a dictionary with the weights"):
        load_gpt(base)
    with pytest.raises(UserError, match=r"dvae\.pth: expected the weights"):
        load_dvae(base)
