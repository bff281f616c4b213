"""One process at a time: a lock file that says who holds it.

The system lets go of the lock when its process ends, however it ends. On a file system without locks the file itself
is the lock: only one process can make it, and the next one looks whether that process is still there. It can do so on
its own machine only; what a process on another machine left is for a person to judge.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil

from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import PARTIAL_PREFIX

WITHOUT_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})
"""What the system says where a file system has no locks, as NFS does without its lock service."""
HOLDER = re.compile(r"process (\d+) on (\S+) since .+")


@contextlib.contextmanager
def alone(lock: Path, command: str) -> Iterator[None]:
    """Hold a lock file, which is removed at the end; one that a killed process left behind is taken over.

    Args:
        command: whose other process may hold it, for the message.

    Raises:
        UserError: another process holds it, or may hold it; says which, where and since when.
        OSError: the file cannot be made or written.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _take(lock, command)
    try:
        _write_holder(lock, descriptor)
        yield
    finally:
        with contextlib.suppress(OSError):
            if _lies_at(lock, descriptor):
                lock.unlink()
        os.close(descriptor)


def wait_for_lock(descriptor: int) -> None:
    """Lock an open file until it is closed, after those who have it; where there are no locks, go on without."""
    _flock(descriptor, fcntl.LOCK_EX)


def _take(lock: Path, command: str) -> int:
    """The lock file, open and ours."""
    while True:
        found = True
        try:
            descriptor = os.open(lock, os.O_RDWR)
        except FileNotFoundError:
            try:
                descriptor, found = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), False
            except FileExistsError:
                continue
        try:
            has_locks = _flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder = _read_holder(descriptor)
        except BlockingIOError:
            holder = _read_holder(descriptor)
            os.close(descriptor)
            raise UserError(_refusal(lock, command, holder)) from None
        if (has_locks and _lies_at(lock, descriptor)) or (not has_locks and not found):
            if holder:
                say(f"{lock}: left behind by {holder}, which has ended; going on")
            return descriptor
        os.close(descriptor)
        if not has_locks:
            _remove_leftover(lock, command, holder)


def _flock(descriptor: int, operation: int) -> bool:
    """Lock an open file; False where the file system has no locks.

    Raises:
        BlockingIOError: another process has it.
    """
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            return False
        raise
    return True


def _remove_leftover(lock: Path, command: str, holder: str) -> None:
    """Without locks: remove the file of a process of this machine that has ended.

    Raises:
        UserError: that process is there, or is on another machine, or nobody has written who it is.
    """
    known = HOLDER.fullmatch(holder)
    if not known or known[2] != socket.gethostname():
        raise UserError(
            f"{lock}: made by {holder or 'a process that has not written who it is'}.\n"
            "  This file system has no locks, so it cannot be told from here whether that process is still at work.\n"
            f"  If it is, wait for it. If it has ended, remove {lock}, then run this again."
        )
    if psutil.pid_exists(int(known[1])) and int(known[1]) != os.getpid():
        raise UserError(_refusal(lock, command, holder))
    aside = lock.with_name(f"{PARTIAL_PREFIX}{uuid.uuid4().hex}-{lock.name}")
    with contextlib.suppress(FileNotFoundError):
        lock.rename(aside)
        if aside.read_text(encoding="utf-8") == holder:
            say(f"{lock}: left behind by {holder}, which has ended; going on")
        else:  # another process has taken it over in between: it is theirs
            lock.hardlink_to(aside)
        aside.unlink()


def _refusal(lock: Path, command: str, holder: str) -> str:
    known = HOLDER.fullmatch(holder)
    stop = f"stop it with `kill {known[1]}` on {known[2]}" if known else "stop it"
    return (
        f"{lock.parent}: another `{command}` is writing there: {holder or 'it has just started'}.\n"
        f"  Wait for it, or {stop}; then run this again. It holds {lock}."
    )


def _write_holder(lock: Path, descriptor: int) -> None:
    holder = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(lock)) from error


def _read_holder(descriptor: int) -> str:
    return os.pread(descriptor, 4096, 0).decode("utf-8", "replace")


def _lies_at(lock: Path, descriptor: int) -> bool:
    """Whether the open file is still the one at its path: whoever held it removes it when they have finished."""
    try:
        return os.path.samestat(lock.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
