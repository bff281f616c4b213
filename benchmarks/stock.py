"""Stock coqui-tts, trained through its own classes, for the benchmarks to compare with.

Everything that costs time or decides what is learnt is coqui's: `GPTTrainer` with its forward, its mels and DVAE in
every step, `XTTSDataset` with its collation, the loader and the optimizer that `GPTTrainer` builds. Its `Trainer` is
not used: around the same steps it keeps running averages and prints, which only costs time, so leaving it out favours
stock. What it does to a batch is done here in the same order: copy to the device, `format_batch_on_device`, forward
under autocast, loss divided by the accumulated batches, backward, every loss read by the host.

Three things are changed, and none makes stock slower:

- `XTTSDataset` draws clips with replacement. Here it gives each clip once, in a given order, so that both sides see
  the same clips. How a clip is loaded stays as it is.
- Where `torchaudio.load` finds no FFmpeg libraries (TorchCodec needs them), it is replaced by soundfile, which reads
  the same samples. `audio_reader` says which of the two it was.
- `GPTTrainer` builds the DVAE with fixed widths. They are read from the base's weights instead, for small bases.

Importing this module imports coqui's dataset module, which sets torch to one thread for the whole process: import it
only in a process of its own, and call `torch.set_num_threads` afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile
import torch
import torchaudio
from torch import Tensor, nn
from TTS.tts.configs.xtts_config import XttsAudioConfig
from TTS.tts.layers.xtts.dvae import DiscreteVAE
from TTS.tts.layers.xtts.trainer import gpt_trainer
from TTS.tts.layers.xtts.trainer.dataset import XTTSDataset

from xtts_framework.audio.rates import SAMPLES_PER_CODE
from xtts_framework.model.base import read_base
from xtts_framework.model.forward import Clip

RECIPE_OPTIMIZER = {"betas": [0.9, 0.96], "eps": 1e-8, "weight_decay": 1e-2}
"""Source: coqui's recipe for XTTS-v2, `train_gpt_xtts.py`."""


class EachClipOnce(XTTSDataset):
    """coqui's dataset in a given order. Its own `__getitem__` draws, from one clip alone."""

    def __init__(self, config: Any, samples: list[dict[str, str]], *arguments: Any, **options: Any) -> None:
        super().__init__(config, list(samples), *arguments, **options)
        self._in_order = samples

    def __len__(self) -> int:
        return len(self._in_order)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = self._in_order[index]
        self.samples = {sample["language"]: [sample, sample]}
        item: dict[str, Any] = super().__getitem__(0)
        if self.failed_samples:
            raise RuntimeError(f"{sample['audio_file']}: coqui's dataset refuses this clip and would give another one")
        return item


def audio_reader(recording: Path) -> str:
    """Make sure that coqui can read recordings here; say by what."""
    try:
        torchaudio.load(str(recording))
    except (ImportError, OSError, RuntimeError) as error:
        torchaudio.load = _load_with_soundfile
        return f"soundfile {soundfile.__version__} (torchaudio.load: {type(error).__name__}, no FFmpeg libraries)"
    return f"torchaudio.load {torchaudio.__version__}"


def _load_with_soundfile(path: str) -> tuple[Tensor, int]:
    samples_SC, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(samples_SC.T), rate_hz


def build_trainer(
    base_folder: Path,
    gpt_weights: Path,
    vocab: Path,
    *,
    batch_size: int,
    loader_workers: int,
    learning_rate: float = 5e-6,
) -> Any:
    """coqui's `GPTTrainer` as its recipe sets it up, on the CPU.

    Args:
        base_folder: its architecture, DVAE and mel statistics.
        gpt_weights: `state_dict` of coqui's GPT, with as many text rows as `vocab` needs.
        learning_rate: of the optimizer that `get_optimizer` builds.
    """
    args = read_base(base_folder).args
    known = {field.name for field in dataclasses.fields(gpt_trainer.GPTArgs)}
    model_args = gpt_trainer.GPTArgs(
        **{name: value for name, value in args.items() if name in known}
        | {
            "mel_norm_file": str(base_folder / "mel_stats.pth"),
            "dvae_checkpoint": str(base_folder / "dvae.pth"),
            "gpt_checkpoint": str(gpt_weights),
            "tokenizer_file": str(vocab),
        }
    )
    config = gpt_trainer.GPTTrainerConfig(
        model_args=model_args,
        audio=XttsAudioConfig(sample_rate=22050, dvae_sample_rate=22050, output_sample_rate=24000),
        batch_size=batch_size,
        num_loader_workers=loader_workers,
        optimizer="AdamW",
        optimizer_wd_only_on_weights=True,
        optimizer_params=RECIPE_OPTIMIZER,
        lr=learning_rate,
    )
    state = torch.load(base_folder / "dvae.pth", map_location="cpu", weights_only=True)
    codebook_dim, num_tokens = state["codebook.embed"].shape
    widths = {"hidden_dim": len(state["encoder.0.0.weight"]), "codebook_dim": codebook_dim, "num_tokens": num_tokens}
    gpt_trainer.DiscreteVAE = lambda **fixed: DiscreteVAE(**fixed | widths)
    gpt_trainer.XTTSDataset = EachClipOnce
    return gpt_trainer.GPTTrainer(config)


def set_training_mode(trainer: Any) -> None:
    """What `GPTTrainer.on_train_epoch_start` does."""
    trainer.eval()
    trainer.xtts.gpt.train()


def remove_dropout(module: nn.Module) -> None:
    """Set the probability of every dropout of a module to 0."""
    for part in module.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.p = 0.0


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """What coqui's `Trainer.format_batch` does before `format_batch_on_device`."""
    return {
        name: value.contiguous().to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }


def batch_of(clips: Sequence[Clip]) -> dict[str, Any]:
    """Clips whose features are known, as `format_batch_on_device` would hand them to `train_step`.

    Args:
        clips: all with voice prompts of one length: coqui's encoder lets padding change what it hears.
    """
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "text_inputs": pad([clip.text_ids for clip in clips], batch_first=True),
        "text_lengths": torch.tensor([len(clip.text_ids) for clip in clips]),
        "audio_codes": pad([clip.codes for clip in clips], batch_first=True),
        "wav_lengths": torch.tensor([len(clip.codes) * SAMPLES_PER_CODE for clip in clips]),
        "cond_mels": torch.stack([clip.conditioning_mel.float() for clip in clips])[:, None],
        "cond_idxs": None,
        "cond_lens": None,
    }
