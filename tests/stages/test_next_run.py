"""From metadata to a bundle, and from the bundle to the next run: one text path, and nothing learned is lost."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars
import pytest
import torch

from xtts_framework.config import (
    DatasetConfig,
    EncodeConfig,
    ExportConfig,
    FreezingConfig,
    LanguageConfig,
    TokenizeConfig,
    TokenizerConfig,
    TrainConfig,
    TrainingConfig,
    ValidateConfig,
    ValidationConfig,
)
from xtts_framework.files import read_json, sha256_of
from xtts_framework.layout import DatasetFolder, RunFolder
from xtts_framework.model.inference import SpeakingModel
from xtts_framework.plugins import load_plugins
from xtts_framework.stages.encode import encode
from xtts_framework.stages.export import export
from xtts_framework.stages.select import select
from xtts_framework.stages.tokenize import tokenize
from xtts_framework.stages.train import train
from xtts_framework.stages.validate import validate

AMHARIC = LanguageConfig(code="am")
ADDED_CLIPS = 4
SPLIT = ValidationConfig(eval_min=1, eval_fraction=0.2, seed=2)
"""None of the added clips is held out: the evaluation clips stay those of the first run."""
TRAINING = TrainingConfig(
    learning_rate=1e-3, batch_size=2, grad_accum=2, max_steps=8, eval_every_steps=4, save_every_steps=4
)


@dataclass(frozen=True)
class Project:
    """One dataset and the runs that are trained on it."""

    folder: Path
    recordings: Path

    @property
    def dataset(self) -> DatasetFolder:
        return DatasetFolder(self.folder / "datasets" / "speech")

    def prepare(self, base: Path) -> None:
        dataset = DatasetConfig(path=self.recordings, language=AMHARIC, validation=SPLIT)
        validate(ValidateConfig(dataset=dataset), self.dataset)
        encode(EncodeConfig(dataset_path=self.recordings), base, self.dataset)

    def run(self, name: str, base: Path) -> RunFolder:
        """Tokenize, train, select and export."""
        run, datasets, languages = RunFolder(self.folder / "runs" / name), {"speech": self.dataset}, {"speech": AMHARIC}
        tokenize(TokenizeConfig(languages=languages, tokenizer=TokenizerConfig(new_tokens=500)), base, datasets, run)
        recipe = TrainConfig.model_validate(
            {
                "datasets": {"speech": {}},
                "languages": languages,
                "training": TRAINING,
                "freezing": FreezingConfig(policy="none"),
            }
        )
        train(recipe, base, run, datasets, device="cpu")
        select(run)
        paths = {"speech": self.recordings}
        config = ExportConfig(run=name, base=str(base), languages=languages, dataset_paths=paths, training=TRAINING)
        export(config, base, run, datasets)
        return run

    def evaluation_clips(self) -> set[str]:
        return set(polars.read_parquet(self.dataset.manifest).filter(split="eval")["clip_id"])


def as_people_write(text: str) -> str:
    """The same sentence with quotes, spaces and marks that the language pack has to make one of."""
    return f"  «{text.replace(' ', '፡', 1).removesuffix('።')}»  ፡፡ "


@pytest.fixture(scope="module")
def project(speech_dataset: Path, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """All but the last clips, and a first run from the tiny base."""
    folder = tmp_path_factory.mktemp("next_run")
    project = Project(folder / "results", folder / "recordings")
    shutil.copytree(speech_dataset, project.recordings)
    write_metadata(project, speech_dataset, leave_out=ADDED_CLIPS)
    project.prepare(tiny_base)
    project.run("first", tiny_base)
    return project


def write_metadata(project: Project, speech_dataset: Path, *, leave_out: int) -> None:
    lines = (speech_dataset / "metadata.csv").read_text(encoding="utf-8").splitlines()
    good = [line.split("|")[:2] for line in lines[: -5 - leave_out]]
    content = "".join(f"{file}|{as_people_write(text)}\n" for file, text in good)
    (project.recordings / "metadata.csv").write_text(content, encoding="utf-8")


def test_speaking_gives_the_model_the_ids_it_was_trained_on(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same tag, same normalisation, same vocabulary: from what a person wrote to what reaches the GPT."""
    from xtts_framework.model.base import read_base
    from xtts_framework.text.tokenizer import XttsTokenizer
    from xtts_framework.training.corpus import read_corpus

    run = RunFolder(project.folder / "runs" / "first")
    model = SpeakingModel.load(run.bundle, load_plugins())
    voice = model.hear(run.bundle / "reference.wav")
    heard: list[tuple[int, ...]] = []

    class Heard(Exception):
        """Stops after the ids: what they sound like is not asked here."""

    def generate(*, text_inputs: torch.Tensor, **_: Any) -> None:
        heard.append(tuple(text_inputs.flatten().tolist()))
        raise Heard

    monkeypatch.setattr(model._model.gpt, "generate", generate)
    recipe = TrainConfig.model_validate(
        {
            "datasets": {"speech": {}},
            "languages": {"speech": AMHARIC},
            "training": TRAINING,
            "freezing": FreezingConfig(),
        }
    )
    base = read_base(run.bundle)
    pack = load_plugins().pack("am", {})
    corpus = read_corpus(recipe, {"speech": project.dataset}, XttsTokenizer(run.vocab, {"am": pack}), base)
    manifest = polars.read_parquet(project.dataset.manifest)
    for clip_id, text, normalized in manifest.select("clip_id", "text", "normalized").iter_rows():
        assert text != normalized
        with pytest.raises(Heard):
            model.speak(text, "am", voice)
        assert heard[-1] == corpus.utterances[f"speech/{clip_id}"].text_ids
    assert len(heard) == manifest.height


def test_a_run_from_a_bundle_begins_where_the_bundle_ended(
    project: Project, speech_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More clips, the bundle as base: same vocabulary, same features, same evaluation loss before the first update."""
    bundle = RunFolder(project.folder / "runs" / "first").bundle
    description = read_json(bundle / "bundle.json")
    exported = description["selected"]
    held_out, before = project.evaluation_clips(), {path: sha256_of(path) for path in sorted(bundle.iterdir())}

    write_metadata(project, speech_dataset, leave_out=0)
    project.prepare(bundle)
    assert f"encoded {ADDED_CLIPS} clips, reused" in capsys.readouterr().err
    assert project.evaluation_clips() == held_out
    run = project.run("second", bundle)

    summary = read_json(run.summary)
    first = summary["eval"]["first"]
    for loss in ("loss_total", "loss_mel", "loss_text"):
        assert first[loss] == pytest.approx(exported[loss], rel=1e-6)
    assert exported["step"] > 0 and exported["loss_total"] < description["eval"]["first"]["loss_total"]
    assert read_json(run.vocab) == read_json(bundle / "vocab.json")
    assert before == {path: sha256_of(path) for path in sorted(bundle.iterdir())}
