"""Where and how exactly the arithmetic is done."""

from __future__ import annotations

import contextlib

import torch

from xtts_framework.errors import UserError


def choose_device(name: str) -> torch.device:
    """`auto`, `cpu` or `cuda`.

    Raises:
        UserError: `cuda` on a machine without a usable GPU.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError(
            "--device cuda: PyTorch sees no CUDA GPU here. Check the driver with `nvidia-smi`, ask the cluster for a "
            "GPU, or go on slowly with --device cpu."
        )
    return torch.device("cuda" if available and name in ("auto", "cuda") else "cpu")


def set_matmul_precision(precision: str) -> None:
    """Allow TF32 in matmuls and convolutions, or (`fp32_strict`) forbid it everywhere."""
    tf32 = precision != "fp32_strict"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[None]:
    """bf16 activations over fp32 master weights, or nothing."""
    if precision != "bf16":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"
