"""Encode a dataset: every clip once, whatever happens in between."""

from __future__ import annotations

import contextlib
import math
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
import torch
from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram

from xtts_framework.config import EncodeConfig
from xtts_framework.data.features import FeatureReader
from xtts_framework.errors import UserError
from xtts_framework.files import sha256_of
from xtts_framework.layout import DatasetFolder
from xtts_framework.model.base import load_dvae, load_mel_stats, read_base
from xtts_framework.stages.encode import encode

RATE_HZ = 22050


class Workplace:
    """A dataset of generated recordings and the folder of its results."""

    def __init__(self, folder: Path) -> None:
        self.dataset = folder / "dataset"
        self.out = DatasetFolder(folder / "results")
        self.config = EncodeConfig(dataset_path=self.dataset)

    def record(self, name: str, seconds: float, seed: int) -> None:
        """A gliding tone with noise."""
        time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
        tone = np.sin(2 * math.pi * (150 + 40 * seed) * time_s * (1 + time_s / 10))
        noise = np.random.default_rng(seed).normal(size=time_s.size)
        path = self.dataset / "wavs" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.3 * tone + 0.05 * noise, RATE_HZ)

    def path(self, name: str) -> Path:
        return self.dataset / "wavs" / f"{name}.wav"

    def validate(self, *names: str, duration_s: float | None = None) -> None:
        """Write the manifest that validate would write for these recordings."""
        rows = [
            {
                "clip_id": name,
                "line": line,
                "file": f"wavs/{name}.wav",
                "audio_sha256": sha256_of(self.path(name)),
                "duration_s": duration_s or soundfile.info(self.path(name)).duration,
                "sample_rate_hz": RATE_HZ,
                "channels": 1,
                "text": name,
                "normalized": name,
                "speaker": "",
                "language": "am",
                "split": "train",
            }
            for line, name in enumerate(names, start=1)
        ]
        self.out.path.mkdir(exist_ok=True)
        pl.DataFrame(rows).write_parquet(self.out.manifest)


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """Three recordings of 0.5 s, 3 s and 11.6 s."""
    place = Workplace(tmp_path)
    for seed, (name, seconds) in enumerate([("short", 0.5), ("middle", 3.0), ("long", 11.6)]):
        place.record(name, seconds, seed)
    place.validate("middle", "short", "long")
    return place


def encode_and_count(place: Workplace, base: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Encode; return the last line of the log."""
    capsys.readouterr()
    encode(place.config, base, place.out)
    return capsys.readouterr().err.splitlines()[-1]


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


def test_features_are_what_coqui_computes_for_each_clip_alone(place: Workplace, tiny_base: Path) -> None:
    encode(place.config, tiny_base, place.out)
    reader = FeatureReader(place.out)
    base = read_base(tiny_base)
    dvae, mel_stats = load_dvae(base), load_mel_stats(base)
    for name in ("short", "middle", "long"):
        wav, _ = soundfile.read(place.path(name), dtype="float32")
        codes, mel = reader.codes(name), reader.mel(name)
        coqui = {}
        for n_fft in (1024, 2048):
            spectrogram = TorchMelSpectrogram(
                filter_length=n_fft, sampling_rate=RATE_HZ, mel_fmax=8000, mel_norm_file=None
            )
            spectrogram.mel_norms = mel_stats
            coqui[n_fft] = spectrogram(torch.from_numpy(wav)[None])
        expected = dvae.get_codebook_indices(coqui[1024])[0, : math.ceil(len(wav) / 1024)]
        assert codes.tolist() == expected.tolist()
        assert mel.shape == coqui[2048].shape[1:]
        assert (mel - coqui[2048][0]).abs().max() <= 2e-3
    assert reader.clip_ids == ["middle", "short", "long"]


def test_only_new_and_changed_recordings_are_encoded(
    place: Workplace, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert encode_and_count(place, tiny_base, capsys) == "encoded 3 clips, reused 0"
    assert encode_and_count(place, tiny_base, capsys) == "encoded 0 clips, reused 3"
    place.record("new", 1.0, seed=9)
    place.validate("new", "middle", "short", "long")
    assert encode_and_count(place, tiny_base, capsys) == "encoded 1 clips, reused 3"
    before = FeatureReader(place.out).codes("short").tolist()
    place.record("short", 0.7, seed=10)
    place.validate("new", "middle", "short", "long")
    assert encode_and_count(place, tiny_base, capsys) == "encoded 1 clips, reused 3"
    assert FeatureReader(place.out).codes("short").tolist() != before
    place.validate("long", "short")
    assert encode_and_count(place, tiny_base, capsys) == "encoded 0 clips, reused 2"
    assert FeatureReader(place.out).clip_ids == ["long", "short"]


def test_one_recording_under_two_names_is_encoded_once(
    place: Workplace, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(place.path("short"), place.path("copy"))
    place.validate("short", "copy")
    assert encode_and_count(place, tiny_base, capsys) == "encoded 1 clips, reused 1"
    reader = FeatureReader(place.out)
    assert reader.codes("short").tolist() == reader.codes("copy").tolist()


def test_another_audio_encoder_encodes_everything_again(
    place: Workplace, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encode(place.config, tiny_base, place.out)
    other = tmp_path / "other_base"
    shutil.copytree(tiny_base, other)
    torch.save(torch.load(other / "mel_stats.pth") * 1.1, other / "mel_stats.pth")
    assert encode_and_count(place, other, capsys) == "encoded 3 clips, reused 0"
    assert encode_and_count(place, tiny_base, capsys) == "encoded 0 clips, reused 3"


def test_recordings_and_base_are_left_untouched(place: Workplace, tiny_base: Path) -> None:
    before = contents(place.dataset), contents(tiny_base), sha256_of(place.out.manifest)
    encode(place.config, tiny_base, place.out)
    assert (contents(place.dataset), contents(tiny_base), sha256_of(place.out.manifest)) == before


def test_recording_changed_since_validation_is_refused(place: Workplace, tiny_base: Path) -> None:
    place.record("middle", 3.0, seed=8)
    with pytest.raises(UserError, match=r"middle\.wav: changed since validation; run validate again"):
        encode(place.config, tiny_base, place.out)
    place.path("middle").unlink()
    with pytest.raises(UserError, match=r"middle\.wav: cannot be read any more"):
        encode(place.config, tiny_base, place.out)
    assert not place.out.features.exists()


def test_recording_too_short_for_a_mel_is_refused(place: Workplace, tiny_base: Path) -> None:
    place.record("click", 0.02, seed=1)
    place.validate("click")
    with pytest.raises(UserError, match=r"click\.wav: 441 samples .*min_duration_s"):
        encode(place.config, tiny_base, place.out)


def test_missing_manifest_names_the_command_that_makes_it(tmp_path: Path, tiny_base: Path) -> None:
    place = Workplace(tmp_path)
    with pytest.raises(UserError, match=r"manifest\.parquet: missing; run `xtts validate`"):
        encode(place.config, tiny_base, place.out)


def test_damaged_shard_is_named_and_its_clips_encoded_again(
    place: Workplace, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.validate("short")
    encode(place.config, tiny_base, place.out)
    place.validate("middle", "short", "long")
    encode(place.config, tiny_base, place.out)
    before = contents(place.out.feature_store)
    shard = max(place.out.feature_store.iterdir(), key=lambda path: path.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-100])
    capsys.readouterr()
    encode(place.config, tiny_base, place.out)
    log = capsys.readouterr().err
    assert f"{shard}: damaged" in log
    assert log.endswith("encoded 2 clips, reused 1\n")
    assert contents(place.out.feature_store) == before


def test_too_full_a_disk_is_noticed_before_the_work(place: Workplace, tiny_base: Path) -> None:
    place.validate("short", duration_s=1e10)
    with pytest.raises(UserError, match=r"disk is too full: about .* MB are needed"):
        encode(place.config, tiny_base, place.out)
    assert list(place.out.feature_store.iterdir()) == []


def test_disk_that_fills_up_ends_in_a_clear_error_and_the_next_run_goes_on(
    place: Workplace, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.validate("short")
    encode(place.config, tiny_base, place.out)
    place.validate("middle", "short", "long")
    with file_size_limit(50_000), pytest.raises(UserError, match=r"cannot write features: .*go on"):
        encode(place.config, tiny_base, place.out)
    assert [path.suffix for path in place.out.feature_store.iterdir()] == [".safetensors"]
    assert encode_and_count(place, tiny_base, capsys) == "encoded 2 clips, reused 1"


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_killed_encode_goes_on_from_its_finished_shards(
    place: Workplace, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"clip{seed}" for seed in range(32)]
    for seed, name in enumerate(names):
        place.record(name, 11.6, seed)
    place.validate(*names)
    program = (
        "import sys; from pathlib import Path; from xtts_framework.config import EncodeConfig; "
        "from xtts_framework.layout import DatasetFolder; from xtts_framework.stages.encode import encode; "
        "dataset, base, out = map(Path, sys.argv[1:]); "
        "encode(EncodeConfig(dataset_path=dataset), base, DatasetFolder(out), shard_clips=1)"
    )
    arguments = [sys.executable, "-c", program, str(place.dataset), str(tiny_base), str(place.out.path)]
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process:
        while not list(place.out.feature_store.glob("shard-*")) and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not place.out.features.exists()
    finished = len(list(place.out.feature_store.glob("shard-*")))
    assert 1 <= finished < 8
    line = encode_and_count(place, tiny_base, capsys)
    encoded, reused = (int(word) for word in line.split() if word.isdigit())
    assert encoded + reused == 32
    assert reused == 4 * finished, "four clips of 11.6 s fill a batch, and each batch its shard"
    assert not list(place.out.feature_store.glob(".partial-*"))


def test_features_do_not_depend_on_an_interruption(place: Workplace, tiny_base: Path, tmp_path: Path) -> None:
    encode(place.config, tiny_base, place.out)
    whole = FeatureReader(place.out)
    pieces = Workplace(tmp_path / "again")
    shutil.copytree(place.dataset, pieces.dataset)
    for names in (["long"], ["long", "short"], ["middle", "short", "long"]):
        pieces.validate(*names)
        encode(pieces.config, tiny_base, pieces.out)
    again = FeatureReader(pieces.out)
    for name in whole.clip_ids:
        assert torch.equal(whole.codes(name), again.codes(name))
        assert torch.equal(whole.mel(name), again.mel(name))


def test_command_encodes_and_says_what_was_done(place: Workplace, tiny_base: Path, tmp_path: Path) -> None:
    config = tmp_path / "encode.yaml"
    config.write_text(f"dataset_path: {place.dataset}\n", encoding="utf-8")
    xtts = Path(sys.executable).with_name("xtts")
    command = [xtts, "encode", "--config", config, "--base", tiny_base, "--out", place.out.path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("encoded 3 clips, reused 0\n")
    assert len(pl.read_parquet(place.out.features)) == 3
