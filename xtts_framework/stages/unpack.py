"""Stage unpack: an archive becomes a dataset folder, whole or not at all; the archive is only read.

It may come from anybody: what is neither a file nor a folder, or has a name that leads out, is refused, and with it
the archive. Files get the time of their unpacking, since Snakemake goes by times.
"""

from __future__ import annotations

import shutil
import stat
import tarfile
import time
import uuid
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from xtts_framework.console import say
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_folder

READ_BYTES = 2**20
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What Python's readers raise for archives that are broken, encrypted or packed in a way they do not know."""
CLASHES = (FileExistsError, NotADirectoryError, IsADirectoryError)
"""What the system says to an archive in which a file is also a folder."""


def unpack(archive: Path, out: Path, metadata: str) -> None:
    """Fill the dataset folder `out` from a zip or tar archive, the latter compressed or not.

    Args:
        metadata: file at the top of the dataset, which is the top of the archive or the one folder there that has it.

    Raises:
        UserError: `out` holds something; no such archive, or a damaged one; a member that could write elsewhere; no
            metadata file.
        OSError: the disk is full, or a place cannot be read or written. In all cases `out` is as before.
    """
    if not archive.is_file():
        raise UserError(f"{archive}: no such file")
    out = out.resolve()  # a link may lead to another disk
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: holds something, but no {metadata}. Nothing was unpacked: move it away, or delete it.")
    with replacing_folder(out) as partial:
        try:
            files = _unpack_tar(archive, partial) if tarfile.is_tarfile(archive) else _unpack_zip(archive, partial)
        except (*DAMAGED, *CLASHES, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None and not isinstance(error, CLASHES):
                raise
            raise UserError(
                f"{archive}: no tar or zip archive that can be unpacked: {error}. Pack it again."
            ) from error
        _lift(archive, partial, metadata)
    say(f"unpacked {files} files from {archive} into {out}")


def _unpack_tar(archive: Path, folder: Path) -> int:
    files, now = 0, time.time()
    with tarfile.open(archive) as members:
        for member in members:
            _refuse_unless(member.isfile() or member.isdir(), archive, member.name)
            members.extract(member.replace(mtime=now, deep=False), folder, filter="data")
            files += member.isfile()
        stream = members.fileobj
        assert stream is not None, "open"
        stream.seek(members.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"it breaks off, or is damaged, after {files} files")  # to Python that is its end
        while stream.read(READ_BYTES):
            pass  # a checksum of gzip lies at its very end
    return files


def _unpack_zip(archive: Path, folder: Path) -> int:
    files = 0
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            _refuse_unless(kind in (0, stat.S_IFREG, stat.S_IFDIR), archive, member.filename)
            members.extract(member, folder)
            files += not member.is_dir()
    return files


def _refuse_unless(plain: bool, archive: Path, name: str) -> None:
    """Refuse whatever is not plainly a file or a folder inside of the archive.

    Raises:
        UserError: names the archive and the member.
    """
    if not plain:
        raise UserError(
            f"{archive}: {name!r} is a link or a device. A dataset is files and folders; nothing was unpacked. "
            "For an archive of your own, let `tar --dereference --hard-dereference` pack what links lead to."
        )
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise UserError(
            f"{archive}: {name!r} leads out of the archive; nothing was unpacked. Pack it with relative names."
        )


def _lift(archive: Path, folder: Path, metadata: str) -> None:
    """Where the dataset is a folder of the archive, make its content that of `folder`."""
    if (folder / metadata).is_file():
        return
    datasets = [path for path in folder.iterdir() if (path / metadata).is_file()]
    if len(datasets) != 1:
        raise UserError(
            f"{archive}: expected one {metadata}, at the top or in a folder there, found {len(datasets)}; "
            "nothing was unpacked."
        )
    dataset = datasets[0].rename(folder / uuid.uuid4().hex)
    for path in folder.iterdir():
        if path != dataset:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in dataset.iterdir():
        path.rename(folder / path.name)
    dataset.rmdir()
