"""A file system of its own at a folder, in memory: small, or read-only."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SIZE = "256m"


class SmallDisk:
    """A mounted file system in memory, which gives room by the page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def leave(self, pages: int) -> None:
        """Fill it up but for so many pages."""
        free = shutil.disk_usage(self.folder).free
        with self._ballast.open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, free - pages * PAGE_BYTES)
        assert shutil.disk_usage(self.folder).free == pages * PAGE_BYTES

    def make_room(self) -> None:
        self._ballast.unlink()

    def read_only(self, value: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'ro' if value else 'rw'}", str(self.folder)], check=True)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Mount one at `folder`, which is made; skips the test where that is not allowed."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system in memory")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def pages_of(folder: Path) -> int:
    """What the files below take on such a disk."""
    return sum(-(-path.stat().st_size // PAGE_BYTES) for path in folder.rglob("*") if path.is_file())
