"""What is installed with the package: audited, and listed."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from small_osv import Osv, running_osv

ROOT = Path(__file__).parent.parent.parent
PINNED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if "==" in line)


@pytest.fixture
def osv() -> Iterator[Osv]:
    with running_osv() as server:
        yield server


def audit(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / ".ci" / "audit.py", *options], capture_output=True, text=True)


def test_every_pinned_version_is_asked_about(osv: Osv) -> None:
    done = audit("--osv-url", osv.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"audit: {len(PINNED)} packages, 0 known vulnerabilities\n"
    assert osv.asked == {(canonicalize_name(name), number) for name, number in PINNED.items()}


def test_a_known_vulnerability_fails_and_is_named(osv: Osv) -> None:
    osv.weak = ("jinja2", PINNED["jinja2"])
    done = audit("--osv-url", osv.url)
    assert done.returncode == 1
    assert f"audit: jinja2 {PINNED['jinja2']}: PYSEC-2026-1, mended in 999.1\n" in done.stdout


@pytest.mark.parametrize("status", [403, 503])
def test_a_refusal_is_said_in_one_line(osv: Osv, status: int) -> None:
    osv.status = status
    done = audit("--osv-url", osv.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("audit: not done, the vulnerability data cannot be reached (")
    assert done.stdout.count("\n") == 1


def test_nobody_to_ask_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening
        done = audit("--osv-url", f"http://127.0.0.1:{taken.getsockname()[1]}/v1/query")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("audit: not done, the vulnerability data cannot be reached (")
    assert done.stdout.count("\n") == 1


def test_other_failures_are_failures() -> None:
    done = audit("--no-such-option")
    assert done.returncode not in (0, 1)
    assert "--no-such-option" in done.stderr


def test_the_bill_of_materials_lists_the_environment_and_nothing_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    # Against its schema `make sbom` checks it, which takes longer than everything else here.
    subprocess.run([ROOT / ".ci" / "sbom", path, "--no-validate"], env=environment, check=True)
    text = path.read_text(encoding="utf-8")
    bill = json.loads(text)
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "xtts-framework"
    listed = {canonicalize_name(part["name"]): part["version"] for part in bill["components"]}
    for name in ("torch", "coqui-tts", "snakemake"):
        assert listed[name] == version(name)
    assert not re.findall(r'"(?:file:[^"]*|(?:/[\w.-]+){2,})"', text), "local paths"
    assert str(ROOT) not in text and str(Path.home()) not in text
    for part in bill["components"]:
        assert re.fullmatch(r"pkg:pypi/[^?]+", part["purl"]), "an address that only this machine knows"
