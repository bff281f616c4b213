"""One pass over the evaluation set: every clip exactly once, always the same way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from xtts_framework.config import TrainingConfig
from xtts_framework.data.packing import micro_batches
from xtts_framework.errors import UserError
from xtts_framework.model.forward import Execution, pack_clips, packed_losses
from xtts_framework.training.corpus import Utterance
from xtts_framework.training.device import autocast
from xtts_framework.training.distributed import Ranks, share_out
from xtts_framework.training.examples import Examples, lengths_of
from xtts_framework.training.state import Evaluation
from xtts_framework.training.update import ClipLosses, Updater, losses_by_clip


@dataclass(frozen=True)
class Evaluator:
    """The evaluation set and how it is measured.

    Args:
        utterances: the evaluation clips.
        examples: makes their voice prompts: fixed ones.
        config: loss weights and precision.
        ranks: each process measures its share of the clips.
        updater: knows how much passes through the device at once.
    """

    utterances: list[Utterance]
    examples: Examples
    config: TrainingConfig
    device: torch.device
    ranks: Ranks
    updater: Updater

    def evaluate(self, gpt: nn.Module, step: int) -> Evaluation:
        """Losses in nats per token over the whole set, without dropout and label smoothing.

        Raises:
            UserError: a loss is not finite; names the clips.
        """
        examples = [self.examples.for_evaluation(utterance) for utterance in self.utterances]
        own = [examples[index] for index in share_out(lengths_of(examples), self.ranks.size)[self.ranks.rank]]
        execution = Execution(compiled=self.config.compile)
        measured: ClipLosses = []
        with torch.no_grad(), autocast(self.device, self.config.precision):
            for group in micro_batches(lengths_of(own), self.updater.budget.tokens):
                batch = pack_clips([self.examples.load(own[index]) for index in group], gpt).to(self.device)
                sums = packed_losses(gpt, batch, dropout=0.0, execution=execution)
                measured.append((batch.clip_ids, torch.stack((sums.mel_C, sums.text_C))))
        losses = [loss for share in self.ranks.gather(losses_by_clip(measured)) for loss in share]
        mel = self._total([(clip, loss) for clip, loss, _ in losses], step)
        text = self._total([(clip, loss) for clip, _, loss in losses], step)
        loss_mel = mel / sum(example.mel_targets for example in examples)
        loss_text = text / sum(example.text_targets for example in examples)
        total = self.config.mel_loss_weight * loss_mel + self.config.text_loss_weight * loss_text
        return Evaluation(step=step, loss_total=total, loss_mel=loss_mel, loss_text=loss_text)

    def _total(self, losses: list[tuple[str, float]], step: int) -> float:
        broken = [clip for clip, loss in losses if not math.isfinite(loss)]
        if broken:
            raise UserError(
                f"step {step}: the evaluation loss of {len(broken)} of {len(losses)} clips is not finite: "
                f"{', '.join(broken[:5])}. With precision bf16 try fp32; otherwise the base or these clips are broken."
            )
        return math.fsum(loss for _, loss in losses)
