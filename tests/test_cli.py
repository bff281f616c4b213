"""The command line: light to start, readable when something is wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xtts_framework.cli.main import COMMANDS

STAGES = ("validate", "encode", "tokenize", "train", "select", "export", "synthesize", "report")


def xtts(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from xtts_framework.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom xtts_framework.cli.main import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "print(sorted({'torch', 'TTS', 'polars', 'transformers', 'pandera', 'pydantic'} & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("[]")
    for command in COMMANDS:
        assert f"  {command} " in result.stdout


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_explains_its_files(stage: str) -> None:
    result = xtts(stage, "--help")
    assert result.returncode == 0
    assert "--out" in result.stdout
    assert any(suffix in result.stdout for suffix in (".parquet", ".json", ".html", "bundle", "wav"))


def test_an_unknown_command_and_an_unknown_option_end_without_a_traceback() -> None:
    for arguments in (["trian"], ["train", "--no-such-option"]):
        result = xtts(*arguments)
        assert result.returncode == 2
        assert "No such" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_users_mistake_ends_with_its_message_and_no_traceback(tmp_path: Path) -> None:
    result = xtts("config", "check", "missing.yaml", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: missing.yaml: cannot read the configuration")
    assert "Traceback" not in result.stderr


def test_config_check_accepts_what_config_write_wrote(tmp_path: Path) -> None:
    assert xtts("config", "write", "--out", "c.yaml", cwd=tmp_path).returncode == 0
    result = xtts("config", "check", "c.yaml", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "1 dataset(s), 1 run(s)" in result.stdout


def test_config_check_names_the_installed_packs_for_an_unknown_language(tmp_path: Path) -> None:
    xtts("config", "write", "--out", "c.yaml", cwd=tmp_path)
    path = tmp_path / "c.yaml"
    path.write_text(path.read_text("utf-8").replace("code: am", "code: xx"), encoding="utf-8")
    result = xtts("config", "check", "c.yaml", cwd=tmp_path)
    assert result.returncode == 1
    assert "xx" in result.stderr
    assert "am" in result.stderr


def test_show_says_what_a_folder_lacks_to_be_a_finished_run(tmp_path: Path) -> None:
    result = xtts("show", str(tmp_path))
    assert result.returncode == 1
    assert "summary.json, selected.json, report.html missing" in result.stderr


def test_a_terminated_command_leaves_nothing_unfinished(tmp_path: Path) -> None:
    program = (
        "import sys, time, click\n"
        "from pathlib import Path\n"
        "from xtts_framework.cli import main\n"
        "from xtts_framework.files import replacing_folder\n"
        "@click.command()\n"
        "def command():\n"
        "    with replacing_folder(Path('bundle')) as folder:\n"
        "        (folder / 'model.pth').write_text('half')\n"
        "        print('writing', flush=True)\n"
        "        time.sleep(60)\n"
        "sys.modules['slow_command'] = sys.modules[__name__]\n"
        "main.COMMANDS['slow'] = 'slow_command'\n"
        "main.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "slow"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert told.strip() == "terminated"
    assert not list(tmp_path.iterdir())
