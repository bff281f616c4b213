"""Files that run a program when something unpickles them: they make a folder, so that one sees it."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any


class Hostile:
    """Unpickling it makes the folder `witness`."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


def replace_by_pickle(path: Path, witness: Path) -> None:
    """Put a hostile pickle in the place of a file or folder; `.pth` files get the form that torch writes."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if path.suffix == ".pth":
        import torch

        torch.save({"model": {"weight": torch.zeros(1)}, "payload": Hostile(witness)}, path)
    else:
        path.write_bytes(pickle.dumps(Hostile(witness)))
