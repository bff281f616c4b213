"""A moving average of the weights: with `ema_decay` it is what is evaluated, saved and spoken with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of the parameters that train.

    Args:
        model: its present weights begin the average.
        decay: share of the average that stays at each update; None: there is no average, nothing happens.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self._decay = decay
        trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self._parameters: dict[str, nn.Parameter] = trainable if decay is not None else {}
        self._averages = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the present weights."""
        for name, parameter in self._parameters.items():
            self._averages[name].lerp_(parameter, 1 - (self._decay or 0.0))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Meanwhile the model's parameters are the average."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def trained_weights(self) -> dict[str, Tensor]:
        """The weights that training goes on with, as `trained.<parameter>`, where the saved model is the average."""
        return {f"trained.{name}": parameter.detach() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def restore_trained(self, tensors: dict[str, Tensor]) -> None:
        """Put `trained_weights` back. The average is that with which this object was made."""
        for name, parameter in self._parameters.items():
            parameter.copy_(tensors[f"trained.{name}"])

    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            parameter.data, self._averages[name] = self._averages[name], parameter.data
