"""The configuration tree: reference values, readable refusals, generated files, one slice per stage."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from xtts_framework.config import ProjectConfig, TrainingConfig, dump_yaml, parse_config, read_config, stage_configs
from xtts_framework.config_file import commented_yaml, default_project, json_schema, new_project
from xtts_framework.errors import UserError

ROOT = Path(__file__).parent.parent
MINIMAL = """
datasets:
  a: {path: data/a, language: am}
  b: {path: data/b, language: {code: am}}
runs:
  first: {datasets: [a]}
  second: {datasets: {a: {}, b: {share: 0.1}}}
"""


def parse(text: str) -> ProjectConfig:
    return parse_config(yaml.safe_load(text), ProjectConfig, source="test.yaml")


def slices(text: str) -> dict[str, str]:
    return {path: dump_yaml(content) for path, content in stage_configs(parse(text))}


def test_defaults_are_the_guides_reference_values() -> None:
    training = default_project().runs["amharic"].training
    assert training.learning_rate == 5e-6
    assert training.weight_decay == 1e-2
    assert training.betas == (0.9, 0.96)
    assert training.eps == 1e-8
    assert training.milestones == [50_000, 150_000, 300_000]
    assert training.gamma == 0.5
    assert (training.batch_size, training.grad_accum) == (4, 128)
    assert training.precision == "fp32"
    assert (training.mel_loss_weight, training.text_loss_weight) == (1.0, 0.01)
    assert default_project().runs["amharic"].freezing.threshold == 3000


def test_committed_config_and_schema_equal_what_the_tree_generates() -> None:
    remedy = "run `make config` and commit the result"
    assert (ROOT / "config/config.yaml").read_text("utf-8") == commented_yaml(default_project()), remedy
    assert (ROOT / "workflow/schemas/config.schema.json").read_text("utf-8") == json_schema(), remedy


def test_commented_yaml_reads_back_as_the_same_configuration(tmp_path: Path) -> None:
    project = new_project("am", Path("somewhere else/ንግግር"), name="x")
    path = tmp_path / "config.yaml"
    path.write_text(commented_yaml(project), encoding="utf-8")
    assert read_config(path, ProjectConfig) == project


def test_every_field_has_a_description() -> None:
    undescribed = []

    def walk(model: type, prefix: str) -> None:
        for name, field in model.model_fields.items():
            nested = field.annotation
            if hasattr(nested, "model_fields"):
                assert nested.__doc__, nested
                walk(nested, f"{prefix}{name}.")
            elif not field.description:
                undescribed.append(prefix + name)

    from xtts_framework import config

    for model in (config.ProjectConfig, config.DatasetConfig, config.RunConfig):
        walk(model, f"{model.__name__}.")
    assert undescribed == []


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("learning_rat: 1", "runs.first.training.learning_rat: unknown key; did you mean 'learning_rate'?"),
        ("milestones: [3, 2]", "strictly increasing, found [3, 2]"),
        ("batch_size: 0", "runs.first.training.batch_size: Input should be greater than or equal to 1, found 0"),
        ("precision: fp16", "'fp32', 'bf16' or 'fp32_strict', found 'fp16'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place_and_remedy(wrong: str, expected: str) -> None:
    with pytest.raises(UserError) as refusal:
        parse(MINIMAL.replace("first: {datasets: [a]}", f"first: {{datasets: [a], training: {{{wrong}}}}}"))
    assert expected in str(refusal.value)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(UserError) as refusal:
        parse(MINIMAL.replace("path: data/a", "pat: data/a") + "resuls: x\n")
    message = str(refusal.value)
    assert "did you mean 'path'?" in message
    assert "did you mean 'results'?" in message


def test_a_run_of_an_unknown_dataset_is_refused() -> None:
    with pytest.raises(UserError, match="run 'first' uses dataset 'c'"):
        parse(MINIMAL.replace("[a]", "[c]"))


@pytest.mark.parametrize("name", ["../up", "a b", "", "$(x)", "-flag", "a/b"])
def test_a_name_that_is_no_plain_folder_name_is_refused(name: str) -> None:
    data = yaml.safe_load(MINIMAL)
    data["runs"][name] = {"datasets": ["a"]}
    with pytest.raises(UserError, match="no usable name"):
        parse_config(data, ProjectConfig, source="test.yaml")


def test_a_dataset_named_twice_in_a_run_is_refused() -> None:
    with pytest.raises(UserError, match="a dataset is named twice"):
        parse(MINIMAL.replace("[a]", "[a, a]"))


def test_two_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(MINIMAL + "  first: {datasets: [b]}\n", encoding="utf-8")
    with pytest.raises(UserError, match="the key 'first' is given twice, first in line 6"):
        read_config(path, ProjectConfig)


def test_only_replay_datasets_are_refused() -> None:
    with pytest.raises(UserError, match="at least one dataset of a run must have no `share`"):
        parse(MINIMAL.replace("{a: {}, b: {share: 0.1}}", "{b: {share: 0.1}}"))


def test_a_missing_or_broken_file_is_a_readable_refusal(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        read_config(tmp_path / "none.yaml", ProjectConfig)
    (tmp_path / "broken.yaml").write_text("a: [1", encoding="utf-8")
    with pytest.raises(UserError, match="not valid YAML"):
        read_config(tmp_path / "broken.yaml", ProjectConfig)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    with pytest.raises(UserError, match="cannot read"):
        read_config(tmp_path / "latin.yaml", ProjectConfig)


def test_a_changed_learning_rate_changes_training_and_export_slices_only() -> None:
    changed = MINIMAL.replace("first: {datasets: [a]}", "first: {datasets: [a], training: {learning_rate: 1e-4}}")
    before, after = slices(MINIMAL), slices(changed)
    assert {path for path in before if before[path] != after[path]} == {
        "runs/first/config/train.yaml",
        "runs/first/config/export.yaml",
    }


def test_slices_of_a_dataset_do_not_depend_on_runs() -> None:
    changed = MINIMAL + "  third: {datasets: [b], tokenizer: {new_tokens: 10}}\n"
    before, after = slices(MINIMAL), slices(changed)
    assert {path for path in after if before.get(path) != after[path]} == {
        f"runs/third/config/{stage}.yaml" for stage in ("tokenize", "train", "export", "synthesize", "report")
    }


@pytest.mark.parametrize("key", ["learning_rate", "new_token_lr_scale", "weight_decay", "save_every_minutes"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_without_end_are_refused_by_name(key: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"{key}: Input should be a finite number"):
        parse_config({key: value}, TrainingConfig, source="recipe")


@pytest.mark.parametrize(
    ("key", "address", "reason"),
    [
        ("source", "s3://corpora/a", "source: expected an archive: .tar, .tar.gz, .tgz, .zip, found 's3://corpora/a'"),
        ("source", "data/a.tar", "expected s3://BUCKET/KEY"),
        ("source", "s3://corpora/../a.tar", "expected s3://BUCKET/KEY"),
        ("source", "s3://corpora/{a}.tar", "expected s3://BUCKET/KEY"),
        ("source", "s3://corpora/a.tar?versionId=1.tar", "expected s3://BUCKET/KEY"),
        ("publish", "s3://voices", "publish: expected s3://BUCKET/KEY"),
        ("publish", "s3://voices//a", "publish: expected s3://BUCKET/KEY"),
        ("publish", "gs://voices/a", "publish: expected s3://BUCKET/KEY"),
        ("publish", "s3://voices/a#b", "publish: expected s3://BUCKET/KEY"),
    ],
)
def test_an_address_in_storage_that_is_none_is_refused_by_name(key: str, address: str, reason: str) -> None:
    data = yaml.safe_load(MINIMAL)
    (data["datasets"]["a"] if key == "source" else data)[key] = address
    with pytest.raises(UserError) as refusal:
        parse_config(data, ProjectConfig, source="test.yaml")
    assert reason in str(refusal.value)
    assert address in str(refusal.value)


@pytest.mark.parametrize("address", ["s3://me:PLANTED@corpora/a.tar", "s3://PLANTED@corpora/a.tar"])
def test_credentials_in_an_address_are_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(UserError) as refusal:
        parse(MINIMAL + f"publish: {address}\n")
    assert "without credentials" in str(refusal.value)
    assert "PLANTED" not in str(refusal.value)


def test_two_datasets_cannot_be_fetched_into_one_folder() -> None:
    fetched = MINIMAL.replace("path: data/a", "path: d, source: s3://corpora/a.tar")
    with pytest.raises(UserError, match="datasets 'a' and 'b' would both be fetched into d"):
        parse(fetched.replace("path: data/b", "path: d, source: s3://corpora/b.tar"))


def test_where_a_dataset_comes_from_and_a_bundle_goes_to_changes_no_slice() -> None:
    stored = MINIMAL.replace("path: data/a", "path: data/a, source: s3://corpora/a.tar") + "publish: s3://voices/b\n"
    assert slices(stored) == slices(MINIMAL)
    assert "source" not in "".join(slices(stored).values())
