"""Train: from features, vocabulary and base to checkpoints and `summary.json`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from xtts_framework.config import TrainConfig
from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import write_json
from xtts_framework.layout import DatasetFolder, RunFolder
from xtts_framework.locks import alone
from xtts_framework.training.attempts import recorded_attempt
from xtts_framework.training.briefing import start_lines
from xtts_framework.training.corpus import training_pools
from xtts_framework.training.device import choose_device, describe_device
from xtts_framework.training.distributed import join_ranks
from xtts_framework.training.ending import Mixture, find_ending
from xtts_framework.training.loop import Training
from xtts_framework.training.resume import ATTEMPTS_FILE, find_start
from xtts_framework.training.setup import Inputs, read_inputs, set_up_training
from xtts_framework.training.stopping import StopRequest
from xtts_framework.training.summary import summarize

LOCK_FILE = "train.lock"


def train(
    config: TrainConfig,
    base_folder: Path,
    run: RunFolder,
    datasets: Mapping[str, DatasetFolder],
    *,
    device: str = "auto",
    max_seconds: float | None = None,
    resume: Path | None = None,
    restart: bool = False,
) -> None:
    """Train until the configured end and write `summary.json`; continue an earlier attempt where it stopped.

    Under `torchrun` all processes call it alike and train as one; the main one reads and writes what is shared.

    Args:
        base_folder: the base; only read.
        run: reads `tokenizer/vocab.json`; writes `checkpoints/`, `training/` and, at the end, `summary.json`.
        datasets: manifests and features by the names that the configuration uses.
        device: "auto", "cpu" or "cuda".
        max_seconds: save and stop unfinished before this many seconds have passed.
        resume: continue from this checkpoint and no other.
        restart: discard this training's checkpoints and begin again.
    Raises:
        UserError: inputs that do not fit together, before the first update; a full disk; three updates in a row that
            are not finite; a crash loop. With exit code 75: saved, but unfinished.
    """
    stop = StopRequest(max_seconds)
    with stop.listening(), join_ranks() as ranks, ranks.main_only(alone(run.path / LOCK_FILE, "xtts train")):
        chosen = choose_device(device, ranks.local_rank)
        inputs = read_inputs(config, base_folder, run, datasets)
        checkpoints, checkpoint = ranks.from_main(
            lambda: find_start(run, inputs.dependencies, config.training, resume=resume, restart=restart)
        )
        for line in start_lines(inputs.fingerprint, checkpoint, ranks):
            say(line)
        if checkpoint is None:
            inputs.corpus.check_features(inputs.codes, ranks)
        start_step = checkpoint.step if checkpoint else 0
        training: Training | None = None
        attempt = recorded_attempt(
            checkpoints / ATTEMPTS_FILE, start_step, lambda: training.step if training else start_step
        )
        with ranks.main_only(attempt):
            training, counts = set_up_training(inputs, checkpoints, checkpoint, chosen, stop, ranks)
            reason = _run(training, inputs, describe_device(chosen))
            if ranks.is_main:
                write_json(
                    run.summary,
                    summarize(
                        config,
                        run,
                        training.state,
                        inputs.corpus,
                        fingerprint=inputs.fingerprint,
                        checkpoints=checkpoints,
                        stop_reason=reason,
                        stop_token=inputs.stop_token,
                        plan=inputs.plan,
                        counts=counts,
                        device=describe_device(chosen),
                    ),
                )


def _run(training: Training, inputs: Inputs, device: str) -> str:
    """Run to the end and return why it is the end; the listeners hear of every way to stop."""
    hook = training.hook
    description = {
        "fingerprint": inputs.fingerprint,
        "first_step": training.step,
        "last_step": find_ending(training.config, Mixture.of(training_pools(inputs.config, inputs.corpus))).step,
        "batch_size": training.config.batch_size,
        "precision": training.config.precision,
        "device": device,
    }
    hook.xtts_on_run_start(run_folder=inputs.run.path, description=description)
    try:
        reason = training.run()
    except Exception as error:
        hook.xtts_on_run_end(step=training.step, reason=f"failed: {error}")
        raise
    hook.xtts_on_run_end(step=training.step, reason=reason)
    if training.finished_because() is None:
        raise UserError(
            f"unfinished: stopped and saved at step {training.step}, because of {reason}. "
            "Start the same command again to continue.",
            exit_code=os.EX_TEMPFAIL,
        )
    return reason
