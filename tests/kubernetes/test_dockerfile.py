"""The container definition, as far as it can be tried without a daemon and a registry."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import yaml

from xtts_framework.files import sha256_of

ROOT = Path(__file__).parent.parent.parent
BINARIES = Path(sys.executable).parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SECRETS = (".env", ".git/config", "kubeconfig", "results/runs/r/bundle/model.pth", "demo/dataset/metadata.csv")


def copied() -> list[str]:
    """What the image gets of the repository."""
    lines = re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_a_linter_has_nothing_to_say() -> None:
    linted = subprocess.run([BINARIES / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout


def test_the_context_is_what_is_copied_and_nothing_else() -> None:
    """Else a key or a dataset that lies in the folder would be in a layer of the image."""
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    assert rules[0] == "*"
    assert sorted(rule.removeprefix("!") for rule in rules if rule.startswith("!")) == sorted(copied())
    assert not {secret.split("/")[0] for secret in SECRETS} & set(copied())


def test_what_is_copied_makes_the_package_that_is_tested_here(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in copied():
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    [wheel] = (tmp_path / "dist").iterdir()
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "installed")
    for name, inside in {
        "profiles/kubernetes/profile.v9+.yaml": "xtts_framework/_workflow/profiles/kubernetes/profile.v9+.yaml",
        "workflow/Snakefile": "xtts_framework/_workflow/workflow/Snakefile",
        "snakemake_executor_plugin_kubernetes_shared/__init__.py": None,
        "xtts_framework/cli/main.py": None,
        "xtts_plugins/amharic/__init__.py": None,
    }.items():
        assert sha256_of(tmp_path / "installed" / (inside or name)) == sha256_of(ROOT / name)


def test_it_runs_as_a_number_that_is_not_root_and_starts_xtts() -> None:
    [user] = re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user), "Kubernetes compares a number with 0, a name with nothing"
    assert 'ENTRYPOINT ["xtts"]' in DOCKERFILE
    after = DOCKERFILE.partition(f"USER {user}")[2]
    assert not re.search(r"^(RUN|COPY|ADD)", after, re.MULTILINE), "its user owns nothing of what is installed"


def test_the_base_has_the_cuda_of_torch() -> None:
    import torch

    [tag] = re.findall(r"^FROM nvidia/cuda:(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"\d+\.\d+\.\d+-base-ubuntu24\.04", tag)
    if torch.version.cuda:
        assert tag.startswith(f"{torch.version.cuda}.")


def test_profile_and_pod_name_one_image() -> None:
    profile = yaml.safe_load((ROOT / "profiles/kubernetes/profile.v9+.yaml").read_text(encoding="utf-8"))
    objects = list(yaml.safe_load_all((ROOT / "profiles/kubernetes/volume.yaml").read_text(encoding="utf-8")))
    [pod] = [one for one in objects if one["kind"] == "Pod"]
    [container] = pod["spec"]["containers"]
    assert container["image"] == profile["container-image"]
    assert profile["container-image"].removeprefix("registry.example.org") == "/xtts-framework:0.1.0"
