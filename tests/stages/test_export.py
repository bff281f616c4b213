"""Export: what coqui-tts, a person and the next run need is in one folder, and true."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from trained_run import LOSSES, TrainedRun

from xtts_framework.config import LanguageConfig, dump_yaml
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, sha256_of, write_json
from xtts_framework.layout import RunFolder
from xtts_framework.model.base import BASE_FILES, load_gpt, load_model_state, read_base
from xtts_framework.model.bundle import load_packs, read_bundle
from xtts_framework.plugins.registry import load_plugins
from xtts_framework.stages.export import CPML, UNKNOWN_LICENCE, export
from xtts_framework.text.tokenizer import XttsTokenizer
from xtts_framework.training.fingerprint import base_hashes


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in folder.iterdir() if path.is_file()}


def test_coqui_loads_the_bundle_strictly_and_speaks_with_our_tokenizer(exported_run: TrainedRun) -> None:
    """The lines of the model card, with coqui-tts as it is installed."""
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    folder = exported_run.run.bundle
    before = hashes(folder)
    config = XttsConfig()
    config.load_json(folder / "config.json")
    model = Xtts(config)
    model.load_checkpoint(config, checkpoint_dir=folder, strict=True)
    model.tokenizer = XttsTokenizer(folder / "vocab.json", load_packs(read_bundle(folder), load_plugins()))
    voice = next(iter(model.speaker_manager.speakers.values()))
    spoken = model.inference("ሰላም", "am", voice["gpt_cond_latent"], voice["speaker_embedding"], max_new_tokens=20)
    assert "am" in config.languages
    assert len(spoken["wav"]) > 1000
    assert np.isfinite(spoken["wav"]).all()
    assert hashes(folder) == before


def test_the_bundle_holds_the_selected_weights_and_all_else_of_the_base(exported_run: TrainedRun) -> None:
    import torch
    from safetensors.torch import load_file

    found = load_model_state(read_base(exported_run.run.bundle))
    trained = load_file(exported_run.checkpoint(16) / "model.safetensors")
    base = load_model_state(read_base(exported_run.base))
    assert found.keys() == base.keys()
    for name, tensor in found.items():
        expected = trained[name.removeprefix("gpt.")] if name.startswith("gpt.") else base[name]
        assert torch.equal(tensor, expected), name
    for name in ("dvae.pth", "mel_stats.pth", "speakers_xtts.pth"):
        assert sha256_of(exported_run.run.bundle / name) == sha256_of(exported_run.base / name)
    assert sha256_of(exported_run.run.bundle / "vocab.json") == sha256_of(exported_run.run.vocab)


def test_a_bundle_is_a_base_with_the_same_features(exported_run: TrainedRun) -> None:
    bundle, base = read_base(exported_run.run.bundle), read_base(exported_run.base)
    assert bundle.features_key == base.features_key
    assert load_gpt(bundle).text_embedding.num_embeddings == bundle.args["gpt_number_text_tokens"]
    assert bundle.config["model_args"]["gpt_number_text_tokens"] > base.args["gpt_number_text_tokens"]


def test_the_description_names_what_the_bundle_was_made_from(exported_run: TrainedRun) -> None:
    description = read_json(exported_run.run.bundle / "bundle.json")
    (pack,) = description["packs"]
    assert (pack["code"], pack["name"], pack["distribution"]) == ("am", "Amharic", "xtts-framework")
    assert description["base"]["files"] == {name: sha256_of(exported_run.base / name) for name in BASE_FILES}
    assert description["base"]["licence"] == UNKNOWN_LICENCE
    assert description["selected"]["step"] == min(LOSSES, key=LOSSES.__getitem__)
    assert description["selected"]["loss_total"] == 5.2
    assert description["training"]["learning_rate"] == 3e-4


def test_the_model_card_names_base_licence_data_recipe_and_losses(exported_run: TrainedRun) -> None:
    card = (exported_run.run.bundle / "README.md").read_text(encoding="utf-8")
    for words in (
        "# spoken",
        "Amharic",
        "`bases/tiny`",
        "**unknown**",
        "covers its code, not these weights",
        "| speech | am | 20 | 4 | 0.02 |",
        "| before training | 0 | 6.400 | 6.300 | 5.000 |",
        "| this bundle | 16 | 5.200 | 5.100 | 2.000 |",
        "5.400",
        "| learning_rate | 0.0003 |",
        "| milestones | [50000, 150000, 300000] |",
    ):
        assert words in card


def test_the_licence_of_the_released_base_is_passed_on(trained_run: TrainedRun, tmp_path: Path) -> None:
    copy = trained_run.copied(tmp_path / "results")
    config = copy.export_config.model_copy(update={"base": "xtts-v2"})
    export(config, copy.base, copy.run, copy.datasets)
    card = (copy.run.bundle / "README.md").read_text(encoding="utf-8")
    assert read_json(copy.run.bundle / "bundle.json")["base"]["licence"] == CPML
    assert "non-commercial purposes only" in card
    # and on, through a base that is itself a bundle
    base = tmp_path / "base"
    shutil.copytree(copy.base, base)
    shutil.copyfile(copy.run.bundle / "bundle.json", base / "bundle.json")
    target = RunFolder(tmp_path / "second")
    for name in ("tokenizer", "checkpoints", "summary.json", "selected.json"):
        (target.path / name).parent.mkdir(parents=True, exist_ok=True)
        (target.path / name).symlink_to(copy.run.path / name)
    export(copy.export_config, base, target, copy.datasets)
    assert read_json(target.bundle / "bundle.json")["base"]["licence"] == CPML


def test_the_default_voice_is_an_evaluation_recording(exported_run: TrainedRun) -> None:
    import polars

    table = polars.read_parquet(exported_run.dataset.manifest).filter(polars.col("split") == "eval")
    voice, rate_hz = soundfile.read(exported_run.run.bundle / "reference.wav", dtype="int16")
    recordings = [soundfile.read(exported_run.recordings / file, dtype="int16") for file in table["file"]]
    assert any(hz == rate_hz and np.array_equal(samples, voice) for samples, hz in recordings)


def test_the_same_run_exports_the_same_weights(exported_run: TrainedRun, tmp_path: Path) -> None:
    copy = exported_run.copied(tmp_path / "results")
    before = hashes(copy.run.bundle)
    export(copy.export_config, copy.base, copy.run, copy.datasets)
    assert hashes(copy.run.bundle) == before


def test_a_refused_export_leaves_the_older_bundle(exported_run: TrainedRun, tmp_path: Path) -> None:
    copy = exported_run.copied(tmp_path / "results")
    before = hashes(copy.run.bundle)
    weights = copy.checkpoint(16) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match="its hash differs"):
        export(copy.export_config, copy.base, copy.run, copy.datasets)
    assert hashes(copy.run.bundle) == before
    assert [path.name for path in copy.run.path.glob(".partial-*")] == []


def test_what_does_not_fit_is_refused(trained_run: TrainedRun, tmp_path: Path) -> None:
    copy = trained_run.copied(tmp_path / "results")

    def refuse(message: str) -> None:
        with pytest.raises(UserError, match=message):
            export(copy.export_config, copy.base, copy.run, copy.datasets)
        assert not copy.run.bundle.exists()

    vocab = copy.run.vocab.read_text(encoding="utf-8")
    copy.run.vocab.write_text(vocab + "\n", encoding="utf-8")
    refuse("trained with another vocabulary")
    copy.run.vocab.write_text(vocab, encoding="utf-8")
    (copy.checkpoint(16) / "COMPLETE").unlink()
    refuse("missing or incomplete")
    copy.run.selected.unlink()
    refuse("run `xtts select")


def test_weights_of_another_architecture_are_refused(trained_run: TrainedRun, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from xtts_framework.training.checkpoint import save_checkpoint

    copy = trained_run.copied(tmp_path / "results")
    weights = load_file(copy.checkpoint(16) / "model.safetensors")
    weights["gpt.h.9.ln_1.bias"] = weights.pop("gpt.h.0.ln_1.bias")
    state = {
        "step": 16,
        "metrics": None,
        "vocab_sha256": sha256_of(copy.run.vocab),
        "fingerprint_inputs": {"base": base_hashes(copy.base)},
    }
    save_checkpoint(copy.checkpoint(16).parent, weights, None, state)
    with pytest.raises(UserError, match=r"2 tensors differ \(gpt\.h\.0\.ln_1\.bias, gpt\.h\.9\.ln_1\.bias\)"):
        export(copy.export_config, copy.base, copy.run, copy.datasets)


@pytest.mark.parametrize(
    ("file", "named"),
    [("config.json", r"model\.pth or config\.json"), ("mel_stats.pth", r"dvae\.pth or mel_stats\.pth")],
)
def test_another_base_of_the_same_shape_is_refused(
    trained_run: TrainedRun, tmp_path: Path, file: str, named: str
) -> None:
    other = tmp_path / "base"
    shutil.copytree(trained_run.base, other)
    with (other / file).open("ab") as stream:
        stream.write(b"\n")
    copy = trained_run.copied(tmp_path / "results")
    with pytest.raises(UserError, match=rf"base: not the base that this run was trained from; {named} differ"):
        export(copy.export_config, other, copy.run, copy.datasets)
    assert not copy.run.bundle.exists()


def test_results_of_other_datasets_are_refused(trained_run: TrainedRun) -> None:
    with pytest.raises(UserError, match=r"names the datasets \['speech'\], but --dataset names \['wrong'\]"):
        export(trained_run.export_config, trained_run.base, trained_run.run, {"wrong": trained_run.dataset})


def test_an_unknown_language_names_the_packs_there_are(trained_run: TrainedRun) -> None:
    config = trained_run.export_config.model_copy(update={"languages": {"speech": LanguageConfig(code="xx")}})
    with pytest.raises(UserError, match="am"):
        export(config, trained_run.base, trained_run.run, trained_run.datasets)


def test_a_bundle_of_a_missing_pack_or_a_newer_format_is_refused(exported_run: TrainedRun, tmp_path: Path) -> None:
    copy = exported_run.copied(tmp_path / "results")
    path = copy.run.bundle / "bundle.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    pack = description["packs"][0] | {"code": "qq", "distribution": "xtts-qq", "version": "3.1"}
    write_json(path, description | {"packs": [pack]})
    with pytest.raises(UserError, match=r"pack of xtts-qq 3\.1"):
        load_packs(read_bundle(copy.run.bundle), load_plugins())
    write_json(path, description | {"format": 99})
    with pytest.raises(UserError, match="format 99"):
        read_bundle(copy.run.bundle)
    path.unlink()
    with pytest.raises(UserError, match=r"bundle\.json is missing"):
        read_bundle(copy.run.bundle)


def test_another_version_of_the_pack_is_mentioned(
    exported_run: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = read_bundle(exported_run.run.bundle)
    load_packs(bundle, load_plugins())
    assert capsys.readouterr().err == ""
    older = replace(bundle, packs=[replace(bundle.packs[0], version="0.0.1")])
    load_packs(older, load_plugins())
    assert "made with xtts-framework 0.0.1" in capsys.readouterr().err


def test_the_command_exports(trained_run: TrainedRun, tmp_path: Path) -> None:
    copy = trained_run.copied(tmp_path / "results")
    config = tmp_path / "export.yaml"
    config.write_text(dump_yaml(copy.export_config), encoding="utf-8")
    arguments = [
        "--config",
        config,
        "--base",
        copy.base,
        "--out",
        copy.run.path,
        f"--dataset=speech={copy.dataset.path}",
    ]
    code = "from xtts_framework.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", code, "export", *map(str, arguments)], check=True)
    assert read_bundle(copy.run.bundle).description["run"] == "spoken"
