"""What a container says about its own length, and whether the file keeps that promise. Reads headers, not sound.

libsndfile reads what is left of a file that was cut, and says nothing. Found here: WAV (RIFF, RIFX, RF64, BW64), AIFF
and 8SVX, W64, CAF, AU, NIST SPHERE and Ogg. FLAC, and MP3 with a Xing header, promise samples: whoever decodes them
compares. Nothing is promised by MP3 without that header, by VOC, IRCAM, PAF and PVF, nor by an Ogg file that ends
between two pages: its last page should be marked as the last, but Android's recorder and Telegram's never mark it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

ByteOrder = Literal["little", "big"]

MAX_CHUNKS = 1000
UNKNOWN_LENGTHS = {4: 0x7FFF0000, 8: 2**63 - 2**16}
"""By bytes of the length: lengths from here on mean "until the end of the file", as programs write them into a pipe."""
LENGTH_IS_IN_DS64 = 0xFFFFFFFF
AU_ORDERS: dict[bytes, ByteOrder] = {b".snd": "big", b"dns.": "little"}
NIST_HEADER_BYTES = 1024
NIST_FIELD = re.compile(rb"^(sample_count|channel_count|sample_n_bytes) -(?:i|s\d+) (\d{1,12})\s*$", re.MULTILINE)
MP3_LENGTH_HEADER = re.compile(rb"(?:Xing|Info)...[\x01\x03\x05\x07\x09\x0b\x0d\x0f]|VBRI", re.DOTALL)
"""The lowest bit says that the number of frames follows."""
MP3_HEADER_BYTES = 256
OGG_MARK = b"OggS"
OGG_HEADER_BYTES = 27
OGG_MAX_PAGE_BYTES = 27 + 255 + 255 * 255


@dataclass(frozen=True)
class ChunkLayout:
    """How a container writes its chunks: an identity, a length, that many bytes.

    Args:
        first: where the first chunk begins.
        sound: identities of the chunk that holds the sound.
        order: of the bytes of a length.
        length_bytes: of a length.
        counts_header: lengths include identity and length.
        alignment: chunks begin at multiples of this.
    """

    first: int
    sound: tuple[bytes, ...]
    order: ByteOrder
    length_bytes: int = 4
    counts_header: bool = False
    alignment: int = 2

    @property
    def identity_bytes(self) -> int:
        return len(self.sound[0])

    @property
    def header_bytes(self) -> int:
        return self.identity_bytes + self.length_bytes


RIFF = ChunkLayout(first=12, sound=(b"data",), order="little")
W64_GUID_END = bytes.fromhex("f3acd3118cd100c04f8edb8a")
CHUNK_LAYOUTS = {
    b"RIFF": RIFF,
    b"RF64": RIFF,
    b"BW64": RIFF,
    b"RIFX": ChunkLayout(first=12, sound=(b"data",), order="big"),
    b"FORM": ChunkLayout(first=12, sound=(b"SSND", b"BODY"), order="big"),
    b"caff": ChunkLayout(first=8, sound=(b"data",), order="big", length_bytes=8, alignment=1),
    b"riff": ChunkLayout(
        first=40, sound=(b"data" + W64_GUID_END,), order="little", length_bytes=8, counts_header=True, alignment=8
    ),
}
"""By the first four bytes of a file."""


def find_truncation(file_descriptor: int) -> str:
    """What is missing at the end of a recording, for a person; "" for a whole file and where nothing is promised.

    Reads at most 64 KiB, of a regular file with any content.
    """
    mark = os.pread(file_descriptor, 4, 0)
    if mark == OGG_MARK:
        return "" if _ends_with_whole_page(file_descriptor) else "the last page of the Ogg stream is not whole"
    missing = _end_of_sound(file_descriptor, mark) - os.fstat(file_descriptor).st_size
    return f"{missing} bytes that its header promises are missing" if missing > 0 else ""


def promises_samples(file_descriptor: int) -> bool:
    """Whether an MP3 file says how many samples it has, in a Xing, Info or VBRI header; else decoders guess it."""
    frame = os.pread(file_descriptor, MP3_HEADER_BYTES, end_of_id3(file_descriptor))
    return MP3_LENGTH_HEADER.search(frame) is not None


def end_of_id3(file_descriptor: int) -> int:
    """Where the ID3v2 tag at the beginning of a file ends, which may hold a picture; 0 without one."""
    header = os.pread(file_descriptor, 10, 0)
    length = sum((byte & 0x7F) << shift for byte, shift in zip(header[6:], (21, 14, 7, 0), strict=False))
    return 10 + length if header[:3] == b"ID3" else 0


def _end_of_sound(file_descriptor: int, mark: bytes) -> int:
    """Where the sound ends, as the header says; 0 when it does not."""
    if mark in CHUNK_LAYOUTS:
        return _end_of_sound_chunk(file_descriptor, CHUNK_LAYOUTS[mark])
    if mark in AU_ORDERS:
        return _end_of_au(file_descriptor, AU_ORDERS[mark])
    return _end_of_nist(file_descriptor) if mark == b"NIST" else 0


def _end_of_sound_chunk(file_descriptor: int, layout: ChunkLayout) -> int:
    size = os.fstat(file_descriptor).st_size
    position, length_in_ds64 = layout.first, None
    for _ in range(MAX_CHUNKS):
        if position + layout.header_bytes > size:
            break
        header = os.pread(file_descriptor, layout.header_bytes, position)
        identity, length = (
            header[: layout.identity_bytes],
            int.from_bytes(header[layout.identity_bytes :], layout.order),
        )
        begin = position + layout.header_bytes
        if identity in layout.sound:
            if length == LENGTH_IS_IN_DS64 and length_in_ds64 is not None:
                return begin + length_in_ds64
            if length >= UNKNOWN_LENGTHS[layout.length_bytes]:
                return 0
            return (position if layout.counts_header else begin) + length
        if identity == b"ds64":
            length_in_ds64 = _read_ds64(file_descriptor, begin)
        end = max(begin, position + length) if layout.counts_header else begin + length
        position = -(-end // layout.alignment) * layout.alignment
    return 0


def _read_ds64(file_descriptor: int, begin: int) -> int | None:
    """Length of the sound as RF64 has it, after the length of the file; None when it is not known."""
    length = int.from_bytes(os.pread(file_descriptor, 8, begin + 8), "little")
    return length if length < UNKNOWN_LENGTHS[8] else None


def _end_of_au(file_descriptor: int, order: ByteOrder) -> int:
    header = os.pread(file_descriptor, 12, 0)
    begin, length = (int.from_bytes(header[at : at + 4], order) for at in (4, 8))
    return begin + length if len(header) == 12 and length < UNKNOWN_LENGTHS[4] else 0


def _end_of_nist(file_descriptor: int) -> int:
    header = os.pread(file_descriptor, NIST_HEADER_BYTES, 0)
    fields = {name: int(value) for name, value in NIST_FIELD.findall(header)}
    if len(fields) < 3 or b"embedded" in header:  # packed within: shorter than its samples
        return 0
    return NIST_HEADER_BYTES + fields[b"sample_count"] * fields[b"channel_count"] * fields[b"sample_n_bytes"]


def _ends_with_whole_page(file_descriptor: int) -> bool:
    """Whether the last page of an Ogg file is as long as its header says; other bytes may follow it."""
    size = os.fstat(file_descriptor).st_size
    tail = os.pread(file_descriptor, OGG_MAX_PAGE_BYTES, max(0, size - OGG_MAX_PAGE_BYTES))
    end, begin = 0, tail.find(OGG_MARK)
    while begin >= 0:
        end = _end_of_page(tail, begin)
        if end > len(tail):
            return False
        begin = tail.find(OGG_MARK, end)
    rest = tail[end:]
    return not end or not rest or not OGG_MARK.startswith(rest)


def _end_of_page(stream: bytes, begin: int) -> int:
    """Where an Ogg page ends; beyond the stream also when its header, which is as long as it says, is cut."""
    segments_begin = begin + OGG_HEADER_BYTES
    if segments_begin > len(stream):
        return segments_begin
    data_begin = segments_begin + stream[segments_begin - 1]
    return data_begin + sum(stream[segments_begin:data_begin])
