"""Containers that libsndfile does not read (MP4, Matroska, AAC, …), decoded by FFmpeg where it is installed.

FFmpeg opens what it likes: a playlist named x.m4a lists other files, addresses even. So a file is recognised by its
first bytes before FFmpeg sees it, and FFmpeg is told the only formats and the only protocol it may use.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from xtts_framework.ingest.utterance import Fault

FORMATS = "mov,matroska,aac,asf,amr,flv,mpegts,avi"
"""Demuxers of containers that hold their own sound; none that follows a reference to another file."""
TIMEOUT_S = 3600
SHOWN_CHARACTERS = 300

SIGNATURES = (
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF (WMA, WMV)"),
    (0, b"#!AMR", "AMR"),
    (0, b"FLV\x01", "FLV"),
    (8, b"AVI ", "AVI"),
    (0, b"ADIF", "AAC"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
    (4, b"ftyp", "MP4 (M4A, MOV, 3GP)"),
    (4, b"moov", "MP4 (M4A, MOV, 3GP)"),
    (4, b"wide", "MP4 (M4A, MOV, 3GP)"),
)
"""Where which bytes are in a file, and what that makes it."""
TRANSPORT_PACKET = 188
"""Bytes of a packet of an MPEG transport stream; each begins with 0x47."""


def name_container(path: Path) -> str | None:
    """The container a file is, by its first bytes; None when it is none that FFmpeg may read.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(2 * TRANSPORT_PACKET + 1)
    for offset, signature, name in SIGNATURES:
        if start[offset : offset + len(signature)] == signature:
            return name
    if len(start) > 2 * TRANSPORT_PACKET and set(start[::TRANSPORT_PACKET]) == {0x47}:
        return "MPEG transport stream"
    return None


def decode_container(path: Path, container: str, wav: Path) -> Fault | None:
    """Write the first sound of a container as 16-bit WAV, at its own sample rate; or say why there is none."""
    program = shutil.which("ffmpeg")
    if program is None:
        detail = f"{container}: only FFmpeg reads it. Install FFmpeg, or convert the recording to WAV or FLAC."
        return Fault("needs_ffmpeg", detail)
    command = [program, "-nostdin", "-v", "error", "-y", "-protocol_whitelist", "file", "-format_whitelist", FORMATS]
    # The protocol is spelled out: it keeps names with a colon or a leading dash from being anything but names.
    command += ["-i", f"file:{path}", "-map", "0:a:0", "-vn", "-c:a", "pcm_s16le", "-rf64", "auto", "-f", "wav"]
    try:
        done = subprocess.run([*command, f"file:{wav}"], capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return Fault("unreadable_audio", f"FFmpeg did not finish within {TIMEOUT_S} s")
    except OSError as error:
        return Fault("needs_ffmpeg", f"{container}: the FFmpeg that is installed does not start ({error.strerror}).")
    if done.returncode != 0:
        complaint = " ".join(done.stderr.decode(errors="replace").replace(str(path), path.name).split())
        return Fault("unreadable_audio", f"FFmpeg cannot decode it: {complaint[:SHOWN_CHARACTERS]}")
    return None
