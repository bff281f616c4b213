"""Writes what a finished run leaves behind, small but complete, so that the report can be tested without training."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import polars
import soundfile

from xtts_framework.files import write_json, write_text
from xtts_framework.layout import DatasetFolder, RunFolder

SENTENCES = ["ሰላም ለዓለም ይሁን።", "ዛሬ በአዲስ አበባ ዝናብ ዘንቧል፣ ነገ ግን ፀሐይ ትወጣለች።"]
STEPS = [2048, 4096, 6144]


def write_finished_run(results: Path, *, nasty: str = "", steps: int = 6144) -> tuple[RunFolder, DatasetFolder]:
    """Fill `results` with one dataset and one run; `nasty` is put wherever text of the user's goes."""
    run, dataset = RunFolder(results / "runs" / "amharic"), DatasetFolder(results / "datasets" / "news")
    dice = random.Random(1)
    _write_dataset(dataset, nasty, dice)
    _write_training(run, nasty, steps, dice)
    _write_speech(run, nasty)
    return run, dataset


def _write_dataset(dataset: DatasetFolder, nasty: str, dice: random.Random) -> None:
    durations = [min(11.5, max(0.6, dice.gauss(5.2, 2.1))) for _ in range(900)]
    count = len(durations)
    dataset.path.mkdir(parents=True)
    polars.DataFrame(
        {
            "clip_id": [f"clip_{index:04}{nasty}" for index in range(count)],
            "duration_s": durations,
            "speaker": [f"speaker{index % 3}{nasty}" for index in range(count)],
            "language": ["am"] * count,
            "split": ["eval" if index % 20 == 0 else "train" for index in range(count)],
        }
    ).write_parquet(dataset.manifest)
    write_json(
        dataset.validation,
        {
            "rows": 906,
            "accepted": 900,
            "rejected": 6,
            "codes": {"digits": 4, "missing_audio": 3},
            "train": 855,
            "eval": 45,
        },
    )
    rows = [f"{line},wavs/a{line}{nasty}.wav,digits,the digits '1987' at character 5" for line in (12, 40, 77, 130)]
    rows += ["200,wavs/gone.wav,missing_audio,", "201,wavs/gone2.wav,missing_audio;from_a_pack,"]
    write_text(dataset.rejects, "\n".join(["line,file,codes,detail", *rows]) + "\n")


def _write_training(run: RunFolder, nasty: str, steps: int, dice: random.Random) -> None:
    log: list[dict[str, object]] = []
    for step in range(0, steps + 1, 16):
        mel = 3.4 + 1.9 * math.exp(-step / 1500)
        noise = dice.gauss(0, 0.08)
        lr = 5e-6 if step < 3008 else 2.5e-6
        losses = {"loss_mel": mel + noise, "loss_text": mel / 2 + noise, "loss_total": mel + 0.01 * mel / 2 + noise}
        log.append({"kind": "train", "step": step, **losses, "grad_norm": 2 + abs(noise) * 9, "lr": lr, "epoch": 0})
        if step % 512 == 0:
            evaluated = {"loss_mel": mel + 0.1, "loss_text": mel / 2, "loss_total": mel + 0.1 + 0.005 * mel}
            log.append({"kind": "eval", "step": step, **evaluated})
    log.append({"kind": "note", "step": 3008, "message": f"Step 3000: LR dropped to 2.5e-06 (from step 3008){nasty}"})
    write_text(run.metrics, "".join(json.dumps(line) + "\n" for line in log))
    evaluations = [line for line in log if line["kind"] == "eval"]
    candidates = [
        {
            **{key: value for key, value in line.items() if key != "kind"},
            "folder": f"checkpoints/4be1/step-{line['step']:08}",
            "selected": line is evaluations[-1],
        }
        for line in evaluations
        if line["step"] in STEPS
    ]
    write_json(
        run.summary,
        {
            "fingerprint": "4be1c0de",
            "steps": steps,
            "updates": steps // 16,
            "samples_seen": steps * 4,
            "clips_per_s": 18.3,
            "wall_s": 1340.0,
            "stop_reason": "max_steps",
            "skipped_batches": 0,
            "eval": {"first": evaluations[0], "best": evaluations[-1], "last": evaluations[-1]},
            "eval_unigram_entropy": 4.61,
            "learning_rate_changes": [{"step": 3000, "boundary": 3008, "lr": 2.5e-6}],
            "freezing": {
                "plan": {"frozen_blocks": [0, 1, 2], "text_embedding": True, "reason": f"855 clips, below 3000{nasty}"},
                "trainable": 1_200_000,
                "frozen": 2_400_000,
            },
            "device": "cpu",
            "precision": "fp32",
        },
    )
    write_json(
        run.selected,
        {
            "step": candidates[-1]["step"],
            "folder": candidates[-1]["folder"],
            "reason": f"Lowest evaluation loss among 3 saved checkpoints.{nasty}",
            "candidates": candidates,
        },
    )
    write_json(
        run.tokenizer_report,
        {
            "languages": {
                "am": {
                    "tokens_per_character_before": 1.02,
                    "tokens_per_character_after": 0.41,
                    "coverage": 1.0,
                    "unreachable": 0,
                    "unk": 0,
                }
            },
            "base_rows": 6681,
            "rows": 8682,
            "added_tokens": 2000,
            "added_merges": 1680,
            "longest_tokens": ["እንደሚሆን", "የኢትዮጵያ", f"ጠቅላይ{nasty}"],
        },
    )


def _write_speech(run: RunFolder, nasty: str) -> None:
    entries = []
    recording = run.path / "recording.wav"
    write_tone(recording, hertz=220)
    for step in STEPS:
        for number, sentence in enumerate(SENTENCES, start=1):
            file = Path(f"step-{step:08}") / f"{number:02}.wav"
            write_tone(run.synthesis / file, hertz=180 + 60 * number)
            entries.append(
                {
                    "checkpoint": f"checkpoints/4be1/step-{step:08}",
                    "step": step,
                    "selected": step == STEPS[-1],
                    "sentence": sentence + nasty,
                    "normalized": sentence.rstrip("።"),
                    "language": "am",
                    "speaker": f"wavs/clip_0004{nasty}.wav",
                    "file": file.as_posix(),
                    "duration_s": 1.0,
                    "cut": step == STEPS[0],
                    "recording": str(recording) if number == 1 else None,
                }
            )
    write_tone(run.synthesis / "reference.wav", hertz=140)
    write_json(run.synthesis / "synthesis.json", entries)
    write_json(
        run.bundle / "bundle.json",
        {
            "training": {
                "learning_rate": 5e-6,
                "milestones": [50000, 150000, 300000],
                "batch_size": 4,
                "betas": [0.9, 0.96],
            },
            "base": {"name": f"xtts-v2{nasty}", "licence": "CPML"},
            "versions": {"xtts-framework": "0.1.0", "torch": "2.11.0"},
        },
    )


def write_tone(path: Path, *, hertz: float, duration_s: float = 1.0) -> None:
    """A quiet tone, 24 kHz PCM16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(round(24_000 * duration_s)) / 24_000
    soundfile.write(path, (0.2 * np.sin(2 * np.pi * hertz * time_s)).astype(np.float32), 24_000)
