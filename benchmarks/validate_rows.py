"""Time `xtts validate` on generated recordings, as a user runs it: a process of its own.

    python benchmarks/validate_rows.py --rows 10000 --longest 3.0

Recordings are noise of a third of `--longest` up to it, 22050 Hz, 16 bit; texts are distinct. The files were written
just before, so they come from the page cache.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from xtts_framework.stages.demo_data import demo_sentences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--longest", type=float, default=3.0, help="seconds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = write_dataset(Path(folder), arguments.rows, arguments.longest)
        config = Path(folder, "validate.yaml")
        config.write_text(f"dataset: {{path: {folder}, language: am}}\n")
        xtts = Path(sys.executable).with_name("xtts")
        started = time.perf_counter()
        subprocess.run([xtts, "validate", "--config", config, "--out", Path(folder, "out")], check=True)
        wall_s = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}")
    print(
        f"{arguments.rows} rows, {seconds / 3600:.2f} h: {wall_s:.1f} s wall, "
        f"{used.ru_utime + used.ru_stime:.1f} s of CPU, {used.ru_maxrss / 1024:.0f} MiB at most"
    )


def write_dataset(folder: Path, rows: int, longest_s: float) -> float:
    """Write recordings and metadata; return seconds of sound."""
    (folder / "wavs").mkdir()
    dice = np.random.default_rng(1)
    sentences = demo_sentences()
    samples = 0
    lines = []
    for row in range(rows):
        sound = dice.integers(-3000, 3000, int(longest_s * 22050 * dice.uniform(1 / 3, 1)), dtype=np.int16)
        soundfile.write(folder / "wavs" / f"clip{row}.wav", sound, 22050)
        samples += len(sound)
        pair = divmod(row, len(sentences))
        lines.append(f"clip{row}.wav|{sentences[pair[0] % len(sentences)]} {sentences[pair[1]]}")
    (folder / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    return samples / 22050


if __name__ == "__main__":
    main()
