"""From a run's inputs to a training that is ready to run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xtts_framework.config import TrainConfig
from xtts_framework.console import say
from xtts_framework.layout import DatasetFolder, RunFolder, require_datasets
from xtts_framework.model.base import Base, load_gpt, read_base
from xtts_framework.model.freezing import FreezingCounts, apply_freezing, resolve_freezing
from xtts_framework.model.rows import extend_text_rows, new_row_parameters, split_new_rows
from xtts_framework.plugins import FreezingPlan, Plugins, load_plugins
from xtts_framework.text.tokenizer import XttsTokenizer
from xtts_framework.text.vocabulary import language_rows, read_vocab
from xtts_framework.training.average import MovingAverage
from xtts_framework.training.briefing import decision_lines
from xtts_framework.training.checkpoint import MODEL_FILE, OPTIMIZER_FILE, Checkpoint
from xtts_framework.training.corpus import Corpus, read_corpus, training_pools
from xtts_framework.training.device import check_compiler, set_matmul_precision
from xtts_framework.training.distributed import Ranks
from xtts_framework.training.evaluation import Evaluator
from xtts_framework.training.examples import Examples
from xtts_framework.training.fingerprint import fingerprint_inputs, fingerprint_of
from xtts_framework.training.listeners import Console, MetricsFile, NobodyListens, TensorBoard, open_training_folder
from xtts_framework.training.loop import Training
from xtts_framework.training.memory import use_memory
from xtts_framework.training.optimizer import build_optimizer, restore_optimizer
from xtts_framework.training.sampling import Sample, Sampler
from xtts_framework.training.schedule import Clock, MultiStep
from xtts_framework.training.state import TrainingState
from xtts_framework.training.stopping import StopRequest
from xtts_framework.training.update import Updater

if TYPE_CHECKING:
    from TTS.tts.layers.xtts.gpt import GPT

BUDGET_FILE = "budget.json"
"""Beside the checkpoints: how much passes through this GPU at once."""


@dataclass(frozen=True)
class Inputs:
    """What a training starts from, checked; the weights are not loaded yet.

    Args:
        dependencies: everything the trained weights depend on, see `fingerprint_inputs`.
    """

    config: TrainConfig
    base: Base
    run: RunFolder
    plugins: Plugins
    tokenizer: XttsTokenizer
    corpus: Corpus
    plan: FreezingPlan
    dependencies: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.dependencies)

    @property
    def codes(self) -> int:
        """Audio codes of the model; the start token is the first id after them."""
        return int(self.base.args["gpt_start_audio_token"])

    @property
    def stop_token(self) -> int:
        return int(self.base.args["gpt_stop_audio_token"])


def read_inputs(
    config: TrainConfig, base_folder: Path, run: RunFolder, datasets: Mapping[str, DatasetFolder]
) -> Inputs:
    """Read and check all inputs.

    Raises:
        UserError: inputs are missing or do not fit together.
    """
    require_datasets(config.datasets, datasets)
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
    dependencies = fingerprint_inputs(config, base_folder, run, datasets, plan)
    return Inputs(config, base, run, plugins, tokenizer, corpus, plan, dependencies)


def set_up_training(
    inputs: Inputs,
    checkpoints: Path,
    checkpoint: Checkpoint | None,
    device: torch.device,
    stop: StopRequest,
    ranks: Ranks,
) -> tuple[Training, FreezingCounts]:
    """Load the model and everything around it, as the checkpoint left it, and say what was decided.

    Args:
        checkpoints: folder for this training's checkpoints.
        checkpoint: where to continue; None: at the beginning.
    Raises:
        UserError: the device has too little memory, or torch.compile does not work on it.
    """
    config = inputs.config.training
    set_matmul_precision(config.precision)
    if config.compile:
        check_compiler(device)
    gpt = _build_model(inputs, checkpoint)
    counts = apply_freezing(gpt, inputs.plan)
    gpt.to(device)
    optimizer = build_optimizer(gpt, config, new_row_parameters(gpt))
    average = MovingAverage(gpt, config.ema_decay)
    state = TrainingState()
    if checkpoint:
        saved = checkpoint.tensors(OPTIMIZER_FILE)
        average.restore_trained(saved)
        restore_optimizer(optimizer, saved)
        state = TrainingState.from_json(checkpoint.state)
    examples = Examples(
        inputs.corpus,
        seed=config.seed,
        same_speaker=config.conditioning == "speaker",
        mask_prompt=config.mask_conditioned_loss,
    )
    updater = Updater(gpt, optimizer, examples, config, device, ranks=ranks)
    if device.type == "cuda":
        drawn = [examples.for_training(Sample(clip.name, 0)) for clip in inputs.corpus.of("train")]
        use_memory(updater, inputs.corpus, drawn, config, device, ranks, checkpoints / BUDGET_FILE)
    for line in decision_lines(inputs.config, inputs.corpus, device, ranks, updater.budget, inputs.plan, counts):
        say(line)

    clock = Clock(config.batch_size, config.grad_accum)
    training = Training(
        config=config,
        clock=clock,
        schedule=MultiStep.of(config),
        sampler=Sampler(training_pools(inputs.config, inputs.corpus), config.seed, state.sampler),
        examples=examples,
        evaluator=Evaluator(inputs.corpus.of("eval"), examples, config, device, ranks, updater),
        updater=updater,
        gpt=gpt,
        optimizer=optimizer,
        average=average,
        ranks=ranks,
        state=state,
        checkpoints=checkpoints,
        skipped=inputs.run.training / "skipped",
        identity={
            "fingerprint": inputs.fingerprint,
            "fingerprint_inputs": inputs.dependencies,
            "vocab_sha256": inputs.dependencies["vocabulary"],
            "num_threads": torch.get_num_threads(),
            "processes": ranks.size,
        },
        hook=inputs.plugins.hook if ranks.is_main else NobodyListens(),
        metrics_file=_register_listeners(inputs, clock.step(state.samples_seen)) if ranks.is_main else None,
        stop=stop,
        wall_until=stop.started,
        unsaved=checkpoint is None,
    )
    training.timed_until = training.saved_at = time.monotonic()
    return training, counts


def _build_model(inputs: Inputs, checkpoint: Checkpoint | None) -> GPT:
    """The base's GPT with rows for the whole vocabulary, and the checkpoint's weights if there is one."""
    training = inputs.config.training
    gpt = load_gpt(inputs.base)
    base_rows, rows = gpt.text_embedding.num_embeddings, inputs.tokenizer.get_number_tokens()
    tags = language_rows(read_vocab(inputs.base.folder / "vocab.json"), read_vocab(inputs.run.vocab))
    extend_text_rows(gpt, rows, tags, training.seed)
    if checkpoint:
        gpt.load_state_dict(checkpoint.tensors(MODEL_FILE))
    if training.new_token_lr_scale != 1 and rows > base_rows:
        split_new_rows(gpt, base_rows)
    return gpt


def _register_listeners(inputs: Inputs, start_step: int) -> MetricsFile:
    run = inputs.run
    open_training_folder(run, inputs.fingerprint)
    metrics_file = MetricsFile(run.metrics, inputs.fingerprint, start_step=start_step)
    for listener in (Console(), metrics_file, TensorBoard(run.training, start_step=start_step)):
        inputs.plugins.register(listener)
    return metrics_file
