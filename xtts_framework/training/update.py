"""One update: the gradient of a loss over all its samples, whatever passes through the device at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from xtts_framework.config import TrainingConfig
from xtts_framework.console import say
from xtts_framework.data.packing import micro_batches
from xtts_framework.errors import UserError
from xtts_framework.model.forward import Clip, Execution, MicroBatch, pack_clips, packed_losses
from xtts_framework.training.budget import Budget, cpu_budget
from xtts_framework.training.device import autocast
from xtts_framework.training.distributed import Ranks, share_out
from xtts_framework.training.examples import Example, Examples, lengths_of
from xtts_framework.training.optimizer import optimizer_bytes, set_learning_rate
from xtts_framework.training.sampling import draw

ClipLosses = list[tuple[tuple[str, ...], Tensor]]
"""Per micro-batch, its clips and [2, C] losses (mel, text) in nats, on the device."""
ClipLoss = tuple[str, float, float]
"""A clip, its mel loss and its text loss in nats."""


def losses_by_clip(losses: ClipLosses) -> list[ClipLoss]:
    """Read losses from the device."""
    return [(clip, mel, text) for clips, both in losses for clip, mel, text in zip(clips, *both.tolist(), strict=True)]


@dataclass(frozen=True)
class UpdateResult:
    """What one update was like. Tensors stay on the device until somebody reads them.

    Args:
        numbers: [4] float64: sum of mel and of text losses in nats, L2 norm of the gradient before clipping, and 1 if
            the update was skipped because one of these is not finite (else 0).
        losses: of this process's clips.
        mel_tokens, text_tokens: targets behind the sums.
    """

    numbers: Tensor
    losses: ClipLosses
    mel_tokens: int
    text_tokens: int


@dataclass(frozen=True)
class Prepared:
    """The micro-batches of an update that this process computes, on the device."""

    examples: Sequence[Example]
    budget: Budget
    batches: list[MicroBatch]


class Updater:
    """Applies updates to a model.

    Args:
        gpt: coqui's GPT on `device`.
        ranks: this process among those that train together.
        budget: through the device at once; halved for good when the device runs out of memory, which `on_halved` hears.

    `data_wait_s` counts the seconds of reading and packing in which the device had nothing else to do. On a GPU it is
    an upper bound: a preparation counts in full when the GPU has finished before it.
    """

    def __init__(
        self,
        gpt: nn.Module,
        optimizer: torch.optim.AdamW,
        examples: Examples,
        config: TrainingConfig,
        device: torch.device,
        *,
        ranks: Ranks | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.budget = budget or cpu_budget(config)
        self.on_halved: Callable[[Budget], None] = lambda budget: None
        self.data_wait_s = 0.0
        self._gpt = gpt
        self._optimizer = optimizer
        self._examples = examples
        self._config = config
        self._device = device
        self._ranks = ranks or Ranks()
        self._parameters = [parameter for parameter in gpt.parameters() if parameter.requires_grad]
        self._prepared: Prepared | None = None
        self._idle_since: torch.cuda.Event | None = None

    def prepare(self, examples: Sequence[Example]) -> None:
        """Read and pack what `update` will be given next. While a GPU is busy with the update before, this is free.

        Without memory for it the update will do it itself, and make room as it does for all else.
        """
        try:
            self._prepared = self._pack(examples)
        except torch.OutOfMemoryError:
            self._prepared = None

    def update(self, examples: Sequence[Example], *, lr: float, number: int) -> UpdateResult:
        """Move the weights once. A loss or gradient that is not finite leaves weights and optimizer as they were.

        Args:
            examples: all samples of the update, of all processes.
            lr: learning rate.
            number: which update of the training this is; seeds its dropout, so that it can be repeated.
        Raises:
            UserError: the device has too little memory for the longest clip alone; another process is gone.
        """
        while (losses := self._gradients_of_all(examples, number)) is None:
            self._halve_budget(max(lengths_of(examples)))
        self._ranks.add_up_gradients(self._parameters)
        sums = sum((per_clip.sum(1, dtype=torch.float64) for _, per_clip in losses), self._zeros(2))
        self._ranks.add_up(sums)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        skipped = ~(sums.isfinite().all() & norm.isfinite())
        if self._config.max_grad_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self._config.max_grad_norm, norm)
        set_learning_rate(self._optimizer, lr)
        self._optimizer.found_inf = skipped.to(torch.float32)  # type: ignore[attr-defined]  # read by fused AdamW
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if self._device.type == "cuda":
            self._idle_since = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._idle_since.record()
        return UpdateResult(
            numbers=torch.cat((sums, norm.double().view(1), skipped.double().view(1))),
            losses=losses,
            mel_tokens=sum(example.mel_targets for example in examples),
            text_tokens=sum(example.text_targets for example in examples),
        )

    def measure_peak(self, examples: Sequence[Example], budget: Budget) -> int:
        """Bytes of GPU memory that one micro-batch takes while it passes, beyond weights and gradients.

        Args:
            examples: what the micro-batch is made of, repeated as often as it needs.
        Raises:
            torch.OutOfMemoryError: it does not pass.
        """
        clips: list[Clip] = []
        room = budget.tokens
        while (example := examples[len(clips) % len(examples)]).tokens <= room:
            clips.append(self._examples.load(example))
            room -= example.tokens
        try:
            for parameter in self._parameters:
                parameter.grad = torch.zeros_like(parameter)
            at_rest = torch.cuda.memory_allocated(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._backward(pack_clips(clips, self._gpt).to(self._device), budget, 1.0, 1.0)
            return torch.cuda.max_memory_allocated(self._device) - at_rest
        finally:
            self._optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()

    @property
    def bytes_to_come(self) -> int:
        """Gradients and optimizer state that are not there yet."""
        gradients = sum(parameter.nbytes for parameter in self._parameters)
        return 3 * gradients - optimizer_bytes(self._optimizer)

    def _gradients_of_all(self, examples: Sequence[Example], number: int) -> ClipLosses | None:
        """This process's losses; None: some process is out of memory, and what this one holds is let go."""
        try:
            losses = self._accumulate_gradients(examples, number)
        except torch.OutOfMemoryError:
            losses = None
        [somebody_failed] = self._ranks.any(losses is None)
        return None if somebody_failed else losses

    def _accumulate_gradients(self, examples: Sequence[Example], number: int) -> ClipLosses:
        """Add up the gradient of mel sum / N_mel + text sum / N_text, N over the whole update."""
        prepared, self._prepared = self._prepared, None
        if prepared is None or prepared.examples is not examples or prepared.budget != self.budget:
            prepared = self._pack(examples)
        torch.manual_seed(draw(self._config.seed, "dropout", number, self._ranks.rank) >> 1)
        mel_weight = self._config.mel_loss_weight / sum(example.mel_targets for example in examples)
        text_weight = self._config.text_loss_weight / sum(example.text_targets for example in examples)
        return [
            (batch.clip_ids, self._backward(batch, self.budget, mel_weight, text_weight)) for batch in prepared.batches
        ]

    def _pack(self, examples: Sequence[Example]) -> Prepared:
        """This process's share of an update, in micro-batches on the device."""
        started = time.perf_counter()
        share = share_out(lengths_of(examples), self._ranks.size)[self._ranks.rank]
        own = [examples[index] for index in share]
        batches = []
        for group in micro_batches(lengths_of(own), self.budget.tokens):
            clips = [self._examples.load(own[index]) for index in group]
            batches.append(pack_clips(clips, self._gpt).to(self._device))
        if self._idle_since is None or self._idle_since.query():  # type: ignore[no-untyped-call]
            self.data_wait_s += time.perf_counter() - started
        return Prepared(examples, self.budget, batches)

    def _backward(self, batch: MicroBatch, budget: Budget, mel_weight: float, text_weight: float) -> Tensor:
        """Add a micro-batch's gradient; its [2, C] losses in nats."""
        with autocast(self._device, self._config.precision):
            sums = packed_losses(
                self._gpt,
                batch,
                dropout=self._config.dropout,
                label_smoothing=self._config.label_smoothing,
                execution=Execution(recompute=budget.recompute, compiled=self._config.compile),
            )
        (mel_weight * sums.mel_C.sum() + text_weight * sums.text_C.sum()).backward()  # type: ignore[no-untyped-call]
        return torch.stack((sums.mel_C, sums.text_C)).detach()

    def _halve_budget(self, longest: int) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        if self.budget.tokens <= longest:
            raise UserError(
                f"out of memory with one clip of {longest} tokens at a time. Use a GPU with more memory, or leave out "
                "long clips with validation.max_duration_s."
            )
        self.budget = replace(self.budget, tokens=max(self.budget.tokens // 2, longest))
        say(f"out of memory: {self.budget.tokens} tokens at once from here on; the update is done again")
        self.on_halved(self.budget)

    def _zeros(self, length: int) -> Tensor:
        return torch.zeros(length, dtype=torch.float64, device=self._device)
