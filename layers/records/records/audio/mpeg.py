"""MPEG audio frames (ISO/IEC 11172-3, 13818-3 and the 2.5 extension): their headers, and counting them in a stream.

`wav` asks what MPEG audio inside a WAV file holds; `mp3` counts the frames that go into ffmpeg and those that come
out of it, so that a decoder that drops a part, or a file that was cut, is noticed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

# kbit/s by the header's four bits; 0 is "free format", which has no frame length to step by, and 15 is forbidden.
_MPEG1_LAYER1 = (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 0)
_MPEG1_LAYER2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0)
_MPEG1_LAYER3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_MPEG2_LAYER1 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256, 0)
_MPEG2_LAYER23 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_MPEG1_RATES = (44100, 48000, 32000, 0)

MOST_SAMPLES = 24  # that one byte can hold: 24 bytes are a frame of 576 at 8 kbit/s and 24 kHz


@dataclass(frozen=True, slots=True)
class Frame:
    """What one frame's header says. rate: Hz; samples: per channel; size: bytes, header included."""

    version: int
    layer: int
    rate: int
    channels: int
    samples: int
    size: int

    def continues(self, first: Frame) -> bool:
        """Whether this frame can belong to the stream that `first` began."""
        return (self.version, self.layer, self.rate) == (first.version, first.layer, first.rate)


@lru_cache(maxsize=1024)
def frame(header: bytes) -> Frame | None:
    """The frame that these 4 bytes begin, or None where they begin none that can be stepped over."""
    bits = int.from_bytes(header, "big")
    if len(header) != 4 or bits >> 21 != 0x7FF:
        return None
    version_bits, layer_bits = bits >> 19 & 3, bits >> 17 & 3
    rate_bits, padding = bits >> 10 & 3, bits >> 9 & 1
    if version_bits == 1 or layer_bits == 0 or rate_bits == 3:
        return None
    version = {3: 1, 2: 2, 0: 3}[version_bits]  # 3 stands for "2.5"
    layer = 4 - layer_bits
    rate = _MPEG1_RATES[rate_bits] >> (version - 1)
    kbits = _kbits(version, layer)[bits >> 12 & 15]
    if not kbits:
        return None
    channels = 1 if bits >> 6 & 3 == 3 else 2
    if layer == 1:
        return Frame(version, layer, rate, channels, 384, (12_000 * kbits // rate + padding) * 4)
    samples = 1152 if layer == 2 or version == 1 else 576
    return Frame(version, layer, rate, channels, samples, samples * 125 * kbits // rate + padding)


def _kbits(version: int, layer: int) -> tuple[int, ...]:
    if version == 1:
        return (_MPEG1_LAYER1, _MPEG1_LAYER2, _MPEG1_LAYER3)[layer - 1]
    return _MPEG2_LAYER1 if layer == 1 else _MPEG2_LAYER23


def first_frame(data: bytes) -> Frame | None:
    """The first frame in `data` that is followed by another of the same stream, or by the end of `data`."""
    offset = data.find(b"\xff")
    while 0 <= offset <= len(data) - 4:
        found = frame(bytes(data[offset : offset + 4]))
        if found is not None:
            after = data[offset + found.size : offset + found.size + 4]
            if len(after) < 4:
                return found
            following = frame(bytes(after))
            if following is not None and following.continues(found):
                return found
        offset = data.find(b"\xff", offset + 1)
    return None


class Frames:
    """Finds the whole frames of one stream that arrives in pieces of any size. Memory: one frame and one piece.

    frames, samples (per channel): found so far. skipped: bytes that belong to no frame; lost: those of them that lie
    between two frames, where there must have been sound; gap: those since the last frame.
    """

    def __init__(self, layer: int, rate: int) -> None:
        self.frames = 0
        self.samples = 0
        self.skipped = 0
        self.lost = 0
        self._stream = (layer, rate)
        self.gap = 0
        self._rest = b""

    def feed(self, piece: bytes | memoryview) -> bytes:
        """Take a piece in; return the frames that it completes, without what lies between them."""
        data = self._rest + bytes(piece)
        found = []
        start = offset = 0
        while offset + 4 <= len(data):
            this = frame(data[offset : offset + 4])
            if this is None or (this.layer, this.rate) != self._stream:
                found.append(data[start:offset])
                start = self._skip(data, offset)
                offset = start
            elif offset + this.size > len(data):
                break
            else:
                self._count(this)
                offset += this.size
        self._rest = data[offset:]
        return b"".join([*found, data[start:offset]])

    def _count(self, this: Frame) -> None:
        self.lost += self.gap if self.frames else 0
        self.gap = 0
        self.frames += 1
        self.samples += this.samples

    def _skip(self, data: bytes, offset: int) -> int:
        """Where the next frame may begin."""
        following = data.find(b"\xff", offset + 1)
        following = following if following >= 0 else len(data)
        self.gap += following - offset
        self.skipped += following - offset
        return following

    @property
    def unfinished(self) -> int:
        """Bytes at the end that do not make a whole frame."""
        return len(self._rest)


@dataclass(frozen=True, slots=True)
class Info:
    """The Info (Xing) frame that ffmpeg's mp3 muxer writes first, with LAME's delay and padding in samples.

    frames: those that follow it. samples: per channel, of one frame.
    """

    frames: int
    samples: int
    delay: int
    padding: int


def info(data: bytes) -> Info | None:
    """The Info frame at the very start of an MP3, or None. Layout: the Xing VBR header, then LAME's extension."""
    found = frame(data[:4])
    if found is None or found.layer != 3:
        return None
    side = {(1, 1): 17, (1, 2): 32}.get((found.version, found.channels), 9 if found.channels == 1 else 17)
    tag = data[4 + side : 4 + side + 144]
    if len(tag) < 144 or tag[:4] not in (b"Info", b"Xing"):
        return None
    flags, frames = struct.unpack(">II", tag[4:12])
    if flags != 0xF:  # ffmpeg writes all four fields: frames, bytes, seek table, quality
        return None
    delay_padding = int.from_bytes(tag[141:144], "big")
    return Info(frames, found.samples, delay_padding >> 12, delay_padding & 0xFFF)
