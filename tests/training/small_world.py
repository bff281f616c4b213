"""A small model, its optimizer and clips without files: what one update needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from small_training import DATASET, Prepared, config_with
from torch import Tensor, nn

from xtts_framework.model.base import load_gpt, read_base
from xtts_framework.model.forward import Clip, MicroBatch
from xtts_framework.model.rows import extend_text_rows, merged_state_dict, new_row_parameters, split_new_rows
from xtts_framework.training import update as update_module
from xtts_framework.training.budget import Budget
from xtts_framework.training.corpus import Utterance
from xtts_framework.training.distributed import Ranks
from xtts_framework.training.examples import Example, Examples
from xtts_framework.training.optimizer import build_optimizer
from xtts_framework.training.sampling import Sample
from xtts_framework.training.update import Updater

CPU = torch.device("cpu")
NEW_ROWS = 16


class Synthetic:
    """Clips of random codes and mels: a corpus without files."""

    def __init__(self, count: int, rows: int, codes: int) -> None:
        generator = torch.Generator().manual_seed(3)
        self.features: dict[str, tuple[Tensor, Tensor]] = {}
        self.utterances: dict[str, Utterance] = {}
        for index in range(count):
            length = 12 + 9 * index
            text = tuple(torch.randint(5, rows, (6 + index,), generator=generator).tolist())
            name = f"{DATASET}/{index}"
            self.utterances[name] = Utterance(name, DATASET, str(index), "train", "s", 1.0, text, length, 4 * length)
            self.features[name] = (
                torch.randint(0, codes, (length,), generator=generator),
                torch.randn(80, 4 * length, generator=generator),
            )

    def read_codes(self, utterance: Utterance) -> Tensor:
        return self.features[utterance.name][0]

    def read_mel(self, utterance: Utterance, frames: slice) -> Tensor:
        return self.features[utterance.name][1][:, frames]


class World:
    """A small model and what it learns from."""

    def __init__(
        self,
        prepared: Prepared,
        *,
        clips: int = 8,
        device: torch.device = CPU,
        ranks: Ranks | None = None,
        budget: Budget | None = None,
        **training: Any,
    ) -> None:
        base = read_base(prepared.base)
        self.config = config_with(**{"dropout": 0.0, "learning_rate": 1e-3} | training).training
        self.gpt = load_gpt(base)
        self.base_rows = self.gpt.text_embedding.num_embeddings
        extend_text_rows(self.gpt, self.base_rows + NEW_ROWS, {}, seed=1)
        if self.config.new_token_lr_scale != 1:
            split_new_rows(self.gpt, self.base_rows)
        self.gpt.to(device)
        self.corpus = Synthetic(clips, self.base_rows + NEW_ROWS, base.args["gpt_start_audio_token"])
        corpus: Any = self.corpus
        self.examples = Examples(corpus, seed=1, same_speaker=False, mask_prompt=self.config.mask_conditioned_loss)
        self.optimizer = build_optimizer(self.gpt, self.config, new_row_parameters(self.gpt))
        self.updater = Updater(self.gpt, self.optimizer, self.examples, self.config, device, ranks=ranks, budget=budget)

    def batch(self) -> list[Example]:
        return [self.examples.for_training(Sample(name, 0)) for name in self.corpus.utterances]

    def update(self, number: int = 0) -> tuple[float, float, float, bool]:
        """Mel and text loss in nats per token, gradient norm, skipped."""
        result = self.updater.update(self.batch(), lr=self.config.learning_rate, number=number)
        mel, text, norm, skipped = result.numbers.tolist()
        return mel / result.mel_tokens, text / result.text_tokens, norm, bool(skipped)

    def gradients(self, number: int = 0) -> dict[str, Tensor]:
        """Of one update over all processes, by parameter, before the optimizer sees them; then they are let go.

        Asked twice after out of memory, as an update would.
        """
        batch = self.batch()
        while self.updater._gradients_of_all(batch, number) is None:
            self.updater._halve_budget(1)
        self.updater._ranks.add_up_gradients(self.updater._parameters)
        taken = {name: p.grad.clone() for name, p in self.gpt.named_parameters() if p.grad is not None}
        self.optimizer.zero_grad()
        return taken

    def weights(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in merged_state_dict(self.gpt).items()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Norm of the difference over the norm, all tensors together."""
    assert one.keys() == other.keys()
    differences = torch.stack([(one[name] - other[name]).double().norm() for name in one])
    return float(differences.norm() / torch.stack([tensor.double().norm() for tensor in other.values()]).norm())


def movement(before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: after[name] - before[name] for name in before}


class SmallMemory:
    """Stands in for a GPU without room: micro-batches above a number of tokens do not fit."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._pack = update_module.pack_clips

    def __call__(self, clips: Sequence[Clip], gpt: nn.Module) -> MicroBatch:
        if sum(clip.tokens for clip in clips) > self.tokens:
            raise torch.OutOfMemoryError
        return self._pack(clips, gpt)
