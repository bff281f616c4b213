"""What many GPUs bring to a training, and what stops them: measured here, computed beyond.

There are two kinds of numbers, and every table says which it has:

    measured    this machine, gloo over loopback: `--out` puts them into benchmarks/scaling.md
    computed    formulas below, from the real architecture, data sheets, stated assumptions and, where a table says so,
                what benchmarks/scaling.md holds: `--fill` puts them, and what was measured, into docs/scaling.md

The small training is `xtts train --processes N` itself, one thread for each process, with a clock around three calls of
every update: the update, the question whether all succeeded (waiting for the slowest), and the sum of the gradients.
That sum is also measured alone, with as many bytes as XTTS-v2 has. Clips of the loader are those of `xtts bench`, put
into a real feature store. Everything is done several times; the median counts.

    python benchmarks/scaling.py --out benchmarks/scaling.md
    python benchmarks/scaling.py --fill docs/scaling.md
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl
import psutil
import torch
import yaml
from learning_parity import DATASET, LANGUAGE, Prepared, prepare
from torch import nn
from train_throughput import command_line, describe_machine, fill_section

from xtts_framework.audio.rates import HOP, SAMPLE_RATE_HZ, SAMPLES_PER_CODE
from xtts_framework.config import FreezingConfig, TrainConfig, TrainingConfig
from xtts_framework.data.features import BYTES_PER_CODE, BYTES_PER_FRAME
from xtts_framework.layout import DatasetFolder
from xtts_framework.model.cost import (
    FP32,
    XTTS_V2_ARGS,
    XTTS_V2_TEXT_ROWS,
    Architecture,
    CheckpointSizes,
    ClipSize,
    checkpoint_sizes,
    count_flops,
    count_trainable,
)
from xtts_framework.model.freezing import FreezingCounts, resolve_freezing
from xtts_framework.planning.synthetic import synthetic_corpus
from xtts_framework.plugins import load_plugins
from xtts_framework.stages.demo_data import demo_sentences
from xtts_framework.training.distributed import Ranks, share_out

# Assumptions of what is computed. Rates and links: NVIDIA's and the standards' published figures.

NEW_TOKENS = 2000
CLIP = ClipSize(text_ids=38, codes=145, prompt_frames=301)
"""220 tokens, a voice prompt of 3.5 s: the clip that the goals of speed are stated for."""
CLIP_S = CLIP.codes * SAMPLES_PER_CODE / SAMPLE_RATE_HZ
RECIPE = TrainingConfig()
UPDATE_CLIPS = RECIPE.batch_size * RECIPE.grad_accum
BF16_FLOPS, TF32_FLOPS = 989e12, 495e12
"""H100 SXM, dense."""
GOAL_MFU, FLOOR_MFU = 0.40, 0.35
HBM_BYTES_PER_S = 3.35e12
LINK_EFFICIENCY = 0.8
"""Share of a link's, or of the GPU memory's, rate that a large transfer gets: assumed."""
GPUS_PER_NODE = 8
LANGUAGES, HOURS, EPOCHS = 10, 1000, 10
VALIDATED = "169.3 s per 150 h"
"""Of `xtts validate` on two cores. Source: benchmarks/validate_rows.md."""
ENCODED = "249 times real time"
"""Of encoding on two CPU cores. Source: benchmarks/encode_speed.md."""
SHARD_CLIPS = 1000
RUNTIME_MIN, STOP_EARLY_S = 1440, 300
"""Of a training's job. Source: workflow/rules/train.smk."""
CHARACTERS_PER_S = 9
"""Of Amharic."""


@dataclass(frozen=True)
class Link:
    """What connects GPUs.

    Args:
        gpu_bytes_per_s: in and out of one GPU, in each direction; what limits within a node.
        node_bytes_per_s: in and out of a node with 8 GPUs, in each direction; infinite: all within one.
    """

    name: str
    gpu_bytes_per_s: float
    node_bytes_per_s: float = math.inf

    @property
    def bytes_per_s(self) -> float:
        """Of the ring: all parallel rings pass through each GPU, and a share of them through each network card."""
        return LINK_EFFICIENCY * min(self.gpu_bytes_per_s, self.node_bytes_per_s)


NVLINK = Link("NVLink, one node", 450e9)
PCIE = Link("PCIe 5 x16, one node", 64e9)
INFINIBAND = Link("NVLink; InfiniBand NDR, 400 Gb/s per GPU", 450e9, GPUS_PER_NODE * 400e9 / 8)
ETHERNET_100 = Link("NVLink; Ethernet, 100 Gb/s per node", 450e9, 100e9 / 8)
ETHERNET_25 = Link("NVLink; Ethernet, 25 Gb/s per node", 450e9, 25e9 / 8)


def architecture() -> Architecture:
    """XTTS-v2 with a vocabulary that was extended by one language."""
    return Architecture.of(XTTS_V2_ARGS, XTTS_V2_TEXT_ROWS + NEW_TOKENS)


@functools.cache
def trained(policy: Literal["auto", "none"] = "none") -> FreezingCounts:
    """What trains; `auto`: with fewer clips than the threshold below which parts are frozen."""
    plugins, config = load_plugins(), FreezingConfig(policy=policy)
    pack, blocks = plugins.pack(LANGUAGE.code, LANGUAGE.options), architecture().layers
    plan = resolve_freezing(config, plugins, pack, training_clips=config.threshold - 1, blocks=blocks)
    return count_trainable(architecture(), plan)


def gradient_bytes() -> int:
    """What one update adds up when all trains: gradients in fp32, whatever the precision."""
    return FP32 * trained().trainable


def checkpoints() -> CheckpointSizes:
    """Of a run with the defaults."""
    return checkpoint_sizes(
        trained(), keep_last=RECIPE.keep_last, keep_best=RECIPE.keep_best, moving_average=RECIPE.ema_decay is not None
    )


def update_flops() -> int:
    return UPDATE_CLIPS * count_flops(architecture(), [CLIP]).training


def all_reduce_s(gpus: int, link: Link, size: int) -> float:
    """A ring: every GPU sends, and receives, 2 (N - 1) / N times the bytes. Latency is left out."""
    return 2 * (gpus - 1) / gpus * size / link.bytes_per_s


def alone_s(size: int, *, flattened: bool) -> float:
    """What every GPU does with all gradients, however many GPUs there are, at the speed of its memory.

    AdamW reads weight, gradient and two moments and writes three of them; the norm reads the gradient; before a sum
    over processes gradients are copied into one piece.
    """
    passes = 4 + 3 + 1 + (2 if flattened else 0)
    return passes * size / (LINK_EFFICIENCY * HBM_BYTES_PER_S)


@dataclass(frozen=True)
class Update:
    """Seconds of one update of 512 clips.

    Args:
        computing: forward and backward of a GPU's share.
        alone: see `alone_s`.
        all_reduce: see `all_reduce_s`.
    """

    gpus: int
    computing: float
    alone: float
    all_reduce: float

    @property
    def seconds(self) -> float:
        """Nothing overlaps: gradients are added up when all are there."""
        return self.computing + self.alone + self.all_reduce

    @property
    def clips_per_s(self) -> float:
        return UPDATE_CLIPS / self.seconds


def update_on(gpus: int, link: Link, *, peak: float = BF16_FLOPS, mfu: float = GOAL_MFU) -> Update:
    """MFU is that of one GPU over its whole update; only forward and backward are divided among more."""
    size, single = gradient_bytes(), update_flops() / (mfu * peak)
    computing = (single - alone_s(size, flattened=False)) / gpus
    if gpus == 1:
        return Update(1, computing, alone_s(size, flattened=False), 0.0)
    return Update(gpus, computing, alone_s(size, flattened=True), all_reduce_s(gpus, link, size))


def efficiency(gpus: int, link: Link, *, peak: float = BF16_FLOPS, mfu: float = GOAL_MFU) -> float:
    """Of `gpus` times the speed of one, the share that is reached."""
    one, many = (update_on(count, link, peak=peak, mfu=mfu) for count in (1, gpus))
    return one.seconds / gpus / many.seconds


def imbalance(gpus: int) -> float:
    """How many more tokens the fullest process has than the average one, of clips as long as those of `xtts bench`."""
    clips = synthetic_corpus(UPDATE_CLIPS, text_rows=100, codes=1024).utterances.values()
    lengths = [clip.tokens for clip in clips]
    shares = [sum(lengths[clip] for clip in share) for share in share_out(lengths, gpus)]
    return max(shares) * gpus / sum(shares) - 1


# What is computed, as tables


def table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (names, ["---"] * len(names), *rows))


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.0f} ms" if seconds >= 0.0995 else f"{1e3 * seconds:.1f} ms"


def duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def percent_1(share: float) -> str:
    return f"{100 * share:.1f} %"


def size_of(count: float) -> str:
    return f"{count / 1e12:.2f} TB" if count >= 0.9995e12 else f"{count / 1e9:.2f} GB"


def work_table() -> str:
    few = trained("auto").trainable
    disk = checkpoints()
    flops = update_flops()
    rows = [
        ("clip", f"{CLIP.tokens} tokens, {CLIP_S:.2f} s, {flops / UPDATE_CLIPS / 1e9:.0f} GFLOP forward and backward"),
        ("update", f"{UPDATE_CLIPS} clips, {flops / 1e12:.0f} TFLOP"),
        ("gradients, all trained", f"{trained().trainable / 1e6:.0f} M, {size_of(gradient_bytes())}"),
        ("gradients, fewer than 3000 clips", f"{few / 1e6:.0f} M, {size_of(FP32 * few)}"),
        ("checkpoint, full", size_of(disk.full)),
        ("checkpoint, weights", size_of(disk.weights)),
        ("checkpoints of a run, at most", size_of(disk.run)),
    ]
    for gpus in (8, 64):
        rows.append((f"tokens of the fullest of {gpus} GPUs", f"{100 * imbalance(gpus):.2f} % above the average"))
    return table(("what", "computed"), rows)


GROUPS = (
    (1, NVLINK),
    (8, NVLINK),
    (8, PCIE),
    (16, INFINIBAND),
    (16, ETHERNET_100),
    (64, INFINIBAND),
    (64, ETHERNET_100),
    (64, ETHERNET_25),
)


def efficiency_table() -> str:
    rows = []
    for gpus, link in GROUPS:
        update = update_on(gpus, link)
        others = [
            percent(efficiency(gpus, link, peak=peak, mfu=mfu))
            for peak, mfu in ((BF16_FLOPS, FLOOR_MFU), (TF32_FLOPS, GOAL_MFU))
        ]
        rows.append(
            [
                gpus,
                link.name if gpus > 1 else "–",
                *map(milliseconds, (update.computing, update.alone, update.all_reduce, update.seconds)),
                f"{update.clips_per_s:,.0f}",
                f"**{percent(efficiency(gpus, link))}**",
                *others,
            ]
        )
    names = ["GPUs", "link", "forward, backward", "on each GPU alone", "all-reduce", "update", "clips/s", "efficiency"]
    return table([*names, "at 35 % MFU", "TF32, 40 % MFU"], rows)


def side_by_side_table() -> str:
    rows: list[list[object]] = []
    for runs, gpus, link in ((1, 64, INFINIBAND), (1, 64, ETHERNET_100), (8, 8, NVLINK), (8, 8, PCIE), (64, 1, NVLINK)):
        update = update_on(gpus, link)
        steps = RECIPE.max_steps * RECIPE.batch_size / update.clips_per_s
        rows.append(
            [
                f"{runs} of {gpus} GPUs" if gpus > 1 else f"{runs} of one GPU",
                link.name if gpus > 1 else "–",
                f"{UPDATE_CLIPS // gpus}",
                f"{runs * update.clips_per_s:,.0f}",
                duration(steps),
            ]
        )
    names = [
        "64 GPUs as runs",
        "link",
        "clips of a GPU per update",
        "clips/s, all runs",
        "300,000 steps of one run take",
    ]
    return table(names, rows)


def saving_table(measured: Mapping[str, float]) -> str:
    """Computed from the measured time of one save."""
    disk = checkpoints()
    full_s, weights_s = (measured[SAVE] * size / 1e9 for size in (disk.full, disk.weights))
    rows = []
    for gpus, link in ((1, NVLINK), (8, NVLINK), (64, INFINIBAND)):
        update = update_on(gpus, link)

        def between(steps: int, seconds: float = update.seconds) -> float:
            return math.ceil(steps / RECIPE.grad_accum) * seconds

        saves, evaluations = between(RECIPE.save_every_steps), between(RECIPE.eval_every_steps)
        rarely = 60 * RECIPE.save_every_minutes
        rows.append(
            [
                gpus,
                duration(saves),
                percent(full_s / (full_s + saves)),
                duration(evaluations),
                percent(weights_s / (weights_s + evaluations)),
                percent_1(full_s / (full_s + rarely)),
            ]
        )
    names = [
        "GPUs",
        f"{RECIPE.save_every_steps:,} steps take",
        f"of the time, saving then ({duration(full_s)} each)",
        f"{RECIPE.eval_every_steps:,} steps take",
        f"of the time, saving weights after each improving evaluation ({duration(weights_s)})",
        f"saving every {RECIPE.save_every_minutes:.0f} min only",
    ]
    return table(names, rows)


def loading_table(measured: Mapping[str, float]) -> str:
    """Computed from the measured time of drawing, reading and packing."""
    rows = []
    for gpus, link in ((1, NVLINK), (8, NVLINK), (64, INFINIBAND)):
        update = update_on(gpus, link)
        drawing = measured[DRAW] / 1e3
        packing = UPDATE_CLIPS / gpus / measured[PACK]
        rows.append(
            [
                gpus,
                milliseconds(update.seconds),
                milliseconds(drawing),
                milliseconds(packing),
                percent((drawing + packing) / update.seconds),
            ]
        )
    names = ["GPUs", "update", "drawing 512 clips", "reading and packing its share", "of the update"]
    return table(names, rows)


def features_bytes_per_h() -> tuple[float, float]:
    """Of an hour of speech: codes, and mels."""
    per_s = SAMPLE_RATE_HZ / SAMPLES_PER_CODE * BYTES_PER_CODE, SAMPLE_RATE_HZ / HOP * BYTES_PER_FRAME
    return 3600 * per_s[0], 3600 * per_s[1]


def first_number(text: str) -> float:
    return float(text.split()[0].replace(",", ""))


def plan_table(measured: Mapping[str, float]) -> str:
    """Ten languages of 1000 h, one run each. The last column says where a number comes from."""
    clips = HOURS * 3600 / CLIP_S
    features = HOURS * sum(features_bytes_per_h())
    samples = EPOCHS * clips
    work = samples / UPDATE_CLIPS * update_flops()
    job_s = 60 * RUNTIME_MIN - STOP_EARLY_S
    disk = checkpoints()

    def count(number: float) -> str:
        return f"{math.ceil(number):,}"

    def hours(seconds: float) -> str:
        return f"{seconds / 3600:,.1f} h"

    computed, here = "computed", "computed from benchmarks/scaling.md"
    rows: list[tuple[str, float, Callable[[float], str], str]] = [
        (f"clips of {CLIP_S:.2f} s", clips, count, computed),
        ("recordings, 22,050 Hz, 16 bit, mono", HOURS * 3600 * SAMPLE_RATE_HZ * 2, size_of, computed),
        ("features", features, size_of, computed),
        ("their shards", math.ceil(clips / SHARD_CLIPS), count, computed),
        ("manifest", clips * measured[MANIFEST], size_of, here),
        ("`validate`, two cores", first_number(VALIDATED) / 150 * HOURS, hours, f"computed from {VALIDATED}"),
        (
            "`encode`, two cores, no GPU",
            HOURS * 3600 / first_number(ENCODED),
            hours,
            f"computed from {ENCODED}",
        ),
        ("last job of `encode`: hashes of all shards, one thread", features / 1e9 * measured[HASHES], duration, here),
        (f"steps of {EPOCHS} epochs", samples / RECIPE.batch_size, count, computed),
    ]
    for name, peak in (("bf16", BF16_FLOPS), ("TF32", TF32_FLOPS)):
        for mfu in (GOAL_MFU, FLOOR_MFU):
            what = f"training, {EPOCHS} epochs, {name} at {100 * mfu:.0f} % MFU, GPU hours"
            rows.append((what, work / (mfu * peak), hours, computed))
    rows += [
        ("checkpoints on disk, at most", disk.run, size_of, computed),
        ("recordings seen by `snakemake`, local disk", clips / 1e5 * measured[FILES], duration, here),
        ("the same at 1 ms each", clips * 1e-3, duration, "computed from an assumption"),
    ]
    cells = [(what, shown(one), shown(LANGUAGES * one), source) for what, one, shown, source in rows]
    for what, one, shown, source in (
        ("a process that trains: reads manifest and texts", clips / 1e6 * measured[CORPUS], duration, here),
        ("it keeps them in memory", 1e3 * clips * measured[CLIP_MEMORY], size_of, here),
        ("all features read at the first start, in shares", features / 1e9 * measured[CHECK], duration, here),
        ("one GPU: bf16 MFU below which a day is not enough", work / job_s / BF16_FLOPS, percent_1, computed),
    ):
        cells.append((what, shown(one), "–", source))
    cells.append(("`encode` on a GPU", "**unknown**", "**unknown**", "not measured"))
    return table(["what", "one language", f"{LANGUAGES} languages", "where from"], cells)


def training_table(measured: Mapping[str, str]) -> str:
    """What `measure_training` measured, a row for each number of processes."""
    parts = ("an update of 32 clips", "its forward, backward, optimizer", *SHARED_PARTS, PROCESSOR_TIME)
    rows = []
    for processes in ("1 process", "2 processes", "3 processes"):
        cells = [measured.get(f"small training, {processes}: {part}", "–") for part in parts]
        alone = first_number(measured[f"small training, 1 process: {PROCESSOR_TIME}"])
        together = first_number(processes) * first_number(cells[-1])
        rows.append([processes, *cells, f"{together / alone:.2f}"])
    names = ["processes", "update of 32 clips", "forward, backward, optimizer", "waiting for the slowest", "all-reduce"]
    return table([*names, "processor time of each", "of all, against one process"], rows)


def excerpt(measured: Mapping[str, str]) -> str:
    """What was measured, by itself."""
    return table(["what", "measured"], [(name, measured[name]) for name in EXCERPT])


def fill(document: Path, texts: Mapping[str, str]) -> None:
    """Write all tables into a document that has a place for each.

    Args:
        texts: what was measured, with units.
    """
    measured = {name: first_number(text) for name, text in texts.items()}
    for name, text in (
        ("measured: training", training_table(texts)),
        ("measured: the rest", excerpt(texts)),
        ("computed: one update", work_table()),
        ("computed: efficiency", efficiency_table()),
        ("computed: side by side", side_by_side_table()),
        ("computed from measured: saving", saving_table(measured)),
        ("computed from measured: loading", loading_table(measured)),
        ("computed from measured: ten languages", plan_table(measured)),
    ):
        fill_section(document, name, text)


# What is measured: names of the rows that computations read

SAVE = "save a checkpoint, per GB"
HASHES = "check its hashes, per GB"
DRAW = "draw an update of 512 clips"
PACK = "read and pack, from the file cache"
MANIFEST = "manifest, per clip"
CLIP_MEMORY = "memory of the clips of a run, per clip"
CORPUS = "read manifest and texts, per 1000 clips"
CHECK = "read all features once, per GB"
FILES = "look at 100,000 recordings"
PLANNING = f"`snakemake --dry-run` of {LANGUAGES} datasets and {LANGUAGES} runs, `encode_jobs: 8`, no recordings"
JOBS = "jobs of that plan"
PROCESSOR_TIME = "its processor time, of each"
SHARED_PARTS = ("waiting for the slowest", "all-reduce")
EXCERPT = (
    "small training: gradients of an update",
    "2 processes: agree on a flag",
    "3 processes: agree on a flag",
    "2 processes: all-reduce of 1.78 GB",
    "2 processes: of 1.78 GB, each sends",
    "3 processes: all-reduce of 1.78 GB",
    "3 processes: of 1.78 GB, each sends",
    SAVE,
    HASHES,
    DRAW,
    PACK,
    "read and pack, first time, from the disk",
    CHECK,
    CORPUS,
    CLIP_MEMORY,
    FILES,
    PLANNING,
    JOBS,
)
"""What docs/scaling.md repeats."""


def digits(value: float) -> str:
    """Four of them; what varies from time to time has no more."""
    return f"{float(f'{value:.4g}'):,.10g}"


@dataclass(frozen=True)
class Row:
    """One measured quantity, several times."""

    name: str
    values: Sequence[float]
    unit: str

    def cells(self) -> list[str]:
        low, high = min(self.values), max(self.values)
        return [
            self.name,
            f"{digits(self.median)} {self.unit}",
            f"{digits(low)} to {digits(high)}",
            str(len(self.values)),
        ]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def read_measured(document: Path) -> dict[str, str]:
    """The medians of a document that `--out` has filled, with their units, by name."""
    lines = re.findall(
        r"^\| ([^|]+) \| ([\d,.]+ [^|]+) \| [\d,.]+ to ", document.read_text(encoding="utf-8"), re.MULTILINE
    )
    return dict(lines)


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Args:
        processes: of the trainings; those above 1 also of the sums alone.
        updates: of each training, with 32 clips each.
        gradients: bytes that are added up, in turn.
        checkpoint: bytes of a full checkpoint.
        clips: of the loader's dataset.
        files: recordings in a folder.
    """

    processes: Sequence[int]
    updates: int
    gradients: Sequence[int]
    checkpoint: int
    clips: int
    files: int
    repeats: int


def measure(folder: Path, sizes: Sizes) -> list[Row]:
    prepare(folder, clips=60, updates=1)
    rows = [*measure_training(Prepared(folder), sizes), *measure_sums(sizes), *measure_saving(folder, sizes)]
    rows += measure_loading(folder, sizes)
    return [*rows, *measure_planning(folder, sizes)]


# A small training


UPDATE_OF_SMALL = 32
PARTS = ("update", "waiting", "all-reduce", "processor")
"""Of an update: seconds by the clock of all, of two parts; and of all, seconds of the processor."""


def measure_training(prepared: Prepared, sizes: Sizes) -> Iterator[Row]:
    """`xtts train --processes N`, in turns."""
    rounds: dict[tuple[int, str], list[float]] = defaultdict(list)
    for number in range(sizes.repeats):
        for processes in sizes.processes:
            for part, seconds in _train(prepared, processes, sizes.updates, number).items():
                rounds[processes, part].append(1e3 * seconds)
    for processes in sizes.processes:
        of = "1 process" if processes == 1 else f"{processes} processes"
        yield Row(f"small training, {of}: an update of {UPDATE_OF_SMALL} clips", rounds[processes, "update"], "ms")
        yield Row(f"small training, {of}: its forward, backward, optimizer", rounds[processes, "computing"], "ms")
        yield Row(f"small training, {of}: {PROCESSOR_TIME}", rounds[processes, "processor"], "ms")
        if processes > 1:
            for name, part in zip(SHARED_PARTS, ("waiting", "all-reduce"), strict=True):
                yield Row(f"small training, {of}: {name}", rounds[processes, part], "ms")
    yield Row("small training: gradients of an update", [rounds[sizes.processes[0], "bytes"][0] / 1e9], "MB")


def _train(prepared: Prepared, processes: int, updates: int, number: int) -> dict[str, float]:
    """Seconds of the median update, by part; and `bytes` of its gradients."""
    folder = prepared.base.parent / f"training-{processes}-{number}"
    times, program, out = folder / "times", folder / "xtts", folder / "run"
    (out / "tokenizer").mkdir(parents=True)
    times.mkdir()
    shutil.copy(prepared.run.vocab, out / "tokenizer")
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import scaling\nscaling.run_timed({str(times)!r})\n"
    )
    program.chmod(0o755)
    config = TrainConfig(
        datasets={DATASET: {}},
        languages={DATASET: LANGUAGE},
        training=TrainingConfig(grad_accum=UPDATE_OF_SMALL // 4, max_steps=updates * UPDATE_OF_SMALL // 4, dropout=0.0),
        freezing=FreezingConfig(policy="none"),
    )
    file = folder / "train.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    arguments = [f"--config={file}", f"--base={prepared.base}", f"--out={out}", "--device=cpu"]
    command = [str(program), "train", *arguments, f"--dataset={DATASET}={prepared.dataset.path}"]
    run_quietly([*command, f"--processes={processes}"], os.environ | {"OMP_NUM_THREADS": "1"})
    ranks = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(times.glob("*.json"))]
    if len(ranks) != processes or any(len(rank["updates"]) != updates for rank in ranks):
        sys.exit(f"expected {processes} processes with {updates} updates each, found {len(ranks)}")
    per_update = []
    for of_ranks in list(zip(*(rank["updates"] for rank in ranks), strict=True))[1:]:
        computing = [one["update"] - one["waiting"] - one["all-reduce"] for one in of_ranks]
        per_update.append(
            {
                "update": max(one["update"] for one in of_ranks),
                "computing": max(computing),
                "waiting": statistics.mean(one["waiting"] for one in of_ranks),
                "all-reduce": statistics.mean(one["all-reduce"] for one in of_ranks),
                "processor": statistics.mean(one["processor"] for one in of_ranks),
            }
        )
    medians = {part: statistics.median(one[part] for one in per_update) for part in per_update[0]}
    return medians | {"bytes": float(ranks[0]["bytes"])}


def run_timed(times: str) -> None:
    """`xtts`, with a clock around the parts of an update; each process that trains writes `times/RANK.json`."""
    from xtts_framework.cli.main import main
    from xtts_framework.training.update import Updater

    updates: list[dict[str, float]] = []
    sizes: list[int] = []

    def timed(owner: Any, method: str, part: str) -> None:
        original = getattr(owner, method)

        def call(self: Any, *arguments: Any, **named: Any) -> Any:
            if part == "update":
                updates.append(dict.fromkeys(PARTS, 0.0))
                sizes[:] = [sum(parameter.nbytes for parameter in self._parameters)]
            started, processor = time.perf_counter(), time.process_time()
            result = original(self, *arguments, **named)
            if updates and updates[-1]["update"] == 0.0:  # what comes between two updates is not theirs
                updates[-1][part] += time.perf_counter() - started
                if part == "update":
                    updates[-1]["processor"] = time.process_time() - processor
            return result

        setattr(owner, method, call)

    timed(Updater, "update", "update")
    timed(Ranks, "any", "waiting")
    timed(Ranks, "add_up_gradients", "all-reduce")
    try:
        main()
    finally:
        if updates:
            path = Path(times, f"{os.environ.get('RANK', '0')}.json")
            path.write_text(json.dumps({"updates": updates, "bytes": sizes[0]}), encoding="utf-8")


# Sums over processes


def measure_sums(sizes: Sizes) -> Iterator[Row]:
    for processes in (count for count in sizes.processes if count > 1):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        given = [f"--gradients={','.join(map(str, sizes.gradients))}", f"--repeats={sizes.repeats}"]
        output = run_quietly([*torchrun, __file__, "--part=sums", *given], os.environ | {"OMP_NUM_THREADS": "1"})
        found = json.loads(output.splitlines()[-1])
        yield Row(f"{processes} processes: agree on a flag", found["flag"], "ms")
        for size, seconds in found["sums"]:
            shown = size_of(size) if size >= 1e8 else f"{size / 1e6:.1f} MB"
            yield Row(f"{processes} processes: all-reduce of {shown}", seconds, "s")
            rates = [2 * (processes - 1) / processes * size / one / 1e9 for one in seconds]
            yield Row(f"{processes} processes: of {shown}, each sends", rates, "GB/s")


def measure_sums_here(gradients: Sequence[int], repeats: int) -> None:
    """In every process: add up gradients of each size; the first one prints how long it took."""
    from xtts_framework.training.distributed import join_ranks

    with join_ranks() as ranks:
        flags = []
        for _ in range(20 * repeats):
            started = time.perf_counter()
            ranks.any(False)
            flags.append(1e3 * (time.perf_counter() - started))
        sums = []
        for size in gradients:
            piece = min(size, 4 * 2**20)
            parameters = [nn.Parameter(torch.empty(piece // 4)) for _ in range(max(1, size // piece))]
            seconds = []
            for _ in range(repeats + 1):
                for parameter in parameters:
                    parameter.grad = torch.ones_like(parameter)
                ranks.wait_for_all()
                started = time.perf_counter()
                ranks.add_up_gradients(parameters)
                seconds.append(max(ranks.gather(time.perf_counter() - started)))
                for parameter in (parameters[0], parameters[-1]):
                    torch.testing.assert_close(parameter.grad, torch.full_like(parameter, ranks.size))
            sums.append((sum(parameter.nbytes for parameter in parameters), seconds[1:]))
        if ranks.is_main:
            print(json.dumps({"flag": flags, "sums": sums}))


# Checkpoints, loading, planning


def measure_saving(folder: Path, sizes: Sizes) -> Iterator[Row]:
    from xtts_framework.training.checkpoint import read_checkpoint, save_checkpoint

    piece = min(sizes.checkpoint // 3, 64 * 10**6) // 4
    tensors = [torch.randn(piece) for _ in range(max(3, sizes.checkpoint // (4 * piece)))]
    third = len(tensors) // 3
    model = {f"m{number}": one for number, one in enumerate(tensors[:third])}
    optimizer = {f"o{number}": one for number, one in enumerate(tensors[third:])}
    gigabytes = sum(one.nbytes for one in tensors) / 1e9
    saving, checking = [], []
    for step in range(sizes.repeats):
        started = time.perf_counter()
        saved = save_checkpoint(folder / "saved", model, optimizer, {"step": step, "metrics": None})
        saving.append((time.perf_counter() - started) / gigabytes)
        started = time.perf_counter()
        checkpoint = read_checkpoint(saved)
        if checkpoint is None or checkpoint.damaged_files():
            sys.exit(f"{saved}: damaged")
        checking.append((time.perf_counter() - started) / gigabytes)
        shutil.rmtree(saved)
    yield Row("checkpoint that was saved", [gigabytes], "GB")
    yield Row(SAVE, saving, "s")
    yield Row(HASHES, checking, "s")


def measure_loading(folder: Path, sizes: Sizes) -> Iterator[Row]:
    """In a process of its own, so that its memory is that of the clips."""
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    prepare_clips(folder, sizes.clips)
    for _ in range(sizes.repeats):
        command = [sys.executable, __file__, "--part=loading", f"--work={folder}"]
        output = run_quietly(command, os.environ | {"OMP_NUM_THREADS": "1"})
        for name, value, unit in json.loads(output.splitlines()[-1]):
            found[name].append((value, unit))
    for name, values in found.items():
        yield Row(name, [value for value, _ in values], values[0][1])


def prepare_clips(folder: Path, clips: int) -> None:
    """A dataset of random features, and of texts of random words: they compress no better than real ones."""
    from xtts_framework.data.features import ClipFeatures, Place, write_index, write_shard
    from xtts_framework.model.base import read_base

    prepared = Prepared(folder)
    corpus = synthetic_corpus(clips, text_rows=100, codes=1024)
    out = DatasetFolder(folder / "many")
    out.feature_store.mkdir(parents=True)
    words, dice = " ".join(demo_sentences()).split(), random.Random(1)
    places: dict[str, Place] = {}
    utterances = list(corpus.utterances.values())
    keys = [f"{number:064x}" for number in range(clips)]
    for start in range(0, clips, SHARD_CLIPS):
        shard = [
            ClipFeatures(keys[number], corpus.read_codes(utterances[number]), corpus.read_mel(utterances[number]))
            for number in range(start, min(clips, start + SHARD_CLIPS))
        ]
        places |= write_shard(out.feature_store, shard)
    rows: list[dict[str, Any]] = []
    for number, utterance in enumerate(utterances):
        text = dice.choice(words)
        while len(text) < CHARACTERS_PER_S * utterance.duration_s:
            text += f" {dice.choice(words)}"
        rows.append(
            {
                "clip_id": utterance.clip_id,
                "line": number + 1,
                "file": f"wavs/clip{number:06}.wav",
                "audio_sha256": os.urandom(32).hex(),
                "duration_s": utterance.duration_s,
                "sample_rate_hz": SAMPLE_RATE_HZ,
                "channels": 1,
                "text": text,
                "normalized": text,
                "speaker": f"speaker{number % 7}",
                "language": LANGUAGE.code,
                "split": "eval" if number % 200 == 0 else "train",
            }
        )
    pl.DataFrame(rows).write_parquet(out.manifest)
    write_index(out, [row["clip_id"] for row in rows], keys, places, read_base(prepared.base).features_key)


def measure_loading_here(folder: Path) -> None:
    """Print what reading a dataset costs: its texts, its features, and updates of 512 clips."""
    from xtts_framework.model.base import load_gpt, read_base
    from xtts_framework.model.rows import extend_text_rows
    from xtts_framework.text.tokenizer import XttsTokenizer
    from xtts_framework.training.corpus import read_corpus, training_pools
    from xtts_framework.training.examples import Examples
    from xtts_framework.training.optimizer import build_optimizer
    from xtts_framework.training.sampling import Sampler
    from xtts_framework.training.update import Updater

    prepared, dataset = Prepared(folder), DatasetFolder(folder / "many")
    training, freezing = TrainingConfig(), FreezingConfig()
    config = TrainConfig(datasets={DATASET: {}}, languages={DATASET: LANGUAGE}, training=training, freezing=freezing)
    tokenizer = XttsTokenizer(prepared.run.vocab, {LANGUAGE.code: load_plugins().pack(LANGUAGE.code, LANGUAGE.options)})
    base = read_base(prepared.base)
    gpt = load_gpt(base)
    extend_text_rows(gpt, tokenizer.get_number_tokens(), {}, seed=1)
    process = psutil.Process()
    corpora = [read_corpus(config, {DATASET: dataset}, tokenizer, base)]  # the first also loads what reads it
    held, started = process.memory_info().rss, time.perf_counter()
    corpora.append(read_corpus(config, {DATASET: dataset}, tokenizer, base))
    reading, memory = time.perf_counter() - started, process.memory_info().rss - held
    corpus = corpora[-1]
    clips = len(corpus.utterances)
    forget_cached(dataset.feature_store)
    examples = Examples(corpus, seed=1, same_speaker=False, mask_prompt=False)
    updater = Updater(gpt, build_optimizer(gpt, training), examples, training, torch.device("cpu"))
    sampler = Sampler(training_pools(config, corpus), seed=1)
    sampler.take(1)
    drawing, speeds = [], []
    updates = max(1, clips // UPDATE_CLIPS)
    for _ in range(2 * updates):
        started = time.perf_counter()
        drawn = [examples.for_training(sample) for sample in sampler.take(UPDATE_CLIPS)]
        drawing.append(time.perf_counter() - started)
        started = time.perf_counter()
        updater.prepare(drawn)
        speeds.append(UPDATE_CLIPS / (time.perf_counter() - started))
    started = time.perf_counter()
    corpus.check_features(1024, Ranks())
    checking = time.perf_counter() - started
    stored = sum(path.stat().st_size for path in dataset.feature_store.iterdir())
    found = [
        (CORPUS, 1e6 * reading / clips, "ms"),
        (CLIP_MEMORY, memory / clips / 1e3, "KB"),
        (MANIFEST, dataset.manifest.stat().st_size / clips, "bytes"),
        ("index of the features, per clip", dataset.features.stat().st_size / clips, "bytes"),
        (DRAW, 1e3 * statistics.median(drawing), "ms"),
        (PACK, statistics.median(speeds[updates:]), "clips/s"),
        ("read and pack, first time, from the disk", statistics.median(speeds[:updates]), "clips/s"),
        (CHECK, checking / stored * 1e9, "s"),
    ]
    print(json.dumps(found))


def forget_cached(folder: Path) -> None:
    """Let the system drop a folder's files from its file cache."""
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_planning(folder: Path, sizes: Sizes) -> Iterator[Row]:
    """What `snakemake` does before its first job."""
    from xtts_framework.data.recordings import recordings_fingerprint

    wavs = folder / "recordings"
    wavs.mkdir()
    for number in range(sizes.files):
        (wavs / f"clip{number:06}.wav").touch()
    looking = []
    for _ in range(sizes.repeats):
        started = time.perf_counter()
        recordings_fingerprint.__wrapped__(wavs)
        looking.append((time.perf_counter() - started) * 1e5 / sizes.files)
    yield Row(FILES, looking, "s")

    project, names = folder / "project", [f"language{number}" for number in range(LANGUAGES)]
    for name in names:
        (project / name / "wavs").mkdir(parents=True)
        (project / name / "metadata.csv").touch()
    shutil.copytree(Prepared(folder).base, project / "base")
    datasets = {name: {"path": name, "language": "am"} for name in names}
    runs = {name: {"datasets": [name]} for name in names}
    content = {"base": "base", "encode_jobs": 8, "datasets": datasets, "runs": runs}
    (project / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    snakefile = Path(__file__).parents[1] / "workflow" / "Snakefile"
    command = [str(Path(sys.executable).with_name("snakemake")), f"--snakefile={snakefile}", f"--directory={project}"]
    seconds, jobs = [], 0.0
    for _ in range(sizes.repeats):
        started = time.perf_counter()
        output = run_quietly([*command, "--configfile", str(project / "config.yaml"), "--dry-run"], os.environ)
        seconds.append(time.perf_counter() - started)
        found = re.search(r"^total +(\d+)", output, re.MULTILINE)
        if found is None:
            sys.exit(f"no jobs planned:\n{output}")
        jobs = float(found[1])
    yield Row(PLANNING, seconds, "s")
    yield Row(JOBS, [jobs], "jobs")


def run_quietly(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Standard output of a command; what else it said, when it fails."""
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def busy_s() -> tuple[float, float]:
    """Processor seconds since the machine started: of everybody, and of this benchmark and its processes."""
    times = psutil.cpu_times()
    own = os.times()
    return times.user + times.nice + times.system, sum(own[:4])


def report(rows: Sequence[Row], others: float) -> str:
    """Args: others: the share of all processors that other programs used meanwhile."""
    now = datetime.now(UTC)
    return "\n\n".join(
        [
            f"`{command_line()}`",
            f"{describe_machine()}, {psutil.virtual_memory().total / 1e9:.0f} GB; {now:%B %Y}. One thread for each "
            f"process, gloo over loopback. **Other programs took {100 * others:.0f} % of the processors meanwhile**, "
            "unevenly: times by the clock are too long, and ratios of processor time say more.",
            table(["what", "median", "least to most", "times"], [row.cells() for row in rows]),
        ]
    )


def parse_arguments() -> argparse.Namespace:
    disk = checkpoints()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="fill in the measurements of this Markdown file")
    parser.add_argument("--fill", type=Path, help="measure nothing; fill in the tables of this file")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--updates", type=int, default=12, help="of each training")
    parser.add_argument("--gradients", default=f"16777216,268435456,{gradient_bytes()}", help="bytes to add up")
    parser.add_argument("--checkpoint", type=int, default=disk.full, metavar="BYTES")
    parser.add_argument("--clips", type=int, default=5120, help="of the loader's dataset")
    parser.add_argument("--files", type=int, default=100_000, help="recordings to look at")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--part", choices=["sums", "loading"], help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    gradients = [int(size) for size in arguments.gradients.split(",")]
    if arguments.part == "sums":
        measure_sums_here(gradients, arguments.repeats)
    elif arguments.part == "loading":
        measure_loading_here(arguments.work)
    elif arguments.fill:
        fill(arguments.fill, read_measured(Path(__file__).with_suffix(".md")))
    else:
        sizes = Sizes(
            processes=arguments.processes,
            updates=arguments.updates,
            gradients=gradients,
            checkpoint=arguments.checkpoint,
            clips=arguments.clips,
            files=arguments.files,
            repeats=arguments.repeats,
        )
        started, (everybody, own) = time.perf_counter(), busy_s()
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(Path(folder), sizes)
        others = (busy_s()[0] - everybody) - (busy_s()[1] - own)
        text = report(rows, max(0.0, others) / (time.perf_counter() - started) / (os.cpu_count() or 1))
        print(text)
        if arguments.out:
            fill_section(arguments.out, "measured", text)


if __name__ == "__main__":
    main()
