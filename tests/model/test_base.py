"""Reading a base: strictly, safely, and without ever writing to it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from xtts_framework.errors import UserError
from xtts_framework.files import sha256_of
from xtts_framework.model.base import (
    BASE_FILES,
    build_dvae,
    load_dvae,
    load_gpt,
    load_mel_stats,
    load_model_state,
    read_base,
)


@pytest.fixture
def base_copy(tiny_base: Path, tmp_path: Path) -> Path:
    """A base to break; files are links, so replace them, do not edit them."""
    folder = tmp_path / "base"
    folder.mkdir()
    for path in tiny_base.iterdir():
        (folder / path.name).hardlink_to(path)
    return folder


def replace(path: Path, content: str | bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def save(path: Path, value: Any) -> None:
    path.unlink(missing_ok=True)
    torch.save(value, path)


def problems_of(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_base(folder)
    return str(caught.value)


@pytest.fixture
def read_only(tiny_base: Path, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "read-only"
    shutil.copytree(tiny_base, folder)
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield folder
    folder.chmod(0o755)


def test_loading_leaves_a_read_only_base_bit_identical(read_only: Path) -> None:
    before = {path.name: (sha256_of(path), path.stat().st_mtime_ns) for path in read_only.iterdir()}
    base = read_base(read_only)
    gpt = load_gpt(base)
    state = load_model_state(base)
    dvae = load_dvae(base)
    with torch.no_grad():
        for tensor in (*gpt.state_dict().values(), *dvae.state_dict().values(), *state.values()):
            tensor.zero_()
    assert {path.name: (sha256_of(path), path.stat().st_mtime_ns) for path in read_only.iterdir()} == before


def test_the_gpt_is_the_one_that_coqui_loads(tiny_base: Path, tmp_path: Path) -> None:
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    copy = tmp_path / "copy"
    shutil.copytree(tiny_base, copy)
    config = XttsConfig()
    config.load_json(str(copy / "config.json"))
    theirs = Xtts(config)
    theirs.load_checkpoint(config, checkpoint_dir=str(copy), eval=False, strict=True)
    base = read_base(tiny_base)
    ours = load_gpt(base)
    expected = theirs.gpt.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in ours.state_dict().items())
    for attribute in ("start_text_token", "stop_text_token", "start_audio_token", "stop_audio_token", "heads"):
        assert getattr(ours, attribute) == getattr(theirs.gpt, attribute)
    assert not ours.training
    assert torch.equal(load_mel_stats(base), theirs.mel_stats)


def test_a_checkpoint_in_the_released_form_is_read(tiny_base: Path, base_copy: Path) -> None:
    """With a configuration object under its old module name, the generation wrapper's tensors, a trainer's prefix."""
    from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig

    expected = load_model_state(read_base(tiny_base))
    state = {f"xtts.{name}": tensor for name, tensor in expected.items()}
    state["gpt.gpt_inference.lm_head.0.weight"] = torch.zeros(128)
    state["gpt.gpt.wte.weight"] = torch.zeros(1026, 128)
    state["dvae.codebook.embed"] = torch.zeros(4, 4)
    state["torch_mel_spectrogram_dvae.mel_stft.spectrogram.window"] = torch.zeros(4)
    modules = {cls: cls.__module__ for cls in (XttsArgs, XttsAudioConfig)}
    try:
        for cls in modules:
            cls.__module__ = "TTS.tts.models.xtts"
        save(base_copy / "model.pth", {"config": XttsConfig(), "model": state})
    finally:
        for cls, module in modules.items():
            cls.__module__ = module
    assert b"TTS.tts.models.xtts" in (base_copy / "model.pth").read_bytes()
    loaded = load_model_state(read_base(base_copy))
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.items())
    load_gpt(read_base(base_copy))


class Malicious:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("name", ["model.pth", "dvae.pth", "mel_stats.pth"])
@pytest.mark.parametrize("new_format", [True, False])
def test_a_malicious_checkpoint_does_not_run(base_copy: Path, tmp_path: Path, name: str, new_format: bool) -> None:
    witness = tmp_path / "it ran"
    (base_copy / name).unlink()
    torch.save(
        {"model": {"w": torch.zeros(1)}, "payload": Malicious(witness)},
        base_copy / name,
        _use_new_zipfile_serialization=new_format,
    )
    load = {"model.pth": load_gpt, "dvae.pth": load_dvae, "mel_stats.pth": load_mel_stats}[name]
    with pytest.raises(UserError, match=rf"(?s){name}: refused.*could run code"):
        load(read_base(base_copy))
    assert not witness.exists()


def test_every_missing_and_wrong_file_is_named(base_copy: Path) -> None:
    content = (base_copy / "dvae.pth").read_bytes()
    (base_copy / "model.pth").unlink()
    replace(base_copy / "dvae.pth", content[: len(content) // 2])
    replace(base_copy / "mel_stats.pth", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    replace(base_copy / "speakers_xtts.pth", "<!DOCTYPE html><title>Sign in</title>")
    replace(base_copy / "vocab.json", '{"model": {"type": "WordPiece"}}')
    replace(base_copy / "config.json", "")
    message = problems_of(base_copy)
    for expected in (
        "6 of 6 files",
        "model.pth: missing (weights of GPT",
        f"dvae.pth: truncated at {len(content) // 2} bytes",
        "mel_stats.pth: a Git LFS pointer",
        "speakers_xtts.pth: expected a PyTorch file, but it starts with b'<!DOCTYPE html>",
        "vocab.json: expected a `tokenizers` file",
        "config.json: empty",
    ):
        assert expected in message


def test_a_base_that_is_no_folder_says_how_to_get_one(tmp_path: Path) -> None:
    assert "xtts base fetch xtts-v2" in problems_of(tmp_path / "nowhere")


@pytest.mark.parametrize("name", list(BASE_FILES))
def test_each_single_missing_file_is_named(base_copy: Path, name: str) -> None:
    (base_copy / name).unlink()
    message = problems_of(base_copy)
    assert f"{name}: missing" in message and message.count(": missing") == 1


def test_other_architectures_are_refused(base_copy: Path) -> None:
    config = json.loads((base_copy / "config.json").read_text())
    for change, expected in (
        ({"gpt_use_perceiver_resampler": False}, "XTTS v1"),
        ({"gpt_layers": None, "gpt_n_heads": None}, "model_args lacks gpt_layers, gpt_n_heads"),
    ):
        args = {key: value for key, value in {**config["model_args"], **change}.items() if value is not None}
        replace(base_copy / "config.json", json.dumps({**config, "model_args": args}))
        assert expected in problems_of(base_copy)


def test_tensors_that_do_not_fit_are_listed(base_copy: Path) -> None:
    state = load_model_state(read_base(base_copy))
    state["gpt.surplus"] = torch.zeros(1)
    del state["gpt.mel_head.bias"]
    state["gpt.final_norm.weight"] = torch.zeros(3)
    save(base_copy / "model.pth", {"model": state})
    with pytest.raises(UserError) as caught:
        load_gpt(read_base(base_copy))
    for expected in (
        "3 tensors do not fit",
        "unexpected: surplus",
        "missing: mel_head.bias [1026]",
        "shape: final_norm.weight is [3], config.json expects [128]",
    ):
        assert expected in str(caught.value)


def test_a_vocabulary_with_more_ids_than_rows_is_refused(base_copy: Path) -> None:
    vocab = json.loads((base_copy / "vocab.json").read_text())
    vocab["model"]["vocab"]["ሰላም"] = 9000
    replace(base_copy / "vocab.json", json.dumps(vocab))
    with pytest.raises(UserError, match=r"418 text rows, but vocab.json beside it needs 9001"):
        load_gpt(read_base(base_copy))


def test_rows_without_an_id_are_refused_since_new_tokens_would_land_on_them(base_copy: Path) -> None:
    vocab = json.loads((base_copy / "vocab.json").read_text())
    last = max(vocab["added_tokens"], key=lambda token: token["id"])
    vocab["added_tokens"].remove(last)
    del vocab["model"]["vocab"][last["content"]]
    replace(base_copy / "vocab.json", json.dumps(vocab))
    with pytest.raises(UserError, match=r"418 text rows, but vocab.json beside it needs 417"):
        load_gpt(read_base(base_copy))


@pytest.mark.parametrize("checkpoint", [{"weights": {}}, [1, 2], {"model": [1]}])
def test_a_file_of_another_kind_is_described(base_copy: Path, checkpoint: Any) -> None:
    save(base_copy / "model.pth", checkpoint)
    with pytest.raises(UserError, match="expected a dictionary with the weights under 'model', found a "):
        load_model_state(read_base(base_copy))


def test_a_damaged_checkpoint_is_a_message(base_copy: Path) -> None:
    content = bytearray((base_copy / "mel_stats.pth").read_bytes())
    start = content.index(b"data.pkl") + len("data.pkl")
    content[start : start + 120] = bytes(120)
    replace(base_copy / "mel_stats.pth", bytes(content))
    with pytest.raises(UserError, match=r"mel_stats\.pth"):
        load_mel_stats(read_base(base_copy))


def test_the_dvae_takes_its_dimensions_from_its_weights(base_copy: Path) -> None:
    dvae = build_dvae(hidden_dim=16, codebook_dim=8, num_tokens=50).eval()
    kept = {
        name: tensor
        for name, tensor in dvae.state_dict().items()
        if not name.startswith(("discrete_loss.", "codebook.cluster_size", "codebook.embed_avg"))
    }
    save(base_copy / "dvae.pth", kept)
    loaded = load_dvae(read_base(base_copy))
    mel = torch.randn(1, 80, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.get_codebook_indices(mel), dvae.get_codebook_indices(mel))
    assert not loaded.training

    del kept["encoder.5.weight"]
    save(base_copy / "dvae.pth", kept)
    with pytest.raises(UserError, match=r"missing: encoder\.5\.weight"):
        load_dvae(read_base(base_copy))


@pytest.mark.parametrize("stats", [torch.ones(79), torch.zeros(80), torch.full((80,), torch.nan), {"mel": 1}])
def test_mel_statistics_that_cannot_divide_are_refused(base_copy: Path, stats: Any) -> None:
    save(base_copy / "mel_stats.pth", stats)
    with pytest.raises(UserError, match=r"mel_stats\.pth: expected"):
        load_mel_stats(read_base(base_copy))


def test_the_features_key_follows_dvae_and_mel_statistics_only(base_copy: Path) -> None:
    key = read_base(base_copy).features_key
    config = json.loads((base_copy / "config.json").read_text())
    replace(base_copy / "config.json", json.dumps({**config, "temperature": 0.1}))
    assert read_base(base_copy).features_key == key
    save(base_copy / "mel_stats.pth", torch.full((80,), 2.0))
    assert read_base(base_copy).features_key != key


def test_checking_a_base_imports_neither_torch_nor_coqui(tiny_base: Path) -> None:
    """Stages that only look at a base's vocabulary must stay quick."""
    program = (
        "import sys; from pathlib import Path; from xtts_framework.model.base import read_base;"
        "read_base(Path(sys.argv[1])); print({'torch', 'TTS', 'transformers'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program, str(tiny_base)], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
