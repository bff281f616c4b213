"""One pass over the evaluation set: every clip exactly once, always the same way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from xtts_framework.config import TrainingConfig
from xtts_framework.data.packing import micro_batches
from xtts_framework.errors import UserError
from xtts_framework.model.forward import pack_clips, packed_losses
from xtts_framework.training.corpus import Utterance
from xtts_framework.training.device import autocast
from xtts_framework.training.examples import Examples
from xtts_framework.training.state import Evaluation


@dataclass(frozen=True)
class Evaluator:
    """The evaluation set and how it is measured.

    Args:
        utterances: the evaluation clips.
        examples: makes their voice prompts: fixed ones.
        config: loss weights, precision and the token budget of a micro-batch.
    """

    utterances: list[Utterance]
    examples: Examples
    config: TrainingConfig
    device: torch.device

    def evaluate(self, gpt: nn.Module, step: int) -> Evaluation:
        """Losses in nats per token over the whole set, without dropout.

        Raises:
            UserError: a loss is not finite; names the clips.
        """
        examples = [self.examples.for_evaluation(utterance) for utterance in self.utterances]
        sums = []
        with torch.no_grad(), autocast(self.device, self.config.precision):
            for group in micro_batches([example.tokens for example in examples], self.config.micro_batch_tokens):
                batch = pack_clips([self.examples.load(examples[index]) for index in group], gpt).to(self.device)
                losses = packed_losses(gpt, batch, dropout=0.0)
                sums.append((batch.clip_ids, losses.mel_C, losses.text_C))
        mel = self._total([(clips, mel_C.tolist()) for clips, mel_C, _ in sums], step)
        text = self._total([(clips, text_C.tolist()) for clips, _, text_C in sums], step)
        loss_mel = mel / sum(example.mel_targets for example in examples)
        loss_text = text / sum(example.text_targets for example in examples)
        total = self.config.mel_loss_weight * loss_mel + self.config.text_loss_weight * loss_text
        return Evaluation(step=step, loss_total=total, loss_mel=loss_mel, loss_text=loss_text)

    def _total(self, losses: list[tuple[tuple[str, ...], list[float]]], step: int) -> float:
        by_clip = {clip: loss for clips, values in losses for clip, loss in zip(clips, values, strict=True)}
        broken = [clip for clip, loss in by_clip.items() if not math.isfinite(loss)]
        if broken:
            raise UserError(
                f"step {step}: the evaluation loss of {len(broken)} of {len(by_clip)} clips is not finite: "
                f"{', '.join(broken[:5])}. With precision bf16 try fp32; otherwise the base or these clips are broken."
            )
        return math.fsum(by_clip.values())
