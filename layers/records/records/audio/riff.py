"""The chunks of a RIFF file, found by random access and in bounded work; other modules interpret them.

Sources: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", 1991; RF64 and BW64
(`ds64`): EBU Tech 3306, ITU-R BS.2088.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import Literal, Protocol

from records.errors import UnplayableAudio, UnsupportedAudio

WINDOW = 64 * 1024  # bytes read at once: an S3 range read costs the same for 8 bytes

_UNKNOWN_SIZE = 0xFFFFFFFF  # "see ds64" (EBU Tech 3306), or a writer that could not seek
# SoX's data size for a pipe, which it rounds down to a whole block of at most 64 KiB.
_SOX_PIPE_SIZES = range(0x7FFFF000 - 0xFFFF, 0x7FFFF000 + 1)
_MAX_READS = 256
_MAX_CHUNKS = 10_000
_MAX_FMT = 256  # bytes of a fmt chunk that matter; MS ADPCM with its coefficients has 50

# Chunks found around the data: they tell what follows an empty or an odd-sized chunk.
_KNOWN_CHUNKS = frozenset(
    b"fmt |data|fact|LIST|list|INFO|bext|iXML|axml|chna|cart|cue |plst|smpl|inst|acid|strc|PEAK|JUNK|junk|PAD |FLLR|"
    b"ID3 |id3 |_PMX|DISP|afsp|ds64|levl|link|minf|umid|elm1|ovwf|LGWV|wavl|slnt|note|labl|SAUR|SMED|ResU".split(b"|")
)

Order = Literal["little", "big"]


class File(Protocol):
    """The methods of a binary file object that are used."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def read(self, size: int, /) -> bytes: ...


class Reader:
    """Random access through one window, so that chunk headers near each other cost one read, and reads are bounded."""

    def __init__(self, file: File) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        self._offset = 0
        self._window = b""
        self._reads = 0

    def at(self, offset: int, length: int) -> bytes:
        """`length` bytes (at most a window's) from `offset`; fewer only where the file ends first."""
        length = max(0, min(length, self.size - offset))
        if length and not self._offset <= offset <= offset + length <= self._offset + len(self._window):
            self._reads += 1
            if self._reads > _MAX_READS:
                raise UnplayableAudio("too_many_chunks", "The WAV file is cut into too many chunks to be read.")
            self._file.seek(offset)
            self._offset, self._window = offset, self._file.read(WINDOW)
        return self._window[offset - self._offset :][:length] if length else b""


def id3_size(reader: Reader, offset: int) -> int:
    """The size of the ID3v2 tag at `offset`, in bytes; 0 where there is none (id3.org, ID3v2.4, 3.1: 7 bits a byte)."""
    tag = reader.at(offset, 10)
    if tag[:3] != b"ID3" or len(tag) < 10 or max(tag[6:]) > 0x7F:
        return 0
    return 10 + sum(byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))


def start(reader: Reader) -> int:
    """Where the RIFF header is: at 0, or after an ID3v2 tag that a tagger has put before it."""
    begin = id3_size(reader, 0)
    head = reader.at(begin, 12)
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or head[8:] != b"WAVE":
        raise UnsupportedAudio("This is not a WAV file: it does not begin with a RIFF header. Send a WAV file.")
    return begin


@dataclass(slots=True)
class Data:
    """The data chunk: where its bytes begin, how many are there, and whether it declares more."""

    offset: int
    length: int
    truncated: bool = False

    def skip(self, size: int) -> None:
        """Leave out what stands before the sound."""
        size = min(size, self.length)
        self.offset, self.length = self.offset + size, self.length - size


@dataclass(slots=True)
class Chunks:
    fmt: bytes | None = None
    data: Data | None = None
    fact: int | None = None  # samples per channel, as the writer of a compressed file counted them
    sizes: dict[bytes, int] = field(default_factory=dict)  # 64-bit sizes by chunk, from ds64


def walk(reader: Reader, offset: int, order: Order) -> Chunks:
    """Visit the chunks until both `fmt ` and a `data` with something in it are found.

    The size of the RIFF chunk itself is not used: it is wrong in too many files, and the file's own size is known.
    Of two `fmt ` chunks the first counts, as in ffmpeg.
    """
    found = Chunks()
    for _ in range(_MAX_CHUNKS):
        head = reader.at(offset, 8)
        if len(head) < 8:
            return found
        name, size, body = head[:4], int.from_bytes(head[4:], order), offset + 8
        if name == b"data":
            data = _data(reader, body, size, found.sizes.get(name, size))
            if found.data is None or not found.data.length:
                found.data = data
            offset = _after(reader, body, data.length)
        else:
            size = found.sizes.get(name, size) if size == _UNKNOWN_SIZE else size
            _take(found, name, reader.at(body, min(size, WINDOW)), order)
            offset = _after(reader, body, size)
        if found.fmt is not None and found.data is not None and found.data.length:
            _check_no_more_data(reader, _after(reader, found.data.offset, found.data.length), order)
            return found
    raise UnplayableAudio("too_many_chunks", "The WAV file is cut into too many chunks to be read.")


def _check_no_more_data(reader: Reader, offset: int, order: Order) -> None:
    """Raise UnplayableAudio where a second `data` chunk follows: its sound would be lost.

    The search ends at the first chunk that is not known.
    """
    for _ in range(_MAX_CHUNKS):
        head = reader.at(offset, 8)
        if len(head) < 8 or head[:4] not in _KNOWN_CHUNKS:
            return
        size = int.from_bytes(head[4:], order)
        if head[:4] == b"data" and size and reader.size > offset + 8:
            raise UnplayableAudio(
                "several_data_chunks",
                "The WAV file has its sound in more than one 'data' chunk. Save it again as 16-bit PCM and send that.",
            )
        offset = _after(reader, offset + 8, size)


def _take(found: Chunks, name: bytes, body: bytes, order: Order) -> None:
    """Keep what a chunk other than `data` says, where it matters."""
    if name == b"fmt " and found.fmt is None:
        found.fmt = body[:_MAX_FMT]
    elif name == b"fact" and len(body) >= 4:
        found.fact = int.from_bytes(body[:4], order)
    elif name == b"ds64" and len(body) >= 24:
        found.sizes = _ds64(body)


def _ds64(body: bytes) -> dict[bytes, int]:
    """Sizes by chunk: that of `data`, then those of the table (EBU Tech 3306, 3.5): RIFF, data, samples, n, n rows."""
    sizes = {}
    (rows,) = struct.unpack_from("<I", body.ljust(28, b"\0"), 24)
    for row in range(min(rows, (len(body) - 28) // 12)):
        name, size = struct.unpack_from("<4sQ", body, 28 + 12 * row)
        sizes[name] = size
    sizes[b"data"] = struct.unpack_from("<Q", body, 8)[0]
    return sizes


def _data(reader: Reader, body: int, size: int, size64: int) -> Data:
    """How much of the data chunk is there.

    A writer that cannot seek back leaves a size of 0 or 0xFFFFFFFF, SoX one near 0x7FFFF000: then all that follows is
    sound. (In RF64, ds64 has the size.) A size of 0 with a known chunk right behind it is an empty recording instead.
    """
    available = max(0, reader.size - body)
    if size in (0, _UNKNOWN_SIZE):
        size = size64
    if size == 0 and _known_chunk_at(reader, body):
        return Data(body, 0)
    if size in (0, _UNKNOWN_SIZE, 0xFFFFFFFF_FFFFFFFF) or (size > available and size in _SOX_PIPE_SIZES):
        return Data(body, available)
    return Data(body, min(size, available), truncated=size > available)


def _known_chunk_at(reader: Reader, offset: int) -> bool:
    head = reader.at(offset, 8)
    return head[:4] in _KNOWN_CHUNKS and len(head) == 8


def _after(reader: Reader, body: int, size: int) -> int:
    """Where the next chunk begins. An odd-sized chunk is followed by a pad byte, which some writers forget."""
    end = body + size
    if size % 2 == 0:
        return end
    likeness = [_likeness(reader.at(start, 4)) for start in (end, end + 1)]
    return end if likeness[0] > likeness[1] else end + 1


def _likeness(name: bytes) -> int:
    """How much four bytes look like the name of a chunk: 2 known, 1 printable, 0 not at all."""
    if name in _KNOWN_CHUNKS:
        return 2
    return int(len(name) == 4 and name.isascii() and name.decode("ascii").isprintable())
