"""Read recordings of any format that libsndfile knows: WAV, FLAC, Ogg, MP3 and others. No FFmpeg, no torch.

Array names carry their shape: S samples, C channels.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from xtts_framework.audio.containers import end_of_id3, promises_samples
from xtts_framework.audio.rates import SAMPLE_RATE_HZ
from xtts_framework.errors import UserError

Samples = npt.NDArray[np.float32]

BLOCK_VALUES = 2**20
"""Samples times channels decoded at once: memory stays bounded however long a recording is."""
PIPED_BYTES = 2**16
UNKNOWN_SAMPLES = 2**62
"""libsndfile promises more than this of a recording whose header does not say how long it is."""


def read_audio(path: Path, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Samples:
    """Read a recording as the model wants it: mono, resampled, within [-1, 1].

    Channels are averaged and samples clipped as coqui-tts 0.28.0 does (`load_audio`); the resampler is soxr's HQ.

    Returns:
        float32 [samples] at `sample_rate_hz`.

    Raises:
        UserError: no such file, libsndfile cannot decode it, or a sample is NaN or infinite.
    """
    try:
        with path.open("rb") as stream, open_sound(stream.fileno()) as sound:
            recorded_hz = sound.samplerate
            blocks_S: list[Samples] = [block_SC.mean(axis=1) for block_SC in decode_blocks(sound)]
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(path, error) from error
    mono_S: Samples = np.concatenate([np.zeros(0, np.float32), *blocks_S])
    if not np.isfinite(mono_S).all():
        raise UserError(f"{path}: has samples that are NaN or infinite. Export the recording again.")
    if recorded_hz != sample_rate_hz:
        mono_S = soxr.resample(mono_S, recorded_hz, sample_rate_hz, quality="HQ")
    clipped_S: Samples = np.clip(mono_S, -1.0, 1.0)
    return clipped_S


@contextlib.contextmanager
def open_sound(file_descriptor: int) -> Iterator[soundfile.SoundFile]:
    """Open a recording from its first byte, to be decoded once from beginning to end.

    libsndfile guesses how long an MP3 file without a length header is, and decodes no more than that; from a pipe, it
    decodes whatever there is.

    Raises:
        soundfile.SoundFileError: not a format of libsndfile.
    """
    os.lseek(file_descriptor, 0, os.SEEK_SET)
    with _ForwardSound(file_descriptor, closefd=False) as sound:
        guessed = sound.format == "MP3" and not promises_samples(file_descriptor)
        if not guessed:
            yield sound
    if guessed:
        with _piping(file_descriptor) as pipe, _ForwardSound(pipe, closefd=False) as sound:
            yield sound


def promised_samples(sound: soundfile.SoundFile) -> int:
    """Samples per channel that the header promises; 0 when it does not say."""
    return sound.frames if sound.frames < UNKNOWN_SAMPLES else 0


def decode_blocks(sound: soundfile.SoundFile) -> Iterator[Samples]:
    """Yield float32 [samples, channels], a bounded number at a time, until the sound ends.

    Raises:
        soundfile.SoundFileError: the samples cannot be decoded.
    """
    frames = max(1, BLOCK_VALUES // sound.channels)
    while len(block_SC := sound.read(frames, dtype="float32", always_2d=True)):
        yield block_SC


class _ForwardSound(soundfile.SoundFile):  # type: ignore[misc]
    """Without the seek that soundfile does after every read, which a FLAC file of unknown length does not survive."""

    def seekable(self) -> bool:
        return False


@contextlib.contextmanager
def _piping(file_descriptor: int) -> Iterator[int]:
    """Yield a pipe that delivers a file from the end of its ID3 tag on."""
    source, sink = os.pipe()
    feeder = threading.Thread(target=_feed, args=(file_descriptor, sink))
    feeder.start()
    try:
        yield source
    finally:
        os.close(source)
        feeder.join()


def _feed(file_descriptor: int, sink: int) -> None:
    position = end_of_id3(file_descriptor)
    with contextlib.suppress(BrokenPipeError), open(sink, "wb") as pipe:
        while block := os.pread(file_descriptor, PIPED_BYTES, position):
            pipe.write(block)
            position += len(block)


def _unreadable(path: Path, error: Exception) -> UserError:
    if not path.is_file():
        return UserError(f"{path}: no such recording.")
    return UserError(
        f"{path}: cannot be read as audio ({error}). Expected WAV, FLAC, Ogg, MP3 or another format of libsndfile."
    )
