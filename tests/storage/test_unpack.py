"""An archive becomes a dataset folder, whole or not at all, and cannot reach anything else."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from xtts_framework.errors import UserError
from xtts_framework.stages.unpack import unpack

DATASET = {"metadata.csv": "a.wav|ሰላም\n".encode(), "wavs/a.wav": os.urandom(9_000), "wavs/ሰላም é.wav": b"b"}
Packer = Callable[[Path, dict[str, bytes]], None]


def pack_tar(archive: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(archive, "w:gz" if archive.name.endswith("gz") else "w") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))


def pack_zip(archive: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)


def pack(archive: Path, files: dict[str, bytes]) -> Path:
    (pack_zip if archive.suffix == ".zip" else pack_tar)(archive, files)
    return archive


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_nothing_was_written(folder: Path, *known: str) -> None:
    assert {path.name for path in folder.iterdir()} == set(known)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
@pytest.mark.parametrize("top", ["", "./", "amharic/", "metadata/", "wavs/"])
def test_a_dataset_comes_out_as_it_went_in(suffix: str, top: str, tmp_path: Path) -> None:
    archive = pack(tmp_path / f"a{suffix}", {top + name: content for name, content in DATASET.items()})
    unpack(archive, tmp_path / "data" / "out", "metadata.csv")
    assert files_in(tmp_path / "data" / "out") == DATASET
    assert_nothing_was_written(tmp_path / "data", "out")


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_files_are_as_old_as_their_unpacking(suffix: str, tmp_path: Path) -> None:
    """Snakemake takes a metadata file that is older than the results for one that has been read."""
    unpack(pack(tmp_path / f"a{suffix}", DATASET), tmp_path / "out", "metadata.csv")
    assert all(abs((tmp_path / "out" / name).stat().st_mtime - time.time()) < 3600 for name in DATASET)


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar", DATASET)
    (tmp_path / "disk" / "empty").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "empty")
    unpack(archive, tmp_path / "out", "metadata.csv")
    assert files_in(tmp_path / "disk" / "empty") == DATASET
    assert_nothing_was_written(tmp_path, "a.tar", "disk", "out")


def test_what_the_user_has_there_is_left_alone(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar", DATASET)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.wav").write_bytes(b"mine")
    with pytest.raises(UserError, match="holds something"):
        unpack(archive, tmp_path / "out", "metadata.csv")
    assert files_in(tmp_path / "out") == {"mine.wav": b"mine"}


@pytest.mark.parametrize("name", ["../outside", "wavs/../../outside", "/outside", "amharic/../../outside", ".."])
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_a_name_that_leads_out_is_refused(name: str, suffix: str, tmp_path: Path) -> None:
    name = str(tmp_path / "outside") if name == "/outside" else name
    archive = pack(tmp_path / f"a{suffix}", DATASET | {name: b"x"})
    with pytest.raises(UserError, match="leads out") as refusal:
        unpack(archive, tmp_path / "out", "metadata.csv")
    assert repr(name) in str(refusal.value)
    assert_nothing_was_written(tmp_path, archive.name)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("target", ["metadata.csv", "../secret", "/etc/passwd"])
def test_links_and_devices_of_a_tar_are_refused(kind: bytes, target: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    member = tarfile.TarInfo("wavs/b.wav")
    member.type, member.linkname = kind, target
    archive = pack(tmp_path / "a.tar", DATASET)
    with tarfile.open(archive, "a") as packed:
        packed.addfile(member)
    with pytest.raises(UserError, match=r"'wavs/b\.wav' is a link or a device"):
        unpack(archive, tmp_path / "out", "metadata.csv")
    assert_nothing_was_written(tmp_path, "a.tar", "secret")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_of_a_zip_are_refused(kind: int, tmp_path: Path) -> None:
    member = zipfile.ZipInfo("wavs/b.wav")
    member.create_system, member.external_attr = 3, (kind | 0o777) << 16
    archive = pack(tmp_path / "a.zip", DATASET)
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(member, "../secret")
    with pytest.raises(UserError, match=r"'wavs/b\.wav' is a link or a device"):
        unpack(archive, tmp_path / "out", "metadata.csv")
    assert_nothing_was_written(tmp_path, "a.zip")


def test_a_file_of_somebody_elses_rights_becomes_an_ordinary_one(tmp_path: Path) -> None:
    member = tarfile.TarInfo("wavs/tool")
    member.mode, member.uid, member.gid = 0o6777, 12345, 12345
    archive = pack(tmp_path / "a.tar", DATASET)
    with tarfile.open(archive, "a") as packed:
        packed.addfile(member)
    unpack(archive, tmp_path / "out", "metadata.csv")
    status = (tmp_path / "out" / "wavs" / "tool").stat()
    assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH)
    assert status.st_uid == os.geteuid()


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_a_truncated_archive_leaves_nothing(suffix: str, tmp_path: Path) -> None:
    whole = pack(tmp_path / f"whole{suffix}", DATASET).read_bytes()
    end = len(whole.rstrip(b"\0")) if suffix == ".tar" else len(whole)  # blocks of zeros: more than enough of them
    for cut in {*range(0, end, max(1, end // 50)), *range(0, end, tarfile.BLOCKSIZE)}:
        archive = tmp_path / f"a{suffix}"
        archive.write_bytes(whole[:cut])
        with pytest.raises(UserError):
            unpack(archive, tmp_path / "out", "metadata.csv")
        assert_nothing_was_written(tmp_path, archive.name, f"whole{suffix}")


def test_a_tar_that_is_damaged_between_two_files_leaves_nothing(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar", DATASET)
    content = archive.read_bytes()
    archive.write_bytes(content.replace(b"wavs/a.wav", b"wavs/x.wav"))
    with pytest.raises(UserError, match="breaks off, or is damaged, after 1 files"):
        unpack(archive, tmp_path / "out", "metadata.csv")
    assert_nothing_was_written(tmp_path, "a.tar")


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_a_changed_byte_of_a_recording_is_noticed(suffix: str, tmp_path: Path) -> None:
    archive = pack(tmp_path / f"a{suffix}", DATASET)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match="no tar or zip archive that can be unpacked"):
        unpack(archive, tmp_path / "out", "metadata.csv")
    assert_nothing_was_written(tmp_path, archive.name)


def test_a_checksum_at_the_end_is_read(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar.gz", DATASET)
    content = bytearray(archive.read_bytes())
    content[-6] ^= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match="CRC"):
        unpack(archive, tmp_path / "out", "metadata.csv")


@pytest.mark.parametrize("packer", [pack_tar, pack_zip])
def test_a_file_that_is_also_a_folder_is_refused(packer: Packer, tmp_path: Path) -> None:
    packer(tmp_path / "a", DATASET | {"wavs/a.wav/b": b"x"})
    with pytest.raises(UserError, match="no tar or zip archive that can be unpacked"):
        unpack(tmp_path / "a", tmp_path / "out", "metadata.csv")
    assert_nothing_was_written(tmp_path, "a")


@pytest.mark.parametrize(
    ("files", "found"), [({"wavs/a.wav": b""}, 0), ({"a/metadata.csv": b"", "b/metadata.csv": b""}, 2), ({}, 0)]
)
def test_an_archive_without_one_metadata_file_is_refused(files: dict[str, bytes], found: int, tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", files)
    with pytest.raises(UserError, match=rf"expected one metadata.csv, .* found {found}"):
        unpack(archive, tmp_path / "out", "metadata.csv")
    assert_nothing_was_written(tmp_path, "a.zip")


def test_what_a_killed_unpacking_left_is_removed_by_the_next(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar", DATASET)
    shutil.copytree(Path(__file__).parent, tmp_path / ".partial-out")
    unpack(archive, tmp_path / "out", "metadata.csv")
    assert files_in(tmp_path / "out") == DATASET
    assert_nothing_was_written(tmp_path, "a.tar", "out")
