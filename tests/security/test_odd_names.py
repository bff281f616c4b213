"""Names that a shell, Snakemake or a page could take amiss go through the whole workflow, or are refused by name."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import polars
import pytest
import yaml
from odd_workflow import BINARIES, FILE_NAMES, MARKER, ODD, SPOKEN, TEXTS, OddWorkflow, snakemake, xtts

from xtts_framework.config import ValidateConfig, read_config
from xtts_framework.data.metadata import read_metadata
from xtts_framework.data.sides import read_sides
from xtts_framework.files import read_json


def markers(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob(MARKER)]


@pytest.mark.workflow
def test_odd_names_go_through_the_whole_workflow(odd_workflow: OddWorkflow) -> None:
    manifest = polars.read_parquet(odd_workflow.of_dataset.manifest, glob=False)
    assert set(manifest["file"]) >= {f"wavs/{name}" for name in FILE_NAMES}
    assert any(text.endswith(SPOKEN) for text in manifest["text"])
    assert read_json(odd_workflow.of_run.summary)["steps"] == 4
    assert (odd_workflow.of_run.bundle / "bundle.json").is_file()
    assert (odd_workflow.of_run.synthesis / "step-00000004" / "01.wav").is_file()
    assert odd_workflow.of_run.report.is_file()
    assert odd_workflow.markers() == []


@pytest.mark.workflow
def test_odd_texts_are_rows_with_a_reason(odd_workflow: OddWorkflow) -> None:
    rejects = polars.read_csv(odd_workflow.of_dataset.rejects, glob=False)
    rows = {row.line: row.text for row in read_metadata(odd_workflow.dataset / "metadata.csv")}
    refused = [rows[line] for line in rejects["line"] if rows[line] in TEXTS]
    assert refused == TEXTS
    assert all(rejects["codes"])


@pytest.mark.workflow
def test_pages_show_odd_names_and_run_none(odd_workflow: OddWorkflow) -> None:
    pages = [odd_workflow.of_dataset.validation_page, odd_workflow.of_run.report]
    for page in pages:
        html = page.read_text(encoding="utf-8")
        assert "<script>alert" not in html
        assert "{{" not in html.replace("{{ 7 * 7 }}", "").replace("{{x}}", "")
    shown = pages[0].read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(" in shown
    assert "{{ 7 * 7 }}" in shown, "no text of a row is a template"


@pytest.mark.workflow
def test_a_second_run_on_odd_names_has_nothing_to_do(odd_workflow: OddWorkflow) -> None:
    config = odd_workflow.project / f"{odd_workflow.name('config')}.yaml"
    again = snakemake(odd_workflow.project, config, "--dry-run")
    assert again.returncode == 0, again.stdout
    assert "Nothing to be done" in again.stdout


@pytest.mark.workflow
def test_the_sides_of_an_oddly_named_dataset_are_remembered(odd_workflow: OddWorkflow) -> None:
    config = read_config(odd_workflow.slice("validate"), ValidateConfig)
    sides = read_sides(odd_workflow.of_dataset.sides, config.dataset.validation)
    assert sides is not None
    assert sides.held_out


WORKFLOW: dict[str, Any] = {
    "results": "results",
    "base": "base",
    "datasets": {"d": {"path": "dataset", "language": "am"}},
    "runs": {"r": {"datasets": ["d"]}},
}

REFUSED: dict[str, dict[str, Any]] = {
    f"results: {f'{{run}} {ODD}'!r}": {"results": f"{{run}} {ODD}"},
    "base: 'a{b'": {"base": "a{b"},
    "datasets.d: '{dataset}/metadata.csv'": {"datasets": {"d": {"path": "{dataset}", "language": "am"}}},
    "datasets.d: 'dataset/{x}.csv'": {"datasets": {"d": {"path": "dataset", "metadata": "{x}.csv", "language": "am"}}},
    "'{run}' is no usable name": {"datasets": {"{run}": {"path": "dataset", "language": "am"}}},
    f"'$(touch {MARKER})' is no usable name": {"runs": {f"$(touch {MARKER})": {"datasets": ["d"]}}},
    "'..' is no usable name": {"runs": {"..": {"datasets": ["d"]}}},
    "'--unlock' is no usable name": {"runs": {"--unlock": {"datasets": ["d"]}}},
    "'a\\nb' is no usable name": {"runs": {"a\nb": {"datasets": ["d"]}}},
    f"runs/{'r' * 300}/": {"runs": {"r" * 300: {"datasets": ["d"]}}},
}
"""What the message quotes -> the configuration that it is about."""


@pytest.mark.workflow
@pytest.mark.parametrize("quoted", REFUSED, ids=lambda quoted: quoted[:30])
def test_a_name_that_cannot_be_carried_is_refused_by_name(quoted: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(WORKFLOW | REFUSED[quoted], allow_unicode=True), encoding="utf-8")
    done = snakemake(tmp_path, config, "--dry-run")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    assert "rule " not in done.stdout
    assert quoted in done.stdout
    assert markers(tmp_path) == []


PROJECT_NAMES = [f"-x {ODD}", "{run}", "ፕሮጀክት é", "p" * 200]


@pytest.mark.workflow
@pytest.mark.parametrize("name", PROJECT_NAMES)
def test_a_new_project_of_any_name_plans_the_workflow_as_it_says(
    name: str, tmp_path: Path, speech_dataset: Path, tiny_base: Path
) -> None:
    dataset = tmp_path / f"-data {ODD}"
    dataset.symlink_to(speech_dataset)
    made = xtts("new", "--language", "am", f"--dataset={dataset.name}", "--", name, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    # What it tells the user to type leads where it says.
    enter = made.stdout.partition("  cd ")[2].partition("\n  xtts base fetch")[0]
    there = subprocess.run(["sh", "-c", f"cd {enter} && pwd"], cwd=tmp_path, capture_output=True, text=True)
    assert there.stdout.removesuffix("\n") == str(tmp_path / name)
    (tmp_path / name / "bases").mkdir()
    (tmp_path / name / "bases/xtts-v2").symlink_to(tiny_base)
    plan = subprocess.run([BINARIES / "snakemake", "--dry-run"], cwd=tmp_path / name, capture_output=True, text=True)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert "rule report:" in plan.stdout + plan.stderr
    assert markers(tmp_path) == []


@pytest.mark.parametrize("name", ["2024", "null", "true", "1.5", "2024-11-25", "0x10"])
def test_a_dataset_whose_name_is_a_number_to_yaml_keeps_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    made = xtts("new", "project", "--language", "am", "--dataset", name, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    config = yaml.safe_load((tmp_path / "project/config.yaml").read_text(encoding="utf-8"))
    assert list(config["datasets"]) == list(config["runs"]) == list(config["runs"][name]["datasets"]) == [name]


def test_a_new_project_of_a_dataset_that_no_workflow_carries_is_refused(tmp_path: Path) -> None:
    (tmp_path / "{speaker}").mkdir()
    made = xtts("new", "project", "--language", "am", "--dataset", "{speaker}", cwd=tmp_path)
    assert made.returncode == 1
    assert "'../{speaker}/metadata.csv'" in made.stderr
    assert not (tmp_path / "project").exists()


def test_ingest_carries_odd_names_of_source_and_dataset(tmp_path: Path, speech_dataset: Path) -> None:
    source, out = tmp_path / f"-source {{x}} {ODD}", tmp_path / f"-out {{x}} {ODD}"
    (source / "wavs").mkdir(parents=True)
    recordings = sorted((speech_dataset / "wavs").iterdir())[: len(FILE_NAMES)]
    rows = []
    for recording, name in zip(recordings, FILE_NAMES, strict=True):
        (source / "wavs" / name).write_bytes(recording.read_bytes())
        rows.append(f'"{name}"|ሰላም ለዓለም\n' if "|" in name else f"{name}|ሰላም ለዓለም\n")
    (source / "metadata.csv").write_text("".join(rows), encoding="utf-8")
    done = xtts("ingest", f"--out={out.name}", "--", source.name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(read_metadata(out / "metadata.csv")) == len(FILE_NAMES)
    checked = xtts("validate", f"--dataset={out.name}", "--language=am", "--out=-results", cwd=tmp_path)
    assert "Traceback" not in checked.stderr
    assert set(tmp_path.iterdir()) == {source, out, tmp_path / "-results"}
    assert markers(tmp_path) == []


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_archives_are_not_opened(suffix: str, tmp_path: Path) -> None:
    """Nothing is ever unpacked: no member can lie, link or grow beyond a folder."""
    archive = tmp_path / "a" / f"dataset{suffix}"
    archive.parent.mkdir()
    if suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as members:
            members.writestr("metadata.csv", "a.wav|ሰላም\n")
            members.writestr(f"../{MARKER}", "out")
    else:
        with tarfile.open(archive, "w:gz") as packed:
            member = tarfile.TarInfo(f"../{MARKER}")
            member.size = 3
            packed.addfile(member, io.BytesIO(b"out"))
    for arguments in (
        ("ingest", archive, "--out", tmp_path / "out"),
        ("validate", "--dataset", archive, "--language", "am", "--out", tmp_path / "out"),
        ("new", tmp_path / "project", "--language", "am", "--dataset", archive),
    ):
        done = xtts(*arguments)
        assert done.returncode == 1, arguments
        assert "Traceback" not in done.stderr
        assert str(archive) in done.stderr
    assert markers(tmp_path) == []


def test_names_of_the_odd_workflow_are_as_odd_as_names_may_be() -> None:
    """Guards the guard: what the workflow carried holds each kind of danger."""
    for danger in ("'", '"', "$(", "`", ";", "\n", "\\", "*", "[", "%s", "#", "~", "&", "|", "<", " ", "é", "ሰ"):
        assert danger in ODD
    assert any("{" in name for name in FILE_NAMES)
    assert max(map(len, FILE_NAMES)) > 240
