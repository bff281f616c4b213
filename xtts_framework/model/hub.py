"""Fetch a base from the Hugging Face hub: pinned revision, resumed when interrupted, every file checked.

Files are gathered in a `.partial-` folder beside the destination, so a half-fetched model is never taken for a base.
The hub client's own download starts a file over when the process was killed; a model of two gigabytes deserves
better, so resuming is done here, over the client's HTTP function.

An address may hold secrets, `https://user:password@host` or a signed query: no message and no log shows them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from xtts_framework.config import HubConfig
from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import PARTIAL_PREFIX, sha256_of
from xtts_framework.model.base import BASE_FILES, read_base

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LICENSE_NOTICE = """\
XTTS-v2 comes under the Coqui Public Model License 1.0 (CPML): non-commercial use only, of the model, of models
trained from it and of the speech they make. The text: https://huggingface.co/coqui/XTTS-v2/blob/main/LICENSE.txt"""

FREE_SPACE_FACTOR = 1.1
USER_IN_ADDRESS = re.compile(r"(?<=://)[^\s'\"]*@")
QUERY_OF_ADDRESS = re.compile(r"(?<=://)([^\s?'\"]*)\?[^\s'\"]*")


@dataclass(frozen=True)
class HubFile:
    """A file as the hub describes it.

    Args:
        size: bytes.
        algorithm: "sha256" for large files (LFS), "git-sha1" for files kept in git.
        digest: hexadecimal.
    """

    name: str
    size: int
    algorithm: str
    digest: str

    def problem_with(self, path: Path) -> str | None:
        """Say how `path` differs from what the hub states, or nothing."""
        size = path.stat().st_size
        if size != self.size:
            return f"{self.name}: {size} bytes, the hub states {self.size}"
        digest = sha256_of(path) if self.algorithm == "sha256" else _git_sha1_of(path)
        if digest != self.digest:
            return f"{self.name}: {self.algorithm} {digest}, the hub states {self.digest}"
        return None


def fetch_base(out: Path, hub: HubConfig, *, accept_license: bool) -> None:
    """Download a base to `out`; continue what an earlier call began.

    Args:
        out: base folder. When it exists already, it is checked and left as it is.
        hub: repository and pinned revision; the environment variable HF_ENDPOINT names another hub.

    Raises:
        UserError: licence not accepted; hub or revision not reachable; disk too small; a file that is not what the
            hub states (it is removed, so that the next call fetches it again).
    """
    if not accept_license:
        raise UserError(
            "The licence was not accepted, so nothing was downloaded. Read it and confirm, or pass --accept-license."
        )
    _check_endpoint()
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    if not sys.stderr.isatty():
        disable_progress_bars()
    for handler in logging.getLogger("huggingface_hub").handlers:
        handler.addFilter(_hide_secrets)
    api = HfApi()
    try:
        files = _describe_files(api, hub)
        if out.exists():
            _check_existing(out, files)
            return
        partial = out.parent / f"{PARTIAL_PREFIX}{out.name}-{hub.revision[:12]}"
        partial.mkdir(parents=True, exist_ok=True)
        _check_space(partial, files)
        for file in files:
            _fetch_file(api, hub, file, partial)
    except (HTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            without_secrets(f"{hub.repository}: the download from {api.endpoint} stopped.\n  {reason}\n")
            + "  Run the command again: what has arrived is kept. HF_ENDPOINT names another hub."
        ) from error
    read_base(partial)
    partial.replace(out)


def _check_endpoint() -> None:
    """Refuse an address that cannot be taken apart: the client would, when it is imported, and show parts of it."""
    try:
        _ = urlsplit(os.environ.get("HF_ENDPOINT", "")).port
    except ValueError as error:
        raise UserError(
            "HF_ENDPOINT is no address. Expected one such as https://huggingface.co; a password in it with '/' or '@' "
            "writes them as %2F and %40."
        ) from error


def without_secrets(text: str) -> str:
    """A text whose addresses name neither a user, nor a password, nor a query."""
    return QUERY_OF_ADDRESS.sub(r"\1", USER_IN_ADDRESS.sub("", text))


def _hide_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = without_secrets(record.getMessage()), None
    return True


def _describe_files(api: HfApi, hub: HubConfig) -> list[HubFile]:
    """What the hub says about every file of a base, smallest first."""
    siblings = {
        sibling.rfilename: sibling
        for sibling in api.model_info(hub.repository, revision=hub.revision, files_metadata=True).siblings or []
    }
    missing = [name for name in BASE_FILES if name not in siblings]
    if missing:
        raise UserError(
            f"{hub.repository} at revision {hub.revision} is no base: it lacks {', '.join(missing)}. "
            "Correct `hub` in the configuration."
        )
    files = []
    for name in BASE_FILES:
        sibling = siblings[name]
        algorithm, digest = ("sha256", sibling.lfs.sha256) if sibling.lfs else ("git-sha1", sibling.blob_id)
        if sibling.size is None or digest is None:
            raise UserError(
                f"{without_secrets(api.endpoint)} does not state size and hash of {name}, so it could not be checked."
            )
        files.append(HubFile(name=name, size=sibling.size, algorithm=algorithm, digest=digest))
    return sorted(files, key=lambda file: file.size)


def _fetch_file(api: HfApi, hub: HubConfig, file: HubFile, folder: Path) -> None:
    """Download one file into `folder`; it gets its name only when it is what the hub states."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    destination = folder / file.name
    if destination.exists():
        return
    arriving = folder / f"{file.name}.arriving"
    begun = arriving.stat().st_size if arriving.exists() else 0
    say(f"{file.name}: {file.size / 1e6:.1f} MB" + (f", of which {begun / 1e6:.1f} MB are here" if begun else ""))
    if begun < file.size:
        url = hf_hub_url(hub.repository, file.name, revision=hub.revision, endpoint=api.endpoint)
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        with arriving.open("ab") as stream:
            http_get(url, stream, resume_size=begun, headers=headers, expected_size=file.size)
    if problem := file.problem_with(arriving):
        arriving.unlink()
        raise UserError(
            f"{hub.repository}: a file arrived damaged and was removed.\n  {problem}\n  Run the command again."
        )
    arriving.replace(destination)


def _check_existing(out: Path, files: list[HubFile]) -> None:
    problems = [
        problem
        for file in files
        if (problem := file.problem_with(out / file.name) if (out / file.name).is_file() else f"{file.name}: missing")
    ]
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise UserError(f"{out} exists, but is not what the hub states:\n{listed}\n  Move it away and run this again.")
    say(f"{out}: already there")


def _check_space(folder: Path, files: list[HubFile]) -> None:
    needed = FREE_SPACE_FACTOR * sum(file.size for file in files) - sum(p.stat().st_size for p in folder.iterdir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{folder}: {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free on this disk.")


def _git_sha1_of(path: Path) -> str:
    """Name git gives to a file's content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
