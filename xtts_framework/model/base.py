"""A base: the folder that training starts from, in XTTS-v2's file layout. It is read, never written.

The released checkpoint, a tiny base and an exported bundle are all bases. Files are loaded with PyTorch's
`weights_only` unpickler, so a checkpoint from a stranger can hold wrong numbers but cannot run code; coqui's own
`load_checkpoint` would rewrite a released `model.pth` in place.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtts_framework.errors import UserError
from xtts_framework.files import sha256_of

if TYPE_CHECKING:
    from torch import Tensor, nn
    from TTS.tts.layers.xtts.dvae import DiscreteVAE
    from TTS.tts.layers.xtts.gpt import GPT

BASE_FILES = {
    "model.pth": "weights of GPT, vocoder and speaker encoder",
    "dvae.pth": "weights of the audio encoder that turns speech into codes",
    "mel_stats.pth": "scale of the 80 mel bands",
    "vocab.json": "tokenizer",
    "config.json": "architecture",
    "speakers_xtts.pth": "ready-made voices",
}
"""File name -> what it is, for people."""

GPT_ARGUMENTS = {
    "layers": "gpt_layers",
    "model_dim": "gpt_n_model_channels",
    "heads": "gpt_n_heads",
    "max_text_tokens": "gpt_max_text_tokens",
    "max_mel_tokens": "gpt_max_audio_tokens",
    "max_prompt_tokens": "gpt_max_prompt_tokens",
    "start_text_token": "gpt_start_text_token",
    "stop_text_token": "gpt_stop_text_token",
    "num_audio_tokens": "gpt_num_audio_tokens",
    "start_audio_token": "gpt_start_audio_token",
    "stop_audio_token": "gpt_stop_audio_token",
    "use_perceiver_resampler": "gpt_use_perceiver_resampler",
    "code_stride_len": "gpt_code_stride_len",
}
"""Argument of coqui's GPT -> its name in `model_args`, the same pairs as in coqui's `Xtts.init_models`."""

TEXT_TOKENS = {"gpt_start_text_token": "[START]", "gpt_stop_text_token": "[STOP]"}
TRAINER_PREFIX = "xtts."
TRAINER_ONLY = ("torch_mel_spectrogram_style_encoder.", "torch_mel_spectrogram_dvae.", "dvae.")
INFERENCE_ONLY = ("gpt.gpt_inference.", "gpt.gpt.wte.")
"""Shared tensors under a second name, left in released checkpoints by `init_gpt_for_inference`."""
DVAE_TRAINING_ONLY = ("discrete_loss.", "codebook.cluster_size", "codebook.embed_avg")

CONFIG_CLASSES = (
    "TTS.tts.models.xtts.XttsArgs",
    "TTS.tts.models.xtts.XttsAudioConfig",
    "TTS.tts.configs.xtts_config.XttsArgs",
    "TTS.tts.configs.xtts_config.XttsAudioConfig",
    "TTS.tts.configs.xtts_config.XttsConfig",
    "TTS.config.shared_configs.BaseDatasetConfig",
)
"""Classes of the configuration object inside released checkpoints, under their old and new names."""


@dataclass(frozen=True)
class Base:
    """A checked base folder.

    Args:
        folder: where the files lie.
        args: `model_args` of `config.json`, with the text tokens that `vocab.json` defines (as coqui does).
        config: all of `config.json`.
        features_key: hash of `dvae.pth` and `mel_stats.pth`; equal keys give equal audio codes and mels.
    """

    folder: Path
    args: dict[str, Any]
    config: dict[str, Any]
    features_key: str


def read_base(folder: Path) -> Base:
    """Check a base folder, without loading its weights and without importing torch.

    Raises:
        UserError: no such folder; or a list of every missing or wrong file, with what was expected.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such base folder. Fetch the released model with `xtts base fetch xtts-v2`, "
            "or name a folder that holds one."
        )
    problems = [problem for name in BASE_FILES if (problem := _problem_with(folder / name))]
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise UserError(
            f"{folder} is no complete base, {len(problems)} of {len(BASE_FILES)} files are wrong:\n{listed}\n"
            "  Fetch the released model again with `xtts base fetch xtts-v2`, or copy the missing files."
        )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    ids = _token_ids(json.loads((folder / "vocab.json").read_text(encoding="utf-8")))
    args = {**config["model_args"], **{name: ids[token] for name, token in TEXT_TOKENS.items()}}
    args["gpt_number_text_tokens"] = max(ids.values()) + 1
    digests = [sha256_of(folder / name) for name in ("dvae.pth", "mel_stats.pth")]
    features_key = hashlib.sha256(" ".join(digests).encode()).hexdigest()
    return Base(folder=folder, args=args, config=config, features_key=features_key)


def build_gpt(args: dict[str, Any], text_rows: int) -> GPT:
    """Coqui's GPT with random weights.

    Args:
        args: as in `Base.args`.
        text_rows: rows of the text embedding and of the text head; the highest text id plus one.
    """
    import transformers
    from TTS.tts.layers.xtts.gpt import GPT

    # GPT2Config defaults to GPT-2's start and end tokens, which coqui never uses; transformers warns of them each time.
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    return GPT(number_text_tokens=text_rows, **{name: args[key] for name, key in GPT_ARGUMENTS.items()})


def load_model_state(base: Base) -> dict[str, Tensor]:
    """All tensors of `model.pth` under coqui's names (`gpt.…`, `hifigan_decoder.…`, `mel_stats`), on the CPU.

    Tensors that only coqui's trainer or its generation wrapper put there are left out, and the prefix of coqui's
    trainer is removed, like `Xtts.get_compatible_checkpoint_state_dict`.

    Raises:
        UserError: not a checkpoint, or one that holds other objects than tensors and coqui's configuration.
    """
    path = base.folder / "model.pth"
    checkpoint = _load_tensors(path)
    if not isinstance(checkpoint, dict) or not _is_state(checkpoint.get("model")):
        raise UserError(f"{path}: expected a dictionary with the weights under 'model', found {_describe(checkpoint)}.")
    state = {name.removeprefix(TRAINER_PREFIX): tensor for name, tensor in checkpoint["model"].items()}
    return {name: tensor for name, tensor in state.items() if not name.startswith(TRAINER_ONLY + INFERENCE_ONLY)}


def load_gpt(base: Base) -> GPT:
    """The base's GPT in evaluation mode, with as many text rows as its checkpoint has.

    Raises:
        UserError: a tensor is missing, unexpected or of another shape than `config.json` says; or the vocabulary has
            an id without a row.
    """
    path = base.folder / "model.pth"
    state = {
        name.removeprefix("gpt."): tensor for name, tensor in load_model_state(base).items() if name.startswith("gpt.")
    }
    if "text_embedding.weight" not in state:
        raise UserError(f"{path}: the tensor gpt.text_embedding.weight is missing, so this is no XTTS checkpoint.")
    rows = state["text_embedding.weight"].shape[0]
    if rows != base.args["gpt_number_text_tokens"]:
        raise UserError(
            f"{path}: {rows} text rows, but vocab.json beside it needs {base.args['gpt_number_text_tokens']} "
            "(its highest id plus one). The two files belong to different models."
        )
    gpt = build_gpt(base.args, text_rows=rows)
    _load_strictly(gpt, state, source=path)
    return gpt.eval()


def load_dvae(base: Base) -> DiscreteVAE:
    """The base's audio encoder in evaluation mode; its widths are read from its weights.

    Source: the architecture is the one coqui's `GPTTrainer` builds.
    """
    path = base.folder / "dvae.pth"
    state = _load_tensors(path)
    if not _is_state(state) or not {"codebook.embed", "encoder.0.0.weight"} <= state.keys():
        raise UserError(f"{path}: expected the weights of a discrete VAE, found {_describe(state)}.")
    codebook_dim, num_tokens = state["codebook.embed"].shape
    dvae = build_dvae(hidden_dim=state["encoder.0.0.weight"].shape[0], codebook_dim=codebook_dim, num_tokens=num_tokens)
    _load_strictly(dvae, state, source=path, unused=DVAE_TRAINING_ONLY)
    return dvae.eval()


def build_dvae(*, hidden_dim: int, codebook_dim: int, num_tokens: int) -> DiscreteVAE:
    """Coqui's discrete VAE as XTTS uses it: 80 mel bands, four frames to a code; random weights."""
    from TTS.tts.layers.xtts.dvae import DiscreteVAE

    return DiscreteVAE(
        channels=80,
        positional_dims=1,
        num_tokens=num_tokens,
        codebook_dim=codebook_dim,
        hidden_dim=hidden_dim,
        num_resnet_blocks=3,
        kernel_size=3,
        num_layers=2,
        use_transposed_convs=False,
        normalization=None,
    )


def load_mel_stats(base: Base) -> Tensor:
    """What log-mels are divided by, one number per band: [80]."""
    import torch

    path = base.folder / "mel_stats.pth"
    stats = _load_tensors(path)
    if not isinstance(stats, torch.Tensor) or stats.shape != (80,):
        raise UserError(f"{path}: expected a tensor of shape [80], found {_describe(stats)}.")
    if not torch.isfinite(stats).all() or (stats == 0).any():
        raise UserError(f"{path}: expected 80 finite numbers other than zero; mels are divided by them.")
    return stats.float()


def check_weights(path: Path) -> None:
    """Make sure that a file holds tensors and nothing that could run code, before it is passed on.

    Raises:
        UserError: it holds something else, or is damaged.
    """
    _load_tensors(path)


class _Discarded:
    """Stands in for coqui's configuration classes: what it holds is never looked at."""


def _load_tensors(path: Path) -> Any:
    import torch

    allowed: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [(_Discarded, name) for name in CONFIG_CLASSES]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: refused, because it holds more than tensors and could run code when loaded. "
            "Use a file from a source you trust, saved by coqui-tts or by xtts-framework."
        ) from error
    except OSError:
        raise
    except Exception as error:  # whatever the bytes of a damaged file make of themselves
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{path}: damaged or not a PyTorch file ({reason}).") from error


def _is_state(value: Any) -> bool:
    """Whether this is what a module saves: tensors by name."""
    import torch

    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items()
    )


def _load_strictly(module: nn.Module, state: dict[str, Tensor], *, source: Path, unused: tuple[str, ...] = ()) -> None:
    """Load every tensor of `module` from `state`, or name all that do not fit; names under `unused` may differ."""
    expected = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(unused)}
    found = {name: tensor for name, tensor in state.items() if not name.startswith(unused)}
    problems = [f"missing: {name} {list(expected[name].shape)}" for name in sorted(expected.keys() - found.keys())]
    problems += [f"unexpected: {name}" for name in sorted(found.keys() - expected.keys())]
    problems += [
        f"shape: {name} is {list(found[name].shape)}, config.json expects {list(expected[name].shape)}"
        for name in sorted(expected.keys() & found.keys())
        if expected[name].shape != found[name].shape
    ]
    if problems:
        shown = "\n".join(f"  {problem}" for problem in problems[:20])
        more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise UserError(f"{source}: {len(problems)} tensors do not fit the architecture:\n{shown}{more}")
    module.load_state_dict(found, strict=not unused)


def _problem_with(path: Path) -> str | None:
    """Say what is wrong with one file of a base, or nothing."""
    if not path.is_file():
        return f"{path.name}: missing ({BASE_FILES[path.name]})"
    if path.stat().st_size == 0:
        return f"{path.name}: empty ({BASE_FILES[path.name]})"
    if path.suffix == ".pth":
        return _problem_with_weights(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        return f"{path.name}: expected JSON, but {error}"
    return _problem_with_config(content) if path.name == "config.json" else _problem_with_vocab(content)


def _problem_with_weights(path: Path) -> str | None:
    with path.open("rb") as stream:
        start = stream.read(64)
    if zipfile.is_zipfile(path) or start.startswith(b"\x80"):
        return None
    if start.startswith(b"PK"):
        return f"{path.name}: truncated at {path.stat().st_size} bytes; the copy or download did not finish"
    if start.startswith(b"version https://git-lfs"):
        return f"{path.name}: a Git LFS pointer, not the file itself; run `git lfs pull` where it came from"
    return f"{path.name}: expected a PyTorch file, but it starts with {start[:16]!r}"


def _problem_with_config(config: Any) -> str | None:
    args = config.get("model_args") if isinstance(config, dict) else None
    if not isinstance(args, dict):
        return "config.json: expected an object with 'model_args', as XTTS-v2 has"
    missing = [key for key in GPT_ARGUMENTS.values() if key not in args and key not in TEXT_TOKENS]
    if missing:
        return f"config.json: model_args lacks {', '.join(missing)}"
    wrong = [key for key in GPT_ARGUMENTS.values() if key not in TEXT_TOKENS and not isinstance(args[key], int)]
    if wrong:
        return f"config.json: {', '.join(f'{key} is {args[key]!r}' for key in wrong)}; expected whole numbers"
    if args["gpt_use_perceiver_resampler"] is not True:
        return "config.json: gpt_use_perceiver_resampler is not true, so this is XTTS v1; only v2 is supported"
    return None


def _problem_with_vocab(vocab: Any) -> str | None:
    model = vocab.get("model") if isinstance(vocab, dict) else None
    if not isinstance(model, dict) or model.get("type") != "BPE" or not isinstance(model.get("vocab"), dict):
        return "vocab.json: expected a `tokenizers` file with a BPE model"
    try:
        ids = _token_ids(vocab)
    except (KeyError, TypeError) as error:
        return f"vocab.json: an added token is no object with 'id' and 'content' ({error!r})"
    if not all(isinstance(index, int) for index in ids.values()):
        return "vocab.json: expected a whole number as the id of every token"
    missing = [token for token in TEXT_TOKENS.values() if token not in ids]
    return f"vocab.json: the tokens {', '.join(missing)} are missing" if missing else None


def _token_ids(vocab: dict[str, Any]) -> dict[str, int]:
    return {**vocab["model"]["vocab"], **{token["content"]: token["id"] for token in vocab.get("added_tokens", [])}}


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        keys = ", ".join(str(key) for key in list(value)[:5])
        return f"a dictionary of {len(value)} entries ({keys}{', …' if len(value) > 5 else ''})"
    shape = getattr(value, "shape", None)
    return f"a tensor of shape {list(shape)}" if shape is not None else f"a {type(value).__name__}"
