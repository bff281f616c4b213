"""Where and how exactly the arithmetic is done."""

from __future__ import annotations

import contextlib

import torch

from xtts_framework.errors import UserError


def choose_device(name: str, index: int = 0) -> torch.device:
    """`auto`, `cpu` or `cuda`.

    Args:
        index: which of the machine's GPUs.
    Raises:
        UserError: `cuda` on a machine without a usable GPU.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError(
            "--device cuda: PyTorch sees no CUDA GPU here. Check the driver with `nvidia-smi`, ask the cluster for a "
            "GPU, or go on slowly with --device cpu."
        )
    if not available or name == "cpu":
        return torch.device("cpu")
    if index >= torch.cuda.device_count():
        raise UserError(
            f"process {index} of this machine has no GPU of its own: PyTorch sees {torch.cuda.device_count()}. "
            "Start as many processes as there are GPUs (`torchrun --nproc-per-node`)."
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def check_compiler(device: torch.device) -> None:
    """Compile something small.

    Raises:
        UserError: torch.compile does not work here.
    """
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.zeros(8, device=device))
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"compile: torch.compile does not work here ({type(error).__name__}: {reason}). Install a C++ compiler "
            "(Debian: g++), or set compile: false."
        ) from error


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
    unused = "; this PyTorch is built for CUDA, but sees no GPU" if torch.version.cuda else ""
    return f"cpu ({torch.get_num_threads()} threads{unused})"
