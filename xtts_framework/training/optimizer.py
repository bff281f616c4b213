"""AdamW with weight decay where it belongs, and its state as named tensors."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor, nn

from xtts_framework.config import TrainingConfig

EMBEDDING_NAMES = ("embedding", "latents")
"""Parts of names of learned vectors that are looked up or queried with, never multiplied by an activation."""
STATE_PARTS = ("exp_avg", "exp_avg_sq", "step")
"""What AdamW remembers of each parameter."""


def build_optimizer(gpt: nn.Module, config: TrainingConfig, new_rows: Collection[Tensor] = ()) -> torch.optim.AdamW:
    """AdamW over the trainable parameters.

    Weight decay acts on weights only: not on biases, norms and embeddings. New text rows with a rate of their own are
    groups with `lr_scale` other than 1; `set_learning_rate` applies it.

    Args:
        gpt: coqui's GPT; parameters that do not require gradients are left out.
        new_rows: parameters that train at `new_token_lr_scale` times the rate.
    Source: quick-start guide (AdamW, betas, weight decay on weights only); XTTS-v2 recipe (eps).
    """
    new = {id(parameter) for parameter in new_rows}
    groups: dict[tuple[float, float], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in gpt.named_parameters():
        if parameter.requires_grad:
            decay = config.weight_decay if is_weight(name, parameter) else 0.0
            scale = config.new_token_lr_scale if id(parameter) in new else 1.0
            groups.setdefault((decay, scale), []).append((name, parameter))
    return torch.optim.AdamW(
        [
            {"params": members, "weight_decay": decay, "lr_scale": scale}
            for (decay, scale), members in sorted(groups.items(), key=lambda group: group[0])
        ],
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.eps,
        fused=True,
    )


def is_weight(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a matrix (or convolution) that activations are multiplied by."""
    return parameter.ndim > 1 and not any(part in name for part in EMBEDDING_NAMES)


def set_learning_rate(optimizer: torch.optim.AdamW, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def optimizer_tensors(optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """The optimizer's state as `exp_avg.<parameter>`, `exp_avg_sq.<parameter>` and `step.<parameter>`."""
    return {
        f"{part}.{name}": value
        for name, parameter in _named_parameters(optimizer)
        for part, value in optimizer.state[parameter].items()
    }


def optimizer_bytes(optimizer: torch.optim.AdamW) -> int:
    """Memory that the optimizer's state takes; none before the first update."""
    return sum(tensor.nbytes for tensor in optimizer_tensors(optimizer).values())


def restore_optimizer(optimizer: torch.optim.AdamW, tensors: dict[str, Tensor]) -> None:
    """Put the tensors of `optimizer_tensors` back, on the devices of their parameters; other tensors are passed over.

    Raises:
        ValueError: a tensor for an unknown parameter, or of another shape.
    """
    parameters = dict(_named_parameters(optimizer))
    for key, value in tensors.items():
        part, _, name = key.partition(".")
        if part not in STATE_PARTS:
            continue
        parameter = parameters.get(name)
        if parameter is None or (part != "step" and value.shape != parameter.shape):
            raise ValueError(f"the optimizer has no place for {key} of shape {list(value.shape)}")
        optimizer.state[parameter][part] = value.to(parameter.device)


def _named_parameters(optimizer: torch.optim.AdamW) -> Iterator[tuple[str, nn.Parameter]]:
    for group in optimizer.param_groups:
        yield from zip(group["param_names"], group["params"], strict=True)
