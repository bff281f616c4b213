"""Bench: how fast this machine trains, measured on clips that need no recordings, with the updates of a training."""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from xtts_framework import __version__
from xtts_framework.config import TrainingConfig
from xtts_framework.console import say
from xtts_framework.data.packing import micro_batches
from xtts_framework.errors import UserError
from xtts_framework.model.cost import XTTS_V2_ARGS, XTTS_V2_TEXT_ROWS, Architecture, ClipSize, count_flops
from xtts_framework.planning.bench_file import BenchRow, append_row, check_columns
from xtts_framework.planning.peaks import peak_flops, wait_for
from xtts_framework.planning.synthetic import synthetic_corpus
from xtts_framework.training.device import choose_device, set_matmul_precision
from xtts_framework.training.examples import Example, Examples, lengths_of
from xtts_framework.training.memory import limit_memory, use_memory
from xtts_framework.training.optimizer import build_optimizer
from xtts_framework.training.sampling import MAIN_POOL, Pool, Sampler
from xtts_framework.training.update import Updater

if TYPE_CHECKING:
    from TTS.tts.layers.xtts.gpt import GPT

NEW_TOKENS = 2000
SHAPES: Mapping[str, Mapping[str, int]] = {
    "xtts-v2": {},
    "small": {"gpt_layers": 6, "gpt_n_model_channels": 256, "gpt_n_heads": 4},
    "tiny": {"gpt_layers": 4, "gpt_n_model_channels": 128, "gpt_n_heads": 4},
}
"""Name -> how it differs from XTTS-v2."""
DEFAULT_SHAPE = {"cuda": "xtts-v2", "cpu": "small"}
DEFAULT_SAMPLES = {"cuda": 512, "cpu": 32}
LEARNING_RATE = 1e-6
"""Small: nothing is to be learnt from noise."""


def bench(
    config: TrainingConfig,
    *,
    device: str,
    out: Path,
    shape: str | None = None,
    base_folder: Path | None = None,
    updates: int = 5,
    samples: int | None = None,
    memory_gib: float | None = None,
    command: str = "",
) -> BenchRow:
    """Time whole updates, reading and packing included, on random clips of realistic lengths; append a row to `out`.

    Everything trains: with frozen layers a training is faster.

    Args:
        config: precision, compile, micro-batch and checkpointing count; the rest is that of any training.
        device: "auto", "cpu" or "cuda".
        out: CSV file; earlier rows stay as they are.
        shape: of a GPT with random weights, see `SHAPES`; None: by device.
        base_folder: measure this base instead.
        updates: timed ones; one more comes first.
        samples: per update; None: by device.
        memory_gib: what PyTorch's allocator may take of the GPU; None: all.
        command: how to repeat this, for the row.
    Raises:
        UserError: a memory limit without a GPU; both a shape and a base; no such base; `out` has other columns; losses
            are not finite.
    """
    if shape and base_folder:
        raise UserError("--shape makes a model and --base reads one: give one of them.")
    check_columns(out)
    chosen = choose_device(device)
    if memory_gib is not None:
        limit_memory(chosen, memory_gib)
    set_matmul_precision(config.precision)
    name = str(base_folder) if base_folder else shape or DEFAULT_SHAPE[chosen.type]
    gpt, architecture = _load_model(base_folder) if base_folder else _build_model(name)
    gpt.to(chosen)
    count = samples or DEFAULT_SAMPLES[chosen.type]
    corpus = synthetic_corpus(count, text_rows=architecture.text_rows, codes=gpt.start_audio_token, seed=config.seed)
    examples = Examples(corpus, seed=config.seed, same_speaker=False, mask_prompt=False)
    sampler = Sampler({MAIN_POOL: Pool(list(corpus.utterances))}, config.seed)
    updater = Updater(gpt, build_optimizer(gpt, config), examples, config, chosen)
    rounds = [[examples.for_training(sample) for sample in sampler.take(count)] for _ in range(updates + 2)]
    if chosen.type == "cuda":
        use_memory(updater, corpus, rounds[0], config, chosen)

    say(f"{name} on {_describe(chosen)}: one update of {count} clips to warm up, then {updates} to measure")
    seconds, data_wait_s, peak_memory = _time_updates(updater, rounds, chosen)
    timed = rounds[1:-1]
    clips = [example for examples_of_update in timed for example in examples_of_update]
    tokens, audio_s = (sum(clip.tokens for clip in clips), sum(clip.utterance.duration_s for clip in clips))
    flops = count_flops(architecture, map(_size_of, clips)).training
    peak, peak_source = peak_flops(chosen, config.precision)
    padding = _padding(
        timed[0],
        updater.budget.tokens,
        padded_attention=chosen.type == "cuda" and config.precision != "bf16",
    )
    row = BenchRow(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        device=_describe(chosen),
        cpu_threads=torch.get_num_threads(),
        xtts_framework=__version__,
        torch=version("torch"),
        cuda=(torch.version.cuda or "") if chosen.type == "cuda" else "",
        python=platform.python_version(),
        coqui_tts=version("coqui-tts"),
        shape=name,
        layers=architecture.layers,
        channels=architecture.channels,
        parameters=sum(parameter.numel() for parameter in gpt.parameters()),
        precision=config.precision,
        compile=config.compile,
        activation_checkpointing=updater.budget.recompute,
        micro_batch_tokens=updater.budget.tokens,
        samples=count,
        updates=updates,
        update_s=_rounded(seconds / updates),
        clips_per_s=_rounded(len(clips) / seconds),
        audio_hours_per_hour=_rounded(audio_s / seconds),
        tokens_per_s=_rounded(tokens / seconds),
        gflop_per_clip=_rounded(flops / len(clips) / 1e9),
        mfu_percent=_rounded(100 * flops / seconds / peak),
        peak_tflops=_rounded(peak / 1e12),
        peak_source=peak_source,
        padding_percent=_rounded(100 * padding),
        data_wait_percent=_rounded(100 * data_wait_s / seconds),
        peak_memory_gb=_rounded(peak_memory / 1e9),
        command=command,
    )
    append_row(out, row)
    return row


def _build_model(shape: str) -> tuple[GPT, Architecture]:
    """A GPT with random weights and as many text rows as XTTS-v2 has after `xtts tokenize`."""
    from xtts_framework.model.base import build_gpt

    args = {**XTTS_V2_ARGS, **SHAPES[shape]}
    rows = XTTS_V2_TEXT_ROWS + NEW_TOKENS
    return build_gpt(args, text_rows=rows), Architecture.of(args, rows)


def _load_model(base_folder: Path) -> tuple[GPT, Architecture]:
    from xtts_framework.model.base import load_gpt, read_base

    base = read_base(base_folder)
    return load_gpt(base), Architecture.of(base.args, base.args["gpt_number_text_tokens"])


def _time_updates(updater: Updater, rounds: list[list[Example]], device: torch.device) -> tuple[float, float, int]:
    """Seconds of all rounds but the first and the last, seconds that the device waited for data, peak memory in bytes.

    Each round is prepared while the one before is under way, as in a training; so the first is only for warming up,
    and the last is prepared and not used.
    """
    updater.update(rounds[0], lr=LEARNING_RATE, number=0)
    updater.prepare(rounds[1])
    wait_for(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    waited = updater.data_wait_s
    started = time.perf_counter()
    results = []
    for number in range(1, len(rounds) - 1):
        results.append(updater.update(rounds[number], lr=LEARNING_RATE, number=number).numbers)
        updater.prepare(rounds[number + 1])
    wait_for(device)
    seconds = time.perf_counter() - started
    if not torch.stack(results).isfinite().all():
        raise UserError("the losses were not finite, so their speed says nothing. Try --precision fp32.")
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(device)
    else:
        memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, updater.data_wait_s - waited, memory


def _size_of(example: Example) -> ClipSize:
    utterance = example.utterance
    frames = len(range(*example.prompt_frames.indices(example.prompt.mel_frames)))
    return ClipSize(len(utterance.text_ids), utterance.codes, frames)


def _padding(update: Sequence[Example], token_budget: int, *, padded_attention: bool) -> float:
    """Share of the rows that attention works on in one update and that belong to no clip; all else is packed."""
    lengths = lengths_of(update)
    groups = [[lengths[index] for index in group] for group in micro_batches(lengths, token_budget)]
    rows = sum(len(group) * max(group) if padded_attention else sum(group) for group in groups)
    return 1 - sum(lengths) / rows


def _describe(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _rounded(value: float) -> float:
    """Four significant digits; what varies from run to run has no more."""
    return float(f"{value:.4g}")
