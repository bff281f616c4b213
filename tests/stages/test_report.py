"""The report: one file that says what a run read, learned and speaks, whatever its inputs look like."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from finished_run import SENTENCES, STEPS, write_finished_run
from hypothesis import given
from hypothesis import strategies as st

from xtts_framework.config import ReportConfig, dump_yaml
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, write_json
from xtts_framework.layout import DatasetFolder, RunFolder
from xtts_framework.report.charts import MAX_POINTS, Series, average_groups, histogram, line_chart, ticks
from xtts_framework.report.run_page import MAX_CHECKPOINTS
from xtts_framework.stages.report import report

NASTY = "<script>alert('a\"b')</script>"


class Elements(HTMLParser):
    """Start tags with their attributes, and the text outside style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def write_report(run: RunFolder, datasets: dict[str, DatasetFolder]) -> Elements:
    paths = {name: Path("data") / name for name in datasets}
    report(ReportConfig(run=run.path.name, dataset_paths=paths), run, datasets)
    return Elements(run.report.read_text(encoding="utf-8"))


def test_a_finished_run_is_reported_in_full(tmp_path: Path) -> None:
    run, dataset = write_finished_run(tmp_path)
    page = write_report(run, {"news": dataset})
    for words in ("5.426", "3.549", "4.610", *SENTENCES, "checkpoints/4be1/step-00006144", "855 clips", "digits"):
        assert words in page.text
    assert len(page.all("audio")) == 2 + len(SENTENCES) * len(STEPS)  # reference and recording
    assert len(page.all("svg")) == 6
    assert "The text has digits" in page.text
    assert "line 12" in page.text
    assert "wavs/a12.wav" in page.text


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    run, dataset = write_finished_run(tmp_path)
    page = write_report(run, {"news": dataset})
    assert not page.all("link")
    assert not page.all("img")
    for _, attributes in page.tags:
        for name in ("src", "href"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:audio/mpeg;base64,", "#"))
    html = run.report.read_text(encoding="utf-8")
    assert "@import" not in html
    assert "url(" not in html
    assert "fetch(" not in html


def test_text_of_the_user_stays_text(tmp_path: Path) -> None:
    run, dataset = write_finished_run(tmp_path, nasty=NASTY)
    page = write_report(run, {f"news{NASTY}": dataset})
    assert len(page.all("script")) == 1
    assert page.text.count(NASTY) >= 8  # reject, sentence, reason, note, token, base, speaker, dataset


def test_the_page_opens_in_a_reader_that_wants_well_formed_nesting(tmp_path: Path) -> None:
    run, dataset = write_finished_run(tmp_path, nasty=NASTY)
    write_report(run, {"news": dataset})
    empty = {"meta", "line", "path", "circle", "rect", "br"}

    class Nesting(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.stack: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in empty:
                self.stack.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert tag in empty or self.stack.pop() == tag, self.getpos()

    parser = Nesting()
    parser.feed(run.report.read_text(encoding="utf-8"))
    assert parser.stack == []


def test_each_missing_part_is_named_instead_of_a_crash(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "empty")
    run.path.mkdir(parents=True)
    page = write_report(run, {"news": DatasetFolder(tmp_path / "datasets" / "news")})
    for sentence in (
        "no evaluation yet",
        "Nothing was synthesised",
        "no curves",
        "No checkpoint has been selected",
        "manifest of this dataset is missing",
        "tokenizer's report is missing",
        "No bundle has been exported",
    ):
        assert sentence in page.text


@pytest.mark.parametrize("part", ["summary", "selected", "metrics", "tokenizer_report"])
def test_a_run_without_one_of_its_files_is_still_reported(tmp_path: Path, part: str) -> None:
    run, dataset = write_finished_run(tmp_path)
    getattr(run, part).unlink()
    assert "amharic" in write_report(run, {"news": dataset}).text


def test_a_lost_wav_leaves_a_remark_in_its_place(tmp_path: Path) -> None:
    run, dataset = write_finished_run(tmp_path)
    (run.synthesis / f"step-{STEPS[0]:08}" / "01.wav").unlink()
    (run.synthesis / f"step-{STEPS[1]:08}" / "02.wav").write_bytes(b"RIFF")
    page = write_report(run, {"news": dataset})
    assert page.text.count("no audio") == 2


def test_the_verdict_follows_the_numbers(tmp_path: Path) -> None:
    run, dataset = write_finished_run(tmp_path)
    summary, selected = read_json(run.summary), read_json(run.selected)
    for candidate in selected["candidates"]:
        candidate |= {"loss_total": 6.0, "loss_mel": 5.9}
    write_json(run.selected, selected)
    summary["skipped_batches"] = 2
    write_json(run.summary, summary)
    text = write_report(run, {"news": dataset}).text
    assert "did not lower the evaluation loss" in text
    assert "not below the entropy of the code frequencies" in text
    assert "2 update(s) were skipped" in text
    assert "uses text and context" not in text


def test_many_checkpoints_become_few_columns_with_the_selected_among_them(tmp_path: Path) -> None:
    run, dataset = write_finished_run(tmp_path)
    entries = read_json(run.synthesis / "synthesis.json")
    many = [entries[0] | {"step": step, "selected": step == 700} for step in range(0, 2000, 100)]
    write_json(run.synthesis / "synthesis.json", many)
    page = write_report(run, {"news": dataset})
    assert len(page.all("audio")) == 2 + MAX_CHECKPOINTS
    assert "step 700 selected" in " ".join(page.text.split())
    assert "14 more checkpoint(s)" in page.text


def test_a_log_that_is_still_being_written_is_readable(tmp_path: Path) -> None:
    run, dataset = write_finished_run(tmp_path)
    with run.metrics.open("a", encoding="utf-8") as stream:
        stream.write('{"kind": "train", "st')
    assert len(write_report(run, {"news": dataset}).all("svg")) == 6


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    run, dataset = write_finished_run(tmp_path)
    lines = run.metrics.read_text(encoding="utf-8").splitlines()
    run.metrics.write_text("\n".join([lines[0], "{oops", *lines[1:]]), encoding="utf-8")
    with pytest.raises(UserError, match=r"metrics\.jsonl line 2: not valid JSON"):
        write_report(run, {"news": dataset})
    run.summary.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"summary\.json: not valid JSON"):
        write_report(run, {"news": dataset})


def test_a_long_training_stays_a_small_file(tmp_path: Path) -> None:
    run, dataset = write_finished_run(tmp_path, steps=16 * 20_000)
    page = write_report(run, {"news": dataset})
    assert run.report.stat().st_size < 1_000_000
    assert "mean of 51 log lines" in page.text


def test_the_command_writes_the_page_without_torch(tmp_path: Path) -> None:
    run, dataset = write_finished_run(tmp_path)
    config = tmp_path / "report.yaml"
    config.write_text(dump_yaml(ReportConfig(run="amharic", dataset_paths={"news": Path("data/news")})))
    arguments = ["report", "--config", config, "--out", run.path, f"--dataset=news={dataset.path}"]
    code = (
        "import sys; from xtts_framework.cli.main import cli; cli(sys.argv[1:], standalone_mode=False);"
        "assert not {'torch', 'TTS', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True)
    assert run.report.is_file()


def test_a_run_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        write_report(RunFolder(tmp_path / "nowhere"), {})


finite = st.floats(-1e12, 1e12, allow_nan=False)


@given(low=finite, high=finite, about=st.integers(1, 30))
def test_ticks_span_what_they_label(low: float, high: float, about: int) -> None:
    low, high = sorted((low, high))
    found = ticks(low, high, about)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert found == sorted(set(found))
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert len(found) <= 2 * about + 3


@given(st.lists(st.tuples(finite, st.floats()), max_size=50))
def test_every_drawn_point_lies_inside_the_chart(points: list[tuple[float, float]]) -> None:
    points = [(x, y) for x, y in sorted(points) if abs(y) < 1e12 or y != y]
    chart = line_chart("any", [Series("any", "train", points, dots=True)])
    drawable = [y for _, y in points if y == y]
    assert (chart is None) == (not drawable)
    for x, y in chart.lines[0].dots if chart else []:
        assert chart is not None
        assert chart.left <= x <= chart.right
        assert chart.top <= y <= chart.bottom


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=3000))
def test_averaging_keeps_the_mean_and_bounds_the_number(points: list[tuple[float, float]]) -> None:
    thinned = average_groups(points, MAX_POINTS)
    assert len(thinned) <= MAX_POINTS
    assert min(y for _, y in points) <= min(y for _, y in thinned) + 1e-3
    if len(points) <= MAX_POINTS:
        assert thinned == points


@given(st.lists(st.floats(0.3, 30), min_size=1, max_size=300), st.lists(st.floats(0.3, 30), max_size=20))
def test_a_histogram_counts_every_clip_once(train: list[float], evaluation: list[float]) -> None:
    drawn = histogram([("train", train), ("eval", evaluation)], "s")
    assert drawn is not None
    counted = sum(int(bar.words.rsplit(" ", 1)[1].replace("\u2009", "")) for bar in drawn.bars)
    assert counted == len(train) + len(evaluation)


def test_numbers_in_the_hover_data_are_valid_json(tmp_path: Path) -> None:
    run, dataset = write_finished_run(tmp_path)
    page = write_report(run, {"news": dataset})
    charts = [json.loads(svg["data-lines"] or "") for svg in page.all("svg") if "data-lines" in svg]
    assert len(charts) == 5
    assert {line["name"] for line in charts[0]} == {"train", "eval"}
