"""Train: from features, vocabulary and base to checkpoints and `summary.json`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from xtts_framework.config import TrainConfig
from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import write_json
from xtts_framework.layout import DatasetFolder, RunFolder
from xtts_framework.model.base import Base, load_gpt, read_base
from xtts_framework.model.freezing import apply_freezing, resolve_freezing
from xtts_framework.model.rows import extend_text_rows, new_row_parameters, split_new_rows
from xtts_framework.plugins import load_plugins
from xtts_framework.text.tokenizer import XttsTokenizer
from xtts_framework.training.attempts import only_trainer, recorded_attempt
from xtts_framework.training.briefing import decision_lines, start_lines
from xtts_framework.training.checkpoint import MODEL_FILE, OPTIMIZER_FILE, Checkpoint
from xtts_framework.training.corpus import Corpus, read_corpus
from xtts_framework.training.device import choose_device, describe_device, set_matmul_precision
from xtts_framework.training.evaluation import Evaluator
from xtts_framework.training.examples import Examples
from xtts_framework.training.fingerprint import fingerprint_inputs, fingerprint_of
from xtts_framework.training.listeners import Console, MetricsFile, TensorBoard, open_training_folder
from xtts_framework.training.loop import Training
from xtts_framework.training.optimizer import build_optimizer, restore_optimizer
from xtts_framework.training.resume import ATTEMPTS_FILE, find_start
from xtts_framework.training.sampling import MAIN_POOL, Pool, Sampler
from xtts_framework.training.schedule import Clock, MultiStep
from xtts_framework.training.state import TrainingState
from xtts_framework.training.stopping import StopRequest
from xtts_framework.training.summary import summarize
from xtts_framework.training.update import Updater

if TYPE_CHECKING:
    from TTS.tts.layers.xtts.gpt import GPT

LOCK_FILE = "train.lock"
LANGUAGE_TAG = re.compile(r"\[[a-z]{2,3}(-[a-z]{2,4})?\]")


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
    started = time.monotonic()
    stop = StopRequest(started, max_seconds)
    with stop.listening(), only_trainer(run.path / LOCK_FILE):
        _train_alone(config, base_folder, run, datasets, choose_device(device), started, stop, resume, restart)


def _train_alone(
    config: TrainConfig,
    base_folder: Path,
    run: RunFolder,
    datasets: Mapping[str, DatasetFolder],
    device: torch.device,
    started: float,
    stop: StopRequest,
    resume: Path | None,
    restart: bool,
) -> None:
    settings = config.training
    _check_names(config, datasets)
    base = read_base(base_folder)
    plugins = load_plugins()
    packs = {language.code: plugins.pack(language.code, language.options) for language in config.languages.values()}
    tokenizer = XttsTokenizer(run.vocab, packs)
    corpus = read_corpus(config, datasets, tokenizer, base)

    main_datasets = [name for name, use in config.datasets.items() if use.share is None]
    plan = resolve_freezing(
        config.freezing,
        plugins,
        packs[config.languages[main_datasets[0]].code],
        training_clips=sum(len(corpus.of("train", name)) for name in main_datasets),
        blocks=base.args["gpt_layers"],
    )
    inputs = fingerprint_inputs(config, base_folder, run, datasets, plan)
    fingerprint = fingerprint_of(inputs)
    checkpoints, checkpoint = find_start(run.checkpoints, inputs, resume=resume, restart=restart)
    for line in start_lines(fingerprint, checkpoint):
        say(line)
    if checkpoint is None:
        corpus.check_features(known_codes=base.args["gpt_start_audio_token"])

    set_matmul_precision(settings.precision)
    gpt = _build_model(base, tokenizer, checkpoint, config)
    counts = apply_freezing(gpt, plan)
    gpt.to(device)
    optimizer = build_optimizer(gpt, settings, new_row_parameters(gpt))
    state = TrainingState()
    if checkpoint:
        restore_optimizer(optimizer, checkpoint.tensors(OPTIMIZER_FILE))
        state = TrainingState.from_json(checkpoint.state)
    for line in decision_lines(config, corpus, device, plan, counts):
        say(line)

    clock = Clock(settings.batch_size, settings.grad_accum)
    start_step = clock.step(state.samples_seen)
    open_training_folder(run, fingerprint)
    metrics_file = MetricsFile(run.metrics, fingerprint, start_step=start_step)
    for listener in (Console(), metrics_file, TensorBoard(run.training, start_step=start_step)):
        plugins.register(listener)
    examples = Examples(
        corpus,
        seed=settings.seed,
        same_speaker=settings.conditioning == "speaker",
        mask_prompt=settings.mask_conditioned_loss,
    )
    training = Training(
        config=settings,
        clock=clock,
        schedule=MultiStep(settings.learning_rate, tuple(settings.milestones), settings.gamma),
        sampler=Sampler(_pools(config, corpus), settings.seed, state.sampler),
        examples=examples,
        evaluator=Evaluator(corpus.of("eval"), examples, settings, device),
        updater=Updater(gpt, optimizer, examples, settings, device),
        gpt=gpt,
        optimizer=optimizer,
        state=state,
        checkpoints=checkpoints,
        skipped=run.training / "skipped",
        identity={
            "fingerprint": fingerprint,
            "fingerprint_inputs": inputs,
            "num_threads": torch.get_num_threads(),
            "vocab_sha256": inputs["vocabulary"],
        },
        plugins=plugins,
        metrics_file=metrics_file,
        stop=stop,
        wall_until=started,
        unsaved=checkpoint is None,
    )
    description = {
        "fingerprint": fingerprint,
        "first_step": start_step,
        "last_step": clock.boundary(settings.max_steps),
        "batch_size": settings.batch_size,
        "device": describe_device(device),
        "precision": settings.precision,
    }
    with recorded_attempt(checkpoints / ATTEMPTS_FILE, start_step, lambda: training.step):
        plugins.hook.xtts_on_run_start(run_folder=run.path, description=description)
        reason = training.run()
        plugins.hook.xtts_on_run_end(step=training.step, reason=reason)
        if training.finished_because() is None:
            raise UserError(
                f"unfinished: stopped and saved at step {training.step}, because of {reason}. "
                "Start the same command again to continue.",
                exit_code=os.EX_TEMPFAIL,
            )
        summary = summarize(
            config,
            run,
            state,
            corpus,
            fingerprint=fingerprint,
            checkpoints=checkpoints,
            stop_reason=reason,
            stop_token=base.args["gpt_stop_audio_token"],
            plan=plan,
            counts=counts,
            device=describe_device(device),
        )
        write_json(run.summary, summary)


def _check_names(config: TrainConfig, datasets: Mapping[str, DatasetFolder]) -> None:
    if set(config.datasets) != set(datasets):
        raise UserError(
            f"the configuration trains on {sorted(config.datasets)}, but --dataset names {sorted(datasets)}; "
            "give --dataset NAME=FOLDER once for each."
        )


def _build_model(base: Base, tokenizer: XttsTokenizer, checkpoint: Checkpoint | None, config: TrainConfig) -> GPT:
    """The base's GPT with rows for the whole vocabulary, and the checkpoint's weights if there is one."""
    gpt = load_gpt(base)
    base_rows = gpt.text_embedding.num_embeddings
    rows = tokenizer.get_number_tokens()
    tags = [row for token, row in tokenizer.tokenizer.get_vocab().items() if LANGUAGE_TAG.fullmatch(token)]
    known = sorted(row for row in tags if row < base_rows)
    extend_text_rows(gpt, rows, {row: known for row in tags if row >= base_rows}, config.training.seed)
    if checkpoint:
        gpt.load_state_dict(checkpoint.tensors(MODEL_FILE))
    if config.training.new_token_lr_scale != 1 and rows > base_rows:
        split_new_rows(gpt, base_rows)
    return gpt


def _pools(config: TrainConfig, corpus: Corpus) -> dict[str, Pool]:
    """The datasets without a share as one pool, each replay dataset as its own."""
    clips = {name: [clip.name for clip in corpus.of("train", name)] for name in config.datasets}
    main = [clip for name, use in config.datasets.items() if use.share is None for clip in clips[name]]
    replay = {name: Pool(clips[name], use.share) for name, use in config.datasets.items() if use.share is not None}
    return {MAIN_POOL: Pool(main), **replay}
