"""Clips: recordings copied as they are, or cut to 16-bit mono WAV at their own sample rate; and their names.

A recording is decoded once, however many clips are cut from it: libsndfile finds any place in WAV and FLAC at once,
other formats are first decoded to a WAV file for the time of cutting.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
import soundfile

from xtts_framework.audio.reading import open_sound, promised_samples
from xtts_framework.files import PARTIAL_PREFIX, replacing_file
from xtts_framework.ingest.ffmpeg import decode_container, name_container
from xtts_framework.ingest.source import RECORDING_FOLDERS
from xtts_framework.ingest.utterance import Fault, Utterance, name_span

SEEKABLE = frozenset({"WAV", "WAVEX", "FLAC", "AIFF", "RF64", "W64", "AU", "CAF", "NIST"})
"""Formats of libsndfile in which any sample is found without decoding what lies before it."""
END_TOLERANCE_S = 0.2
"""An utterance that ends this much after its recording ends with it: times are often rounded up."""
BLOCK_FRAMES = 2**18
BLOCK_BYTES = 2**20
MAX_HELD_BYTES = 2**26
"""A clip up to here is held in memory until it is written."""
MAX_NAME_BYTES = 120
AUDIO_ERRORS = (soundfile.SoundFileError, OSError, ValueError, TypeError)
"""What soundfile raises for what it cannot read."""


@dataclass(frozen=True)
class Clip:
    """A clip to be written.

    Args:
        utterance: without a fault.
        names: file names without suffix, the first that is free is taken; the last is this clip's alone.
    """

    utterance: Utterance
    names: tuple[str, ...]


def probe_duration(path: Path) -> float | None:
    """Seconds, by the header of a recording; None when it does not say, or libsndfile does not read it."""
    try:
        with path.open("rb") as stream, open_sound(stream.fileno()) as sound:
            samples = promised_samples(sound)
            return samples / float(sound.samplerate) if samples else None
    except AUDIO_ERRORS:
        return None


def name_clip(utterance: Utterance, audio_name: str) -> str:
    """File name without suffix, after the recording and where it is cut.

    Args:
        audio_name: POSIX path of the recording in its folder.
    """
    path = PurePosixPath(audio_name)
    folders = [part for part in path.parts[:-1] if part.lower() not in RECORDING_FOLDERS]
    stem = safe_name("-".join([*folders, path.stem]))
    return f"{stem}-{name_span(utterance.span_ms)}" if utterance.span_ms else stem


def safe_name(text: str) -> str:
    """Letters of any script, digits, '-', '_' and '.'; the rest becomes '_'. At most 120 bytes, the end is kept."""
    kept = "".join(
        letter if letter.isalnum() or unicodedata.category(letter)[0] == "M" or letter in "-_." else "_"
        for letter in unicodedata.normalize("NFC", text)
    )
    while len(kept.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        kept = kept[1:]
    return kept.strip(".-_") or "clip"


def write_clips(recording: Path, clips: Sequence[Clip], folder: Path, scratch: Path) -> list[str | Fault]:
    """Write the clips of one recording.

    Args:
        folder: of the clips.
        scratch: folder for a decoded recording, meanwhile.

    Returns:
        for each clip its file name, or why it cannot be made.

    Raises:
        OSError: a clip cannot be written.
    """
    whole = [clip for clip in clips if clip.utterance.span_ms is None]
    parts = [clip for clip in clips if clip.utterance.span_ms is not None]
    outcomes: dict[int, str | Fault] = {}
    kind = _recognize(recording)
    if isinstance(kind, Fault):
        return [kind] * len(clips)
    sound_format, _ = kind
    for clip in whole if sound_format else ():
        suffix = recording.suffix.lower() if re.fullmatch(r"\.\w{1,5}", recording.suffix) else ".wav"
        with recording.open("rb") as stream:
            outcomes[id(clip)] = _keep(stream, clip, suffix, folder)
    to_cut = parts if sound_format else list(clips)
    if to_cut:
        with _decoded(recording, *kind, scratch) as wav:
            cut = [wav] * len(to_cut) if isinstance(wav, Fault) else _cut_all(wav, to_cut, folder, scratch)
            outcomes |= zip(map(id, to_cut), cut, strict=True)
    return [outcomes[id(clip)] for clip in clips]


@contextmanager
def readable(recording: Path, scratch: Path) -> Iterator[Path | Fault]:
    """The recording as libsndfile can read it: itself, or decoded meanwhile; or why it cannot be."""
    kind = _recognize(recording)
    if isinstance(kind, Fault):
        yield kind
    elif kind[0]:
        yield recording
    else:
        with _decoded(recording, *kind, scratch) as wav:
            yield wav


def _recognize(recording: Path) -> tuple[str | None, str | None] | Fault:
    """The format that libsndfile reads, else the container that FFmpeg reads, by content; or why it is neither."""
    try:
        with recording.open("rb") as stream:
            sound_format = _find_format(stream)
        container = None if sound_format else name_container(recording)
    except OSError as error:
        return Fault("unreadable_audio", f"it cannot be opened: {error.strerror}")
    if not sound_format and not container:
        return Fault("unreadable_audio", "damaged, empty, or not audio")
    return sound_format, container


@contextmanager
def _decoded(recording: Path, sound_format: str | None, container: str | None, scratch: Path) -> Iterator[Path | Fault]:
    """The recording in a format in which places are found at once."""
    if sound_format in SEEKABLE:
        yield recording
        return
    with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{PARTIAL_PREFIX}decoded-") as temporary:
        wav = Path(temporary, "decoded.wav")
        if container:
            yield decode_container(recording, container, wav) or wav
        else:
            yield _decode(recording, wav) or wav


def _decode(recording: Path, wav: Path) -> Fault | None:
    try:
        with recording.open("rb") as stream, open_sound(stream.fileno()) as sound:
            return _copy_sound(sound, None, wav, "RF64")
    except soundfile.SoundFileError:
        return Fault("unreadable_audio", "damaged, or not audio")


def _cut_all(wav: Path, clips: Sequence[Clip], folder: Path, scratch: Path) -> list[str | Fault]:
    try:
        with wav.open("rb") as stream, _open_sound(stream) as sound:
            return [_cut(sound, clip, folder, scratch) for clip in clips]
    except soundfile.SoundFileError:
        return [Fault("unreadable_audio", "damaged, or not audio")] * len(clips)


def _cut(sound: soundfile.SoundFile, clip: Clip, folder: Path, scratch: Path) -> str | Fault:
    found = _find_frames(clip.utterance, sound)
    if isinstance(found, Fault):
        return found
    start, frames = found
    with tempfile.SpooledTemporaryFile(MAX_HELD_BYTES, dir=str(scratch), prefix=PARTIAL_PREFIX) as piece:
        try:
            sound.seek(start)
            fault = _copy_sound(sound, frames, piece, "WAV")
        except soundfile.SoundFileError:
            return Fault("unreadable_audio", "damaged where it would be cut")
        piece.seek(0)
        return fault or _keep(piece, clip, ".wav", folder)


def _find_frames(utterance: Utterance, sound: soundfile.SoundFile) -> tuple[int, int] | Fault:
    """First frame and number of frames of an utterance; a whole recording's, when it has no times."""
    if utterance.start_s is None or utterance.end_s is None:
        return 0, sound.frames
    rate_hz = sound.samplerate
    if utterance.end_s > sound.frames / rate_hz + END_TOLERANCE_S or utterance.start_s * rate_hz >= sound.frames:
        at = f"from {utterance.start_s:.3f} to {utterance.end_s:.3f} s"
        return Fault("beyond_end", f"{at}, the recording ends at {sound.frames / rate_hz:.3f} s")
    start = round(utterance.start_s * rate_hz)
    return start, max(1, min(round(utterance.end_s * rate_hz), sound.frames) - start)


def _copy_sound(sound: soundfile.SoundFile, frames: int | None, wav: Path | IO[bytes], container: str) -> Fault | None:
    """Write what follows of a sound as 16-bit mono, a block at a time; all of it when `frames` is None."""
    left = frames
    with soundfile.SoundFile(wav, "w", sound.samplerate, 1, "PCM_16", format=container) as out:
        while left is None or left > 0:
            block_SC = sound.read(BLOCK_FRAMES if left is None else min(left, BLOCK_FRAMES), "float32", always_2d=True)
            if not len(block_SC):
                break
            mono_S = block_SC.mean(axis=1)
            if not np.isfinite(mono_S).all():
                return Fault("unreadable_audio", "has samples that are NaN or infinite")
            # By 32768, as libsndfile divides: 16-bit samples stay what they are.
            out.write(np.clip(np.rint(mono_S * 32768), -32768, 32767).astype(np.int16))
            left = None if left is None else left - len(block_SC)
    if left:
        return Fault("unreadable_audio", f"truncated: {left} samples that its header promises are missing")
    return None


def _keep(content: IO[bytes], clip: Clip, suffix: str, folder: Path) -> str:
    """Write bytes to the first of a clip's names that is free, or has these bytes already; returns its name."""
    for name in clip.names:
        destination = folder / f"{name}{suffix}"
        if destination.is_file() and _holds(destination, content):
            return destination.name
        if not destination.exists() or name == clip.names[-1]:
            break
    content.seek(0)
    with replacing_file(destination) as partial, partial.open("wb") as stream:
        shutil.copyfileobj(content, stream)
    return destination.name


def _holds(path: Path, content: IO[bytes]) -> bool:
    content.seek(0)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            if block != content.read(BLOCK_BYTES):
                return False
    return not content.read(1)


def _find_format(stream: IO[bytes]) -> str | None:
    """The format libsndfile knows it by, None when it does not; by content, whatever the name says."""
    try:
        with _open_sound(stream) as sound:
            return str(sound.format) if sound.frames > 0 else None
    except AUDIO_ERRORS:
        return None


def _open_sound(stream: IO[bytes]) -> soundfile.SoundFile:
    return soundfile.SoundFile(stream.fileno(), closefd=False)


def name_alone(key: str, plain: str) -> str:
    """A name that no other clip has, whatever it is called: `plain` with a mark behind it, a hash of `key`.

    A segment of a recording is still known as one by such a name.
    """
    return f"{plain}.{hashlib.blake2b(key.encode('utf-8', 'replace'), digest_size=6).hexdigest()}"
