"""Which format a source has, told from its files, never from a guess: what fits two formats is asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from xtts_framework.errors import UserError
from xtts_framework.ingest.common_voice import split_header
from xtts_framework.ingest.jsonl import parse_object
from xtts_framework.ingest.source import Recording, Source, list_files
from xtts_framework.ingest.subtitles import SUFFIXES as SUBTITLE_SUFFIXES
from xtts_framework.ingest.utterance import Fault

Format = Literal["table", "common-voice", "kaldi", "jsonl", "subtitles", "transcript"]
LOOKED_FOR: dict[Format, str] = {
    "table": "metadata.csv, or other .csv files with '|' between columns",
    "common-voice": ".tsv files with the columns path and sentence",
    "kaldi": "a file `text` with wav.scp, segments or utt2spk",
    "jsonl": ".jsonl or .json files, with one object per line that names a recording and a text",
    "subtitles": ".srt or .vtt files",
    "transcript": ".txt files beside recordings of the same name",
}
"""What a folder of each format holds."""
FIRST_BYTES = 2**16


@dataclass(frozen=True)
class Found:
    """A source and the format it has."""

    format: Format
    source: Source


def recognize(path: Path, wanted: Format | None = None, audio: Path | None = None, name: str | None = None) -> Found:
    """Find out what a file or folder holds.

    Args:
        wanted: the format, when the user names it.
        audio: folder of the recordings, when it is another.
        name: of the source; by default that of its folder.

    Raises:
        UserError: no such source or folder of recordings, no format fits, or several do.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder. Expected what is to be ingested.")
    if audio is not None and not audio.is_dir():
        raise UserError(f"{audio}: no such folder. Expected the folder that holds the recordings.")
    folder = (path if path.is_dir() else path.parent).resolve()
    name = name or folder.name or "source"
    if "/" in name or "@" in name:
        raise UserError(f"The source's name {name!r} must have neither '/' nor '@'. Give another with --name.")

    def source(files: Sequence[Path]) -> Source:
        return Source(name, folder, tuple(files), audio.resolve() if audio else folder)

    if path.is_dir():
        return _recognize_folder(path, list(list_files(folder)), wanted, source)
    # The name as it is given, in the folder as it is: what is beside a link is not beside its target.
    file = folder / path.name
    chosen = wanted or _recognize_file(file, source([file]))
    if chosen is None:
        raise UserError(f"{path}: no format is recognised. Expected one of:\n{_describe()}")
    return Found(chosen, source([file]))


def _recognize_folder(
    path: Path, files: list[Path], wanted: Format | None, source: Callable[[Sequence[Path]], Source]
) -> Found:
    fitting = {each: chosen for each in get_args(Format) if (chosen := _choose(each, files, source))}
    if wanted:
        if wanted not in fitting:
            raise UserError(f"{path}: has nothing that is read as {wanted}. Expected {LOOKED_FOR[wanted]}.")
        return Found(wanted, source(fitting[wanted]))
    if not fitting:
        raise UserError(f"{path}: no format is recognised. Expected one of:\n{_describe()}")
    if len(fitting) > 1:
        lines = [f"  {each}: {_shorten(chosen)}" for each, chosen in fitting.items()]
        raise UserError(
            f"{path}: may be read in {len(fitting)} ways; say which with --format, or name a file instead of the "
            "folder.\n" + "\n".join(lines)
        )
    return Found(*next((each, source(chosen)) for each, chosen in fitting.items()))


def _choose(each: Format, files: list[Path], source: Callable[[Sequence[Path]], Source]) -> list[Path]:
    """The files of a folder that are read in a format."""
    folder = source(()).folder
    top = [path for path in files if path.parent == folder]
    names = {path.name: path for path in top}
    if each == "table":
        usual = [names["metadata.csv"]] if "metadata.csv" in names else []
        return usual or [path for path in top if path.suffix.lower() == ".csv" and "|" in _first_line(path)]
    if each == "common-voice":
        # Of a release the one that people have validated; the others overlap with it.
        validated = [names["validated.tsv"]] if "validated.tsv" in names else []
        return validated or [path for path in top if path.suffix == ".tsv" and split_header(_first_line(path))]
    if each == "kaldi":
        return [names["text"]] if "text" in names and names.keys() & {"wav.scp", "segments", "utt2spk"} else []
    if each == "jsonl":
        return [path for path in top if path.suffix.lower() in (".jsonl", ".json") and _is_manifest(path)]
    if each == "subtitles":
        return [path for path in files if path.suffix.lower() in SUBTITLE_SUFFIXES]
    texts = [path for path in files if path.suffix.lower() == ".txt"]
    return [path for path in texts if isinstance(source(()).find_beside(path), Recording)]


def _recognize_file(path: Path, source: Source) -> Format | None:
    suffix, first = path.suffix.lower(), _first_line(path)
    if suffix in SUBTITLE_SUFFIXES:
        return "subtitles"
    if suffix in (".jsonl", ".json") and _is_manifest(path):
        return "jsonl"
    if split_header(first):
        return "common-voice"
    if path.name == "text" or path.name == "wav.scp":
        return "kaldi"
    if suffix in (".csv", ".txt") and "|" in first:
        return "table"
    if suffix == ".txt" and isinstance(source.find_beside(path), Recording):
        return "transcript"
    return None


def _is_manifest(path: Path) -> bool:
    """Whether some line of the beginning is an object of a manifest; others may be damaged."""
    lines = _first_lines(path)
    return any(not isinstance(parse_object(line), Fault) for line in lines if line.strip())


def _first_line(path: Path) -> str:
    return _first_lines(path)[0]


def _first_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as stream:
            start = stream.read(FIRST_BYTES)
    except OSError:
        return [""]
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return start.decode(encoding, errors="replace").splitlines() or [""]


def _describe() -> str:
    return "\n".join(f"  {each}: {files}" for each, files in LOOKED_FOR.items())


def _shorten(files: Sequence[Path]) -> str:
    shown = ", ".join(path.name for path in files[:3])
    return shown + (f" and {len(files) - 3} more" if len(files) > 3 else "")
