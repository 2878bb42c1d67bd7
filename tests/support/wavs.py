"""WAV files made here, with the standard library alone: always the same bytes.

`cases()` has one file, or several, for each row of the contract's table of accepted audio, with the answer that is
right for it. `sample()` is a few seconds of music for whoever tries the service out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain

RATE, FRAMES = 8000, 2000  # of a case that is about something else: a quarter of a second
HERTZ, AMPLITUDE = 440.0, 0.5  # of its tone

PCM, MS_ADPCM, FLOAT, ALAW, MULAW, IMA_ADPCM, GSM, MPEG, MP3, EXTENSIBLE = (
    *(0x01, 0x02, 0x03, 0x06, 0x07, 0x11, 0x31, 0x50, 0x55),
    0xFFFE,
)
UNKNOWN = 0xFFFFFFFF

_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_MS_COEFFICIENTS = struct.pack("<14h", 256, 0, 512, -256, 0, 0, 192, 64, 240, 0, 460, -208, 392, -232)


@dataclass(frozen=True, slots=True)
class Case:
    """A file and its right answer.

    status: 201, 415 or 422. reason: `details.reason` of a 422. frames: samples per channel that are to be heard.
    tone: whether what is heard is the tone of HERTZ (else silence, or a sound that no encoder here can choose).
    """

    name: str
    data: bytes
    status: int = 201
    reason: str | None = None
    rate: int = RATE
    channels: int = 1
    frames: int = FRAMES
    truncated: bool = False
    tone: bool = True

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.rate


# --- Building blocks -------------------------------------------------------------------------------------------------


def chunk(name: bytes, body: bytes, *, size: int | None = None, order: str = "<", pad: bool = True) -> bytes:
    """A RIFF chunk. size: what is declared, where that is to differ from what is there."""
    declared = len(body) if size is None else size
    return name + struct.pack(order + "I", declared) + body + b"\0" * (len(body) % 2 if pad else 0)


def riff(*chunks: bytes, magic: bytes = b"RIFF", form: bytes = b"WAVE", size: int | None = None) -> bytes:
    """A RIFF file of these chunks."""
    body = form + b"".join(chunks)
    declared = len(body) if size is None else size
    return magic + struct.pack(">I" if magic == b"RIFX" else "<I", declared) + body


def fmt(
    tag: int = PCM,
    *,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    align: int | None = None,
    byte_rate: int | None = None,
    extra: bytes | None = None,
    order: str = "<",
) -> bytes:
    """A `fmt ` chunk: 16 bytes, or with cbSize and `extra` behind it."""
    align = channels * ((bits + 7) // 8) if align is None else align
    byte_rate = rate * align if byte_rate is None else byte_rate
    body = struct.pack(order + "HHIIHH", tag, channels, rate, byte_rate, align, bits)
    if extra is not None:
        body += struct.pack(order + "H", len(extra)) + extra
    return chunk(b"fmt ", body, order=order)


def extensible(
    tag: int = PCM,
    *,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    valid_bits: int | None = None,
    mask: int = 0,
    guid: bytes | None = None,
) -> bytes:
    """A `fmt ` chunk of WAVE_FORMAT_EXTENSIBLE."""
    guid = struct.pack("<H", tag) + _GUID_TAIL if guid is None else guid
    extra = struct.pack("<HI", bits if valid_bits is None else valid_bits, mask) + guid
    return fmt(EXTENSIBLE, channels=channels, rate=rate, bits=bits, extra=extra)


def tone(
    frames: int = FRAMES, rate: int = RATE, *, channels: int = 1, sounding: Iterable[int] | None = None
) -> list[float]:
    """A sine of HERTZ, channels interleaved; only those in `sounding` have it, where that is given."""
    heard = set(range(channels) if sounding is None else sounding)
    wave = [AMPLITUDE * math.sin(2 * math.pi * HERTZ * frame / rate) for frame in range(frames)]
    return [value if channel in heard else 0.0 for value in wave for channel in range(channels)]


def pcm(samples: Iterable[float], bits: int = 16, *, order: str = "<", container: int | None = None) -> bytes:
    """Whole numbers of `bits` in as many whole bytes (or `container` bits), at the high end; 8 bits are unsigned."""
    container = container or (bits + 7) // 8 * 8
    scale, shift, size = (1 << bits - 1) - 1, container - bits, container // 8
    values = (round(sample * scale) << shift for sample in samples)
    if container == 8:
        return bytes(value + 128 for value in values)
    return b"".join(value.to_bytes(size, "little" if order == "<" else "big", signed=True) for value in values)


def floats(samples: Sequence[float], bits: int = 32, *, order: str = "<") -> bytes:
    return struct.pack(f"{order}{len(samples)}{'f' if bits == 32 else 'd'}", *samples)


def mulaw(samples: Iterable[float]) -> bytes:
    """ITU-T G.711 µ-law."""

    def encode(sample: float) -> int:
        value = round(abs(sample) * 32635) + 132
        exponent = max(0, value.bit_length() - 8)
        return ~((0x80 if sample < 0 else 0) | exponent << 4 | (value >> exponent + 3) & 15) & 0xFF

    return bytes(map(encode, samples))


def alaw(samples: Iterable[float]) -> bytes:
    """ITU-T G.711 A-law."""

    def encode(sample: float) -> int:
        value = round(abs(sample) * 4095)
        segment = max(0, value.bit_length() - 5)
        return ((0 if sample < 0 else 0x80) | segment << 4 | (value >> max(1, segment)) & 15) ^ 0x55

    return bytes(map(encode, samples))


_IMA_STEPS = (
    *(7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97),
    *(107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796),
    *(876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428),
    *(4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385),
    *(24623, 27086, 29794, 32767),
)


def _ima_nibbles(samples: Sequence[int], index: int) -> tuple[list[int], int]:
    """The 4 bits of each sample after the first, and the step index that the next block begins with."""
    value, nibbles = samples[0], []
    for sample in samples[1:]:
        step, difference = _IMA_STEPS[index], abs(sample - value)
        nibble = min(7, difference * 4 // step)
        change = step >> 3
        change += (step if nibble & 4 else 0) + (step >> 1 if nibble & 2 else 0) + (step >> 2 if nibble & 1 else 0)
        negative = sample < value
        value = max(-32768, min(32767, value - change if negative else value + change))
        index = max(0, min(88, index + (-1, -1, -1, -1, 2, 4, 6, 8)[nibble]))
        nibbles.append(nibble | (8 if negative else 0))
    return nibbles, index


def _pairs(nibbles: Sequence[int]) -> bytes:
    """Two a byte, the first in the low half."""
    return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


def ima_adpcm(samples: Sequence[float], channels: int, align: int) -> bytes:
    """IMA ADPCM as WAV holds it: whole blocks of `align` bytes, the last filled up with silence."""
    frames = (align - 4 * channels) // (4 * channels) * 8 + 1
    blocks, indexes = [], [60] * channels
    for start in range(0, len(samples), frames * channels):
        block = [round(sample * 32767) for sample in samples[start : start + frames * channels]]
        block += [0] * (frames * channels - len(block))
        head, bodies = b"", []
        for channel in range(channels):
            first = block[channel]
            head += struct.pack("<hBB", first, indexes[channel], 0)
            nibbles, indexes[channel] = _ima_nibbles(block[channel::channels], indexes[channel])
            bodies.append(_pairs(nibbles))
        words = range(0, len(bodies[0]), 4)
        blocks.append(head + b"".join(body[word : word + 4] for word in words for body in bodies))
    return b"".join(blocks)


_MS_FIRST_DELTA = 1500  # of every block: what the tone needs
_MS_ADAPTATION = (230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230)


def _ms_nibbles(samples: Sequence[int]) -> list[int]:
    """The 4 bits of each sample after the first two, with the first predictor: the sample before."""
    value, delta, nibbles = samples[1], _MS_FIRST_DELTA, []
    for sample in samples[2:]:
        error = max(-8, min(7, round((sample - value) / delta)))
        value = max(-32768, min(32767, value + error * delta))
        delta = max(16, _MS_ADAPTATION[error & 15] * delta // 256)
        nibbles.append(error & 15)
    return nibbles


def ms_adpcm(samples: Sequence[float], channels: int, align: int) -> bytes:
    """Microsoft ADPCM: whole blocks of `align` bytes, the last filled up with silence."""
    frames = (align - 7 * channels) * 2 // channels + 2
    blocks = []
    for start in range(0, len(samples), frames * channels):
        block = [round(sample * 32767) for sample in samples[start : start + frames * channels]]
        block += [0] * (frames * channels - len(block))
        heads = [bytes(channels), struct.pack("<h", _MS_FIRST_DELTA) * channels]
        heads += [struct.pack(f"<{channels}h", *block[n * channels : (n + 1) * channels]) for n in (1, 0)]
        streams = [_ms_nibbles(block[channel::channels]) for channel in range(channels)]
        mixed = list(chain.from_iterable(zip(*streams, strict=True)))
        blocks.append(
            b"".join(heads) + bytes(high << 4 | low for high, low in zip(mixed[::2], mixed[1::2], strict=True))
        )
    return b"".join(blocks)


def adpcm_fmt(tag: int, channels: int, align: int, *, rate: int = RATE, bits: int = 4) -> bytes:
    """The `fmt ` chunk of MS or IMA ADPCM, with the samples of a block and MS's coefficients."""
    if tag == MS_ADPCM:
        extra = struct.pack("<HH", (align - 7 * channels) * 2 // channels + 2, 7) + _MS_COEFFICIENTS
    else:
        extra = struct.pack("<H", (align - 4 * channels) // (4 * channels) * 8 + 1)
    return fmt(tag, channels=channels, rate=rate, bits=bits, align=align, byte_rate=rate // 2 * channels, extra=extra)


def mpeg_frames(header: str, size: int, count: int) -> bytes:
    """Frames of MPEG audio that hold silence: all that follows the header is 0, so nothing is allotted any bits."""
    return (bytes.fromhex(header) + bytes(size - 4)) * count


def wav(head: bytes, data: bytes, *, before: bytes = b"", after: bytes = b"", size: int | None = None) -> bytes:
    """RIFF, a `fmt ` chunk, other chunks, the data (declared as `size`), other chunks."""
    return riff(head, before, chunk(b"data", data, size=size), after)


@cache
def sample(seconds: float = 4.0, rate: int = 44100) -> bytes:
    """A stereo WAV file that is pleasant to hear: a chord, broken upwards, each note ringing out on its own side."""
    notes = (220.0, 277.18, 329.63, 440.0, 554.37, 659.26, 880.0)
    left, right = [0.0] * int(seconds * rate), [0.0] * int(seconds * rate)
    for number, hertz in enumerate(notes):
        start, pan = int(number * 0.28 * rate), number / (len(notes) - 1)
        for frame in range(start, len(left)):
            time = (frame - start) / rate
            ring = min(1.0, time * 200) * math.exp(-time * 1.8)
            value = ring * (math.sin(math.tau * hertz * time) + 0.3 * math.sin(2 * math.tau * hertz * time))
            left[frame] += 0.3 * (1 - pan / 2) * value
            right[frame] += 0.3 * (0.5 + pan / 2) * value
    fade = int(0.3 * rate)
    samples = [
        value * min(1.0, (len(left) - frame) / fade)
        for frame, pair in enumerate(zip(left, right, strict=True))
        for value in pair
    ]
    return wav(fmt(channels=2, rate=rate), pcm(samples))


# --- The contract's table --------------------------------------------------------------------------------------------


@cache
def cases() -> tuple[Case, ...]:
    """Files for each row of the contract's table."""
    return (
        *_codecs(),
        *_adpcm(),
        *_mpeg(),
        *_containers(),
        *_metadata(),
        *_channels_and_rates(),
        *_lengths(),
        *_not_wav(),
        *_other_codecs(),
        *_nothing_to_play(),
        *_wrong_forms(),
    )


def _codecs() -> Iterable[Case]:
    mono, stereo = tone(), tone(channels=2)
    for bits in (8, 12, 16, 20, 24, 32, 64):
        yield Case(f"pcm-{bits}", wav(fmt(bits=bits), pcm(mono, bits)))
    yield Case("pcm-16-stereo", wav(fmt(channels=2), pcm(stereo)), channels=2)
    for bits in (32, 64):
        yield Case(f"float-{bits}", wav(fmt(FLOAT, bits=bits, extra=b""), floats(mono, bits)))
        yield Case(f"float-{bits}-extensible", wav(extensible(FLOAT, bits=bits), floats(mono, bits)))
    for bits in (8, 16, 24, 32):
        yield Case(f"pcm-{bits}-extensible", wav(extensible(bits=bits), pcm(mono, bits)))
    for valid, bits in ((12, 16), (20, 24), (24, 32), (16, 32)):
        head = extensible(bits=bits, valid_bits=valid)
        yield Case(f"pcm-{valid}-in-{bits}-extensible", wav(head, pcm(mono, valid, container=bits)))
    yield Case("alaw", wav(fmt(ALAW, bits=8, extra=b""), alaw(mono)))
    yield Case("mulaw", wav(fmt(MULAW, bits=8, extra=b""), mulaw(mono)))
    yield Case("mulaw-extensible", wav(extensible(MULAW, bits=8), mulaw(mono)))
    yield Case("alaw-that-says-16-bits", wav(fmt(ALAW, bits=16, align=1), alaw(mono)))
    for align, name in ((0, "no-block"), (1, "mono-block")):
        yield Case(f"pcm-16-stereo-{name}", wav(fmt(channels=2, align=align), pcm(stereo)), channels=2)
    yield Case("pcm-that-says-0-bits", wav(fmt(bits=0, align=2), pcm(mono)))
    yield Case("pcm-24-block-of-4", wav(fmt(bits=24, align=4, byte_rate=3 * RATE), pcm(mono, 24)))
    wild = [*tone(), math.nan, math.inf, -math.inf, 3e38]
    yield Case("float-32-not-a-number", wav(fmt(FLOAT, bits=32), floats(wild)), frames=FRAMES + 4)
    loud = [sample * 5 for sample in mono]
    yield Case("float-32-too-loud", wav(fmt(FLOAT, bits=32), floats(loud)), tone=False)


def _adpcm() -> Iterable[Case]:
    fact = chunk(b"fact", struct.pack("<I", FRAMES))
    for channels in (1, 2):
        samples = tone(channels=channels)
        for tag, name, align, encode in (
            (MS_ADPCM, "ms-adpcm", 256 * channels, ms_adpcm),
            (IMA_ADPCM, "ima-adpcm", 256 * channels, ima_adpcm),
        ):
            head, data = adpcm_fmt(tag, channels, align), encode(samples, channels, align)
            block = {MS_ADPCM: 500, IMA_ADPCM: 505}[tag]
            whole = len(data) // align * block
            base = f"{name}-{channels}"
            yield Case(base, wav(head, data, before=fact), channels=channels)
            yield Case(f"{base}-no-fact", wav(head, data), channels=channels, frames=whole)
            liar = chunk(b"fact", struct.pack("<I", 1))
            yield Case(f"{base}-fact-lies", wav(head, data, before=liar), channels=channels, frames=whole)
            counted = chunk(b"fact", struct.pack("<I", block))
            part = data[: align + align // 2]
            yield Case(f"{base}-part-not-counted", wav(head, part, before=counted), channels=channels, frames=block)
            cut = data[: -align // 2]
            rest = {MS_ADPCM: 244, IMA_ADPCM: 249}[tag]
            yield Case(f"{base}-cut-block", wav(head, cut), channels=channels, frames=whole - block + rest)
    plain = fmt(MS_ADPCM, bits=4, align=256)
    yield Case("ms-adpcm-no-coefficients", wav(plain, ms_adpcm(tone(), 1, 256), before=fact))
    gsm = fmt(GSM, bits=0, align=65, byte_rate=1625, extra=struct.pack("<H", 320))
    yield Case("gsm", wav(gsm, bytes(range(65)) * 7), frames=7 * 320, tone=False)
    yield Case("gsm-cut-block", wav(gsm, bytes(range(65)) * 7 + bytes(40)), frames=7 * 320, tone=False)


def _mpeg() -> Iterable[Case]:
    for name, tag, header, size, samples, rate, channels in (
        ("mp3-mono", MP3, "fffb10c4", 104, 1152, 44100, 1),
        ("mp3-stereo", MP3, "fffb9464", 384, 1152, 48000, 2),
        ("mp3-mpeg2", MP3, "fff340c4", 104, 576, 22050, 1),
        ("mp3-mpeg2.5", MP3, "ffe348c4", 288, 576, 8000, 1),
        ("mp2", MPEG, "fffd80c4", 417, 1152, 44100, 1),
        ("mp1", MPEG, "ffff48c4", 192, 384, 32000, 1),
    ):
        head = fmt(tag, channels=channels, rate=rate, bits=0, align=1, byte_rate=8000, extra=bytes(12))
        case = Case(name, b"", rate=rate, channels=channels, frames=20 * samples, tone=False)
        data = mpeg_frames(header, size, 20)
        yield replace(case, data=wav(head, data))
        yield replace(case, name=f"{name}-cut-frame", data=wav(head, data + data[: size // 2]))
        cover = b"ID3\4\0\0\0\5\0\0" + data[:4] * (5 << 12)
        yield replace(case, name=f"{name}-behind-id3", data=wav(head, cover + data))
        yield replace(case, name=f"{name}-in-junk", data=wav(head, b"ID3junk" + data + b"TAG" + bytes(125)))


def _containers() -> Iterable[Case]:
    def ds64(data: int, *, rows: Sequence[tuple[bytes, int]] = ()) -> bytes:
        table = b"".join(name + struct.pack("<Q", size) for name, size in rows)
        return chunk(b"ds64", struct.pack("<QQQI", 0, data, 0, len(rows)) + table)

    for bits in (8, 16, 24, 32):
        head, data = fmt(bits=bits, order=">"), chunk(b"data", pcm(tone(), bits, order=">"), order=">")
        yield Case(f"rifx-pcm-{bits}", riff(head, data, magic=b"RIFX"))
    data, size = pcm(tone()), 2 * FRAMES
    for magic in (b"RF64", b"BW64"):
        body = chunk(b"data", data, size=UNKNOWN)
        name = magic.decode().lower()
        after = chunk(b"LIST", bytes(4))
        yield Case(name, riff(ds64(size), fmt(), body, after, magic=magic, size=UNKNOWN))
        junk = chunk(b"axml", b"<a/>", size=UNKNOWN)
        table = ds64(size, rows=[(b"axml", 4)])
        yield Case(f"{name}-table", riff(table, fmt(), junk, body, magic=magic, size=UNKNOWN))
        yield Case(f"{name}-ds64-empty", riff(ds64(0), fmt(), body, magic=magic, size=UNKNOWN))
        yield Case(f"{name}-ds64-late", riff(fmt(), ds64(size), body, after, magic=magic, size=UNKNOWN))
        yield Case(f"{name}-no-ds64", riff(fmt(), chunk(b"data", data), magic=magic))
        short = riff(ds64(size + 2000), fmt(), body, magic=magic, size=UNKNOWN)
        yield Case(f"{name}-cut", short, truncated=True)
    yield Case("riff-with-ds64", riff(ds64(size), fmt(), chunk(b"data", data, size=UNKNOWN), chunk(b"LIST", bytes(4))))


def _metadata() -> Iterable[Case]:
    data = pcm(tone())
    body = chunk(b"data", data)
    tags = chunk(b"LIST", b"INFOINAM" + struct.pack("<I", 6) + b"A name")
    extras = b"".join(
        chunk(name, bytes(size))
        for name, size in ((b"bext", 602), (b"iXML", 301), (b"ID3 ", 33), (b"cue ", 28), (b"smpl", 36), (b"JUNK", 92))
    )
    yield Case("metadata-before", wav(fmt(), data, before=tags + extras))
    yield Case("metadata-after", wav(fmt(), data, after=tags + extras))
    yield Case("metadata-first", riff(extras, tags, fmt(), body))
    yield Case("unpadded-chunk", riff(chunk(b"LIST", b"INFOxyz", pad=False), fmt(), body))
    yield Case("unpadded-chunk-unknown", riff(fmt(), chunk(b"qwer", b"123", pad=False), body))
    yield Case("data-before-fmt", riff(body, fmt()))
    odd = pcm(tone(), 8)[:-1]
    yield Case("odd-data-before-fmt", riff(chunk(b"data", odd, pad=False), fmt(bits=8)), frames=FRAMES - 1)
    yield Case("two-fmt", riff(fmt(), fmt(channels=2, rate=48000), body))
    yield Case("empty-data-first", riff(fmt(), chunk(b"data", b""), body))
    yield Case("bytes-after", wav(fmt(), data) + b"trailing bytes")
    yield Case("zeros-between", riff(fmt(), bytes(512), body))
    yield Case("many-chunks", riff(chunk(b"note", b"") * 9000, fmt(), body))
    yield Case("riff-size-0", riff(fmt(), body, size=0))
    yield Case("riff-size-unknown", riff(fmt(), body, size=UNKNOWN))
    yield Case("id3-before-riff", b"ID3\x04\0\0\0\0\x01\x00" + bytes(128) + wav(fmt(), data))
    yield Case("fmt-18", riff(fmt(extra=b""), body))
    yield Case("fmt-20", riff(fmt(extra=b"\0\0"), body))
    yield Case("fmt-19", riff(chunk(b"fmt ", fmt(extra=b"\0")[8:27]), body))
    yield Case("fmt-40-of-pcm", riff(chunk(b"fmt ", fmt(extra=b"")[8:] + bytes(22)), body))
    yield Case("fmt-14", riff(chunk(b"fmt ", fmt()[8:22]), body))


def _channels_and_rates() -> Iterable[Case]:
    for channels in range(3, 9):
        heard = range(channels)
        mask = (1 << channels) - 1
        yield Case(f"channels-{channels}", wav(fmt(channels=channels), pcm(tone(channels=channels))), channels=channels)
        data = pcm(tone(channels=channels))
        yield Case(f"channels-{channels}-mask", wav(extensible(channels=channels, mask=mask), data), channels=channels)
        for one in heard:
            data = pcm(tone(channels=channels, sounding=[one]))
            yield Case(f"channels-{channels}-only-{one}", wav(fmt(channels=channels), data), channels=channels)
    data = pcm(tone(channels=4, sounding=[3]))
    yield Case("channels-4-wrong-mask", wav(extensible(channels=4, mask=0x3), data), channels=4)
    yield Case("channels-4-top-mask", wav(extensible(channels=4, mask=0x3C000), data), channels=4)
    guid = bytes.fromhex("010000002107d3118644c8c1ca000000")
    data = pcm(tone(channels=4, sounding=[0, 2]))
    yield Case("b-format", wav(extensible(channels=4, guid=guid), data), channels=4)
    for rate in (1000, 1234, 11025, 16000, 22050, 32000, 37800, 44100, 48000, 88200, 96000, 192000, 384000):
        frames = rate // 4
        yield Case(f"rate-{rate}", wav(fmt(rate=rate), pcm(tone(frames, rate))), rate=rate, frames=frames)
    for rate in (8000, 44100, 384000):
        yield Case(f"one-sample-at-{rate}", wav(fmt(rate=rate), pcm([0.5])), rate=rate, frames=1, tone=False)
    yield Case("silence", wav(fmt(), bytes(2 * FRAMES)), tone=False)


def _lengths() -> Iterable[Case]:
    data = pcm(tone())
    for size, name in ((0, "0"), (UNKNOWN, "unknown")):
        yield Case(f"streamed-{name}", wav(fmt(), data, size=size))
    yield Case("cut", wav(fmt(), data, size=4 * len(data)), truncated=True)
    yield Case("cut-by-a-byte", wav(fmt(), data, size=len(data) + 1), truncated=True)
    yield Case("cut-in-a-sample", wav(fmt(), data)[:-1], truncated=True, frames=FRAMES - 1)
    stereo = pcm(tone(channels=2))
    yield Case("part-of-a-frame-more", wav(fmt(channels=2), stereo + b"\1\2"), channels=2)


def _not_wav() -> Iterable[Case]:
    short = pcm(tone(100))
    for name, data in (
        ("aiff", b"FORM\0\0\0\x2eAIFFCOMM" + bytes(38)),
        ("flac", b"fLaC\0\0\0\x22" + bytes(34)),
        ("mp3-file", mpeg_frames("fffb90c4", 417, 10)),
        ("mp3-file-id3", b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + mpeg_frames("fffb90c4", 417, 10)),
        ("ogg", b"OggS\0\2" + bytes(100)),
        ("mp4", b"\0\0\0\x20ftypM4A " + bytes(100)),
        ("zip", b"PK\3\4" + bytes(100)),
        ("playlist", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
        ("concat-list", b"ffconcat version 1.0\nfile secret.wav\n"),
        ("text", "Это не звук.\n".encode()),
        ("one-byte", b"\0"),
        ("riff-alone", b"RIFF"),
        ("avi", riff(fmt(), chunk(b"data", short), form=b"AVI ")),
        ("webp", riff(chunk(b"VP8 ", bytes(20)), form=b"WEBP")),
        ("rmid", riff(chunk(b"data", b"MThd"), form=b"RMID")),
        ("caf", b"caff\0\1\0\0desc" + bytes(40)),
        ("au", b".snd\0\0\0\x18" + bytes(40)),
        ("w64", bytes.fromhex("726966662e91cf11a5d628db04c10000") + bytes(100)),
    ):
        yield Case(name, data, status=415)


def _other_codecs() -> Iterable[Case]:
    short = pcm(tone(100))
    for tag in (0x0014, 0x0022, 0x0040, 0x0045, 0x0069, 0x00FF, 0x0161, 0x2000, 0x674F, 0xA106, 0xF1AC, 0x4143):
        yield Case(f"codec-{tag:04x}", wav(fmt(tag, extra=b"\0\0"), short), status=415)
    yield Case("codec-00ff-extensible", wav(extensible(0x00FF), short), status=415)
    yield Case("codec-of-unknown-guid", wav(extensible(guid=bytes(range(16))), short), status=415)


def _nothing_to_play() -> Iterable[Case]:
    data = pcm(tone(100))
    body, tags = chunk(b"data", data), chunk(b"LIST", b"INFO")
    for name, file, reason in (
        ("no-fmt", riff(body), "no_format"),
        ("no-chunks", riff(), "no_format"),
        ("no-data", riff(fmt()), "no_data"),
        ("no-data-but-tags", riff(fmt(), tags), "no_data"),
        ("empty", wav(fmt(), b""), "no_samples"),
        ("empty-with-tags", wav(fmt(), b"", after=tags), "no_samples"),
        ("cut-before-the-first-byte", wav(fmt(), b"", size=100), "no_samples"),
        ("part-of-a-sample", wav(fmt(channels=2), b"\1\2\3"), "no_samples"),
        ("part-of-a-gsm-block", wav(fmt(GSM, bits=0, align=65), bytes(64)), "no_samples"),
        ("empty-mp3", wav(fmt(MP3, bits=0, align=1), b""), "no_samples"),
        ("mp3-without-frames", wav(fmt(MP3, bits=0, align=1), data), "undecodable"),
        ("fmt-too-short", riff(chunk(b"fmt ", fmt()[8:20]), body), "bad_format"),
        ("extensible-too-short", riff(fmt(EXTENSIBLE, extra=b"\0\0"), body), "bad_format"),
        ("codec-0000", wav(fmt(0), data), "bad_format"),
        ("channels-0", wav(fmt(channels=0, align=2), data), "bad_channels"),
        ("channels-9", wav(fmt(channels=9), data), "bad_channels"),
        ("channels-14", wav(fmt(channels=14), data), "bad_channels"),
        ("channels-65535", wav(fmt(channels=65535, align=2), data), "bad_channels"),
        ("rate-0", wav(fmt(rate=0), data), "bad_sample_rate"),
        ("rate-999", wav(fmt(rate=999), data), "bad_sample_rate"),
        ("rate-384001", wav(fmt(rate=384001), data), "bad_sample_rate"),
        ("rate-4294967295", wav(fmt(rate=UNKNOWN, byte_rate=0), data), "bad_sample_rate"),
        ("too-many-chunks", riff(chunk(b"note", b"") * 10001, fmt(), body), "too_many_chunks"),
    ):
        yield Case(name, file, status=422, reason=reason)


def _wrong_forms() -> Iterable[Case]:
    samples = tone(100)
    low = b"".join(round(sample * 0x7FFFFF).to_bytes(4, "little", signed=True) for sample in samples)
    own = adpcm_fmt(MS_ADPCM, 1, 256).replace(_MS_COEFFICIENTS, bytes(28))
    big = chunk(b"data", bytes(1024), order=">")
    adpcm = bytes(4096)
    twelve, ten = (pcm([sample / 2**shift for sample in samples]) for shift in (4, 6))
    twenty = pcm([sample / 16 for sample in samples], 24)
    integers = [sample * 32767 for sample in samples]
    body = chunk(b"data", pcm(samples))
    for name, file, reason in (
        ("24-in-32", wav(fmt(bits=24, align=4), low), "unsupported_form"),
        ("24-in-32-low-end-extensible", wav(extensible(bits=32, valid_bits=24), low), "unsupported_form"),
        ("12-in-16-low-end", wav(fmt(bits=12), twelve), "unsupported_form"),
        ("12-in-16-low-end-extensible", wav(extensible(valid_bits=12), twelve), "unsupported_form"),
        ("10-in-16-low-end", wav(fmt(bits=10), ten), "unsupported_form"),
        ("20-in-24-low-end", wav(fmt(bits=20), twenty), "unsupported_form"),
        ("20-in-24-low-end-extensible", wav(extensible(bits=24, valid_bits=20), twenty), "unsupported_form"),
        ("float-32-of-16-bits", wav(fmt(FLOAT, bits=32), floats(integers)), "unsupported_form"),
        ("float-64-of-16-bits", wav(fmt(FLOAT, bits=64), floats(integers, 64)), "unsupported_form"),
        ("two-data", riff(fmt(), body, body), "several_data_chunks"),
        ("two-data-and-more", riff(fmt(), body, chunk(b"LIST", b"INFO"), body), "several_data_chunks"),
        ("pcm-40", wav(fmt(bits=40), bytes(500)), "unsupported_form"),
        ("pcm-that-says-0-bits-in-5", wav(fmt(bits=0, align=5), bytes(500)), "inconsistent_format"),
        ("cool-edit-float", wav(fmt(bits=32, extra=b"\1\0"), floats(samples)), "unsupported_form"),
        ("float-16", wav(fmt(FLOAT, bits=16), bytes(200)), "unsupported_form"),
        ("float-24", wav(fmt(FLOAT, bits=24), bytes(300)), "unsupported_form"),
        ("rifx-float", riff(fmt(FLOAT, bits=32, order=">"), big, magic=b"RIFX"), "unsupported_form"),
        ("rifx-adpcm", riff(fmt(IMA_ADPCM, bits=4, align=256, order=">"), big, magic=b"RIFX"), "unsupported_form"),
        ("mulaw-16-bits", wav(fmt(MULAW, bits=16), bytes(200)), "inconsistent_format"),
        ("ms-adpcm-own-coefficients", wav(own, adpcm), "unsupported_form"),
        ("ms-adpcm-3-channels", wav(fmt(MS_ADPCM, bits=4, channels=3, align=768), adpcm), "unsupported_form"),
        ("ima-adpcm-3-bits", wav(adpcm_fmt(IMA_ADPCM, 1, 256, bits=3), adpcm), "unsupported_form"),
        ("ima-adpcm-no-block", wav(fmt(IMA_ADPCM, bits=4, align=0), adpcm), "inconsistent_format"),
        ("gsm-stereo", wav(fmt(GSM, bits=0, channels=2, align=130), adpcm), "unsupported_form"),
        ("gsm-block-of-33", wav(fmt(GSM, bits=0, align=33), adpcm), "unsupported_form"),
    ):
        yield Case(name, file, status=422, reason=reason)
