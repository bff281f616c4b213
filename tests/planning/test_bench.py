"""`xtts bench` measures a real training without data and keeps every measurement."""

from __future__ import annotations

import csv
import dataclasses
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from xtts_framework.config import TrainingConfig
from xtts_framework.errors import UserError
from xtts_framework.planning.bench import bench
from xtts_framework.planning.bench_file import COLUMNS, BenchRow, append_row, describe_row, read_rows
from xtts_framework.planning.peaks import GPU_PEAKS, listed_peak
from xtts_framework.planning.synthetic import synthetic_corpus
from xtts_framework.training.examples import Examples
from xtts_framework.training.sampling import Sample


def xtts_bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = "from xtts_framework.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "bench", "--device", "cpu", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def measure(out: Path, **changes: object) -> BenchRow:
    config = TrainingConfig(**changes)  # type: ignore[arg-type]
    return bench(config, device="cpu", out=out, shape="tiny", updates=1, samples=4, command="xtts bench …")


def test_the_command_prints_the_numbers_and_appends_a_row_each_time(tmp_path: Path) -> None:
    arguments = ("--shape", "tiny", "--updates", "1", "--samples", "4")
    first = xtts_bench(tmp_path, *arguments)
    assert first.returncode == 0, first.stderr
    for number in ("clips/s", "hours of audio per hour", "tokens/s", "MFU", "TFLOPS", "padding", "data wait", "GB"):
        assert number in first.stdout
    assert "measured: 1024 x 1024 matmul in float32" in first.stdout
    before = (tmp_path / "bench.csv").read_bytes()
    assert xtts_bench(tmp_path, *arguments, "--precision", "bf16").returncode == 0
    after = (tmp_path / "bench.csv").read_bytes()
    assert after.startswith(before)
    one, two = read_rows(tmp_path / "bench.csv")
    assert (one["precision"], two["precision"]) == ("fp32", "bf16")
    assert two["command"] == "xtts bench --device cpu --shape tiny --updates 1 --samples 4 --precision bf16"


def test_a_row_holds_hardware_versions_and_sound_numbers(tmp_path: Path) -> None:
    row = measure(tmp_path / "bench.csv", activation_checkpointing=True, micro_batch_tokens=1100)
    [stored] = read_rows(tmp_path / "bench.csv")
    assert stored == {name: str(value) for name, value in dataclasses.asdict(row).items()}
    assert list(stored) == COLUMNS
    assert (row.torch, row.coqui_tts, row.python) == (
        version("torch"),
        version("coqui-tts"),
        platform.python_version(),
    )
    assert row.device and row.cpu_threads == torch.get_num_threads() and row.cuda == ""
    assert 0 < row.mfu_percent < 100
    assert row.padding_percent == 0
    assert 0 < row.data_wait_percent < 100
    assert (row.activation_checkpointing, row.micro_batch_tokens) == (True, 1100)
    assert row.clips_per_s == pytest.approx(row.samples / row.update_s, rel=1e-2)
    assert row.clips_per_s * row.gflop_per_clip / 1e3 == pytest.approx(
        row.mfu_percent / 100 * row.peak_tflops, rel=1e-2
    )
    assert 100 < row.tokens_per_s / row.clips_per_s < 400
    assert 2 < row.audio_hours_per_hour / row.clips_per_s < 11.6
    assert row.peak_memory_gb > 0.1


def test_earlier_rows_stay_whatever_their_file_looks_like(tmp_path: Path) -> None:
    """Also one whose last line was left without its end."""
    file = tmp_path / "folder" / "bench.csv"
    row = measure(tmp_path / "first.csv")
    append_row(file, row)
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    append_row(file, dataclasses.replace(row, device="GPU, the second"))
    rows = read_rows(file)
    assert [one["device"] for one in rows] == [row.device, "GPU, the second"]
    assert all(None not in one and None not in one.values() for one in rows)


def test_a_file_of_other_columns_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "bench.csv"
    file.write_text("date,speed\n2020-01-01,3\n", encoding="utf-8")
    with pytest.raises(UserError, match="its columns are not those of `xtts bench`"):
        measure(file)
    assert file.read_text(encoding="utf-8") == "date,speed\n2020-01-01,3\n"


def test_rows_that_are_added_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    row = measure(tmp_path / "first.csv")
    file = tmp_path / "bench.csv"
    children = []
    for number in range(8):
        child = os.fork()
        if child == 0:
            append_row(file, dataclasses.replace(row, device=f"machine {number}"))
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    with file.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    assert lines[0] == COLUMNS
    assert sorted(line[1] for line in lines[1:]) == [f"machine {number}" for number in range(8)]


def test_a_base_can_be_measured_instead(tmp_path: Path, tiny_base: Path) -> None:
    row = bench(TrainingConfig(), device="cpu", out=tmp_path / "bench.csv", base_folder=tiny_base, updates=1, samples=2)
    assert (row.shape, row.layers, row.channels) == (str(tiny_base), 4, 128)
    with pytest.raises(UserError, match="give one of them"):
        bench(TrainingConfig(), device="cpu", out=tmp_path / "b.csv", base_folder=tiny_base, shape="tiny")
    result = xtts_bench(tmp_path, "--base", "nowhere")
    assert result.returncode == 1 and "no such base folder" in result.stderr


def test_settings_out_of_range_are_refused_with_a_message(tmp_path: Path) -> None:
    result = xtts_bench(tmp_path, "--micro-batch-tokens", "7")
    assert result.returncode == 1
    assert "micro_batch_tokens" in result.stderr and "Traceback" not in result.stderr


def test_the_lines_say_which_peak_was_assumed() -> None:
    blank = {field.name: 1 for field in dataclasses.fields(BenchRow)}
    row = BenchRow(**{**blank, "mfu_percent": 41.0, "peak_tflops": 989.4, "peak_source": "NVIDIA datasheet"})
    assert any("41 % of 989.4 TFLOPS (NVIDIA datasheet)" in line for line in describe_row(row))


@pytest.mark.parametrize(
    ("gpu", "bf16", "fp32", "strict"),
    [
        ("NVIDIA A100-SXM4-80GB", 312, 156, 19.5),
        ("NVIDIA A100 80GB PCIe", 312, 156, 19.5),
        ("NVIDIA H100 80GB HBM3", 989.4, 494.7, 66.9),
        ("NVIDIA H100 PCIe", 756, 378, 51),
        ("NVIDIA H200", 989.4, 494.7, 66.9),
        ("NVIDIA B200", 2250, 1125, 75),
        ("NVIDIA L4", 121, 60, 30.3),
        ("NVIDIA L40S", 362, 183, 91.6),
        ("NVIDIA GeForce RTX 3090", 71, 35.6, 35.6),
        ("NVIDIA GeForce RTX 4090", 165.2, 82.6, 82.6),
        ("NVIDIA RTX A6000", 154.8, 77.4, 38.7),
        ("Tesla V100-SXM2-16GB", None, 15.7, 15.7),
        ("Tesla T4", None, 8.1, 8.1),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None, None, None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None, None, None),
        ("NVIDIA L40", None, None, None),
    ],
)
def test_peaks_are_those_of_exactly_this_gpu(
    gpu: str, bf16: float | None, fp32: float | None, strict: float | None
) -> None:
    """What is not listed is measured: None."""
    assert [listed_peak(gpu, precision) for precision in ("bf16", "fp32", "fp32_strict")] == [bf16, fp32, strict]


def test_listed_peaks_are_without_sparsity() -> None:
    """bf16 is twice TF32 on every tensor core; one of them with sparsity and the other without would show."""
    for peaks in GPU_PEAKS.values():
        if peaks.bf16 is not None and peaks.tf32 is not None:
            assert peaks.bf16 == pytest.approx(2 * peaks.tf32, rel=0.02)


def test_synthetic_clips_are_as_long_as_real_ones_and_the_same_for_a_seed() -> None:
    corpus, again = (synthetic_corpus(2000, text_rows=500, codes=1024, seed=3) for _ in range(2))
    clips = list(corpus.utterances.values())
    assert [clip.text_ids for clip in again.utterances.values()] == [clip.text_ids for clip in clips]
    assert all(2 <= clip.duration_s <= 11.6 for clip in clips)
    assert statistics.mean(clip.duration_s for clip in clips) == pytest.approx(7.0, abs=0.2)
    assert statistics.mean(clip.codes for clip in clips) == pytest.approx(150, abs=5)
    assert statistics.mean(len(clip.text_ids) for clip in clips) == pytest.approx(40, abs=3)
    assert synthetic_corpus(1, text_rows=500, codes=1024, seed=4).utterances["synthetic/0"].codes != clips[0].codes


def test_synthetic_clips_are_read_as_real_ones_are() -> None:
    corpus = synthetic_corpus(3, text_rows=500, codes=1024)
    examples = Examples(corpus, seed=1, same_speaker=False, mask_prompt=False)
    for utterance in corpus.of("train"):
        clip = examples.load(examples.for_training(Sample(utterance.name, 0)))
        assert len(clip.codes) == utterance.codes and clip.codes.max() < 1024
        assert clip.tokens == utterance.tokens
        assert clip.conditioning_mel.shape[0] == 80
        assert torch.equal(corpus.read_codes(utterance), clip.codes)
        assert corpus.read_mel(utterance).shape == (80, utterance.mel_frames)


def test_a_memory_limit_without_a_gpu_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "bench.csv"
    with pytest.raises(UserError, match="a memory limit is for GPUs"):
        bench(TrainingConfig(), device="cpu", out=out, shape="tiny", updates=1, samples=2, memory_gib=12)
    assert not out.exists()


def test_what_was_measured_is_not_lost_with_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written[\s\S]*clips/s"):
        bench(TrainingConfig(), device="cpu", out=tmp_path / "file" / "b.csv", shape="tiny", updates=1, samples=2)
