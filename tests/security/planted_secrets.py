"""Finds text in every file below a folder, also where it is packed, compressed or encoded."""

from __future__ import annotations

import base64
import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars


def find_secrets(folder: Path, secrets: list[str]) -> list[str]:
    """`file: secret` for each that is there, in a file's bytes or in its name."""
    spellings = {spelling: secret for secret in secrets for spelling in _spellings(secret)}
    return [
        f"{path}: {secret}"
        for path in sorted(folder.rglob("*"))
        for content in (str(path).encode(), *_contents(path))
        for spelling, secret in spellings.items()
        if spelling in content
    ]


def _spellings(secret: str) -> Iterator[bytes]:
    """The secret as it is, as UTF-16, and what is constant of it in base64, wherever it begins."""
    text = secret.encode()
    yield text
    yield secret.encode("utf-16-le")
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + text)
        yield encoded[4 if offset else 0 : len(encoded) // 4 * 4 - 4]


def _contents(path: Path) -> Iterator[bytes]:
    """A file's bytes, and what they are when unpacked."""
    if not path.is_file():
        return
    content = path.read_bytes()
    yield content
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as members:
            for member in members.namelist():
                yield members.read(member)
    if content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    if content.startswith(b"PAR1"):
        yield polars.read_parquet(path, glob=False).write_ndjson().encode()
        yield str(polars.read_parquet_metadata(path)).encode()
