"""A project on the small cluster: two languages, quick runs, one that takes its time, one that breaks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from small_slurm import Job, Slurm, wait_for

from xtts_framework.files import read_json
from xtts_framework.layout import RunFolder

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
LONG, BROKEN, HEALTHY = "long", "broken", "healthy"
QUICK = ("amharic", "tigrinya", "both")
LONG_STEPS, SAVE_EVERY = 240, 20
MAX_THREADS = 3
"""Few, for one machine plays two nodes; and one more than a machine of two cores would give without the profile."""
WORKFLOW_PATIENCE_S = 900
"""Three times what the slowest workflow takes on two cores."""
LOSS_TOLERANCE, SAME_RECORDS, END_TOLERANCE = 1e-4, 20, 0.2
CONFIG = """
datasets:
  amharic: {path: my-dataset, language: am, validation: {eval_min: 4}}
  tigrinya: {path: my-dataset, language: ti, validation: {eval_min: 4}}
runs:
  amharic: &quick
    datasets: [amharic]
    tokenizer: &words {new_tokens: 500}
    training: {learning_rate: 1.0e-3, milestones: [4], grad_accum: 1, max_steps: 40, eval_every_steps: 20}
    freezing: &free {policy: none}
    synthesis: {sentences: [ሰላም ዓለም።], checkpoints: selected}
  tigrinya: {<<: *quick, datasets: [tigrinya]}
  both: {<<: *quick, datasets: [amharic, tigrinya]}
"""
LONG_RUNS = f"""
  {LONG}: &long
    datasets: [amharic]
    tokenizer: *words
    training: &slow
      {{learning_rate: 1.0e-3, milestones: [100], grad_accum: 1, max_steps: {LONG_STEPS}, dropout: 0.0,
       eval_every_steps: 120, save_every_steps: {SAVE_EVERY}}}
    freezing: *free
  {HEALTHY}: {{<<: *quick}}
  {BROKEN}: {{<<: *long, training: {{<<: *slow, learning_rate: 1.0e+30}}}}
"""
LONG_CONFIG = f"{CONFIG}{LONG_RUNS}"
SETTINGS_OF_THE_TESTS = f"""\
max-threads: {MAX_THREADS}
slurm-init-seconds-before-status-checks: 3
"""


@dataclass
class Project:
    """A folder from which Snakemake drives the cluster with the profile that is shipped.

    Args:
        folder: as `xtts new` makes it, with a small base in place of the released one.
        slurm: the cluster.
    """

    folder: Path
    slurm: Slurm
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        environment = self.slurm.environment
        return environment | {"PATH": f"{environment['PATH']}{os.pathsep}{Path(sys.executable).parent}"}

    @property
    def long(self) -> RunFolder:
        return RunFolder(self.folder / "results" / "runs" / LONG)

    def create(self, dataset: Path, base: Path) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        command = ["xtts", "new", self.folder, "--language", "am", "--dataset", dataset]
        subprocess.run(command, env=self.environment, check=True, stdout=subprocess.DEVNULL)
        shutil.copytree(dataset, self.folder / "my-dataset")
        shutil.copytree(base, self.folder / "bases" / "xtts-v2")
        self._uncomment_site_settings()

    def _uncomment_site_settings(self) -> None:
        """As the reader of the guide does, whose first example they are."""
        profile = self.folder / "profiles" / "slurm" / "profile.v9+.yaml"
        text = profile.read_text(encoding="utf-8")
        for setting in guide_blocks("yaml")[0].splitlines():
            assert f"# {setting}\n" in text, f"{setting}: not among the settings that the profile offers"
            text = text.replace(f"# {setting}\n", f"{setting}\n")
        profile.write_text(f"{text}{SETTINGS_OF_THE_TESTS}", encoding="utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`snakemake` with the profile, in a process group of its own; its output goes to `log`."""
        config = self.folder / "long.yaml"
        config.write_text(LONG_CONFIG, encoding="utf-8")
        command = ["snakemake", "--workflow-profile", "profiles/slurm", *arguments, "--configfile", "long.yaml"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.started.append(process)
        return process

    @property
    def log(self) -> Path:
        return self.folder / "snakemake.log"

    def finish(self, *arguments: str, status: int = 0) -> None:
        """`start`, and wait for its end."""
        self.wait(self.start(*arguments), status=status)

    def wait(self, snakemake: subprocess.Popen[bytes], *, status: int = 0) -> None:
        """For its end, while the cluster lives."""

        def ended() -> bool:
            self.slurm.assert_alive()
            return snakemake.poll() is not None

        with contextlib.suppress(TimeoutError):
            wait_for(ended, "Snakemake", patience_s=WORKFLOW_PATIENCE_S)
        assert snakemake.returncode == status, f"{self.log.read_text('utf-8')[-8000:]}\n{self.slurm.account()}"

    def start_training(self, *resources: str) -> subprocess.Popen[bytes]:
        """The long run up to the end of its training, with other resources for the job: `name=value`."""
        given = [f"train:{resource}" for resource in resources]
        options = ["--set-resources", *given] if given else []
        return self.start("results/runs/long/summary.json", *options)

    def train_jobs(self, run: str = LONG) -> list[Job]:
        """All jobs so far that trained a run."""
        return [job for job in self.slurm.jobs() if job.comment == f"rule_train_wildcards_{run}"]

    def running_job(self, *, after: int = 0) -> Job:
        """The job that trains the long run now, once it has saved more than `after` steps."""

        def running() -> Job | None:
            jobs = [job for job in self.train_jobs() if job.fields["JobState"] == "RUNNING"]
            return jobs[-1] if jobs and saved_step(self.long) > after else None

        return wait_for(running, f"a training that has saved more than {after} steps")

    def forget_training(self, run: RunFolder) -> None:
        for folder in (run.checkpoints, run.training):
            shutil.rmtree(folder, ignore_errors=True)
        run.summary.unlink(missing_ok=True)

    def stop_all(self) -> None:
        """What a test that has failed leaves running."""
        lost = [process for process in self.started if process.poll() is None]
        self.started.clear()
        for process in lost:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if lost:
            self.slurm.run("scancel", "--me")
            self.finish("--unlock")


def guide_blocks(language: str) -> list[str]:
    """Code blocks of the guide."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def saved_step(run: RunFolder) -> int:
    """The step of the newest complete checkpoint, 0 without any."""
    return max((int(path.parent.name[5:]) for path in run.checkpoints.glob("*/step-*/COMPLETE")), default=0)


def attempts(run: RunFolder) -> list[dict[str, Any]]:
    """How the attempts at a training ended."""
    [path] = run.checkpoints.glob("*/attempts.json")
    found: list[dict[str, Any]] = read_json(path)
    return found


def assert_same_training(one: RunFolder, other: RunFolder) -> None:
    """Bit for bit the same weights at the end, and the same account of the whole curve."""
    for run in (one, other):
        assert read_json(run.summary)["steps"] == LONG_STEPS
    last, expected = (load_file(sorted(run.checkpoints.glob("*/step-*/model.safetensors"))[-1]) for run in (one, other))
    assert last.keys() == expected.keys()
    assert all(last[name].equal(expected[name]) for name in expected)
    assert curve(one) == curve(other)


def assert_nearly_same_losses(one: RunFolder, other: RunFolder) -> None:
    """What several processes add up differs in its last bits, and every further update makes more of that."""
    records, expected = curve(one), curve(other)
    assert len(records) == len(expected)
    for number, (left, right) in enumerate(zip(records, expected, strict=True)):
        tolerance = LOSS_TOLERANCE if number < SAME_RECORDS else END_TOLERANCE
        for key in left.keys() & {"loss_total", "loss_mel", "loss_text"}:
            difference = abs(left[key] - right[key]) / right[key]
            assert difference <= tolerance, f"record {number}, {key}: {left[key]} and {right[key]}"


def curve(run: RunFolder) -> list[Any]:
    """Every record of `metrics.jsonl`, without the speed."""
    records = map(json.loads, run.metrics.read_text("utf-8").splitlines())
    return [{key: value for key, value in record.items() if key != "clips_per_s"} for record in records]
