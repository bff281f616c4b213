"""What any process opens, by any library: asked of the Linux kernel (inotify)."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

IN_OPEN = 0x20
EVENT = struct.Struct("iIII")


class OpenedFiles:
    """Watches a folder, and the files directly in it, for being opened, by whomever."""

    def __init__(self, folder: Path) -> None:
        system = ctypes.CDLL(None, use_errno=True)
        self._events = system.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._events < 0 or system.inotify_add_watch(self._events, os.fsencode(folder), IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def names(self) -> list[str]:
        """Files opened since the last call; "" is the folder itself."""
        try:
            content = os.read(self._events, 2**16)
        except BlockingIOError:
            return []
        names, position = [], 0
        while position < len(content):
            *_, length = EVENT.unpack_from(content, position)
            position += EVENT.size
            names.append(content[position : position + length].rstrip(b"\0").decode())
            position += length
        return names

    def close(self) -> None:
        os.close(self._events)
