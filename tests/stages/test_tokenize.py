"""The tokenize stage: manifests and a base in, a vocabulary and its report out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars
import pytest
from tokenizers import Tokenizer

from xtts_framework.config import (
    MODEL_MAX_TEXT_IDS,
    LanguageConfig,
    TokenizeConfig,
    TokenizerConfig,
    dump_yaml,
)
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, write_json
from xtts_framework.layout import DatasetFolder, RunFolder
from xtts_framework.model.tiny import train_vocabulary
from xtts_framework.plugins import load_plugins
from xtts_framework.stages.tokenize import tokenize
from xtts_framework.text.tokenizer import UNKNOWN, XttsTokenizer, tagged
from xtts_framework.text.vocabulary import row_count

TRAIN = ["ሰላም ለዓለም ይሁን።", "ሰላም ለሁሉም ይሁን።", "ዓለም ሰላም ይሁን።", "ሰላም፣ ሰላም ይሁን።"]
EVAL = ["ፀሐይ ወጣች።"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base folder of which only the vocabulary exists: nothing else may be looked at."""
    folder = tmp_path_factory.mktemp("base")
    write_json(folder / "vocab.json", train_vocabulary())
    return folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "results" / "runs" / "amharic")


def write_manifest(folder: Path, train: list[str], held_out: list[str], language: str = "am") -> DatasetFolder:
    folder.mkdir(parents=True)
    dataset = DatasetFolder(folder)
    count = len(train) + len(held_out)
    polars.DataFrame(
        {
            "clip_id": [f"clip{index:03}" for index in range(count)],
            "line": range(1, count + 1),
            "normalized": [*train, *held_out],
            "language": [language] * count,
            "split": ["train"] * len(train) + ["eval"] * len(held_out),
        }
    ).write_parquet(dataset.manifest)
    return dataset


def config(
    datasets: Mapping[str, str] | None = None,
    options: Mapping[str, dict[str, Any]] | None = None,
    new_tokens: int = 2000,
) -> TokenizeConfig:
    return TokenizeConfig(
        languages={
            name: LanguageConfig(code=code, options=(options or {}).get(name, {}))
            for name, code in (datasets or {"news": "am"}).items()
        },
        tokenizer=TokenizerConfig(new_tokens=new_tokens),
    )


def encode(run: RunFolder, text: str) -> list[str]:
    tokens: list[str] = Tokenizer.from_file(str(run.vocab)).encode(tagged(text, "am")).tokens
    return tokens


def test_vocabulary_and_report_are_written(tmp_path: Path, base: Path, run: RunFolder) -> None:
    tokenize(config(), base, {"news": write_manifest(tmp_path / "news", TRAIN, EVAL)}, run)
    report, vocab = read_json(run.tokenizer_report), read_json(run.vocab)
    assert report["base_rows"] == row_count(train_vocabulary())
    assert report["rows"] == row_count(vocab) == report["base_rows"] + report["added_tokens"]
    assert report["added_merges"] == len(vocab["model"]["merges"]) - len(train_vocabulary()["model"]["merges"])
    language = report["languages"]["am"]
    assert language["tokens_per_character_after"] < language["tokens_per_character_before"] == 1.0
    assert (language["coverage"], language["unreachable"], language["unk"]) == (1.0, 0, 0)
    assert "ሰላም" in report["longest_tokens"]
    pack = load_plugins().pack("am", {})
    assert XttsTokenizer(run.vocab, {"am": pack}).encode(TRAIN[0], "am")
    assert all(UNKNOWN not in encode(run, character) for character in pack.alphabet)


def test_held_out_clips_are_measured_apart(tmp_path: Path, base: Path, run: RunFolder) -> None:
    """`ሰላም` is a token, learnt in training; `ፀሐይ` is three, for it is only evaluated."""
    tokenize(config(), base, {"news": write_manifest(tmp_path / "news", TRAIN, ["ሰላም ፀሐይ", "ሰላም"])}, run)
    report = read_json(run.tokenizer_report)["languages"]["am"]
    assert report["tokens_per_character_held_out"] == round((1 + 1 + 3 + 1) / (7 + 3), 4)
    tokenize(config(), base, {"news": write_manifest(tmp_path / "all", [*TRAIN, "ሰላም ፀሐይ"], [])}, run)
    assert read_json(run.tokenizer_report)["languages"]["am"]["tokens_per_character_held_out"] is None


def test_evaluation_clips_teach_the_vocabulary_nothing(tmp_path: Path, base: Path, run: RunFolder) -> None:
    clips = write_manifest(tmp_path / "news", TRAIN, EVAL * 50)
    tokenize(config(), base, {"news": clips}, run)
    assert encode(run, "ፀሐይ") == ["[am]", "ፀ", "ሐ", "ይ"]
    clips = write_manifest(tmp_path / "more", [*TRAIN, *EVAL * 50], EVAL)
    tokenize(config(), base, {"news": clips}, run)
    assert encode(run, "ፀሐይ") == ["[am]", "ፀሐይ"]


def test_all_datasets_of_a_language_are_learnt_from(tmp_path: Path, base: Path, run: RunFolder) -> None:
    datasets = {
        "news": write_manifest(tmp_path / "news", TRAIN, EVAL),
        "radio": write_manifest(tmp_path / "radio", ["ጤና ይስጥልኝ።", "ጤና ይስጥልኝ ሰላም።"], EVAL),
    }
    tokenize(config({"news": "am", "radio": "am"}), base, datasets, run)
    assert encode(run, "ሰላም ጤና") == ["[am]", "ሰላም", "[SPACE]", "ጤና"]
    assert list(read_json(run.tokenizer_report)["languages"]) == ["am"]


def test_the_same_input_gives_the_same_files(tmp_path: Path, base: Path, run: RunFolder) -> None:
    datasets = {"news": write_manifest(tmp_path / "news", TRAIN, EVAL)}
    tokenize(config(), base, datasets, run)
    first = run.vocab.read_bytes(), run.tokenizer_report.read_bytes()
    tokenize(config(), base, datasets, run)
    assert (run.vocab.read_bytes(), run.tokenizer_report.read_bytes()) == first


def test_a_runs_vocabulary_is_a_valid_base(tmp_path: Path, base: Path, run: RunFolder) -> None:
    datasets = {"news": write_manifest(tmp_path / "news", TRAIN, EVAL)}
    tokenize(config(), base, datasets, run)
    again = RunFolder(tmp_path / "again")
    tokenize(config(), run.vocab.parent, datasets, again)
    assert read_json(again.vocab) == read_json(run.vocab)


def test_unknown_characters_and_long_texts_are_listed_by_clip(tmp_path: Path, base: Path, run: RunFolder) -> None:
    longest = " ".join(["ሀ"] * 200)  # with the tag: 400 ids
    held_out = [f"{longest}ሁ", f"{longest}ሁሂ", "ሰላም ☂ ♞"]
    datasets = {"news": write_manifest(tmp_path / "news", TRAIN, held_out)}
    with pytest.raises(UserError) as caught:
        tokenize(config(), base, datasets, run)
    message = str(caught.value)
    assert message.startswith("2 of 7 clips")
    assert f"news/clip005: 402 text ids, the model takes {MODEL_MAX_TEXT_IDS}" in message
    assert "news/clip006: characters outside the vocabulary: '☂' (U+2602), '♞' (U+265E)" in message
    assert not run.path.exists()


def test_a_thousand_bad_clips_are_counted_not_printed(tmp_path: Path, base: Path, run: RunFolder) -> None:
    datasets = {"news": write_manifest(tmp_path / "news", TRAIN, ["☂"] * 1000)}
    with pytest.raises(UserError, match=r"1000 of 1004 clips") as caught:
        tokenize(config(), base, datasets, run)
    assert "990 more" in str(caught.value)
    assert len(str(caught.value).splitlines()) < 20


def test_what_is_missing_or_wrong_is_named(tmp_path: Path, base: Path, run: RunFolder) -> None:
    good = {"news": write_manifest(tmp_path / "news", TRAIN, EVAL)}
    with pytest.raises(UserError, match=r"nowhere/vocab\.json"):
        tokenize(config(), tmp_path / "nowhere", good, run)
    with pytest.raises(UserError, match=r"\['news', 'radio'\], but --dataset names \['news'\]"):
        tokenize(config({"news": "am", "radio": "am"}), base, good, run)
    with pytest.raises(UserError, match=r"empty/manifest\.parquet: missing; run `xtts validate`"):
        tokenize(config(), base, {"news": DatasetFolder(tmp_path / "empty")}, run)
    with pytest.raises(UserError, match=r"manifest\.parquet: dataset 'news' has no training clips"):
        tokenize(config(), base, {"news": write_manifest(tmp_path / "untrained", [], EVAL)}, run)
    with pytest.raises(UserError, match=r"validated as language ti, but the configuration says am"):
        tokenize(config(), base, {"news": write_manifest(tmp_path / "tigrinya", TRAIN, EVAL, "ti")}, run)
    with pytest.raises(UserError, match=r"'xx'.*\bam\b"):
        tokenize(config({"news": "xx"}), base, good, run)
    with pytest.raises(UserError, match=r"new_tokens is 3, .* need \d+ rows"):
        tokenize(config(new_tokens=3), base, good, run)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "manifest.parquet").write_bytes(good["news"].manifest.read_bytes()[:200])
    with pytest.raises(UserError, match=r"torn/manifest\.parquet: damaged"):
        tokenize(config(), base, {"news": DatasetFolder(tmp_path / "torn")}, run)
    assert not run.path.exists()


def test_one_language_is_read_in_one_way(tmp_path: Path, base: Path, run: RunFolder) -> None:
    datasets = {name: write_manifest(tmp_path / name, TRAIN, EVAL) for name in ("news", "radio")}
    with pytest.raises(UserError, match=r"(?s)'radio'.*'am'.*same options"):
        tokenize(config(dict.fromkeys(datasets, "am"), {"radio": {"some": "option"}}), base, datasets, run)


def test_the_command_does_it_without_torch(tmp_path: Path, base: Path, run: RunFolder) -> None:
    write_manifest(tmp_path / "news", TRAIN, EVAL)
    (tmp_path / "tokenize.yaml").write_text(dump_yaml(config()), encoding="utf-8")
    program = (
        "import sys\n"
        "from xtts_framework.cli.main import cli\n"
        "cli(sys.argv[1:], standalone_mode=False)\n"
        "print(sorted({'torch', 'TTS', 'transformers'} & sys.modules.keys()))\n"
    )
    arguments = ["tokenize", "--config", tmp_path / "tokenize.yaml", "--base", base, "--out", run.path]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments), "--dataset", f"news={tmp_path / 'news'}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert "rows added to" in done.stderr
    assert run.vocab.is_file() and run.tokenizer_report.is_file()
