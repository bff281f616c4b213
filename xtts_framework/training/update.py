"""One update: the gradient of a loss over all its samples, whatever passes through the device at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xtts_framework.config import TrainingConfig
from xtts_framework.console import say
from xtts_framework.data.packing import micro_batches
from xtts_framework.errors import UserError
from xtts_framework.model.forward import pack_clips, packed_losses
from xtts_framework.training.device import autocast
from xtts_framework.training.examples import Example, Examples
from xtts_framework.training.optimizer import set_learning_rate
from xtts_framework.training.sampling import draw


@dataclass(frozen=True)
class UpdateResult:
    """What one update was like. Tensors stay on the device until somebody reads them.

    Args:
        numbers: [4] float64: sum of mel and of text losses in nats, L2 norm of the gradient before clipping, and 1 if
            the update was skipped because one of these is not finite (else 0).
        losses: per micro-batch, its clips and [2, C] losses (mel, text) in nats.
        mel_tokens, text_tokens: targets behind the sums.
    """

    numbers: Tensor
    losses: list[tuple[tuple[str, ...], Tensor]]
    mel_tokens: int
    text_tokens: int


class Updater:
    """Applies updates to a model.

    Args:
        gpt: coqui's GPT on `device`.
        token_budget: tokens through the device at once; halved for good when the device runs out of memory.
    """

    def __init__(
        self,
        gpt: nn.Module,
        optimizer: torch.optim.AdamW,
        examples: Examples,
        config: TrainingConfig,
        device: torch.device,
    ) -> None:
        self.token_budget = config.micro_batch_tokens
        self._gpt = gpt
        self._optimizer = optimizer
        self._examples = examples
        self._config = config
        self._device = device
        self._parameters = [parameter for parameter in gpt.parameters() if parameter.requires_grad]

    def update(self, examples: Sequence[Example], *, lr: float, number: int) -> UpdateResult:
        """Move the weights once. A loss or gradient that is not finite leaves weights and optimizer as they were.

        Args:
            examples: all samples of the update.
            lr: learning rate.
            number: which update of the training this is; seeds its dropout, so that it can be repeated.
        Raises:
            UserError: the device has too little memory for the longest clip alone.
        """
        while (losses := self._gradients_or_none(examples, number)) is None:
            self._halve_budget(max(example.tokens for example in examples))
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        sums = torch.stack([per_clip.sum(1, dtype=torch.float64) for _, per_clip in losses]).sum(0)
        skipped = ~(sums.isfinite().all() & norm.isfinite())
        if self._config.max_grad_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self._config.max_grad_norm, norm)
        set_learning_rate(self._optimizer, lr)
        self._optimizer.found_inf = skipped.to(torch.float32)  # type: ignore[attr-defined]  # read by fused AdamW
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return UpdateResult(
            numbers=torch.cat((sums, norm.double().view(1), skipped.double().view(1))),
            losses=losses,
            mel_tokens=sum(example.mel_targets for example in examples),
            text_tokens=sum(example.text_targets for example in examples),
        )

    def _gradients_or_none(
        self, examples: Sequence[Example], number: int
    ) -> list[tuple[tuple[str, ...], Tensor]] | None:
        """None: out of memory. Returning lets go of what the failed attempt holds on the device."""
        try:
            return self._accumulate_gradients(examples, number)
        except torch.OutOfMemoryError:
            return None

    def _accumulate_gradients(self, examples: Sequence[Example], number: int) -> list[tuple[tuple[str, ...], Tensor]]:
        """Add up the gradient of mel sum / N_mel + text sum / N_text, N over the whole update."""
        torch.manual_seed(draw(self._config.seed, "dropout", number) >> 1)
        mel_weight = self._config.mel_loss_weight / sum(example.mel_targets for example in examples)
        text_weight = self._config.text_loss_weight / sum(example.text_targets for example in examples)
        losses = []
        for group in micro_batches([example.tokens for example in examples], self.token_budget):
            clips = [self._examples.load(examples[index]) for index in group]
            batch = pack_clips(clips, self._gpt).to(self._device)
            with autocast(self._device, self._config.precision):
                sums = packed_losses(self._gpt, batch, dropout=self._config.dropout)
            (mel_weight * sums.mel_C.sum() + text_weight * sums.text_C.sum()).backward()  # type: ignore[no-untyped-call]
            losses.append((batch.clip_ids, torch.stack((sums.mel_C, sums.text_C)).detach()))
        return losses

    def _halve_budget(self, longest: int) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        if self.token_budget <= longest:
            raise UserError(
                f"out of memory with one clip of {longest} tokens at a time. Use a GPU with more memory, or leave out "
                "long clips with validation.max_duration_s."
            )
        self.token_budget = max(self.token_budget // 2, longest)
        say(f"out of memory: {self.token_budget} tokens at once from here on; the update is done again")
