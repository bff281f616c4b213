"""Time `xtts validate` on generated recordings, as a user runs it: a process of its own.

    python benchmarks/validate_rows.py --rows 10000 --longest 8.1

Recordings are noise that swells and fades as speech does, of a third of `--longest` up to it, 22050 Hz, 16 bit; texts
are distinct. The files were written just before, so as many as fit come from the page cache. Memory is that of all
processes together, twice a second, shared pages counted once for each.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

from xtts_framework.stages.demo_data import demo_sentences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--longest", type=float, default=3.0, help="seconds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder, "dataset")
        seconds = write_dataset(dataset, arguments.rows, arguments.longest)
        config = Path(folder, "validate.yaml")
        config.write_text(f"dataset: {{path: {dataset}, language: am}}\n")
        xtts = Path(sys.executable).with_name("xtts")
        started = time.perf_counter()
        process = subprocess.Popen([xtts, "validate", "--config", config, "--out", Path(folder, "out")])
        memory = watch_memory(process)
        wall_s = time.perf_counter() - started
        if process.returncode:
            sys.exit(process.returncode)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}")
    print(
        f"{arguments.rows} rows, {seconds / 3600:.2f} h: {wall_s:.1f} s wall, "
        f"{used.ru_utime + used.ru_stime:.1f} s of CPU, {memory / 2**20:.0f} MiB at most"
    )


def watch_memory(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process; return the most bytes that it and its children held."""
    most = 0
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            most = max(most, sum(one.memory_info().rss for one in tree))
        time.sleep(0.5)
    return most


def write_dataset(folder: Path, rows: int, longest_s: float) -> float:
    """Write recordings and metadata; return seconds of sound."""
    (folder / "wavs").mkdir(parents=True)
    dice = np.random.default_rng(1)
    sentences = demo_sentences()
    swell = 0.501 + 0.5 * np.cos(np.arange(int(longest_s * 22050)) * 5 * 2 * np.pi / 22050, dtype=np.float32)
    samples = 0
    lines = []
    for row in range(rows):
        sound = dice.integers(-3000, 3000, int(longest_s * 22050 * dice.uniform(1 / 3, 1)), dtype=np.int16)
        sound = (sound * swell[: len(sound)]).astype(np.int16)
        soundfile.write(folder / "wavs" / f"clip{row}.wav", sound, 22050)
        samples += len(sound)
        pair = divmod(row, len(sentences))
        lines.append(f"clip{row}.wav|{sentences[pair[0] % len(sentences)]} {sentences[pair[1]]}")
    (folder / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    return samples / 22050


if __name__ == "__main__":
    main()
