"""Files and folders that either exist whole or not at all.

Everything is written beside its destination under a `.partial-` name, flushed to disk and renamed. Renaming within
one folder is atomic on POSIX file systems, so a reader never sees half a file and `kill -9` leaves at most a
`.partial-` leftover, which the next writer of the same destination removes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xtts_framework.errors import UserError

PARTIAL_PREFIX = ".partial-"
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says when a disk or a quota has no room left."""
NOT_WRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
"""What the system says when a place is read-only, or belongs to somebody else."""
CANNOT_FLUSH = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})
"""What network file systems say that flush files, but not folders: their servers see to that."""
FULL_BYTES = 2**16
"""A disk with less free is full: libraries write in blocks of up to this size."""


@contextlib.contextmanager
def replacing_file(destination: Path, *, many_writers: bool = False) -> Iterator[Path]:
    """Yield a path to write to; on success it becomes `destination`, on failure it is removed.

    Args:
        many_writers: processes may write the same destination at the same time; each gets a path of its own, and
            nobody removes what a killed one left.

    Raises:
        OSError: the folder cannot be created or written, or the disk is full; nothing has changed at `destination`.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    own = f"{uuid.uuid4().hex}-" if many_writers else ""
    partial = destination.parent / f"{PARTIAL_PREFIX}{own}{destination.name}"
    partial.unlink(missing_ok=True)
    partial.touch(exist_ok=False)  # the system says what is wrong with a folder, libraries that write files may not
    try:
        with _naming_a_full_disk(destination):
            yield partial
            _sync(partial)
            partial.replace(destination)
            _sync(destination.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(destination: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; on success it becomes `destination`, replacing what was there.

    Raises:
        OSError: as `replacing_file`.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.parent / f"{PARTIAL_PREFIX}{destination.name}"
    replaced = destination.parent / f"{PARTIAL_PREFIX}old-{destination.name}"
    _remove_leftovers(destination, partial, replaced)
    partial.mkdir()
    try:
        with _naming_a_full_disk(destination):
            yield partial
            for path in partial.rglob("*"):
                _sync(path)
            _sync(partial)
            if destination.exists():
                destination.replace(replaced)
            partial.replace(destination)
            _sync(destination.parent)
    finally:
        _remove_leftovers(destination, partial, replaced)


def write_text(destination: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing_file(destination) as partial:
        partial.write_text(text, encoding="utf-8")


def write_text_if_changed(destination: Path, text: str) -> bool:
    """Write UTF-8 text only when it differs, so that an unchanged file keeps its modification time."""
    if destination.is_file() and destination.read_text(encoding="utf-8") == text:
        return False
    write_text(destination, text)
    return True


def write_json(destination: Path, value: Any) -> None:
    """Write readable JSON atomically; NaN and infinities are refused, since JSON has none."""
    write_text(destination, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Parsed JSON.

    Raises:
        OSError: no such file, or it cannot be read.
        UserError: not JSON; since files are written whole, something else than us damaged it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: not valid JSON ({error}). Delete it and run the stage that writes it again."
        ) from error


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _remove_leftovers(destination: Path, partial: Path, replaced: Path) -> None:
    """Remove what is not `destination`; an interruption between its two renames left the old one under `replaced`."""
    if replaced.exists() and not destination.exists():
        replaced.replace(destination)
    for leftover in (partial, replaced):
        shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def _naming_a_full_disk(destination: Path) -> Iterator[None]:
    """Turn whatever a full disk makes a library raise into one OSError that names `destination`.

    polars, libsndfile and torch each raise an error of their own, so it is the disk that is asked.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        disk = shutil.disk_usage(destination.parent)
        refused = isinstance(error, OSError) and error.errno in DISK_FULL
        if refused or disk.free < FULL_BYTES < disk.total:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(destination)) from error
        raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (error.errno in CANNOT_FLUSH and path.is_dir()):
            raise
    finally:
        os.close(descriptor)
