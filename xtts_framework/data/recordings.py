"""A cheap fingerprint of a folder of recordings: the workflow notices a changed file without 100,000 inputs."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path


@functools.cache
def recordings_fingerprint(folder: Path) -> str:
    """Hash of relative name, size and modification time of every file below `folder`; contents are not read.

    Cached for the life of the process: the workflow asks several times while it plans.
    """
    digest = hashlib.sha256()
    for name, size, modified_ns in sorted(_files_below(folder, "")):
        digest.update(f"{name}\0{size}\0{modified_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files_below(folder: str | Path, prefix: str) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    try:
        entries = os.scandir(folder)
    except OSError:
        return found
    with entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                found += _files_below(entry.path, f"{name}/")
            else:
                status = entry.stat(follow_symlinks=False)
                found.append((name, status.st_size, status.st_mtime_ns))
    return found
