"""A language pack that is somebody else's package, from its wheel to speech, beside the framework's own wheel."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import polars
import pytest
import soundfile
import yaml

from xtts_framework.config import ProjectConfig, dump_yaml, parse_config, stage_configs
from xtts_framework.layout import DatasetFolder, RunFolder

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "xtts-lang-georgian"
PLAIN = (
    "გამარჯობა, ჩემი სახელი არის ნინო.",
    "დღეს თბილისში კარგი ამინდია.",
    "ბავშვები ეზოში თამაშობენ.",
    "მდინარე მტკვარი ქალაქს შუაზე ყოფს.",
    "წიგნი მაგიდაზე დევს.",
    "როდის მოხვალ ჩვენთან სტუმრად?",
    "მთაში თოვლი უკვე მოვიდა.",
    "დედა ბაზარში წავიდა.",
)
"""Sentences that are read as they are written."""
READINGS = {sentence: sentence for sentence in PLAIN} | {
    "„დიახ“ – თქვა ბიჭმა…": '"დიახ" - თქვა ბიჭმა.',
    "სკოლა 1998 წელს აშენდა.": "სკოლა ათას ცხრაას ოთხმოცდათვრამეტ წელს აშენდა.",
    "ბილეთი 21 ლარი ღირს.": "ბილეთი ოცდაერთი ლარი ღირს.",
    "ეს მე-20 საუკუნის სახლია.": "ეს მეოცე საუკუნის სახლია.",
}
REFUSED = {"ანგარიში იყო 2-1.": "digits", "this is not Georgian.": "unknown_character"}
CONFIG = """
base: base
datasets:
  speech: {path: dataset, language: ka, validation: {eval_min: 2}}
runs:
  georgian:
    datasets: [speech]
    tokenizer: {new_tokens: 60}
    training: {learning_rate: 1.0e-3, grad_accum: 1, max_steps: 10, dropout: 0.0}
    freezing: {policy: none}
"""


@dataclass(frozen=True)
class Environment:
    """A fresh virtual environment with both wheels, layered on the dependencies of this one."""

    folder: Path

    def run(self, *command: str, cwd: Path, stdin: str | None = None) -> str:
        """Run a program of the environment in `cwd`; return what it printed."""
        program = self.folder / "bin" / command[0]
        without_checkout = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [program, *command[1:]],
            cwd=cwd,
            env=without_checkout | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "CI": "1"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    wheels, folder = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("environment")
    build = ["wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels)]
    if importlib.util.find_spec("hatchling"):
        build.append("--no-build-isolation")
    pip(*build, str(ROOT), str(EXAMPLE))
    venv.create(folder, with_pip=False)
    python = str(folder / "bin" / "python")
    pip("--python", python, "install", "--quiet", "--no-deps", "--no-index", *map(str, wheels.glob("*.whl")))
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return Environment(folder)


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def project(environment: Environment, tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A project folder with Georgian speech, and a slice of the configuration for every stage."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "base").symlink_to(tiny_base)
    speak(environment, folder / "dataset", [*READINGS, *REFUSED])
    config = parse_config(yaml.safe_load(CONFIG), ProjectConfig, source="CONFIG")
    for path, content in stage_configs(config):
        file = folder / "results" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dump_yaml(content), encoding="utf-8")
    return folder


def speak(environment: Environment, dataset: Path, sentences: list[str]) -> None:
    """A dataset of the sentences, spoken by espeak-ng's Georgian voice."""
    (dataset / "wavs").mkdir(parents=True)
    clips = [(str(dataset / "wavs" / f"clip{index:02}.wav"), text) for index, text in enumerate(sentences)]
    order = {"voice": {"language": "ka", "rate": 140}, "clips": clips}
    environment.run("python", "-m", "xtts_framework.demo.speaker", cwd=dataset, stdin=json.dumps(order))
    rows = "".join(f"{Path(file).name}|{text}|{text}\n" for file, text in clips)
    (dataset / "metadata.csv").write_text(rows, encoding="utf-8")


@pytest.fixture(scope="module")
def finished(environment: Environment, project: Path) -> Path:
    """Every stage from metadata to a bundle, as the workflow calls them."""
    dataset, run = "results/datasets/speech", "results/runs/georgian"
    of_run = ("--base", "base", "--dataset", f"speech={dataset}", "--out", run)
    for stage, *arguments in (
        ("validate", "--config", f"{dataset}/config/validate.yaml", "--out", dataset),
        ("encode", "--config", f"{dataset}/config/encode.yaml", "--base", "base", "--out", dataset),
        ("tokenize", "--config", f"{run}/config/tokenize.yaml", *of_run),
        ("train", "--config", f"{run}/config/train.yaml", *of_run),
        ("select", "--out", run),
        ("export", "--config", f"{run}/config/export.yaml", *of_run),
    ):
        environment.run("xtts", stage, *arguments, cwd=project)
    return project


def test_what_runs_is_what_the_wheels_hold(environment: Environment, tmp_path: Path) -> None:
    program = "import xtts_framework as f, xtts_lang_georgian as g; print(f.__file__, g.__file__, sep='\\n')"
    for file in environment.run("python", "-c", program, cwd=tmp_path).splitlines():
        assert Path(file).is_relative_to(environment.folder)


def test_the_pack_is_listed_under_its_own_package(environment: Environment, tmp_path: Path) -> None:
    plugins = json.loads(environment.run("xtts", "plugins", "list", "--json", cwd=tmp_path))
    (georgian,) = [plugin for plugin in plugins if plugin["languages"] == ["ka"]]
    assert (georgian["name"], georgian["distribution"]) == ("georgian", "xtts-lang-georgian")
    assert georgian["error"] is None


def test_the_packs_own_tests_pass(environment: Environment, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=tmp_path)


def test_the_pack_keeps_the_contract(environment: Environment, tmp_path: Path) -> None:
    outcomes = environment.run("xtts", "plugins", "check", "georgian", cwd=tmp_path)
    assert "accepts_only_its_alphabet" in outcomes


def test_every_text_is_read_or_refused_by_the_pack(finished: Path) -> None:
    dataset = DatasetFolder(finished / "results/datasets/speech")
    manifest = polars.read_parquet(dataset.manifest)
    assert dict(manifest.select("text", "normalized").iter_rows()) == READINGS
    assert set(manifest["language"]) == {"ka"}
    rejects = polars.read_csv(dataset.rejects)
    assert rejects["codes"].to_list() == list(REFUSED.values())


def test_the_vocabulary_has_the_whole_alphabet(finished: Path) -> None:
    vocab = json.loads(RunFolder(finished / "results/runs/georgian").vocab.read_text("utf-8"))["model"]["vocab"]
    assert {"[ka]", *"აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ"} <= vocab.keys()


def test_ten_updates_lower_the_loss(finished: Path) -> None:
    summary = json.loads(RunFolder(finished / "results/runs/georgian").summary.read_text("utf-8"))
    assert (summary["updates"], summary["steps"]) == (10, 10)
    assert summary["eval"]["last"]["loss_total"] < summary["eval"]["first"]["loss_total"]


def test_the_bundle_speaks_georgian(environment: Environment, finished: Path) -> None:
    text = "2024 წელს თბილისში ვიყავი."
    bundle = "results/runs/georgian/bundle"
    environment.run("xtts", "synthesize", bundle, "--text", text, "--out", "spoken.wav", cwd=finished)
    assert soundfile.info(finished / "spoken.wav").frames > 0
