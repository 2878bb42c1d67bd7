"""WAV files as nobody should write them, for Hypothesis: each part is right most of the time, and then wrong."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, replace
from typing import TypeVar

from hypothesis import strategies as st

from records.audio.riff import Order
from tests.fuzz.sparse import Piece, SparseFile
from tests.support.wavs import ALAW, EXTENSIBLE, FLOAT, GSM, IMA_ADPCM, MS_ADPCM, MULAW, PCM, adpcm_fmt, fmt

BOUNDARIES = (0, 1, 2, 3, 7, 8, 9, *(base + step for base in (1 << 31, 1 << 32) for step in (-2, -1, 0, 1, 2)))
SIZES = tuple(size for size in BOUNDARIES if size < 1 << 32)  # those that 32 bits can declare
NAMES = (b"LIST", b"JUNK", b"bext", b"fact", b"ID3 ", b"cue ", b"qwer", b"\xff\xfe\0\1", b"fmt ", b"data", b"ds64")
A = TypeVar("A")
B = TypeVar("B")
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def mostly(right: st.SearchStrategy[A], wrong: st.SearchStrategy[B]) -> st.SearchStrategy[A | B]:
    """Right 23 times out of 24. (Hypothesis likes the ends of a range of integers better than its middle.)"""
    return st.sampled_from(range(24)).flatmap(lambda dice: wrong if dice == 13 else right)


@dataclass(frozen=True)
class Part:
    """A chunk. declared: its size where it is wrong, else None. padded: whether an odd one has its pad byte."""

    name: bytes
    body: tuple[Piece, ...]
    declared: int | None = None
    padded: bool = True

    @property
    def length(self) -> int:
        return sum(piece if isinstance(piece, int) else len(piece) for piece in self.body)

    @property
    def size(self) -> int:
        """What its header says."""
        return min(self.length, 0xFFFFFFFF) if self.declared is None else self.declared

    def pieces(self, order: str) -> tuple[Piece, ...]:
        pad = b"\0" if self.length % 2 and self.padded else b""
        return (self.name + struct.pack(order + "I", self.size), *self.body, pad)


@st.composite
def parts(draw: st.DrawFn, name: bytes, body: tuple[Piece, ...]) -> Part:
    part = Part(name, body)
    near = (part.length + step for step in (-2, -1, 1, 2, 8))
    lie = st.sampled_from([*SIZES, *(size for size in near if 0 <= size < 1 << 32)])
    return Part(name, body, draw(mostly(st.none(), lie)), draw(mostly(st.just(True), st.just(False))))


@dataclass(frozen=True)
class Made:
    """A file, and what is known of it."""

    file: SparseFile
    magic: bytes
    chunks: tuple[Part, ...]
    ds64_data: int | None

    @property
    def order(self) -> Order:
        return "big" if self.magic == b"RIFX" else "little"

    @property
    def ds64_lies(self) -> bool:
        """Whether the size of the ds64 chunk is wrong: what follows it is then met elsewhere, or not at all."""
        return any(part.name == b"ds64" and part.declared is not None for part in self.chunks)

    @property
    def nested(self) -> bool:
        """Whether a LIST, which holds no chunks but its own kind's, has a data chunk inside."""
        return any(part.name == b"LIST" and b"data" in bytes(part.body[0]) for part in self.chunks)

    @property
    def ds64_overruled(self) -> bool:
        """Whether a data chunk has a size of its own, and that in ds64 is another."""
        own = {part.size for part in self.chunks if part.name == b"data"} - {0, 0xFFFFFFFF, self.ds64_data}
        return self.magic == b"RF64" and bool(own)


@st.composite
def formats(draw: st.DrawFn, order: str) -> tuple[bytes, int]:
    """The body of a `fmt ` chunk, and the bytes of a block."""
    tag = draw(st.sampled_from([PCM, PCM, PCM, FLOAT, ALAW, MULAW, MS_ADPCM, IMA_ADPCM, GSM]))
    tag = draw(mostly(st.just(tag), st.integers(0, 0xFFFF)))
    rate = draw(
        mostly(st.sampled_from([8000, 44100, 48000]), st.sampled_from([0, 1, 999, 1000, 384000, 384001, *SIZES]))
    )
    channels = draw(mostly(st.integers(1, 8), st.sampled_from([0, 9, 255, 1024, 1025, 65535])))
    if tag in (MS_ADPCM, IMA_ADPCM):
        channels = min(channels, 2) or 1
        align = draw(st.sampled_from([64, 256, 512])) * channels
        body = adpcm_fmt(tag, channels, align, rate=min(rate, 0xFFFFFFF0))[8:]
        return (body if order == "<" else body[:16]), align
    if tag == GSM:
        return fmt(GSM, rate=rate, bits=0, align=65, byte_rate=0, extra=b"\x40\1", order=order)[8:], 65
    right = {FLOAT: (32, 64), ALAW: (8,), MULAW: (8,)}.get(tag, (8, 16, 24, 32))
    bits = draw(mostly(st.sampled_from(right), st.integers(0, 70)))
    align = channels * ((bits + 7) // 8)
    said = draw(mostly(st.just(align), st.integers(0, 40))) & 0xFFFF
    byte_rate = draw(mostly(st.just(rate * align & 0xFFFFFFFF), st.sampled_from(SIZES)))
    if draw(st.booleans()):
        return fmt(tag, channels=channels, rate=rate, bits=bits, align=said, byte_rate=byte_rate, order=order)[
            8:
        ], align
    valid = draw(mostly(st.just(bits), st.integers(0, 70)))
    guid = draw(mostly(st.just(struct.pack("<H", tag) + _GUID_TAIL), st.just(bytes(range(16)))))
    if order == ">":
        guid = guid[1::-1] + b"\0\0\0\0\0\x10" + guid[8:]
    extra = (
        struct.pack(order + "HI", valid, draw(st.sampled_from([0, (1 << min(channels, 18)) - 1, 0x80000000]))) + guid
    )
    body = fmt(
        EXTENSIBLE, channels=channels, rate=rate, bits=bits, align=said, byte_rate=byte_rate, extra=extra, order=order
    )
    return body[8:], align


@st.composite
def sound(draw: st.DrawFn, align: int) -> tuple[Piece, ...]:
    """Blocks of noise, or as many zeros behind some as bring the size to a boundary of 32 bits."""
    blocks = draw(st.integers(0, 40))
    rest = draw(mostly(st.just(0), st.integers(0, max(0, align - 1))))
    noise = random.Random(draw(st.integers(0, 9))).randbytes(min(blocks * align + rest, 20_000))
    size = draw(mostly(st.just(0), st.sampled_from([size for size in BOUNDARIES if size > 1 << 20])))
    return (noise, size - len(noise)) if size else (noise,)


@st.composite
def other_chunks(draw: st.DrawFn, order: str) -> Part:
    """A chunk around the others: anything, chunks inside of it, one that reaches into the next, a duplicate."""
    name = draw(mostly(st.sampled_from(NAMES[:8]), st.sampled_from(NAMES)))
    inner = draw(
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from(
                [b"data\4\0\0\0\1\2\3\4", b"INFOfmt \x10\0\0\0" + fmt()[8:], fmt()[8:], bytes(28), bytes(600)]
            ),
        )
    )
    large = draw(mostly(st.just(()), st.sampled_from([(size,) for size in (1 << 16, 1 << 20, *BOUNDARIES[-9:-5])])))
    return draw(parts(name, (inner, *large)))


@st.composite
def wav_files(draw: st.DrawFn) -> Made:
    magic = draw(st.sampled_from([*[b"RIFF"] * 6, b"RIFX", b"RIFX", b"RF64", b"RF64", b"BW64"]))
    order = ">" if magic == b"RIFX" else "<"
    form, align = draw(formats(order))
    data = draw(parts(b"data", draw(sound(max(1, min(align, 1 << 12))))))
    others = draw(st.lists(other_chunks(order), max_size=4))
    place = draw(st.integers(0, len(others)))
    chunks = [*others[:place], draw(parts(b"fmt ", (form,))), *others[place:]]
    chunks.insert(draw(mostly(st.integers(place + 1, len(chunks)), st.integers(0, len(chunks)))), data)
    riff_size = 4 + sum(8 + part.length + part.length % 2 for part in chunks)
    ds64_data = None
    if magic in (b"RF64", b"BW64"):
        large = st.sampled_from((*BOUNDARIES, (1 << 64) - 1))
        sizes = [draw(mostly(st.just(size), large)) for size in (riff_size, data.length, 0)]
        chunks.insert(0, draw(parts(b"ds64", (struct.pack("<QQQI", *sizes, 0),))))
        riff_size, ds64_data = 0xFFFFFFFF, sizes[1]
        if data.declared is None and draw(st.booleans()):
            chunks[chunks.index(data)] = replace(data, declared=0xFFFFFFFF)
    said = draw(mostly(st.just(min(riff_size, 0xFFFFFFFF)), st.sampled_from(SIZES)))
    head = magic + struct.pack(order + "I", said) + draw(mostly(st.just(b"WAVE"), st.just(b"AVI ")))
    tail = draw(mostly(st.just(b""), st.binary(max_size=9)))
    pieces = [head, *(piece for part in chunks for piece in part.pieces(order)), tail]
    removed = draw(mostly(st.just(0), st.integers(1, 200)))
    return Made(SparseFile(*cut(pieces, removed)), magic, tuple(chunks), ds64_data)


def cut(pieces: list[Piece], removed: int) -> list[Piece]:
    """Without the last bytes."""
    kept = list(pieces)
    while kept and removed:
        last = kept.pop()
        length = last if isinstance(last, int) else len(last)
        left = max(0, length - removed)
        removed -= length - left
        if left:
            kept.append(left if isinstance(last, int) else last[:left])
    return kept
