"""Run as a program: validate a dataset in a process of its own, and tell its memory and what it opened outside.

    python watched_validate.py DATASET OUT FORBIDDEN LOG

Prints the most memory that one process needed, in bytes, and the message of the error that ended it, if one did.
Paths below FORBIDDEN that Python opened or listed are written to LOG: also by processes of the pool, which import this
module again. What libraries open by themselves, Python does not see; `OpenedFiles` does.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path


def watch(forbidden: str, log: int) -> None:
    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.fsdecode(os.path.realpath(arguments[0]))
            if path == forbidden or path.startswith(f"{forbidden}/"):
                os.write(log, f"{event} {path}\n".encode())

    sys.addaudithook(note)


def most_memory_bytes() -> int:
    """Of this process and of each that it waited for. This one's own, not that of whoever started it."""
    status = Path("/proc/self/status").read_text()
    own_kib = int(status.partition("VmHWM:")[2].split()[0])
    return 1024 * max(own_kib, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


dataset, out, forbidden, log = (sys.argv[1:] + [""] * 4)[:4]
if log:
    watch(forbidden, os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT))

if __name__ == "__main__":
    from xtts_framework.config import ValidateConfig
    from xtts_framework.errors import UserError
    from xtts_framework.layout import DatasetFolder
    from xtts_framework.stages.validate import validate

    message = ""
    try:
        validate(
            ValidateConfig.model_validate({"dataset": {"path": dataset, "language": "am"}}), DatasetFolder(Path(out))
        )
    except UserError as error:
        message = str(error)
    print(json.dumps({"memory_bytes": most_memory_bytes(), "error": message}))
