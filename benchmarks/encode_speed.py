"""How fast recordings become features: ours against coqui's own way, one clip at a time.

Both start from the same wav files and end with audio codes and conditioning mels in memory, in one process and with
the same number of threads. coqui's way is what its trainer does for every clip of every epoch: decode, resample and
clip the samples (`load_audio`), a mel and the DVAE for the codes, a mel of a voice prompt of at most 6 s. Ours
computes the conditioning mel of the whole clip. The DVAE has XTTS-v2's dimensions and random weights. Writing shards
is not in it: 50 MB per hour of speech.

Processor seconds of all threads are compared as well as the clock: other programs on the machine disturb them less.
The last column is seconds of audio per second of the clock.

    OMP_NUM_THREADS=2 python benchmarks/encode_speed.py
    python benchmarks/encode_speed.py --device cuda --clips 3000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio
from torch import Tensor
from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram
from TTS.tts.layers.xtts.dvae import DiscreteVAE

from xtts_framework.audio.rates import code_count
from xtts_framework.data.features import ClipFeatures
from xtts_framework.files import sha256_of
from xtts_framework.model.base import build_dvae
from xtts_framework.stages.encode import Recording, features_of, read_ahead

RATE_HZ = 22050
PROMPT_SAMPLES = 6 * RATE_HZ
MEL_STATS = torch.full((80,), 4.0)
Cost = tuple[float, float]
"""Seconds by the clock, and of all processors together."""


def coqui_features(paths: list[Path], dvae: DiscreteVAE) -> list[tuple[Tensor, Tensor]]:
    """Codes and voice prompt mel of each recording, as coqui's `GPTTrainer` computes them, on the CPU in the end."""
    device = dvae.codebook.embed.device
    spectrograms = {}
    for n_fft in (1024, 2048):
        spectrograms[n_fft] = TorchMelSpectrogram(
            filter_length=n_fft, sampling_rate=RATE_HZ, mel_fmax=8000, mel_norm_file=None
        ).to(device)
        spectrograms[n_fft].mel_norms = MEL_STATS.to(device)
    features = []
    for path in paths:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        wav = torch.from_numpy(samples.mean(axis=1))[None]
        if rate_hz != RATE_HZ:
            wav = torchaudio.functional.resample(wav, rate_hz, RATE_HZ)
        wav = wav.clip_(-1, 1).to(device)
        codes = dvae.get_codebook_indices(spectrograms[1024](wav))[0, : code_count(wav.shape[1])]
        features.append((codes.cpu(), spectrograms[2048](wav[:, :PROMPT_SAMPLES])[0].cpu()))
    return features


def our_features(recordings: list[Recording], dvae: DiscreteVAE) -> list[ClipFeatures]:
    with read_ahead(recordings, dvae) as clips:
        return [clip for batch in features_of(clips, dvae, MEL_STATS) for clip in batch]


def write_recordings(folder: Path, clips: int, rate_hz: int) -> tuple[list[Path], float]:
    """Noise of 2 to 11.6 s a clip; return the files and the seconds of audio in them."""
    random = np.random.default_rng(0)
    paths, seconds = [], 0.0
    for number in range(clips):
        length_s = random.uniform(2, 11.6)
        path = folder / f"{rate_hz}-{number}.wav"
        soundfile.write(path, 0.1 * random.normal(size=round(length_s * rate_hz)), rate_hz)
        paths.append(path)
        seconds += length_s
    return paths, seconds


def compare(paths: list[Path], dvae: DiscreteVAE, repeats: int) -> tuple[list[Cost], list[Cost]]:
    """Costs of coqui's way and of ours, measured in turns after a first time that does not count."""
    recordings = [Recording(path, sha256_of(path), path.name, soundfile.info(path).duration) for path in paths]
    coqui_features(paths[:3], dvae)
    our_features(recordings, dvae)
    theirs, ours = [], []
    for _ in range(repeats):
        theirs.append(cost(lambda: coqui_features(paths, dvae)))
        ours.append(cost(lambda: our_features(recordings, dvae)))
    return theirs, ours


def cost(work: Callable[[], object]) -> Cost:
    """Do the work once."""
    clock, processors = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=3, help="the least of so many alternating measurements counts")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    dvae = build_dvae(hidden_dim=512, codebook_dim=512, num_tokens=1024).eval().to(arguments.device)
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else "no GPU"
    print(f"{torch.get_num_threads()} threads, {device}, torch {torch.__version__}, {arguments.clips} clips")
    columns = ["sample rate", "audio", *(f"{what}, clock / processors" for what in ("coqui", "ours", "ratio"))]
    print("| " + " | ".join([*columns, "ours, times real time"]) + " |")
    print("|---|---|---|---|---|---|")
    for rate_hz in (22050, 48000):
        with tempfile.TemporaryDirectory() as folder:
            paths, seconds = write_recordings(Path(folder), arguments.clips, rate_hz)
            theirs, ours = compare(paths, dvae, arguments.repeats)
        coqui_best, our_best = (tuple(map(min, zip(*costs, strict=True))) for costs in (theirs, ours))
        ratios = " / ".join(f"{coqui / our:.2f}" for coqui, our in zip(coqui_best, our_best, strict=True))
        cells = [f"{rate_hz} Hz", f"{seconds:.0f} s"]
        cells += [f"{clock:.2f} / {processors:.2f} s" for clock, processors in (coqui_best, our_best)]
        print("| " + " | ".join([*cells, ratios, f"{seconds / our_best[0]:.0f}"]) + " |")


if __name__ == "__main__":
    main()
