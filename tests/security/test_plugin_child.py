"""A plugin under test runs in a process of its own; what that process answers is not believed blindly."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import pytest
from odd_workflow import xtts

from xtts_framework.plugins.contract.alone import load_alone
from xtts_framework.plugins.registry import load_plugins

LIES = {
    "a hostile pickle": """
        class Hostile:
            def __reduce__(self):
                return os.mkdir, (WITNESS,)
        answer = pickle.dumps(Hostile())
    """,
    "a pickle of other values": "answer = pickle.dumps({'error': None, 'unknown': 1})",
    "a pickle that breaks off": "answer = pickle.dumps({'error': None})[:-3]",
    "no pickle": "answer = b'ready'",
    "nothing": "answer = b''",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_child_that_lies_or_dies_is_an_error_and_runs_nothing_here(
    lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plugin writes to whatever its process has open, the answer's pipe among it, and ends as if all were well."""
    witness = tmp_path / "it ran"
    lines = [line.removeprefix("        ") for line in LIES[lie].splitlines()]
    source = "\n".join(
        [
            "import os, pickle",
            f"WITNESS = {str(witness)!r}",
            *lines,
            "for descriptor in range(3, 64):",
            "    try:",
            "        os.write(descriptor, answer)",
            "    except OSError:",
            "        pass",
            "os._exit(0)",
        ]
    )
    (tmp_path / "lying_plugin.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    answer = load_alone("lying_plugin:Pack", {}, ["ሰላም"])
    assert answer.error is not None
    assert "gave no answer that can be read" in answer.error
    assert answer.readings == []
    assert not witness.exists()


ENDINGS = {
    "ends as if all were well": "os._exit(0)",
    "is killed in the middle of a line": """
        for descriptor in range(3, 64):
            try:
                os.write(descriptor, b'{"check": "loads_w')
            except OSError:
                pass
        os.kill(os.getpid(), signal.SIGKILL)
    """,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_plugin_whose_process_ends_before_its_checks_has_not_passed_them(ending: str, tmp_path: Path) -> None:
    metadata = tmp_path / "acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[xtts_framework.plugins]\nacme = acme_plugin\n")
    # The process that loads it alone goes through; the one that runs the checks ends.
    source = "import os, signal, sys\nif 'xtts_framework.plugins.contract.installed' in sys.orig_argv:\n"
    source += textwrap.indent(textwrap.dedent(ENDINGS[ending]), "    ")
    (tmp_path / "acme_plugin.py").write_text(source, encoding="utf-8")
    done = xtts("plugins", "check", "acme", PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert "the process ended with status" in done.stdout


def test_an_honest_child_is_read() -> None:
    """Halves of a character come through as they are, which is why the answer is no JSON."""
    halves = "\ud83d\udc4b"
    answer = load_alone("xtts_plugins.amharic.pack:Amharic", {}, ["ሰላም", halves])
    assert answer.error is None
    assert answer.readings == ["ሰላም", load_plugins().pack("am", {}).normalize(halves)]
