"""The shipped profile on a Kubernetes that refuses what a cluster refuses: what pods ask for, and that they finish."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from kubernetes_project import PLANTED, PROFILE, ROOT, SETTINGS, SNAKEMAKE, VOLUME
from small_kubernetes import SCHEMA, Kubernetes, Refused, refuse

from xtts_framework.files import read_json
from xtts_framework.layout import RunFolder

WITHOUT_THE_PLUGIN = """\
import pkgutil, sys
name, found = "snakemake_executor_plugin_kubernetes", pkgutil.iter_modules
pkgutil.iter_modules = lambda *given: (module for module in found(*given) if module.name != name)
sys.modules[name] = None
import snakemake.cli
"""


def test_a_killed_pod_is_followed_by_another(kubernetes: Kubernetes, finished: str) -> None:
    first, second = kubernetes.pods_of("validate")
    assert (first.exit_code, second.exit_code) == (137, 0)
    assert first.name != second.name
    assert [len(kubernetes.pods_of(rule)) for rule in ("encode", "tokenize")] == [1, 1]


def test_a_killed_training_goes_on_from_its_checkpoint(run: RunFolder, kubernetes: Kubernetes, finished: str) -> None:
    """Undeclared folders outlive pods: they lie on the volume."""
    first, second = kubernetes.pods_of("train")
    assert (first.exit_code, second.exit_code) == (137, 0)
    [path] = run.checkpoints.glob("*/attempts.json")
    start, again = read_json(path)
    assert start["start_step"] == 0 and again["start_step"] > 0
    assert read_json(run.summary)["steps"] == 40


def test_what_stages_remember_lies_on_the_volume(project: Path, finished: str) -> None:
    dataset = project / "results" / "datasets" / "amharic"
    assert (dataset / "split.parquet").is_file()
    assert list((dataset / "features").iterdir())


def test_every_pod_works_in_the_project_on_the_volume(project: Path, kubernetes: Kubernetes, finished: str) -> None:
    claim, _ = VOLUME.split(":")
    for pod in kubernetes.pods:
        assert pod.container["image"] == SETTINGS["container-image"]
        [volume] = [volume for volume in pod.spec["volumes"] if "persistentVolumeClaim" in volume]
        mounts = {mount["name"]: mount["mountPath"] for mount in pod.container["volumeMounts"]}
        assert volume["persistentVolumeClaim"]["claimName"] == claim
        assert mounts[volume["name"]] == str(project.parent)
        assert pod.container["workingDir"] == str(project)
        assert pod.command.startswith("python -m snakemake "), "the image's Python; nothing is installed first"


def test_only_stages_that_compute_on_a_gpu_ask_for_one(kubernetes: Kubernetes, finished: str) -> None:
    for pod in kubernetes.pods:
        resources = pod.container["resources"]
        expected = {"nvidia.com/gpu": "1"} if pod.rule in ("encode", "train") else None
        assert resources.get("limits") == expected
        assert {name: amount for name, amount in resources["requests"].items() if "gpu" in name} == (expected or {})


def test_pods_get_the_threads_of_the_rule_wherever_snakemake_runs(kubernetes: Kubernetes, finished: str) -> None:
    assert (os.cpu_count() or 1) < 128, "else the machine of this test could not be too small"
    for pod in kubernetes.pods_of("validate"):
        assert pod.container["resources"]["requests"]["cpu"] == "7600m"
        assert "--cores 'all'" in pod.command


def test_pods_are_not_root_and_may_nothing_more(kubernetes: Kubernetes, finished: str) -> None:
    """The cluster of this test refuses pods that the level `restricted` refuses; here what is asked for in full."""
    owner = os.getuid()
    for pod in kubernetes.pods:
        context = pod.spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context.get("runAsUser") == (owner or None), "files belong to whoever started snakemake, unless root"
        assert "serviceAccountName" not in pod.spec


def test_what_ran_is_cleared_away(kubernetes: Kubernetes, finished: str) -> None:
    assert all(pod.deleted for pod in kubernetes.pods)
    assert not kubernetes.secrets
    assert "Traceback" not in finished


def test_the_output_of_a_failed_pod_is_kept(project: Path, kubernetes: Kubernetes, finished: str) -> None:
    for rule in ("validate", "train"):
        failed = kubernetes.pods_of(rule)[0]
        kept = project / ".snakemake" / "auxiliary" / "kubernetes-logs" / f"{failed.name}.log"
        assert kept.read_text("utf-8").strip() == failed.output.strip()


def test_a_project_outside_of_the_volume_is_refused_by_name(project: Path, environment: dict[str, str]) -> None:
    profile = project / PROFILE
    inside = profile.read_text(encoding="utf-8")
    profile.write_text(inside.replace(str(project.parent), "/elsewhere"), encoding="utf-8")
    try:
        done = subprocess.run([*SNAKEMAKE, "--forceall"], cwd=project, env=environment, capture_output=True, text=True)
    finally:
        profile.write_text(inside, encoding="utf-8")
    assert done.returncode != 0
    assert f"{project} is on no volume that pods mount (/elsewhere)" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_plugin_snakemake_works_and_the_executor_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text("rule all:\n    output: 'done'\n    shell: 'touch done'\n", encoding="utf-8")
    for executor, status in (("local", 0), ("kubernetes-shared", 1)):
        words = ["--cores", "1", "--jobs", "1", "--executor", executor]
        done = subprocess.run(
            [sys.executable, "-c", f"{WITHOUT_THE_PLUGIN}snakemake.cli.main({words})"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        assert ("pip install 'xtts-framework[kubernetes]'" in done.stderr) == bool(status)
        (tmp_path / "done").unlink(missing_ok=True)


def test_the_manifest_is_what_kubernetes_knows(kubernetes: Kubernetes) -> None:
    manifest = (ROOT / "profiles" / "kubernetes" / "volume.yaml").read_text(encoding="utf-8")
    objects = {one["kind"]: one for one in yaml.safe_load_all(manifest)}
    for one in objects.values():
        kubernetes_validate.validate(one, SCHEMA, strict=True)
    claim, path = VOLUME.split(":")
    pod = objects["Pod"]["spec"]
    [container] = pod["containers"]
    assert objects["PersistentVolumeClaim"]["metadata"]["name"] == claim
    assert objects["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == [path]
    assert container["image"] == SETTINGS["container-image"]


def test_the_role_allows_what_the_executor_calls_and_no_more(kubernetes: Kubernetes, finished: str) -> None:
    manifest = (ROOT / "profiles" / "kubernetes" / "volume.yaml").read_text(encoding="utf-8")
    [role] = [one for one in yaml.safe_load_all(manifest) if one["kind"] == "Role"]
    allowed = {(verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert kubernetes.asked == allowed


@pytest.mark.parametrize("reason", ["Limit must be set", "PodSecurity", "mountPath", "not found", "imagePullPolicyy"])
def test_the_cluster_of_these_tests_refuses_what_a_cluster_refuses(
    reason: str, kubernetes: Kubernetes, finished: str
) -> None:
    """Guards the guard: without this, a job that no cluster takes would pass here."""
    job = json.loads(json.dumps(kubernetes.pods_of("train")[0].job))
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    refuse(job, kubernetes.claims)
    match reason:
        case "Limit must be set":
            del container["resources"]["limits"]
        case "PodSecurity":
            del container["securityContext"]
        case "mountPath":
            container["volumeMounts"][1]["mountPath"] = container["volumeMounts"][0]["mountPath"]
        case "not found":
            next(volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume)["persistentVolumeClaim"] = {
                "claimName": "another"
            }
        case _:
            container[reason] = "Always"
    with pytest.raises(Refused, match=reason):
        refuse(job, kubernetes.claims)


def test_credentials_reach_pods_as_secrets_only(kubernetes: Kubernetes, project: Path, finished: str) -> None:
    [(variable, secret)] = PLANTED.items()
    assert all(pod.environment[variable] == secret for pod in kubernetes.pods)
    hidden = base64.b64encode(secret.encode()).decode()
    logs = "".join(path.read_text("utf-8") for path in project.rglob("*.log"))
    for seen in (finished, logs, *(json.dumps(pod.job) for pod in kubernetes.pods)):
        assert secret not in seen and hidden not in seen


def test_the_guides_snakemake_commands_work(project: Path, environment: dict[str, str], finished: str) -> None:
    """The long one ran in `finished`; what is left here is to find nothing to do."""
    guide = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
    commands = [line for line in "".join(blocks).splitlines() if line.startswith("snakemake ")]
    assert " ".join(SNAKEMAKE[:3]) in commands
    for command in commands:
        words = [*command.split(), "results/runs/amharic/summary.json"]
        done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Nothing to be done" in done.stderr + done.stdout
