"""A source on disk, and the one place where the recordings of utterances are found.

Rows say what they like: `../../secrets.wav`, `/etc/passwd`, a symbolic link. What is returned lies in the folder of
the recordings; nothing else is opened.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xtts_framework.errors import UserError
from xtts_framework.ingest.utterance import Fault

AUDIO_SUFFIXES = (
    ".wav",
    ".flac",
    ".ogg",
    ".opus",
    ".mp3",
    ".aif",
    ".aiff",
    ".au",
    ".sph",
    ".w64",
    ".caf",
    ".m4a",
    ".m4b",
    ".mp4",
    ".mov",
    ".3gp",
    ".mkv",
    ".webm",
    ".mka",
    ".aac",
    ".wma",
    ".wmv",
    ".asf",
    ".amr",
    ".avi",
    ".flv",
    ".ts",
)
"""Names of recordings, those first that need no FFmpeg."""
RECORDING_FOLDERS = ("wavs", "wav", "clips", "audio")
"""Where recordings lie by custom; their names say nothing about a recording."""


@dataclass(frozen=True)
class Recording:
    """A recording that exists.

    Args:
        path: resolved, inside the folder of the recordings.
        name: its POSIX path in that folder, as it was asked for.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Source:
    """What is to be ingested.

    Args:
        name: begins the identity of every utterance; sources of different names never meet.
        folder: resolved; paths in rows are relative to it.
        files: that list utterances, or the folder's subtitles or transcripts; sorted.
        audio: resolved folder, the only one that recordings are read from; `folder` unless the user said otherwise.
    """

    name: str
    folder: Path
    files: tuple[Path, ...]
    audio: Path

    def name_file(self, path: Path) -> str:
        """Path of a file of this source, relative to its folder."""
        return path.relative_to(self.folder).as_posix()

    def find_file(self, name: str) -> Path | None:
        """A file of the source's folder, None when there is none or a link that leads out."""
        return _resolve_inside(self.folder / name, self.folder)

    def name_recording(self, recording: Recording) -> str:
        """What all clips of a recording share, whichever source they are listed in."""
        return f"{self.audio.name}/{recording.name}"

    def find(self, written: str) -> Recording | Fault:
        """Find a recording by what a row says: a path relative to the recordings or to `wavs/`, `clips/` and the like.

        The suffix may be missing.
        """
        if not written.strip():
            return Fault("missing_audio", "no recording is named")
        if written.startswith("/"):
            return Fault("outside_source", f"{written} is an absolute path; expected one relative to the source")
        return self._find_first([posixpath.join(folder, written) for folder in ("", *RECORDING_FOLDERS)], written)

    def find_end(self, written: str) -> Recording | Fault:
        """Find a recording by a path on another machine: the longest end of it that exists here."""
        if not posixpath.isabs(written):
            found = self.find(written)
            if isinstance(found, Recording) or found.code == "outside_source":
                return found
        parts = [part for part in written.split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            return Fault("outside_source", f"{written} may lead out of the source; expected a path without '..'")
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        found = self._find_first([*ends, *(f"{folder}/{parts[-1]}" for folder in RECORDING_FOLDERS)], written)
        if isinstance(found, Fault) and posixpath.isabs(written):
            return Fault("outside_source", f"{written} is an absolute path, and no end of it is in {self.audio.name}/")
        return found

    def find_beside(self, path: Path) -> Recording | Fault:
        """Find the recording that a subtitle or transcript file belongs to: same name, a suffix of a recording.

        `x.am.srt` belongs to `x.wav` too. Without one beside it, the folder of the recordings is searched.
        """
        stem = self.name_file(path).removesuffix(path.suffix)
        stems = [stem] if "." not in posixpath.basename(stem) else [stem, stem.rpartition(".")[0]]
        places = [*stems, *(posixpath.basename(each) for each in stems)] if self.audio != self.folder else stems
        found = self._find_first([f"{place}{suffix}" for place in places for suffix in _both_cases()], stem, exact=True)
        if isinstance(found, Fault) and found.code == "missing_audio":
            return Fault("missing_audio", f"no recording beside {self.name_file(path)}, {path.stem}.wav for example")
        return found

    def _find_first(self, names: Sequence[str], written: str, exact: bool = False) -> Recording | Fault:
        """The first of some names that exists; names are tried with the suffixes of recordings, unless `exact`."""
        leads_out, folder = False, str(self.audio)
        for name in names:
            normal = posixpath.normpath(name)
            if normal == ".." or normal.startswith("../"):
                leads_out = True
                continue
            suffixes = ("",) if exact or normal.lower().endswith(AUDIO_SUFFIXES) else ("", *AUDIO_SUFFIXES)
            for spelled in (f"{normal}{suffix}" for suffix in suffixes):
                if not _is_file(f"{folder}/{spelled}"):
                    continue
                path = _resolve_inside(self.audio / spelled, self.audio)
                if path is not None:
                    return Recording(path, spelled)
                leads_out = True
        if leads_out:
            return Fault("outside_source", f"{written} leads out of {self.audio.name}/")
        return Fault("missing_audio", f"{written}: no such file in {self.audio.name}/")


def list_files(folder: Path) -> Iterator[Path]:
    """Files below a folder, sorted; no hidden ones, none that a link leads to outside of it."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and _resolve_inside(path, folder) is not None:
                yield path


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file of a source, without line ends; a last empty line does not count.

    Raises:
        UserError: it cannot be read, or is not UTF-8.
    """
    lines = read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def read_text(path: Path) -> str:
    """Text of a UTF-8 file of a source, without its byte-order mark.

    Raises:
        UserError: it cannot be read, or is not UTF-8; names line and byte.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Expected a text file in UTF-8.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} line {line}: byte {error.start + 1} of the file (0x{content[error.start]:02X}) is not UTF-8.\n"
            f"  Save the file as UTF-8, or convert it: iconv -f LATIN1 -t UTF-8 {path.name} > converted"
        ) from error


def _both_cases() -> list[str]:
    return [*AUDIO_SUFFIXES, *(suffix.upper() for suffix in AUDIO_SUFFIXES)]


def _resolve_inside(path: Path, folder: Path) -> Path | None:
    """Where a path leads, when that is a file inside `folder`."""
    if not _is_file(path):
        return None
    resolved = Path(os.path.realpath(path))
    return resolved if resolved.is_relative_to(folder) else None


def _is_file(path: Path | str) -> bool:
    """A regular file; False for what no path can be: too long, with a NUL, a loop of links."""
    return os.path.isfile(path)  # noqa: PTH113 (Path raises on long names)
