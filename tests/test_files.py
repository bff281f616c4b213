"""Files and folders that exist whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from xtts_framework.errors import UserError
from xtts_framework.files import (
    DISK_FULL,
    PARTIAL_PREFIX,
    read_json,
    replacing_file,
    replacing_folder,
    write_json,
    write_text,
    write_text_if_changed,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_no_leftover(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), replacing_file(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failed_folder_leaves_the_old_folder_and_no_leftover(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with replacing_folder(target) as folder:
        (folder / "x").write_text("old")
    with pytest.raises(RuntimeError), replacing_folder(target) as folder:
        (folder / "x").write_text("half")
        raise RuntimeError
    assert (target / "x").read_text() == "old"
    assert names(tmp_path) == ["bundle"]


def test_a_folder_replaces_the_previous_one_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    for content in ("first", "second"):
        with replacing_folder(target) as folder:
            (folder / content).write_text(content)
    assert names(target) == ["second"]
    assert names(tmp_path) == ["bundle"]


def test_a_killed_writer_leaves_the_old_file_and_the_next_writer_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom xtts_framework.files import replacing_file\n"
        "with replacing_file(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert target.read_text() == "old"
    assert names(tmp_path) == [f"{PARTIAL_PREFIX}a.txt", "a.txt"]
    write_text(target, "new")
    assert names(tmp_path) == ["a.txt"]


def test_an_unchanged_text_keeps_its_modification_time(tmp_path: Path) -> None:
    target = tmp_path / "a.yaml"
    assert write_text_if_changed(target, "x")
    os.utime(target, (1, 1))
    assert not write_text_if_changed(target, "x")
    assert target.stat().st_mtime == 1
    assert write_text_if_changed(target, "y")
    assert target.stat().st_mtime > 1


def test_json_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"text": "ሰላም"})
    assert read_json(tmp_path / "a.json") == {"text": "ሰላም"}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert read_json(tmp_path / "a.json") == {"text": "ሰላም"}


def test_damaged_json_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"text": "ሰላም"})
    for damaged in (b"", (tmp_path / "a.json").read_bytes()[:-4], b"\xff\xfe"):
        (tmp_path / "a.json").write_bytes(damaged)
        with pytest.raises(UserError, match=r"a\.json: not valid JSON .*run the stage that writes it again"):
            read_json(tmp_path / "a.json")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("replacing", [replacing_file, replacing_folder])
def test_a_full_disk_is_named_with_the_file_that_did_not_fit(
    tmp_path: Path, replacing: Callable[[Path], AbstractContextManager[Path]]
) -> None:
    (tmp_path / "a").mkdir() if replacing is replacing_folder else (tmp_path / "a").write_text("old")
    with (
        pytest.raises(OSError, match=r"No space left") as caught,
        replacing(tmp_path / "a"),
        Path("/dev/full").open("w") as full,
    ):
        full.write("x")
        full.flush()
    assert caught.value.errno in DISK_FULL
    assert caught.value.filename == str(tmp_path / "a")
    assert names(tmp_path) == ["a"]


def test_what_libraries_raise_on_a_full_disk_becomes_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is really full takes a mount, which a test may not make."""
    with pytest.raises(RuntimeError, match="unexpected pos"), replacing_file(tmp_path / "model.pth"):
        raise RuntimeError("unexpected pos 64 vs 0")
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(2**30, 2**30, 0))
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*model\.pth'"),
        replacing_file(tmp_path / "model.pth"),
    ):
        raise RuntimeError("unexpected pos 64 vs 0")
    with pytest.raises(UserError, match="damaged"), replacing_file(tmp_path / "model.pth"):
        raise UserError("damaged")


def test_a_folder_survives_an_interruption_between_the_two_renames(tmp_path: Path) -> None:
    interrupted = tmp_path / f"{PARTIAL_PREFIX}old-a"
    interrupted.mkdir()
    (interrupted / "content").write_text("old")
    with pytest.raises(UserError, match="nothing to write"), replacing_folder(tmp_path / "a"):
        raise UserError("nothing to write")
    assert (tmp_path / "a" / "content").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_file_systems_that_flush_files_but_not_folders_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems say so; the file itself must reach the disk all the same."""
    refused: list[bool] = []

    def flush(descriptor: int) -> None:
        refused.append(stat.S_ISDIR(os.fstat(descriptor).st_mode) or bool(disk_fails))
        if refused[-1]:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", flush)
    disk_fails = ""
    with replacing_folder(tmp_path / "a") as folder:
        (folder / "x").write_text("content")
    write_text(tmp_path / "b", "content")
    assert names(tmp_path) == ["a", "b"] and any(refused)
    disk_fails = "yes"
    with pytest.raises(OSError, match="Invalid argument"):
        write_text(tmp_path / "b", "new")
    assert (tmp_path / "b").read_text() == "content"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that not even root can write")
def test_a_folder_that_cannot_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"'/proc/.*a\.wav'"), replacing_file(Path("/proc/a.wav")):
        pytest.fail("nothing can be written")
