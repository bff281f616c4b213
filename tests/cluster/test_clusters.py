"""The workflow on a real SLURM with the shipped profile: what it asks for, and that it finishes whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import psutil
import pytest
import soundfile
from cluster_project import (
    BROKEN,
    GUIDE,
    HEALTHY,
    MAX_THREADS,
    QUICK,
    SAVE_EVERY,
    Project,
    assert_nearly_same_losses,
    assert_same_training,
    attempts,
    guide_blocks,
    saved_step,
)
from small_slurm import NODES, wait_for

from xtts_framework.files import read_json
from xtts_framework.layout import RunFolder


@pytest.fixture(scope="module")
def finished(project: Project) -> str:
    """All commands of the guide, in order; what they said."""
    said = ""
    for command in "".join(guide_blocks("sh")).replace("\\\n", " ").splitlines():
        done = subprocess.run(
            command, shell=True, cwd=project.folder, env=project.environment, capture_output=True, text=True
        )
        said += f"$ {command}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said
    return said


def test_the_guides_commands_run_three_runs_of_two_languages_at_once(project: Project, finished: str) -> None:
    for name in QUICK:
        run = RunFolder(project.folder / "results" / "runs" / name)
        assert read_json(run.summary)["steps"] == 40
        assert "<html" in run.report.read_text(encoding="utf-8")
        for spoken in read_json(run.synthesis / "synthesis.json"):
            assert soundfile.info(run.synthesis / spoken["file"]).frames > 0
    starts, ends = zip(*(job.seconds for name in QUICK for job in project.train_jobs(name)), strict=True)
    assert len(starts) == 3 and max(starts) < min(ends), "all three trained at the same time"
    assert "Nothing to be done" in finished, "the guide's last command finds nothing left"


def test_every_stage_is_one_job_and_local_rules_stay_local(project: Project, finished: str) -> None:
    jobs = [job.comment for job in project.slurm.jobs()]
    stages = ("tokenize", "train", "select", "export", "synthesize", "report")
    expected = [f"rule_{stage}_wildcards_{run}" for stage in stages for run in QUICK]
    expected += [f"rule_{stage}_wildcards_{name}" for stage in ("validate", "encode") for name in QUICK[:2]]
    assert sorted(jobs) == sorted(expected)


def test_a_training_asks_for_a_gpu_and_for_the_threads_of_its_rule(project: Project, finished: str) -> None:
    """Not for those of the machine that submits it, which here has fewer."""
    for name in QUICK:
        [job] = project.train_jobs(name)
        assert job.gpus == 1
        assert job.fields["NumCPUs"] == str(MAX_THREADS)
    assert all(job.gpus == 0 for job in project.slurm.jobs() if job.comment.startswith("rule_validate"))


def test_logs_lie_where_the_guide_says(project: Project, finished: str) -> None:
    for name in QUICK:
        for stage in ("tokenize", "train", "select", "export", "synthesize", "report"):
            assert f"results/runs/RUN/logs/{stage}.log".replace(stage, "STAGE") in GUIDE
            assert (project.folder / f"results/runs/{name}/logs/{stage}.log").is_file()
    assert ".snakemake/slurm_logs/" in GUIDE
    assert not list((project.folder / ".snakemake" / "slurm_logs").rglob("*.log")), "only failed jobs leave theirs"


def test_too_short_a_runtime_only_makes_more_jobs(project: Project, long: RunFolder, undisturbed: RunFolder) -> None:
    """And `gres` instead of `gpu`, where a site wants that."""
    before = len(project.train_jobs())
    training = project.start_training("runtime=1", "stop_early_s=35", "gpu=0", "gres='gpu:1'")
    project.wait(training)
    jobs = project.train_jobs()[before:]
    assert len(jobs) == len(attempts(long)) >= 2
    assert [attempt["end"] for attempt in attempts(long)] == ["unfinished"] * (len(jobs) - 1) + ["finished"]
    assert [job.fields["JobState"] for job in jobs] == ["FAILED"] * (len(jobs) - 1) + ["COMPLETED"]
    assert all(job.gpus == 1 and "TresPerNode" in job.fields for job in jobs)
    assert_same_training(long, undisturbed)


def test_a_cancelled_training_is_continued(project: Project, long: RunFolder, undisturbed: RunFolder) -> None:
    training = project.start_training()
    job = project.running_job(after=2 * SAVE_EVERY)
    saved = saved_step(long)
    [trainer] = trainers_on(project, job.fields["NodeList"])
    assert len(gpus_of(trainer)) == 1, "it sees the one GPU that it asked for"
    project.slurm.run("scancel", job.id)
    assert_continued(project, training, long, saved)
    assert_same_training(long, undisturbed)


def test_a_node_that_dies_and_comes_back_costs_what_was_not_saved(
    project: Project, long: RunFolder, undisturbed: RunFolder
) -> None:
    training = project.start_training()
    job = project.running_job(after=2 * SAVE_EVERY)
    node = job.fields["NodeList"]
    saved = saved_step(long)
    project.slurm.kill(node)
    wait_for(lambda: project.slurm.state(node) == "DOWN", f"{node} to be missed")
    project.slurm.start_node(node)
    assert_continued(project, training, long, saved)
    assert "end" not in attempts(long)[0], "it had no time to say anything"
    assert_same_training(long, undisturbed)


def test_a_preempted_training_is_queued_again_and_continued(
    project: Project, long: RunFolder, undisturbed: RunFolder
) -> None:
    training = project.start_training()
    job = project.running_job(after=2 * SAVE_EVERY)
    saved = saved_step(long)
    others = ["--partition=urgent", "--nodes=2", "--gpus-per-node=2", "--output=/dev/null", "--wrap=sleep 2"]
    project.slurm.run("sbatch", *others)
    assert_continued(project, training, long, saved)
    assert project.train_jobs()[-1].id == job.id, "the same job has started twice"
    assert int(project.train_jobs()[-1].fields["Restarts"]) >= 1
    assert_same_training(long, undisturbed)


def assert_continued(project: Project, training: subprocess.Popen[bytes], run: RunFolder, saved: int) -> None:
    """The workflow finishes, in two attempts, and the second starts where the first had saved.

    A job that SLURM has queued again waits for two minutes. Made to start at once on a node that has just come back,
    it brings down the controller of SLURM 22.05 (a null pointer in build_job_info_resp).
    """
    project.wait(training)
    first, second = attempts(run)
    assert first["start_step"] == 0 and second["start_step"] >= saved > 0
    assert second["end"] == "finished"


def test_a_broken_run_stops_after_two_attempts_and_holds_no_other_back(project: Project) -> None:
    targets = [f"results/runs/{name}/summary.json" for name in (BROKEN, HEALTHY)]
    project.finish(*targets, "--retries", "3", status=1)
    broken, healthy = (RunFolder(project.folder / "results" / "runs" / name) for name in (BROKEN, HEALTHY))
    assert read_json(healthy.summary)["steps"] == 40
    assert not broken.summary.exists()
    assert len(attempts(broken)) == 2
    reason = (broken.path / "logs" / "train.log").read_text("utf-8").rpartition("error: ")[2]
    assert reason.startswith("crash loop: the last 2 attempts both failed at step")
    assert "not finite" in reason
    assert "crash loop: the last 2 attempts" in project.log.read_text("utf-8"), "Snakemake shows it"


def test_controller_and_snakemake_may_both_be_killed(project: Project, long: RunFolder, undisturbed: RunFolder) -> None:
    training = project.start_training()
    project.running_job(after=SAVE_EVERY)
    project.slurm.kill("slurmctld")
    time.sleep(5)
    project.slurm.start_controller()
    job = project.running_job(after=2 * SAVE_EVERY)
    os.killpg(training.pid, signal.SIGKILL)
    training.wait()
    saved = saved_step(long)
    assert project.running_job().id == job.id, "a job does not end with the Snakemake that has submitted it"
    [stop, unlock, _] = guide_blocks("sh")[-1].splitlines()
    for command in (stop, unlock):
        subprocess.run(command, shell=True, cwd=project.folder, env=project.environment, check=True)
    assert_continued(project, project.start_training(), long, saved)
    assert_same_training(long, undisturbed)


@pytest.mark.parametrize(
    "resources",
    [("gpu=2",), ("gpu=2", "nodes=2", "tasks=2", "tasks_per_gpu=0", "mpi=srun")],
    ids=["one node", "two nodes"],
)
def test_two_processes_train_the_same_on_one_node_and_on_two(
    project: Project, long: RunFolder, undisturbed: RunFolder, resources: tuple[str, ...]
) -> None:
    training = project.start_training(*resources)
    job = project.running_job(after=SAVE_EVERY)
    trainers = {node: trainers_on(project, node) for node in NODES}
    nodes = [node for node in NODES if trainers[node]]
    assert all(len(gpus_of(trainers[node][0])) == 2 / len(nodes) for node in nodes)
    project.wait(training)
    assert len(nodes) == int(job.fields["NumNodes"]) == (2 if "nodes=2" in resources else 1)
    assert "processes: 2;" in (long.path / "logs" / "train.log").read_text("utf-8")
    assert_nearly_same_losses(long, undisturbed)


def trainers_on(project: Project, node: str) -> list[psutil.Process]:
    found = []
    for process in project.slurm.processes(node):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "xtts" in " ".join(process.cmdline()[:2]):
                found.append(process)
    return found


def gpus_of(process: psutil.Process) -> list[str]:
    return process.environ()["CUDA_VISIBLE_DEVICES"].split(",")
