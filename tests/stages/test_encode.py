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
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
import torch
from click.testing import CliRunner
from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram

from xtts_framework.cli.main import cli
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


@pytest.fixture
def crowd(tmp_path: Path) -> Workplace:
    """Sixteen short recordings, two of them with the same sound."""
    place = Workplace(tmp_path)
    names = [f"clip{seed}" for seed in range(16)]
    for seed, name in enumerate(names):
        place.record(name, 0.4 + 0.05 * seed, 2 if name == "clip5" else seed)
    shutil.copy(place.path("clip3"), place.path("clip11"))
    place.validate(*names)
    return place


def encode_and_count(
    place: Workplace, base: Path, capsys: pytest.CaptureFixture[str], *, part: tuple[int, int] | None = None
) -> str:
    """Encode, at most two clips to a shard; return the last line of the log."""
    capsys.readouterr()
    encode(place.config, base, place.out, part=part, shard_clips=2)
    return capsys.readouterr().err.splitlines()[-1]


def start_encoding(place: Workplace, base: Path, *, part: tuple[int, int] | None = None) -> subprocess.Popen[str]:
    """Encode in a process of its own, at most two clips to a shard."""
    program = (
        "import sys; from pathlib import Path; from xtts_framework.config import EncodeConfig; "
        "from xtts_framework.layout import DatasetFolder; from xtts_framework.stages.encode import encode; "
        "dataset, base, out = map(Path, sys.argv[1:4]); part = tuple(map(int, sys.argv[4:])); "
        "encode(EncodeConfig(dataset_path=dataset), base, DatasetFolder(out), part=part or None, shard_clips=2)"
    )
    arguments = [place.dataset, base, place.out.path, *(part or ())]
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], stderr=subprocess.PIPE, text=True)


def copy_of(place: Workplace, folder: Path) -> Workplace:
    """The same recordings and manifest elsewhere; no features."""
    copy = Workplace(folder)
    shutil.copytree(place.dataset, copy.dataset)
    copy.out.path.mkdir()
    shutil.copy(place.out.manifest, copy.out.manifest)
    return copy


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


def test_full_disk_names_the_store_and_the_rest_is_encoded_after_space_is_made(
    crowd: Workplace, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowd.validate(*(f"clip{number}" for number in range(8)), duration_s=0.001)
    with small_disk(crowd.out.feature_store, size="48k") as enlarge:
        with pytest.raises(UserError, match=r"No space left on device.*go on") as refusal:
            encode_and_count(crowd, tiny_base, capsys)
        assert str(refusal.value).startswith(f"{crowd.out.feature_store}: cannot write features")
        finished = list(crowd.out.feature_store.iterdir())
        assert 1 <= len(finished) < 4
        assert {path.suffix for path in finished} == {".safetensors"}
        enlarge("10m")
        assert encode_and_count(crowd, tiny_base, capsys) == (
            f"encoded {8 - 2 * len(finished)} clips, reused {2 * len(finished)}"
        )
        stored = contents(crowd.out.feature_store)
    encode_and_count(crowd, tiny_base, capsys)
    assert contents(crowd.out.feature_store) == stored


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], object]]:
    """A file system of its own at `folder`, in memory; yields how to enlarge it."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system in memory")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_killed_encode_goes_on_and_leaves_the_shards_of_an_undisturbed_one(
    place: Workplace, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"clip{seed}" for seed in range(32)]
    for seed, name in enumerate(names):
        place.record(name, 11.6, seed)
    place.validate(*names)
    undisturbed = copy_of(place, tmp_path / "undisturbed")
    encode_and_count(undisturbed, tiny_base, capsys)
    with start_encoding(place, tiny_base) as process:
        while not list(place.out.feature_store.glob("shard-*")) and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not place.out.features.exists()
    finished = len(list(place.out.feature_store.glob("shard-*")))
    assert 1 <= finished < 16
    assert encode_and_count(place, tiny_base, capsys) == f"encoded {32 - 2 * finished} clips, reused {2 * finished}"
    assert contents(place.out.feature_store) == contents(undisturbed.out.feature_store)


@pytest.mark.parametrize("jobs", [1, 3, 11])
def test_shards_are_the_same_whatever_the_number_of_parts(
    crowd: Workplace, tiny_base: Path, tmp_path: Path, jobs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    together = copy_of(crowd, tmp_path / "together")
    shares = []
    for part in reversed(range(1, jobs + 1)):
        line = encode_and_count(together, tiny_base, capsys, part=(part, jobs))
        shares.append(int(line.removeprefix(f"part {part} of {jobs}: encoded ").removesuffix(" clips")))
    assert sum(shares) == 15
    assert max(shares) - min(shares) <= 2, "a shard at most"
    assert not together.out.features.exists()
    assert encode_and_count(together, tiny_base, capsys) == "encoded 0 clips, reused 16"
    assert encode_and_count(crowd, tiny_base, capsys) == "encoded 15 clips, reused 1"
    assert contents(together.out.feature_store) == contents(crowd.out.feature_store)
    assert sha256_of(together.out.features) == sha256_of(crowd.out.features)


def test_parts_at_the_same_time_leave_the_store_of_one_process(
    crowd: Workplace, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    together = copy_of(crowd, tmp_path / "together")
    # The second part twice: as when a cluster starts a job again that it lost sight of.
    processes = [start_encoding(together, tiny_base, part=part) for part in [(1, 2), (2, 2), (2, 2)]]
    for process in processes:
        _, log = process.communicate()
        assert process.returncode == 0, log
    assert not list(together.out.feature_store.glob(".partial-*"))
    assert encode_and_count(together, tiny_base, capsys) == "encoded 0 clips, reused 16"
    encode_and_count(crowd, tiny_base, capsys)
    assert contents(together.out.feature_store) == contents(crowd.out.feature_store)


def test_a_part_leaves_other_jobs_files_alone_and_checking_to_the_end(
    place: Workplace, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encode_and_count(place, tiny_base, capsys)
    unfinished = place.out.feature_store / ".partial-of-another-job"
    unfinished.write_bytes(b"half a shard")
    shard = next(place.out.feature_store.glob("shard-*"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    (place.out.feature_store / "shard-0.safetensors").write_bytes(b"no shard at all")
    assert encode_and_count(place, tiny_base, capsys, part=(1, 1)) == "part 1 of 1: encoded 0 clips"
    assert unfinished.exists()
    assert encode_and_count(place, tiny_base, capsys) in [f"encoded {n} clips, reused {3 - n}" for n in (1, 2)]
    assert not unfinished.exists()
    assert not (place.out.feature_store / "shard-0.safetensors").exists()


def test_clips_added_anywhere_are_the_only_ones_encoded(
    crowd: Workplace, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = pl.read_parquet(crowd.out.manifest)["clip_id"].to_list()
    encode_and_count(crowd, tiny_base, capsys)
    before = contents(crowd.out.feature_store)
    for seed, position in enumerate([0, 3, 9, 19]):
        crowd.record(f"new{seed}", 0.6, 100 + seed)
        names.insert(position, f"new{seed}")
    crowd.validate(*names)
    assert encode_and_count(crowd, tiny_base, capsys) == "encoded 4 clips, reused 16"
    assert before.items() <= contents(crowd.out.feature_store).items()
    assert FeatureReader(crowd.out).clip_ids == names


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


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "1/", "a/b", "-1/2"])
def test_a_part_that_is_none_is_refused(part: str, tmp_path: Path) -> None:
    arguments = ["encode", "--config", "c", "--base", "b", "--out", str(tmp_path), "--part", part]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert "expected K/N with K from 1 to N, for example 2/3" in result.output
