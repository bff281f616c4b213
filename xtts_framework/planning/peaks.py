"""The most that a device could compute per second: what model FLOPs utilisation is a share of."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Peaks:
    """The most that a GPU's data sheet promises, TFLOPS, dense; None: its tensor cores do not know that type."""

    bf16: float | None
    tf32: float | None
    fp32: float


GPU_PEAKS: Mapping[str, Peaks] = {
    r"NVIDIA B200": Peaks(bf16=2250, tf32=1125, fp32=75),
    r"NVIDIA H200|NVIDIA H100 80GB HBM3": Peaks(bf16=989.4, tf32=494.7, fp32=66.9),
    r"NVIDIA H200 NVL|NVIDIA H100 NVL": Peaks(bf16=835.5, tf32=417.5, fp32=60),
    r"NVIDIA H100 PCIe": Peaks(bf16=756, tf32=378, fp32=51),
    r"(NVIDIA )?A100[-\w ]*": Peaks(bf16=312, tf32=156, fp32=19.5),
    r"NVIDIA L40S": Peaks(bf16=362, tf32=183, fp32=91.6),
    r"NVIDIA L4": Peaks(bf16=121, tf32=60, fp32=30.3),
    r"NVIDIA GeForce RTX 4090": Peaks(bf16=165.2, tf32=82.6, fp32=82.6),
    r"NVIDIA GeForce RTX 3090": Peaks(bf16=71, tf32=35.6, fp32=35.6),
    r"NVIDIA RTX A6000": Peaks(bf16=154.8, tf32=77.4, fp32=38.7),
    r"(Tesla|NVIDIA) V100-SXM2[-\w ]*": Peaks(bf16=None, tf32=None, fp32=15.7),
    r"(Tesla|NVIDIA) V100-PCIE[-\w ]*": Peaks(bf16=None, tf32=None, fp32=14),
    r"(Tesla|NVIDIA) T4": Peaks(bf16=None, tf32=None, fp32=8.1),
}
"""Name of a GPU, as a pattern -> its peaks. Source: NVIDIA's data sheets, and for GeForce its architecture papers;
without sparsity, and with sums in fp32."""


def peak_flops(device: torch.device, precision: str) -> tuple[float, str]:
    """The most that the device could do per second, and where that number comes from."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        listed = listed_peak(name, precision)
        if listed is not None:
            return listed * 1e12, f"NVIDIA datasheet, dense {_arithmetic(precision)}"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    size = 8192 if device.type == "cuda" else 1024
    return _measure_matmul(device, dtype, size), f"measured: {size} x {size} matmul in {str(dtype).split('.')[-1]}"


def listed_peak(gpu: str, precision: str) -> float | None:
    """Peak of a GPU by its name, in TFLOPS; None where none is listed: another GPU, a part of one (MIG), a type."""
    if "MIG" in gpu:
        return None
    peaks = next((peaks for pattern, peaks in GPU_PEAKS.items() if re.fullmatch(pattern, gpu)), None)
    if peaks is None:
        return None
    by_precision = {"bf16": peaks.bf16, "fp32": peaks.tf32 or peaks.fp32, "fp32_strict": peaks.fp32}
    return by_precision[precision]


def _arithmetic(precision: str) -> str:
    return {"bf16": "bf16", "fp32": "TF32", "fp32_strict": "fp32"}[precision]


def _measure_matmul(device: torch.device, dtype: torch.dtype, size: int, repeats: int = 10) -> float:
    """FLOPS of the fastest of some large matrix products."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    fastest = float("inf")
    for _ in range(repeats + 1):
        wait_for(device)
        started = time.perf_counter()
        torch.mm(a, b)
        wait_for(device)
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * size**3 / fastest


def wait_for(device: torch.device) -> None:
    """Until everything that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
