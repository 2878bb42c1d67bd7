"""MPEG audio frames (ISO/IEC 11172-3, 13818-3 and the 2.5 extension): their headers, and counting them in a stream.

`codecs` asks what MPEG audio inside a WAV file holds. `feed` counts the frames that go into ffmpeg, to notice when a
decoder drops a part. `mp3` asks whether the MP3 is complete, and `parallel` compares the contents of its frames.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import IO

# kbit/s by the header's four bits; 0 is "free format", which has no frame length to step by, and 15 is forbidden.
_MPEG1_LAYER1 = (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 0)
_MPEG1_LAYER2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0)
_MPEG1_LAYER3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_MPEG2_LAYER1 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256, 0)
_MPEG2_LAYER23 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_MPEG1_RATES = (44100, 48000, 32000, 0)

_PIECE = 1024 * 1024  # bytes of an MP3 that are read at once
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
    between two frames, where there must have been sound; gap: those since the last frame; after: the first 4 of them.
    """

    def __init__(self, layer: int, rate: int) -> None:
        self.frames = 0
        self.samples = 0
        self.skipped = 0
        self.lost = 0
        self._stream = (layer, rate)
        self.gap = 0
        self.after = b""
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
        if not self.gap:
            self.after = data[offset : offset + 4]
        self.gap += following - offset
        self.skipped += following - offset
        return following

    @property
    def unfinished(self) -> int:
        """Bytes at the end that do not make a whole frame."""
        return len(self._rest)


# --- A stream of constant bit rate, and what is inside its frames ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stream:
    """A layer III stream of constant bit rate as LAME lays it out, where a frame's number tells its place.

    A frame has a whole number of bytes, so some have a byte of padding: never the first, and from then on whenever
    the stream would else fall behind its bit rate (`slot_lag` in LAME's encoder.c). rate: Hz; kbits: kbit/s in all.
    """

    rate: int
    channels: int
    kbits: int

    @property
    def samples(self) -> int:
        """Per channel, of one frame."""
        return 1152 if self.rate >= 32_000 else 576

    @property
    def period(self) -> int:
        """Frames after which the pattern of padding repeats: a stream may begin at a multiple of it in another."""
        return self.rate // math.gcd(self.samples * 125 * self.kbits, self.rate)

    @property
    def side_bytes(self) -> int:
        """Of the side information."""
        return {(1152, 1): 17, (1152, 2): 32, (576, 1): 9}.get((self.samples, self.channels), 17)

    def offset(self, frame: int) -> int:
        """Bytes of the frames before this one."""
        size, lag = divmod(self.samples * 125 * self.kbits, self.rate)
        return frame * size - ((1 - frame) * lag // self.rate if frame else 0)

    def fills(self, file: IO[bytes], frames: int) -> bool:
        """Whether a file holds, from where it stands to its end, exactly so many frames of this stream.

        It is read in pieces of whole periods of the padding. In each, the headers of the same phase of the period are
        looked at together, a byte of all of them at a time.
        """
        left, mode = self.offset(frames), b""
        version = 1 if self.samples == 1152 else 2
        kbits, rate = _kbits(version, 3).index(self.kbits), _MPEG1_RATES.index(self.rate * version)
        stride = self.offset(self.period + 1) - self.offset(1)
        while piece := file.read(max(1, _PIECE // stride) * stride):
            left -= len(piece)
            if len(piece) < 4:
                return False
            # The mode's extension (middle and side, intensity) changes with the frame.
            mode = mode or bytes(piece[3] & 0xCF | extension << 4 for extension in range(4))
            for phase in range(self.period):
                at = self.offset(phase)
                padding = self.offset(phase + 1) - at - self.offset(1)
                begin = (0xFF, 0xFB if version == 1 else 0xF3, kbits << 4 | rate << 2 | padding << 1)
                for byte, allowed in enumerate((*(bytes([value]) for value in begin), mode)):
                    if piece[at + byte :: stride].strip(allowed):
                        return False
        return left == 0 < frames


@dataclass(frozen=True, slots=True)
class Body:
    """What a decoder makes sound of in a frame, wherever its bytes are in the stream.

    header: without the bit for padding. reservoir: main_data_begin, by how many bytes the main data begins before
    the frame. side: the rest of the side information. main: the main data up to its last bit; None where it begins
    before what was read. What fills the frame up behind its main data is no part of it.
    """

    header: int
    reservoir: int
    side: int
    main: int | None


class Bodies:
    """Reads the frames of a stream one after another, from a file that may still be growing.

    The file begins with an ID3v2 tag and an Info frame, as ffmpeg writes them. start: the number that its first frame
    has in the whole stream, a multiple of its period. first: the number of the first frame that is read.
    """

    def __init__(self, stream: Stream, start: int, first: int) -> None:
        self._stream = stream
        self._start = start
        self._frame = first
        self._data = b""  # of the next frame
        self._slots = b""  # what the frames before have room for main data in

    def ready(self, file: IO[bytes]) -> bool:
        """Whether the next frame is all there."""
        if not self._data:
            info_frame = frame(os.pread(file.fileno(), 4, len(EMPTY_ID3)))
            if info_frame is None:
                return False
            head = len(EMPTY_ID3) + info_frame.size - self._stream.offset(self._start)
            begin, end = (head + self._stream.offset(number) for number in (self._frame, self._frame + 1))
            data = os.pread(file.fileno(), end - begin, begin)
            self._data = data if len(data) == end - begin else b""
        return bool(self._data)

    def next(self) -> Body:
        """Take the next frame, which must be `ready`. Raises ValueError where it is none of this stream."""
        data, self._data = self._data, b""
        found = frame(data[:4])
        if found is None or found.layer != 3 or found.size != len(data) or not data[1] & 1:
            raise ValueError(f"frame {self._frame} begins with {data[:4].hex()}")
        self._frame += 1
        return self._body(data)

    def _body(self, data: bytes) -> Body:
        """Take a frame apart (ISO/IEC 11172-3 and 13818-3, 2.4.1.7: side information)."""
        bits, width = int.from_bytes(data[4 : 4 + self._stream.side_bytes], "big"), 8 * self._stream.side_bytes
        channels = self._stream.channels
        if self._stream.samples == 1152:
            begin_bits, private, granules, size = 9, 5 if channels == 1 else 3, 2, 59
            first = begin_bits + private + 4 * channels
        else:
            begin_bits, private, granules, size = 8, channels, 1, 63
            first = begin_bits + private
        reservoir = bits >> width - begin_bits
        # part2_3_length is what the description of a granule of a channel begins with.
        length = sum(bits >> width - (first + size * granule + 12) & 0xFFF for granule in range(granules * channels))
        slot = data[4 + self._stream.side_bytes :]
        main = None
        if reservoir <= len(self._slots):
            own = self._slots[len(self._slots) - reservoir :] + slot
            if length > 8 * len(own):
                raise ValueError(f"frame {self._frame - 1} has main data of {length} bits")
            main = int.from_bytes(own[: -(-length // 8)], "big") >> -length % 8
        self._slots = (self._slots + slot)[-512:]
        header = int.from_bytes(data[:4], "big") & ~0x200
        return Body(header, reservoir, bits & (1 << width - begin_bits) - 1, main)


# --- The Info frame --------------------------------------------------------------------------------------------------

# What ffmpeg puts before it: an empty ID3v2.4 tag. It stays, since programs recognise an MP3 of few frames by it.
EMPTY_ID3 = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)

_TAG_BYTES = 156  # of the Xing header with LAME's extension


@dataclass(frozen=True, slots=True)
class Info:
    """The Info (Xing) frame that ffmpeg's mp3 muxer writes first, with LAME's delay and padding in samples.

    size: of this frame. frames: those that follow it. samples: per channel, of one frame. crc: CRC-16 of all of them.
    """

    size: int
    frames: int
    samples: int
    delay: int
    padding: int
    crc: int

    def holds(self, samples: int) -> bool:
        """Whether what plays, without delay and padding, is exactly so many samples per channel.

        LAME pads by up to 575 samples and a frame, and the muxer can write down 529 and a frame.
        """
        padding = self.frames * self.samples - self.delay - samples
        return padding >= 0 and self.padding == min(padding, self.samples + 529)


def whole(path: Path, stream: Stream) -> Info | None:
    """The Info frame of an MP3 file that is whole: a tag, the Info frame, and to the byte as many frames as it says.

    None where it is not, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = info(file.read(4096)) if file.read(len(EMPTY_ID3)) == EMPTY_ID3 else None
            file.seek(len(EMPTY_ID3) + found.size if found else 0)
            return found if found and stream.fills(file, found.frames) else None
    except OSError:
        return None


def info(data: bytes) -> Info | None:
    """The Info frame at the very start of an MP3, or None. Layout: the Xing VBR header, then LAME's extension."""
    found = frame(data[:4])
    if found is None or found.layer != 3:
        return None
    tag = data[_tag_offset(found) :][:_TAG_BYTES]
    if len(tag) < _TAG_BYTES or tag[:4] not in (b"Info", b"Xing"):
        return None
    flags, frames = struct.unpack(">II", tag[4:12])
    if flags != 0xF:  # ffmpeg writes all four fields: frames, bytes, seek table, quality
        return None
    delay_padding, (crc,) = int.from_bytes(tag[141:144], "big"), struct.unpack(">H", tag[152:154])
    return Info(found.size, frames, found.samples, delay_padding >> 12, delay_padding & 0xFFF, crc)


def _tag_offset(found: Frame) -> int:
    return 4 + {(1, 1): 17, (1, 2): 32}.get((found.version, found.channels), 9 if found.channels == 1 else 17)


def info_frame(template: bytes, stream: Stream, frames: int, padding: int, crc: int) -> bytes:
    """The Info frame of `frames` frames, to the byte what ffmpeg's mp3 muxer (mp3enc.c) writes when it ends a stream.

    template: the Info frame of a stream of the same encoder. padding: samples. crc: of the frames.
    """
    found = frame(template[:4])
    assert found is not None  # noqa: S101
    at, head = _tag_offset(found), len(template)
    size = head + stream.offset(frames)
    # The muxer notes the size at every frame, and at every second one of those noted whenever these are 400.
    step = 1
    while frames // step >= 400:
        step *= 2
    noted = frames // step
    table = [min(255, 256 * (head + stream.offset((part * noted // 100 + 1) * step)) // size) for part in range(1, 100)]
    made = bytearray(template)
    made[at + 8 : at + 116] = struct.pack(">II", frames, size & 0xFFFFFFFF) + bytes([0, *table])
    delay = int.from_bytes(made[at + 141 : at + 144], "big") >> 12
    made[at + 141 : at + 144] = (delay << 12 | padding).to_bytes(3, "big")
    made[at + 148 : at + 156] = struct.pack(">IHH", size & 0xFFFFFFFF, crc, 0)
    made[at + 154 : at + 156] = struct.pack(">H", crc16(bytes(made[:190]).ljust(190, b"\0")))
    return bytes(made)


# --- CRC-16 ----------------------------------------------------------------------------------------------------------

_CRC16 = 0xA001  # x^16 + x^15 + x^2 + 1, the lowest bit being the highest power; that of LAME's tag


def crc16(data: bytes, crc: int = 0) -> int:
    """The CRC-16 of `data`, behind data that has `crc`."""
    table = _crc16_table()
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc


@cache
def _crc16_table() -> tuple[int, ...]:
    return tuple(_crc16_times(value, 0x80) for value in range(256))  # 0x80 is x^8: each value, one byte on


def crc16_shift(crc: int, count: int) -> int:
    """What a CRC becomes when `count` zero bytes follow; where `count` is negative, what it was before those.

    So crc16(a + b) is crc16_shift(crc16(a), len(b)) ^ crc16(b), which is solved for either part as well.
    """
    # Multiplied by x to the power of 8 * count. The powers repeat after 2^15 - 1, the order of x.
    power, factor = 8 * count % 0x7FFF, 0x4000
    while power:
        if power & 1:
            crc = _crc16_times(crc, factor)
        factor, power = _crc16_times(factor, factor), power >> 1
    return crc


def _crc16_times(one: int, other: int) -> int:
    """The product of two polynomials, modulo the CRC's."""
    product = 0
    for bit in range(15, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = other >> 1 ^ (_CRC16 if other & 1 else 0)
    return product
