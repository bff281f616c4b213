"""How fast training goes: ours against stock coqui, on the same clips and from the same weights.

    (a) stock           as shipped: batch 4, fp32, TF32 matmuls off, 8 loader workers (or one per core)
    (b) stock, best     its own bf16 autocast, TF32 allowed, the fastest batch size up to the largest that fits
    (c) ours, fp32      TF32 where the GPU has it
    (d) ours, bf16      over fp32 master weights
    (e) ours, compiled  bf16 through torch.compile

Every variant runs in a process of its own, with equally many threads; rounds go through all variants in turn, and the
median round counts. Both sides pay for the whole step of 512 samples per update. For stock (see `stock.py`) that is
what its loader makes the step wait, the copy to the device, mels and DVAE, forward, backward, and a share of the
optimizer step: one step is timed and divided by the batches of an update (512 / batch). Its loader has run ahead as
far as it can before the clock starts and is kept busy until it stops. Ours is measured as training runs it: codes
and mels come from the feature store, then packing, forward, backward and optimizer. Filling the store takes a while
once per dataset; the report says how long.

Clips are noise of evenly spread lengths, written as wav files and still in the file cache; texts are English
sentences of 14 characters a second, and both sides train on the ids of coqui's tokenizer. Weights are random. At the
small shape DVAE and vocabulary are scaled down with the model, so that each keeps about the share of the work that it
has in XTTS-v2; `--dvae full` takes the real DVAE nevertheless.

MFU counts the matrix products of real tokens in GPT, heads and conditioning, forward and backward
(`xtts_framework.model.cost`), over the peak of the arithmetic that the variant uses. Padding is the share of the
GPT's rows that belong to no clip.

    python benchmarks/train_throughput.py --device cpu --out benchmarks/train_throughput.md
    python benchmarks/train_throughput.py --device cuda --out benchmarks/train_throughput.md
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from xtts_framework.audio.codes import code_count
from xtts_framework.audio.rates import SAMPLE_RATE_HZ
from xtts_framework.layout import DatasetFolder
from xtts_framework.model.cost import XTTS_V2_ARGS, Architecture, ClipSize, count_flops
from xtts_framework.model.tiny import SHAPES, Shape
from xtts_framework.planning.inputs import mean_prompt_frames
from xtts_framework.planning.peaks import peak_flops, wait_for

DATASET = "noise"
LANGUAGE = "en"
CHARACTERS_PER_S = 14
CODEBOOK_CLIPS, CODEBOOK_CLIP_S = 4, 12
ALL_SHAPES = {
    "tiny": Shape(layers=2, model_dim=64, heads=4, dvae_hidden=16, codebook_dim=16),
    "small": Shape(layers=6, model_dim=256, heads=4, dvae_hidden=48, codebook_dim=64),
    "xtts-v2": SHAPES["xtts-v2"],
}
TEXT_ROWS = {"tiny": 0, "small": 0, "xtts-v2": 8700}
"""Rows of the vocabulary, about XTTS-v2's 6,681 and 2,000 for a new language; 0: as many as the small one has."""
VARIANTS = {
    "stock": "(a) stock, as shipped",
    "stock-best": "(b) stock, at its best",
    "ours-fp32": "(c) ours, fp32",
    "ours-bf16": "(d) ours, bf16",
    "ours-compiled": "(e) ours, bf16, compiled",
}
BREAKDOWN_BATCHES = 64
LOADER_PREFETCH = 2
"""Batches that each worker of torch's DataLoader loads ahead."""


@dataclass(frozen=True)
class Job:
    """What is measured; the same for every process.

    Args:
        device: "cpu" or "cuda".
        shape: name in ALL_SHAPES.
        text_rows: of the vocabulary; 0: as it is.
        clips: number of different clips.
        shortest_s, longest_s: lengths of clips, evenly spread between.
        threads: of each measured process.
        loader_workers: of stock's loader.
        full_dvae: the DVAE of XTTS-v2 whatever the shape.
        update_samples: per optimizer step.
        stock_batches: sizes tried for (b); empty: powers of two up to the largest that fits, and that.
        least_s: ours goes through the clips again until so many seconds have passed.
    """

    device: str
    shape: str
    text_rows: int
    clips: int
    shortest_s: float
    longest_s: float
    threads: int
    loader_workers: int
    full_dvae: bool
    update_samples: int
    stock_batches: tuple[int, ...]
    least_s: float

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)


@dataclass
class Work:
    """What passed during a measurement: clips, their seconds of audio, tokens, useful FLOPs, and the GPT's rows."""

    clips: int = 0
    audio_s: float = 0.0
    tokens: int = 0
    flops: float = 0.0
    rows: int = 0

    def add(self, architecture: Architecture, sizes: Sequence[ClipSize], audio_s: float, rows: int) -> None:
        self.clips += len(sizes)
        self.audio_s += audio_s
        self.tokens += sum(size.tokens for size in sizes)
        self.flops += count_flops(architecture, sizes).training
        self.rows += rows


@dataclass
class Measurement:
    """One variant in one round.

    Args:
        seconds: for all of `work`, optimizer included.
        parts: seconds per clip of each part of a step.
        peak: FLOP/s of the arithmetic in use.
        peak_source: where that number is from.
        memory: bytes; of the CUDA allocator, or of the resident process.
        note: how it was run.
        batch_size: of stock.
    """

    seconds: float
    work: Work
    parts: dict[str, float]
    peak: float
    peak_source: str
    memory: int = 0
    note: str = ""
    batch_size: int | None = None

    @property
    def clips_per_s(self) -> float:
        return self.work.clips / self.seconds

    @property
    def mfu(self) -> float:
        return self.work.flops / self.seconds / self.peak

    @property
    def padding(self) -> float:
        return 1 - self.work.tokens / self.work.rows

    @property
    def computing(self) -> float:
        """Seconds per clip of forward and backward alone."""
        return sum(seconds for part, seconds in self.parts.items() if part in ("forward", "backward", "both"))


class Folder:
    """Files that the processes share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.base = path / "base"
        self.recordings = path / "recordings"
        self.dataset = DatasetFolder(path / "dataset")
        self.weights = path / "gpt.pth"
        self.clips = path / "clips.json"
        self.encoding = path / "encoding.json"
        self.job = path / "job.json"

    def result(self, variant: str) -> Path:
        return self.path / f"{variant}.json"

    def read_job(self) -> Job:
        fields = json.loads(self.job.read_text(encoding="utf-8"))
        return Job(**fields | {"stock_batches": tuple(fields["stock_batches"])})

    def read_clips(self) -> list[dict[str, Any]]:
        """In the order of training: `name`, `file`, `text`, `text_ids`, `samples`."""
        clips: list[dict[str, Any]] = json.loads(self.clips.read_text(encoding="utf-8"))
        return clips


# Before the measurements


def prepare(folder: Folder, job: Job) -> None:
    """Recordings, base, weights and features."""
    from xtts_framework.model.base import load_gpt, read_base
    from xtts_framework.model.rows import extend_text_rows
    from xtts_framework.model.tiny import create_tiny_base
    from xtts_framework.text.vocabulary import read_vocab

    shape, real = ALL_SHAPES[job.shape], SHAPES["xtts-v2"]
    if job.full_dvae:
        shape = Shape(shape.layers, shape.model_dim, shape.heads, real.dvae_hidden, real.codebook_dim)
    folder.recordings.mkdir(parents=True)
    lengths_s = [CODEBOOK_CLIP_S] * CODEBOOK_CLIPS
    create_tiny_base(folder.base, write_noise(folder.path / "codebook", lengths_s), shape=shape)
    gpt = load_gpt(read_base(folder.base))
    if job.text_rows > gpt.text_embedding.num_embeddings:
        vocab = read_vocab(folder.base / "vocab.json")
        first = gpt.text_embedding.num_embeddings
        vocab["model"]["vocab"] |= {f"[unused-{number}]": number for number in range(first, job.text_rows)}
        (folder.base / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
        extend_text_rows(gpt, job.text_rows, {}, seed=1)
        checkpoint = torch.load(folder.base / "model.pth", weights_only=True)
        checkpoint["model"] |= {f"gpt.{name}": tensor for name, tensor in gpt.state_dict().items()}
        torch.save(checkpoint, folder.base / "model.pth")
    torch.save(gpt.state_dict(), folder.weights)
    step_s = (job.longest_s - job.shortest_s) / max(1, job.clips - 1)
    lengths_s = [job.shortest_s + index * step_s for index in range(job.clips)]
    write_clips(folder, write_noise(folder.recordings, lengths_s))
    encode_clips(folder)


def write_noise(folder: Path, lengths_s: Sequence[float]) -> list[Path]:
    """One wav file of each length, 16 bits at 22050 Hz."""
    import numpy as np
    import soundfile

    dice = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, length_s in enumerate(lengths_s):
        samples = 0.1 * dice.standard_normal(round(length_s * SAMPLE_RATE_HZ))
        paths.append(folder / f"{number:05d}.wav")
        soundfile.write(paths[-1], samples.clip(-1, 1), SAMPLE_RATE_HZ)
    return paths


def write_clips(folder: Folder, recordings: Sequence[Path]) -> None:
    """Give each recording a text in proportion to its length, and all of them a random order."""
    import soundfile
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

    tokenizer = VoiceBpeTokenizer(folder.base / "vocab.json")
    sentences = resources.files("xtts_framework.model").joinpath("english_sentences.txt").read_text(encoding="utf-8")
    words, dice, clips = sentences.split(), random.Random(1), []
    for path in recordings:
        samples = soundfile.info(path).frames
        start = dice.randrange(len(words))
        text = ""
        while len(text) < CHARACTERS_PER_S * samples / SAMPLE_RATE_HZ:
            text = f"{text} {words[start % len(words)]}".strip()
            start += 1
        ids = tokenizer.encode(text, LANGUAGE)
        clips.append({"name": path.stem, "file": path.name, "text": text, "text_ids": ids, "samples": samples})
    dice.shuffle(clips)
    folder.clips.write_text(json.dumps(clips), encoding="utf-8")


def encode_clips(folder: Folder) -> None:
    """Fill the feature store with the stage that users run, and say how long it took."""
    import polars as pl

    from xtts_framework.config import EncodeConfig
    from xtts_framework.files import sha256_of
    from xtts_framework.stages.encode import encode

    folder.dataset.path.mkdir()
    pl.DataFrame(
        [
            {
                "clip_id": clip["name"],
                "file": clip["file"],
                "audio_sha256": sha256_of(folder.recordings / clip["file"]),
                "duration_s": clip["samples"] / SAMPLE_RATE_HZ,
            }
            for clip in folder.read_clips()
        ]
    ).write_parquet(folder.dataset.manifest)
    started = time.perf_counter()
    encode(EncodeConfig(dataset_path=folder.recordings), folder.base, folder.dataset)
    folder.encoding.write_text(json.dumps(time.perf_counter() - started), encoding="utf-8")


# Stock


def measure_stock(folder: Folder, job: Job, *, best: bool) -> Measurement:
    """(a), or (b) at the fastest of the batch sizes."""
    import stock

    reader = stock.audio_reader(next(folder.recordings.glob("*.wav")))
    torch.set_num_threads(job.threads)
    torch.backends.cuda.matmul.allow_tf32 = best
    trainer = stock.build_trainer(
        folder.base, folder.weights, folder.base / "vocab.json", batch_size=4, loader_workers=job.loader_workers
    )
    trainer.to(job.torch_device)
    stock.set_training_mode(trainer)
    runner = StockRunner(folder, job, trainer, best=best)
    batch_size, tried = 4, ""
    if best:
        batch_size, tried = runner.find_fastest(job.stock_batches or runner.sizes_that_fit())
    if job.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    measurement = runner.run(batch_size, job.clips)
    measurement.memory = peak_memory(job)
    if job.device == "cuda":
        clips = min(job.clips, BREAKDOWN_BATCHES * batch_size)
        measurement.parts = runner.run(batch_size, clips, synchronized=True).parts
    measurement.note = f"batch {batch_size}, {job.loader_workers} loader workers, {reader}{tried}"
    return measurement


class StockRunner:
    """Times stock's training steps."""

    def __init__(self, folder: Folder, job: Job, trainer: Any, *, best: bool) -> None:
        self._trainer = trainer
        self._job = job
        self._bf16 = best
        self._optimizer = trainer.get_optimizer()
        self._architecture = architecture_of(folder)
        self._samples = [
            {"text": clip["text"], "audio_file": str(folder.recordings / clip["file"]), "language": LANGUAGE}
            for clip in folder.read_clips()
        ]
        self._longest = max(folder.read_clips(), key=lambda clip: clip["samples"])

    def run(self, batch_size: int, clips: int, *, synchronized: bool = False) -> Measurement:
        """Train on so many clips.

        Args:
            synchronized: wait for the GPU after every part, so that the parts are true; the whole is slower then.
        """
        job, accumulated = self._job, max(1, self._job.update_samples // batch_size)
        batches = max(1, clips // batch_size)
        ahead = max(2, LOADER_PREFETCH * job.loader_workers)
        wanted = (batches + 2 * ahead) * batch_size
        samples = [self._samples[index % len(self._samples)] for index in range(-ahead * batch_size, wanted)]
        self._trainer.config.batch_size = batch_size
        loader = iter(self._trainer.get_data_loader(self._trainer.config, samples=samples))
        for _ in range(ahead):
            self._step(next(loader), accumulated, Stopwatch(job, enabled=False))
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        passed, watch = [], Stopwatch(job, enabled=synchronized or job.device == "cpu")
        wait_for(job.torch_device)
        started = time.perf_counter()
        for _ in range(batches):
            watch.start()
            batch = next(loader)
            watch.stop("loading")
            passed.append([batch[name].tolist() for name in ("text_lengths", "wav_lengths", "cond_idxs")])
            watch.start()
            self._step(batch, accumulated, watch)
        wait_for(job.torch_device)
        seconds = time.perf_counter() - started
        del loader
        update_s = statistics.median(self._time_optimizer() for _ in range(3))
        seconds += update_s / accumulated * batches
        self._optimizer.zero_grad(set_to_none=True)
        work = self._work_of(passed)
        parts = {part: total / work.clips for part, total in watch.seconds.items()}
        parts["optimizer"] = update_s / accumulated / batch_size
        peak, source = peak_flops(job.torch_device, "bf16" if self._bf16 else "fp32_strict")
        return Measurement(seconds, work, parts, peak, source, batch_size=batch_size)

    def sizes_that_fit(self) -> list[int]:
        """Powers of two up to the largest batch of the longest clip that the GPU has room for, and that one."""
        if self._job.device != "cuda":
            return [4, 8, 16, 32]
        largest, step = 4, 4
        while self._fits(2 * largest):
            largest *= 2
        step = largest // 8 or 1
        while step and self._fits(largest + step):
            largest += step
        return [2**power for power in range(2, largest.bit_length()) if 2**power < largest] + [largest]

    def find_fastest(self, sizes: Sequence[int]) -> tuple[int, str]:
        """The batch size with the most tokens per second, and in words what was tried. One size needs no trial."""
        if len(sizes) == 1:
            return sizes[0], ""
        clips, speeds = min(self._job.clips, max(128, 4 * max(sizes))), {}
        for size in sizes:
            trial = self.run(size, clips)
            speeds[size] = trial.work.tokens / trial.seconds
        words = ", ".join(f"{size}: {speed:.0f}" for size, speed in speeds.items())
        return max(speeds, key=lambda size: speeds[size]), f"; batches tried, tokens/s: {words}"

    def _fits(self, batch_size: int) -> bool:
        path = Path(self._samples[0]["audio_file"]).with_name(self._longest["file"])
        samples = [{"text": self._longest["text"], "audio_file": str(path), "language": LANGUAGE}] * batch_size
        config = self._trainer.config
        config.batch_size, workers, config.num_loader_workers = batch_size, config.num_loader_workers, 0
        [batch] = self._trainer.get_data_loader(config, samples=samples)
        config.num_loader_workers = workers
        fits = True
        try:
            for _ in range(2):
                self._step(batch, 1, Stopwatch(self._job, enabled=False))
                self._optimizer.step()
        except torch.OutOfMemoryError:
            fits = False
        # Only here, where the exception no longer holds what did not fit.
        self._optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        return fits

    def _step(self, batch: dict[str, Any], accumulated: int, watch: Stopwatch) -> None:
        """What coqui's `Trainer.train_step` does to a batch that does not end an update."""
        import stock

        batch = self._trainer.format_batch_on_device(stock.to_device(batch, self._job.torch_device))
        watch.stop("mels and DVAE")
        watch.start()
        with torch.autocast(self._job.device, dtype=torch.bfloat16, enabled=self._bf16):
            _, losses = self._trainer.train_step(batch, None)
        watch.stop("forward")
        watch.start()
        losses["loss"] = losses["loss"] / accumulated
        losses["loss"].backward()
        for loss in losses.values():
            loss.detach().cpu().item()
        watch.stop("backward")

    def _time_optimizer(self) -> float:
        wait_for(self._job.torch_device)
        started = time.perf_counter()
        self._optimizer.step()
        wait_for(self._job.torch_device)
        return time.perf_counter() - started

    def _work_of(self, batches: Sequence[Sequence[Any]]) -> Work:
        """Text lengths, samples and prompts (from sample, to sample) of each batch, as work."""
        work = Work()
        for texts, samples, prompts in batches:
            sizes = [
                ClipSize(text, code_count(length), (stop - start) // 256)
                for text, length, (start, stop) in zip(texts, samples, prompts, strict=True)
            ]
            # Rows of GPT.forward: 32 latents; start, text and two stops; start, codes and four stops.
            rows = len(sizes) * (32 + max(texts) + 2 + code_count(max(samples)) + 5)
            work.add(self._architecture, sizes, sum(samples) / SAMPLE_RATE_HZ, rows)
        return work


# Ours


def measure_ours(folder: Folder, job: Job, precision: str, *, compiled: bool) -> Measurement:
    """(c), (d) or (e): updates as the training loop makes them."""
    from xtts_framework.config import TrainingConfig
    from xtts_framework.data.features import FeatureReader
    from xtts_framework.model.base import load_gpt, read_base
    from xtts_framework.training.corpus import Corpus, Utterance
    from xtts_framework.training.device import set_matmul_precision
    from xtts_framework.training.examples import Example, Examples
    from xtts_framework.training.memory import use_memory
    from xtts_framework.training.optimizer import build_optimizer
    from xtts_framework.training.sampling import Sample
    from xtts_framework.training.update import Updater

    torch.set_num_threads(job.threads)
    config = TrainingConfig(
        batch_size=4, grad_accum=max(1, job.update_samples // 4), precision=precision, compile=compiled
    )
    set_matmul_precision(config.precision)
    gpt = load_gpt(read_base(folder.base)).to(job.torch_device)
    reader = FeatureReader(folder.dataset)
    utterances = [
        Utterance(
            name=f"{DATASET}/{clip['name']}",
            dataset=DATASET,
            clip_id=clip["name"],
            split="train",
            speaker=clip["name"],
            duration_s=clip["samples"] / SAMPLE_RATE_HZ,
            text_ids=tuple(clip["text_ids"]),
            codes=code_count(clip["samples"]),
            mel_frames=1 + clip["samples"] // 256,
        )
        for clip in folder.read_clips()
    ]
    corpus = Corpus(utterances, {DATASET: reader})
    examples = Examples(corpus, seed=config.seed, same_speaker=False, mask_prompt=False)
    optimizer = build_optimizer(gpt, config)
    updater = Updater(gpt, optimizer, examples, config, job.torch_device)
    if job.device == "cuda":
        drawn = [examples.for_evaluation(utterance) for utterance in utterances]
        use_memory(updater, corpus, drawn, config, job.torch_device)

    def endless_updates() -> Iterator[list[Example]]:
        epoch = 0
        while True:
            for start in range(0, len(utterances), job.update_samples):
                chunk = utterances[start : start + job.update_samples]
                yield [examples.for_training(Sample(utterance.name, epoch)) for utterance in chunk]
            epoch += 1

    updates = endless_updates()
    pending = next(updates)
    # The first update allocates the optimizer's state; compiling wants to see every kind of micro-batch.
    warm_up = [pending, pending] if job.device == "cuda" or compiled else [pending[:32]]
    for number, batch in enumerate(warm_up):
        updater.update(batch, lr=config.learning_rate, number=number)
    number = len(warm_up)
    updater.prepare(pending)
    loading_s, passed = 0.0, []
    if job.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    wait_for(job.torch_device)
    started = time.perf_counter()
    while len(passed) < len(utterances) or time.perf_counter() - started < job.least_s:
        result = updater.update(pending, lr=config.learning_rate, number=number)
        done, before = pending, time.perf_counter()
        pending = next(updates)
        updater.prepare(pending)
        loading_s += time.perf_counter() - before
        result.numbers.tolist()  # a log line for every update: the device has finished
        passed += done
        number += 1
    seconds = time.perf_counter() - started
    work = Work()
    sizes = [ClipSize(len(one.utterance.text_ids), one.utterance.codes, frames_of(one)) for one in passed]
    audio_s = sum(one.utterance.duration_s for one in passed)
    work.add(architecture_of(folder), sizes, audio_s, rows=sum(one.tokens for one in passed))
    if job.device == "cuda":
        # Seen from the host the two overlap; apart from each other they are what they cost.
        loading_s, updating_s = time_apart(updater, pending, config.learning_rate, number, job)
        share = len(pending)
    else:
        updating_s, share = seconds - loading_s, work.clips
    update_s = time_our_optimizer(gpt, optimizer, job)
    per_clip = update_s / min(job.update_samples, len(utterances))
    parts = {"loading": loading_s / share, "both": updating_s / share - per_clip, "optimizer": per_clip}
    peak, source = peak_flops(job.torch_device, precision)
    budget = f"micro-batches of up to {updater.budget.tokens} tokens"
    if updater.budget.recompute:
        budget += ", blocks recomputed"
    return Measurement(seconds, work, parts, peak, source, peak_memory(job), f"{len(passed)} clips, {budget}")


def frames_of(example: Any) -> int:
    return len(range(*example.prompt_frames.indices(example.prompt.mel_frames)))


def time_apart(updater: Any, batch: list[Any], lr: float, number: int, job: Job) -> tuple[float, float]:
    """Seconds of preparing one update, and of making it, on a GPU that does nothing else."""
    wait_for(job.torch_device)
    started = time.perf_counter()
    updater.prepare(batch)
    wait_for(job.torch_device)
    prepared = time.perf_counter()
    updater.update(batch, lr=lr, number=number)
    wait_for(job.torch_device)
    return prepared - started, time.perf_counter() - prepared


def time_our_optimizer(gpt: Any, optimizer: torch.optim.AdamW, job: Job) -> float:
    """Seconds of one optimizer step and of the gradient's norm."""
    for parameter in gpt.parameters():
        parameter.grad = torch.full_like(parameter, 1e-8)
    optimizer.found_inf = torch.zeros((), device=job.torch_device)  # type: ignore[attr-defined]

    def once() -> float:
        wait_for(job.torch_device)
        started = time.perf_counter()
        torch.nn.utils.get_total_norm([parameter.grad for parameter in gpt.parameters()])
        optimizer.step()
        wait_for(job.torch_device)
        return time.perf_counter() - started

    return statistics.median(once() for _ in range(3))


# Both


class Stopwatch:
    """Seconds of each part of a step.

    Args:
        enabled: measure at all; on a GPU that means to wait for it at every stop.
    """

    def __init__(self, job: Job, *, enabled: bool) -> None:
        self.seconds: dict[str, float] = {}
        self._job = job
        self._enabled = enabled
        self._started = 0.0

    def start(self) -> None:
        if self._enabled:
            self._started = time.perf_counter()

    def stop(self, part: str) -> None:
        if self._enabled:
            wait_for(self._job.torch_device)
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - self._started


def architecture_of(folder: Folder) -> Architecture:
    from xtts_framework.model.base import read_base

    args = read_base(folder.base).args
    return Architecture.of(args, args["gpt_number_text_tokens"])


def peak_memory(job: Job) -> int:
    """Bytes: the most that tensors took on the GPU, or that this process was large on a CPU."""
    if job.device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


MEASURE: dict[str, Callable[[Folder, Job], Measurement]] = {
    "stock": lambda folder, job: measure_stock(folder, job, best=False),
    "stock-best": lambda folder, job: measure_stock(folder, job, best=True),
    "ours-fp32": lambda folder, job: measure_ours(folder, job, "fp32", compiled=False),
    "ours-bf16": lambda folder, job: measure_ours(folder, job, "bf16", compiled=False),
    "ours-compiled": lambda folder, job: measure_ours(folder, job, "bf16", compiled=True),
}


def run_child(folder: Folder, part: str) -> None:
    """One process: prepare, or measure one variant and write it down."""
    job = folder.read_job()
    if part == "prepare":
        prepare(folder, job)
        return
    folder.result(part).write_text(json.dumps(asdict(MEASURE[part](folder, job))), encoding="utf-8")


def start_child(folder: Folder, part: str, job: Job) -> None:
    command = [sys.executable, __file__, "--work", str(folder.path), "--part", part]
    threads = {"OMP_NUM_THREADS": str(job.threads), "MKL_NUM_THREADS": str(job.threads)}
    if subprocess.run(command, env=os.environ | threads, stdout=sys.stderr, check=False).returncode != 0:
        raise SystemExit(f"{part}: failed, see above")


def measure(folder: Folder, job: Job, variants: Sequence[str], repeats: int) -> dict[str, list[Measurement]]:
    """All rounds. (b) looks for its batch size in the first round and keeps it."""
    folder.job.write_text(json.dumps(asdict(job)), encoding="utf-8")
    start_child(folder, "prepare", job)
    results: dict[str, list[Measurement]] = {variant: [] for variant in variants}
    for round_number in range(repeats):
        for variant in variants:
            print(f"round {round_number + 1} of {repeats}: {VARIANTS[variant]}", file=sys.stderr, flush=True)
            start_child(folder, variant, job)
            fields = json.loads(folder.result(variant).read_text(encoding="utf-8"))
            results[variant].append(Measurement(**fields | {"work": Work(**fields["work"])}))
            print(f"  {results[variant][-1].clips_per_s:.3f} clips/s", file=sys.stderr, flush=True)
            if variant == "stock-best":
                job = replace(job, stock_batches=(results[variant][0].batch_size or 4,))
                folder.job.write_text(json.dumps(asdict(job)), encoding="utf-8")
    return results


# The report


def report(folder: Folder, job: Job, results: Mapping[str, Sequence[Measurement]]) -> str:
    """Markdown: what was run on what, the table, and where the time goes."""
    middle = {variant: median_of(measurements) for variant, measurements in results.items()}
    encoding_s = json.loads(folder.encoding.read_text(encoding="utf-8"))
    rounds = len(next(iter(results.values())))
    lines = [
        f"`{command_line()}`",
        "",
        f"{describe_machine()}; {job.threads} threads in every measured process. {describe_work(folder, job)} Median "
        f"of {rounds} round(s), slowest and fastest in brackets.",
        "",
        table(job, results, middle),
        "",
        "Where the time goes, milliseconds per clip:",
        "",
        breakdown(middle),
        "",
    ]
    if "stock" in middle:
        ratios = [
            f"{VARIANTS[variant][:3]} {middle['stock'].computing / one.computing:.2f}x"
            for variant, one in middle.items()
            if variant != "stock"
        ]
        lines += [f"Forward and backward alone, against (a): {', '.join(ratios) or 'nothing else measured'}.", ""]
    lines += [
        f"Encoding all clips took {encoding_s:.1f} s ({job.clips / encoding_s:.1f} clips/s), once and outside of the "
        "table.",
        "",
        *(
            f"- {VARIANTS[variant]}: {results[variant][0].note}; peak {one.peak / 1e12:.3g} TFLOP/s ({one.peak_source})"
            for variant, one in middle.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def describe_work(folder: Folder, job: Job) -> str:
    """Model and clips, and which share of the work the voice prompts are."""
    shape, clips, here = ALL_SHAPES[job.shape], folder.read_clips(), architecture_of(folder)
    real = Architecture.of(XTTS_V2_ARGS, TEXT_ROWS["xtts-v2"])
    sizes = [
        ClipSize(len(clip["text_ids"]), code_count(clip["samples"]), mean_prompt_frames(1 + clip["samples"] // 256))
        for clip in clips
    ]
    work, real_work = count_flops(here, sizes), count_flops(real, sizes)
    prompts, real_prompts = (100 * flops.conditioning / flops.forward for flops in (work, real_work))
    scaled = job.shape != "xtts-v2" and not job.full_dvae
    count = len(clips)
    mean_s = sum(clip["samples"] for clip in clips) / SAMPLE_RATE_HZ / count
    text_ids, tokens = (sum(size.text_ids for size in sizes) / count, sum(size.tokens for size in sizes) / count)
    return (
        f"GPT of {shape.layers} blocks, {shape.model_dim} channels, {shape.heads} heads, {here.text_rows} text rows; "
        f"DVAE {'scaled down with it' if scaled else 'of XTTS-v2'}. {count} clips of {job.shortest_s:g} to "
        f"{job.longest_s:g} s, {mean_s:.2f} s on average, with {text_ids:.0f} text ids and {tokens:.0f} tokens each; "
        f"{job.update_samples} samples per update. Forward and backward are {work.training / count / 1e9:.3g} "
        f"GFLOP per clip that count; {prompts:.0f} % of them are the voice prompt's "
        f"({real_prompts:.0f} % at XTTS-v2's size)."
    )


def median_of(measurements: Sequence[Measurement]) -> Measurement:
    """The round in the middle, the slower one of two."""
    return sorted(measurements, key=lambda one: one.clips_per_s)[(len(measurements) - 1) // 2]


def table(job: Job, results: Mapping[str, Sequence[Measurement]], middle: Mapping[str, Measurement]) -> str:
    memory = "GPU memory" if job.device == "cuda" else "peak RSS"
    head = ["variant", "clips/s", "audio h per h", "tokens/s", "x (a)", "x (b)", "MFU", "padding", memory]
    rows = [head, ["---"] * len(head)]
    for variant, one in middle.items():
        speeds = [measurement.clips_per_s for measurement in results[variant]]
        rows.append(
            [
                VARIANTS[variant],
                f"{one.clips_per_s:.2f} ({min(speeds):.2f} to {max(speeds):.2f})",
                f"{one.work.audio_s / one.seconds:.1f}",
                f"{one.work.tokens / one.seconds:.0f}",
                ratio_to(middle, "stock", one),
                ratio_to(middle, "stock-best", one),
                f"{100 * one.mfu:.1f} %",
                f"{100 * one.padding:.1f} %",
                f"{one.memory / 2**30:.2f} GiB",
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def ratio_to(middle: Mapping[str, Measurement], reference: str, one: Measurement) -> str:
    """How many times as many tokens per second; tokens, because batches do not end with the clips."""
    if reference not in middle:
        return "–"
    other = middle[reference]
    return f"{one.work.tokens / one.seconds / (other.work.tokens / other.seconds):.2f}"


def breakdown(middle: Mapping[str, Measurement]) -> str:
    parts = ["loading", "mels and DVAE", "forward", "backward", "both", "optimizer"]
    names = ["variant", "loading", "mels and DVAE", "forward", "backward", "forward and backward", "optimizer's share"]
    rows = [[*names, "sum"], ["---"] * (len(names) + 1)]
    for variant, one in middle.items():
        known = one.parts | {"both": one.computing}
        cells = [f"{1e3 * known[part]:.2f}" if part in known else "–" for part in parts]
        rows.append([VARIANTS[variant], *cells, f"{1e3 * sum(one.parts.values()):.2f}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def command_line() -> str:
    """How this script was started, without where it lies."""
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def describe_machine() -> str:
    """Processor, GPU and versions."""
    info = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "coqui-tts", "transformers"))
    processor = models[0] if models else platform.machine()
    return f"{processor}, {os.cpu_count()} cores{gpu}; Python {platform.python_version()}, {packages}"


def fill_section(path: Path, name: str, text: str) -> None:
    """Put text between `<!-- NAME -->` and `<!-- end of NAME -->` of a Markdown file; append both if missing."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    content = path.read_text(encoding="utf-8") if path.exists() else ""
    if begin not in content:
        content = f"{content}\n{begin}\n{end}\n".lstrip()
    before, _, rest = content.partition(begin)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if cuda else "cpu")
    parser.add_argument("--shape", choices=ALL_SHAPES, help="by default xtts-v2 on a GPU, small on a CPU")
    parser.add_argument("--text-rows", type=int, help="by default 8700 for xtts-v2, else those of the small vocabulary")
    parser.add_argument("--clips", type=int, help="by default 2048 on a GPU, 512 on a CPU")
    parser.add_argument("--lengths", type=float, nargs=2, default=(2.0, 11.6), metavar="S", help="shortest and longest")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of every measured process")
    parser.add_argument("--loader-workers", type=int, default=min(8, os.cpu_count() or 1), help="of stock's loader")
    parser.add_argument("--dvae", choices=("scaled", "full"), default="scaled", help="with the shape, or XTTS-v2's own")
    parser.add_argument("--update-samples", type=int, default=512)
    parser.add_argument("--stock-batches", type=int, nargs="*", default=(), help="sizes to try for (b)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--repeats", type=int, default=3, help="rounds")
    parser.add_argument("--out", type=Path, help="fill in this Markdown file")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if arguments.part:
        run_child(Folder(arguments.work), arguments.part)
        return
    on_gpu = arguments.device == "cuda"
    shape = arguments.shape or ("xtts-v2" if on_gpu else "small")
    job = Job(
        device=arguments.device,
        shape=shape,
        text_rows=TEXT_ROWS[shape] if arguments.text_rows is None else arguments.text_rows,
        clips=arguments.clips or (2048 if on_gpu else 512),
        shortest_s=arguments.lengths[0],
        longest_s=arguments.lengths[1],
        threads=arguments.threads,
        loader_workers=arguments.loader_workers,
        full_dvae=arguments.dvae == "full",
        update_samples=arguments.update_samples,
        stock_batches=tuple(arguments.stock_batches),
        least_s=20.0 if on_gpu else 0.0,
    )
    with contextlib.ExitStack() as stack:
        path = arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = Folder(path)
        results = measure(folder, job, arguments.variants, arguments.repeats)
        text = report(folder, job, results)
    print(text)
    if arguments.out:
        name = f"{arguments.device}, full DVAE" if job.full_dvae else arguments.device
        fill_section(arguments.out, name, text)


if __name__ == "__main__":
    main()
