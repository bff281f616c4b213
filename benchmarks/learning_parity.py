"""Does ours learn what stock coqui learns? The same weights, the same batches, two trainers, two processes.

One list of batches is recorded: which clips, which slice of each as the voice prompt, in which order. Stock passes it
through `GPTTrainer.train_step` and the optimizer that `GPTTrainer.get_optimizer` builds; ours through `Updater.update`.
Every few updates each side measures the mel loss of the same held-out clips with its own code. Stock's loss must fall
by 15 % at least, and both must agree within 1 % at the end. With `--mutant`, ours learns from the training clips'
codes in reversed time; that must disagree.

Made equal: batch 4, no accumulation, a constant learning rate, no dropout on either side (coqui has it inside
attention as well), no loss masked under the prompt (`cond_idxs=None`; coqui masks the last clip of a batch only), one
prompt length per batch (coqui's encoder hears padding), fp32. coqui averages its evaluation over batches; here its
loss of each batch counts by its tokens, as ours does, and the table also shows its own average.

Left different: which parameters decay. Both follow "weights only"; coqui's grouping goes by the class of the module and
so decays the perceiver's norms and its latents as well. The run names these parameters.

The data are the project's own demo speech, a tiny base whose codebook was fitted on it, and the stages validate, encode
and tokenize. The script exits with 0 when both agree, with 1 when they do not.

    python benchmarks/learning_parity.py --out benchmarks/learning_parity.md
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from train_throughput import command_line, describe_machine, fill_section

from xtts_framework.config import (
    DatasetConfig,
    EncodeConfig,
    FreezingConfig,
    LanguageConfig,
    TokenizeConfig,
    TokenizerConfig,
    TrainConfig,
    TrainingConfig,
    ValidateConfig,
)
from xtts_framework.layout import DatasetFolder, RunFolder
from xtts_framework.model.base import load_gpt, read_base
from xtts_framework.model.rows import extend_text_rows
from xtts_framework.plugins import load_plugins
from xtts_framework.report.charts import Series, line_chart
from xtts_framework.text.tokenizer import XttsTokenizer
from xtts_framework.training.corpus import Corpus, Utterance, read_corpus
from xtts_framework.training.examples import Example, Examples
from xtts_framework.training.prompts import MAX_PROMPT_FRAMES

DATASET = "speech"
LANGUAGE = LanguageConfig(code="am")
BATCH = 4
LEARNING_RATE = 3e-4
LEAST_FALL = 0.15
MOST_DIFFERENCE = 0.01
GREY, GREEN = "#9aa4b2", "#1f6f5c"


@dataclass(frozen=True)
class Prompted:
    """A clip and the slice of its mel that is its voice prompt, in frames."""

    clip: str
    start: int
    frames: int


class Prepared:
    """What both sides start from, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.speech = folder / "speech"
        self.base = folder / "base"
        self.dataset = DatasetFolder(folder / "dataset")
        self.run = RunFolder(folder / "run")
        self.weights = folder / "gpt.pth"
        self.recorded = folder / "batches.json"

    def read_corpus(self) -> Corpus:
        training = TrainingConfig(batch_size=BATCH, grad_accum=1)
        config = TrainConfig(
            datasets={DATASET: {}}, languages={DATASET: LANGUAGE}, training=training, freezing=FreezingConfig()
        )
        pack = load_plugins().pack(LANGUAGE.code, LANGUAGE.options)
        tokenizer = XttsTokenizer(self.run.vocab, {LANGUAGE.code: pack})
        return read_corpus(config, {DATASET: self.dataset}, tokenizer, read_base(self.base))

    def read_batches(self) -> tuple[list[list[Prompted]], list[list[Prompted]]]:
        """Training batches in order, and evaluation batches."""
        recorded = json.loads(self.recorded.read_text(encoding="utf-8"))
        train, evaluation = ([[Prompted(*one) for one in batch] for batch in recorded[part]] for part in recorded)
        return train, evaluation


def prepare(folder: Path, clips: int, updates: int) -> None:
    """Speech, base, features, vocabulary, initial weights and the list of batches."""
    from xtts_framework.model.tiny import create_tiny_base, recordings_in
    from xtts_framework.stages.demo_data import create_demo_data
    from xtts_framework.stages.encode import encode
    from xtts_framework.stages.tokenize import tokenize
    from xtts_framework.stages.validate import validate

    prepared = Prepared(folder)
    create_demo_data(prepared.speech, clips=clips)
    create_tiny_base(prepared.base, recordings_in(prepared.speech))
    validate(ValidateConfig(dataset=DatasetConfig(path=prepared.speech, language=LANGUAGE)), prepared.dataset)
    encode(EncodeConfig(dataset_path=prepared.speech), prepared.base, prepared.dataset)
    languages = TokenizeConfig(languages={DATASET: LANGUAGE}, tokenizer=TokenizerConfig(new_tokens=500))
    tokenize(languages, prepared.base, {DATASET: prepared.dataset}, prepared.run)
    pack = load_plugins().pack(LANGUAGE.code, LANGUAGE.options)
    gpt = load_gpt(read_base(prepared.base))
    rows = XttsTokenizer(prepared.run.vocab, {LANGUAGE.code: pack}).get_number_tokens()
    extend_text_rows(gpt, rows, {}, seed=1)
    torch.save(gpt.state_dict(), prepared.weights)
    record_batches(prepared, updates)


def record_batches(prepared: Prepared, updates: int) -> None:
    """Draw clips without replacement and a prompt from each; one prompt length for each batch."""
    corpus, dice = prepared.read_corpus(), random.Random(1)
    train, batches = corpus.of("train"), []
    order: list[Utterance] = []
    for _ in range(updates):
        if len(order) < BATCH:
            order = dice.sample(train, len(train))
        batch, order = order[:BATCH], order[BATCH:]
        frames = prompt_length(batch)
        batches.append([(one.name, dice.randint(0, one.mel_frames - frames), frames) for one in batch])
    held_out = sorted(corpus.of("eval"), key=lambda one: one.tokens)
    groups = [held_out[start : start + BATCH] for start in range(0, len(held_out), BATCH)]
    evaluation = [[(one.name, 0, prompt_length(group)) for one in group] for group in groups]
    prepared.recorded.write_text(json.dumps({"train": batches, "eval": evaluation}), encoding="utf-8")


def prompt_length(batch: Sequence[Utterance]) -> int:
    """6 s, or all of the shortest clip of the batch."""
    return min(MAX_PROMPT_FRAMES, *(utterance.mel_frames for utterance in batch))


class TimeReversed:
    """The mutant: training clips whose codes run backwards. Held-out clips stay as they are."""

    def __init__(self, corpus: Corpus) -> None:
        self.utterances = corpus.utterances
        self._corpus = corpus

    def read_codes(self, utterance: Utterance) -> Tensor:
        codes = self._corpus.read_codes(utterance)
        return codes.flip(0) if utterance.split == "train" else codes

    def read_mel(self, utterance: Utterance, frames: slice | None = None) -> Tensor:
        return self._corpus.read_mel(utterance, frames)


class Recorded(Examples):
    """Examples with the recorded prompts."""

    def __init__(self, corpus: Any) -> None:
        super().__init__(corpus, seed=1, same_speaker=False, mask_prompt=False)
        self.utterances: dict[str, Utterance] = corpus.utterances
        self.evaluation: dict[str, Prompted] = {}

    def example(self, prompted: Prompted) -> Example:
        utterance = self.utterances[prompted.clip]
        return Example(utterance, utterance, slice(prompted.start, prompted.start + prompted.frames), None)

    def for_evaluation(self, utterance: Utterance) -> Example:
        return self.example(self.evaluation[utterance.name])


Losses = dict[str, float]
"""Of one evaluation: `update`, `mel` in nats per token, and for stock also `mel_as_coqui_averages`."""


def train_ours(prepared: Prepared, learning_rate: float, eval_every: int, *, mutant: bool) -> Iterator[Losses]:
    from xtts_framework.training.device import set_matmul_precision
    from xtts_framework.training.distributed import Ranks
    from xtts_framework.training.evaluation import Evaluator
    from xtts_framework.training.optimizer import build_optimizer
    from xtts_framework.training.update import Updater

    config = TrainingConfig(
        batch_size=BATCH,
        grad_accum=1,
        learning_rate=learning_rate,
        dropout=0.0,
        precision="fp32_strict",
        micro_batch_tokens=8192,
    )
    set_matmul_precision(config.precision)
    device = torch.device("cpu")
    base, corpus = read_base(prepared.base), prepared.read_corpus()
    gpt = load_gpt(base)
    state = torch.load(prepared.weights, weights_only=True)
    extend_text_rows(gpt, len(state["text_embedding.weight"]), {}, seed=1)
    gpt.load_state_dict(state)
    examples = Recorded(TimeReversed(corpus) if mutant else corpus)
    batches, evaluation = prepared.read_batches()
    examples.evaluation = {prompted.clip: prompted for batch in evaluation for prompted in batch}
    updater = Updater(gpt, build_optimizer(gpt, config), examples, config, device)
    evaluator = Evaluator(corpus.of("eval"), examples, config, device, Ranks(), updater)
    for number, batch in enumerate(batches):
        if number % eval_every == 0:
            yield {"update": number, "mel": evaluator.evaluate(gpt, number).loss_mel}
        updater.update([examples.example(prompted) for prompted in batch], lr=learning_rate, number=number)
    yield {"update": len(batches), "mel": evaluator.evaluate(gpt, len(batches)).loss_mel}


def train_stock(prepared: Prepared, learning_rate: float, eval_every: int) -> Iterator[Losses]:
    import stock

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    trainer = stock.build_trainer(
        prepared.base,
        prepared.weights,
        prepared.run.vocab,
        batch_size=BATCH,
        loader_workers=0,
        learning_rate=learning_rate,
    )
    stock.remove_dropout(trainer)
    optimizer = trainer.get_optimizer()
    examples = Recorded(prepared.read_corpus())
    batches, evaluation = prepared.read_batches()

    def features(batch: Sequence[Prompted]) -> dict[str, Any]:
        return stock.batch_of([examples.load(examples.example(prompted)) for prompted in batch])

    def evaluate(number: int) -> Losses:
        trainer.eval()
        means = [float(trainer.eval_step(features(batch), None)[1]["loss_mel_ce"]) for batch in evaluation]
        tokens = [sum(examples.utterances[one.clip].mel_targets for one in batch) for batch in evaluation]
        weighted = math.fsum(mean * count for mean, count in zip(means, tokens, strict=True)) / sum(tokens)
        stock.set_training_mode(trainer)
        return {"update": number, "mel": weighted, "mel_as_coqui_averages": math.fsum(means) / len(means)}

    for number, batch in enumerate(batches):
        if number % eval_every == 0:
            yield evaluate(number)
        _, losses = trainer.train_step(features(batch), None)
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    yield evaluate(len(batches))


def decayed_by_coqui_alone(prepared: Prepared) -> list[str]:
    """Parameters that coqui's optimizer decays and ours does not; the reverse would be an error."""
    import stock

    from xtts_framework.training.optimizer import is_weight

    trainer = stock.build_trainer(
        prepared.base, prepared.weights, prepared.run.vocab, batch_size=BATCH, loader_workers=0
    )
    theirs = set(trainer.get_optimizer()._group_names[0])
    ours = {name for name, parameter in trainer.xtts.gpt.named_parameters() if is_weight(name, parameter)}
    if ours - theirs:
        raise RuntimeError(f"ours decays what coqui does not: {sorted(ours - theirs)}")
    return sorted(theirs - ours)


def run_side(side: str, prepared: Prepared, learning_rate: float, eval_every: int) -> None:
    """A child process: one JSON line for every evaluation, then for stock the parameters that only it decays."""
    if side == "stock":
        curve = train_stock(prepared, learning_rate, eval_every)
    else:
        curve = train_ours(prepared, learning_rate, eval_every, mutant=side == "mutant")
    for losses in curve:
        print(json.dumps(losses), flush=True)
    if side == "stock":
        print(json.dumps(decayed_by_coqui_alone(prepared)), flush=True)


def run_both(arguments: argparse.Namespace, folder: Path) -> tuple[list[Losses], list[Losses], list[str]]:
    """Both sides next to each other, in a process each: curve of stock, curve of ours, what only coqui decays."""
    processes = []
    for side in ("stock", "mutant" if arguments.mutant else "ours"):
        command = [sys.executable, __file__, "--side", side, "--work", str(folder)]
        command += ["--learning-rate", str(arguments.learning_rate), "--eval-every", str(arguments.eval_every)]
        environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    outputs = [process.communicate()[0] for process in processes]
    for process in processes:
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, process.args))}: failed with {process.returncode}, see above")
    stock, ours = ([json.loads(line) for line in output.splitlines() if line[:1] in "{["] for output in outputs)
    return stock[:-1], ours, stock[-1]


@dataclass(frozen=True)
class Verdict:
    """How the two curves compare.

    Args:
        fall: by how much stock's loss fell, as a share of its first.
        difference: of the last losses, as a share of stock's.
        largest: of any two losses, as a share of stock's.
    """

    fall: float
    difference: float
    largest: float

    @classmethod
    def of(cls, stock: Sequence[Losses], ours: Sequence[Losses]) -> Verdict:
        shares = [abs(one["mel"] - other["mel"]) / one["mel"] for one, other in zip(stock, ours, strict=True)]
        return cls(1 - stock[-1]["mel"] / stock[0]["mel"], shares[-1], max(shares))

    @property
    def agree(self) -> bool:
        return self.fall >= LEAST_FALL and self.difference <= MOST_DIFFERENCE

    def __str__(self) -> str:
        return (
            f"{'AGREE' if self.agree else 'DISAGREE'}: stock's eval mel loss fell by {100 * self.fall:.1f} % (needed: "
            f"{100 * LEAST_FALL:.0f} %); at the end the two differ by {100 * self.difference:.2g} % (allowed: "
            f"{100 * MOST_DIFFERENCE:.0f} %), by {100 * self.largest:.2g} % at most on the way"
        )


def table(stock: Sequence[Losses], ours: Sequence[Losses]) -> str:
    lines = [
        "| update | stock, nats per token | ours, nats per token | difference | stock, as its trainer averages |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one['update']:.0f} | {one['mel']:.6f} | {other['mel']:.6f} | "
        f"{100 * (other['mel'] - one['mel']) / one['mel']:+.2g} % | {one['mel_as_coqui_averages']:.6f} |"
        for one, other in zip(stock, ours, strict=True)
    ]
    return "\n".join(lines)


def draw(stock: Sequence[Losses], ours: Sequence[Losses]) -> str:
    """Both curves as SVG: stock as a broad grey line, ours as a thin green one with dots on it."""
    points = [[(losses["update"], losses["mel"]) for losses in curve] for curve in (stock, ours)]
    chart = line_chart(
        "eval mel loss", [Series("stock coqui", "stock", points[0]), Series("ours", "ours", points[1], dots=True)]
    )
    assert chart is not None
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -24 {chart.width} {chart.height + 28}" '
        'font-family="sans-serif" font-size="12" fill="#6a6e76">',
        f'<rect y="-24" width="{chart.width}" height="{chart.height + 28}" fill="#ffffff"/>',
        f'<text x="{chart.left}" y="-6" fill="#1d1f23">{chart.title}, nats per token, by update</text>',
    ]
    for tick in chart.y_ticks:
        parts.append(f'<path d="M{chart.left},{tick.position}H{chart.right}" stroke="#e2dfd8"/>')
        parts.append(f'<text x="{chart.left - 8}" y="{tick.position + 4}" text-anchor="end">{tick.text}</text>')
    for tick in chart.x_ticks:
        parts.append(f'<text x="{tick.position}" y="{chart.bottom + 18}" text-anchor="middle">{tick.text}</text>')
    for line, colour, width, row in zip(chart.lines, (GREY, GREEN), (6, 1.6), (0, 1), strict=True):
        parts.append(f'<path d="{line.path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="2.6" fill="{colour}"/>' for x, y in line.dots]
        place = f'x="{chart.right}" y="{chart.top + 12 + 16 * row}" text-anchor="end"'
        parts.append(f'<text {place} fill="{colour}">{line.name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def describe(arguments: argparse.Namespace, prepared: Prepared, decayed: Sequence[str]) -> str:
    """What was run, on what."""
    corpus = prepared.read_corpus()
    kinds = sorted({name.rsplit(".", 1)[-1] for name in decayed})
    return (
        f"`{command_line()}`\n\n"
        f"{describe_machine()}; {arguments.threads} thread(s) for each side. {arguments.updates} updates of {BATCH} "
        f"clips at learning rate {arguments.learning_rate:g}; {len(corpus.of('train'))} training and "
        f"{len(corpus.of('eval'))} held-out clips of espeak-ng's Amharic; a base of XTTS-v2's architecture with 4 "
        "blocks of 128 channels; AdamW (0.9, 0.96), eps 1e-8, decay 1e-2; no dropout; fp32.\n\n"
        f"coqui decays {len(decayed)} parameters that ours does not ({', '.join(kinds)}): "
        f"{', '.join(f'`{name}`' for name in decayed)}."
    )


def write_csv(path: Path, stock: Sequence[Losses], ours: Sequence[Losses]) -> None:
    rows = [
        f"{one['update']:.0f},{one['mel']!r},{other['mel']!r},{one['mel_as_coqui_averages']!r}"
        for one, other in zip(stock, ours, strict=True)
    ]
    path.write_text("\n".join(["update,stock_mel,ours_mel,stock_mel_as_coqui_averages", *rows]) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--clips", type=int, default=240, help="of demo speech; 20 of them or 5 %% are held out")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--eval-every", type=int, default=20, help="updates")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 1) // 2), help="of each side")
    parser.add_argument("--mutant", action="store_true", help="ours learns from time-reversed codes; must disagree")
    parser.add_argument(
        "--out", type=Path, help="fill in this Markdown file, and write the curves next to it (.csv and .svg)"
    )
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=("stock", "ours", "mutant"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_side(arguments.side, Prepared(arguments.work), arguments.learning_rate, arguments.eval_every)
        return
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        prepare(work, arguments.clips, arguments.updates)
        stock, ours, decayed = run_both(arguments, work)
        verdict = Verdict.of(stock, ours)
        report = f"{describe(arguments, Prepared(work), decayed)}\n\n{table(stock, ours)}\n\n{verdict}\n"
    print(report)
    if arguments.out:
        if arguments.mutant:
            fill_section(arguments.out, "time-reversed codes", report)
        else:
            figure, numbers = arguments.out.with_suffix(".svg"), arguments.out.with_suffix(".csv")
            figure.write_text(draw(stock, ours), encoding="utf-8")
            write_csv(numbers, stock, ours)
            links = f"![both curves]({figure.name})\n\nThe numbers: [{numbers.name}]({numbers.name})"
            fill_section(arguments.out, "parity", f"{report}\n{links}")
    sys.exit(0 if verdict.agree else 1)


if __name__ == "__main__":
    main()
