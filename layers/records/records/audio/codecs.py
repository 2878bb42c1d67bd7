"""The codecs that are accepted: what the `fmt ` chunk of each says, and how its data decodes.

CODECS has a row for each. Adding one takes that row, its decoder in the recipe of layers/ffmpeg, a case in
tests/support/wavs.py and a word in the README.

Sources: mmreg.h, RFC 2361, and Microsoft's "Multiple Channel Audio Data and WAVE Files"; for B-format Martin Leese,
"File Format for B-Format", https://www.ambisonia.com/Members/mleese/file-format-for-b-format.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from records.audio import mpeg
from records.audio.riff import WINDOW, Data, Order, Reader, id3_size
from records.errors import UnplayableAudio, UnsupportedAudio

MAX_CHANNELS = 8
MIN_RATE, MAX_RATE = 1_000, 384_000  # Hz

_EXTENSIBLE = 0xFFFE
# The last 12 bytes of a GUID made of a format tag, {xxxxxxxx-0000-0010-8000-00AA00389B71}, and of a B-format's.
_TAG_GUID = bytes.fromhex("000010008000 00aa00389b71")
_TAG_GUID_BIG = bytes.fromhex("000000108000 00aa00389b71")
_B_FORMAT_GUID = bytes.fromhex("2107d3118644 c8c1ca000000")

_MS_COEFFICIENTS = struct.pack("<14h", 256, 0, 512, -256, 0, 0, 192, 64, 240, 0, 460, -208, 392, -232)


@dataclass(frozen=True, slots=True)
class Fmt:
    """The fields of WAVEFORMATEX and WAVEFORMATEXTENSIBLE. bits is the container's; valid_bits those that are used."""

    tag: int
    channels: int
    rate: int
    byte_rate: int
    align: int
    bits: int
    extra: bytes
    valid_bits: int = 0
    mask: int = 0
    b_format: bool = False

    @classmethod
    def parse(cls, body: bytes, order: Order) -> Fmt:
        if len(body) < 14:
            raise UnplayableAudio("bad_format", "The WAV file's 'fmt ' chunk is too short to say how to play it.")
        prefix = "<" if order == "little" else ">"
        fields = struct.unpack_from(prefix + "HHIIHHH", body.ljust(18, b"\0"))
        tag, channels, rate, byte_rate, align, bits, extra = fields
        plain = cls(tag, channels, rate, byte_rate, align, bits, body[18 : 18 + extra])
        if tag != _EXTENSIBLE:
            return plain
        if len(body) < 40:
            raise UnplayableAudio("bad_format", "The WAV file's 'fmt ' chunk is cut short: its codec is missing.")
        valid_bits, mask = struct.unpack_from(prefix + "HI", body, 18)
        tag, b_format = _subformat(body[24:40], order)
        bits = bits or valid_bits
        mask = mask if mask.bit_count() == channels and mask < 1 << 18 else 0
        own = body[40 : 18 + extra]
        return cls(tag, channels, rate, byte_rate, align, bits, own, min(valid_bits, bits), mask, b_format)


def _subformat(guid: bytes, order: Order) -> tuple[int, bool]:
    """The format tag in a SubFormat GUID, and whether it is ambisonic."""
    if guid[4:] == _TAG_GUID and order == "little":
        return int.from_bytes(guid[:4], "little"), False
    if guid[4:] in (_TAG_GUID, _TAG_GUID_BIG) and order == "big":
        # Writers of RIFX store the first field as 32 bits in either order, SoX as 16 bits with two bytes of padding
        # behind them. No tag that is accepted has a second byte, so the one that is not 0 is the tag.
        return (sum(guid[:4]) if guid[:4].count(0) == 3 else int.from_bytes(guid[:4], "big")), False
    if guid[4:] == _B_FORMAT_GUID and guid[:4] in (b"\x01\0\0\0", b"\x03\0\0\0"):
        return guid[0], True
    raise UnsupportedAudio("The WAV file's codec is not accepted. Save it again as 16-bit PCM and send that.")


def check_numbers(fmt: Fmt) -> None:
    """Raise UnplayableAudio where the number of channels or the sample rate is not possible."""
    if not 1 <= fmt.channels <= MAX_CHANNELS:
        raise UnplayableAudio(
            "bad_channels", f"The WAV file says it has {fmt.channels} channels; 1 to {MAX_CHANNELS} can be converted."
        )
    if not MIN_RATE <= fmt.rate <= MAX_RATE:
        raise UnplayableAudio(
            "bad_sample_rate",
            f"The WAV file says it has {fmt.rate} samples a second; {MIN_RATE} to {MAX_RATE} can be converted.",
        )


@dataclass(frozen=True, slots=True)
class Coding:
    """How the data decodes: ffmpeg's decoder, and blocks of `align` bytes that hold `block_frames` samples a channel.

    head: the least bytes of a block: a shorter one holds no samples. extra: what follows cbSize in our own `fmt `
    chunk. block_frames is 0 for MPEG audio, whose frames vary; flow is then its bytes a second, by the first frame.
    """

    codec: str
    tag: int
    bits: int
    align: int
    block_frames: int
    rate: int
    channels: int
    extra: bytes = b""
    head: int = 0
    flow: float = 0


def _wrong_form(message: str) -> UnplayableAudio:
    return UnplayableAudio("unsupported_form", message + " Save it again as 16-bit PCM and send that.")


def _inconsistent(message: str) -> UnplayableAudio:
    return UnplayableAudio("inconsistent_format", message + " Save it again as 16-bit PCM and send that.")


def _container(fmt: Fmt) -> int:
    """Bytes of one PCM sample.

    The number of bits decides, as in every reader; if it is 0, the block size does. A block that holds larger samples
    than the bits need (24 bits in 4 bytes, without WAVE_FORMAT_EXTENSIBLE) may be padded at either end, and the wrong
    guess is silence or noise: such a file is refused, unless the byte rate shows that the block size is wrong.
    """
    by_block = fmt.align // fmt.channels if fmt.align % fmt.channels == 0 else 0
    if fmt.bits == 0:
        if by_block not in (1, 2, 3, 4, 8) or fmt.byte_rate not in (0, fmt.rate * fmt.align):
            raise _inconsistent("The WAV file's header does not say how many bits a sample has.")
        return by_block
    by_bits = (fmt.bits + 7) // 8
    if by_bits < by_block <= 8 and fmt.byte_rate != fmt.rate * fmt.channels * by_bits:
        raise _wrong_form(f"The WAV file holds {fmt.bits}-bit samples in {by_block * 8} bits each.")
    return by_bits


def _pcm(fmt: Fmt, reader: Reader, data: Data, order: Order) -> Coding:
    width = _container(fmt)
    suffix = {1: "u8", 2: "s16", 3: "s24", 4: "s32", 8: "s64"}.get(width)
    if suffix is None:
        raise _wrong_form(f"The WAV file has {fmt.bits} bits a sample; 8, 16, 24, 32 and 64 can be converted.")
    if width == 4 and fmt.extra == b"\x01\0":
        # Cool Edit 96 wrote "16.8 float" under the tag of PCM.
        raise _wrong_form("The WAV file holds Cool Edit's 16.8 floating-point samples.")
    bits = fmt.valid_bits or fmt.bits
    if width > 1 and 0 < bits < 8 * width and _right_justified(reader, data, width, bits, order):
        raise _wrong_form(f"The WAV file holds {bits}-bit samples in the low bits of {8 * width}.")
    endian = "" if width == 1 else "le" if order == "little" else "be"
    return _linear(fmt, f"pcm_{suffix}{endian}", 8 * width)


def _right_justified(reader: Reader, data: Data, width: int, valid_bits: int, order: Order) -> bool:
    """Whether samples are in the low bits of their containers instead of the high ones, as the standard requires.

    Such a file would come out too quiet, 24 bits in 32 at a 256th of its loudness. Samples of the data show it: none
    uses the high bits, and some use the low ones.
    """
    low_bits = 0
    for piece in _looks(reader, data, width):
        for position in range(0, len(piece) - width + 1, width):
            sample = int.from_bytes(piece[position : position + width], order, signed=True)
            if not -(1 << valid_bits - 1) <= sample < 1 << valid_bits - 1:
                return False
            low_bits |= sample
    return low_bits & (1 << 8 * width - valid_bits) - 1 != 0


def _looks(reader: Reader, data: Data, width: int) -> Iterator[bytes]:
    """Three pieces of the data, of at most 4,096 samples each, beginning with whole samples."""
    for part in range(3):
        offset = data.offset + data.length * part // 3 // (width * MAX_CHANNELS) * width * MAX_CHANNELS
        yield reader.at(offset, min(4096 * width, data.offset + data.length - offset))


def _float(fmt: Fmt, reader: Reader, data: Data, _: Order) -> Coding:
    width = _container(fmt)
    if width not in (4, 8) or fmt.bits not in (0, 8 * width):
        raise _wrong_form(f"The WAV file has {fmt.bits}-bit floating-point samples; 32 and 64 can be converted.")
    if _as_integers(reader, data, width):
        raise _wrong_form("The WAV file holds floating-point samples far beyond 1.0, as if they were integers.")
    return _linear(fmt, f"pcm_f{8 * width}le", 8 * width)


def _as_integers(reader: Reader, data: Data, width: int) -> bool:
    """Whether floating-point samples have the range of integers, such as 16-bit ones: they would become clipped noise.

    A recording that is merely too loud stays below 8.0, 18 dB above full scale, except for a few samples.
    """
    seen = beyond = 0
    for piece in _looks(reader, data, width):
        count = len(piece) // width
        samples = struct.unpack(f"<{count}{'f' if width == 4 else 'd'}", piece[: count * width])
        sizes = [abs(sample) for sample in samples if sample and math.isfinite(sample)]
        seen += len(sizes)
        beyond += sum(size >= 8.0 for size in sizes)
    return beyond * 20 > seen


def _g711(fmt: Fmt, *_: object) -> Coding:
    """A-law and µ-law: a byte a sample. Some telephony programs write the 16 bits of the decoded sound there."""
    if fmt.bits != 8 and fmt.align != fmt.channels:
        raise _inconsistent(f"The WAV file's header says that A-law or µ-law samples have {fmt.bits} bits, not 8.")
    return _linear(fmt, CODECS[fmt.tag].decoders[0], 8)


def _linear(fmt: Fmt, codec: str, bits: int) -> Coding:
    """Samples of a fixed size, one after another."""
    return Coding(codec, fmt.tag, bits, fmt.channels * bits // 8, 1, fmt.rate, fmt.channels)


def _check_adpcm(fmt: Fmt, head: int) -> None:
    if fmt.channels > 2:
        raise _wrong_form(f"The WAV file holds {fmt.channels} channels of ADPCM; 1 and 2 can be converted.")
    if fmt.bits != 4:
        raise _wrong_form(f"The WAV file holds {fmt.bits}-bit ADPCM; 4-bit ADPCM can be converted.")
    if fmt.align <= head:
        raise _inconsistent(f"The WAV file's header says that ADPCM blocks have {fmt.align} bytes: too few for sound.")


def _ms_adpcm(fmt: Fmt, *_: object) -> Coding:
    """Microsoft ADPCM: 7 bytes a channel begin a block and hold 2 samples; then 4 bits a sample (RFC 2361, A.2)."""
    head = 7 * fmt.channels
    _check_adpcm(fmt, head)
    if fmt.extra[4:32] not in (b"", _MS_COEFFICIENTS):
        raise _wrong_form("The WAV file holds MS ADPCM with other coefficients than the standard ones.")
    block_frames = (fmt.align - head) * 2 // fmt.channels + 2
    extra = struct.pack("<HH", block_frames & 0xFFFF, 7) + _MS_COEFFICIENTS
    return Coding("adpcm_ms", fmt.tag, 4, fmt.align, block_frames, fmt.rate, fmt.channels, extra, head)


def _ima_adpcm(fmt: Fmt, *_: object) -> Coding:
    """IMA (DVI) ADPCM: 4 bytes a channel begin a block and hold 1 sample; then 4 bytes a channel hold 8 each."""
    head = 4 * fmt.channels
    _check_adpcm(fmt, head)
    block_frames = (fmt.align - head) // head * 8 + 1
    extra = struct.pack("<H", block_frames & 0xFFFF)
    return Coding("adpcm_ima_wav", fmt.tag, 4, fmt.align, block_frames, fmt.rate, fmt.channels, extra, head)


def _gsm(fmt: Fmt, *_: object) -> Coding:
    """GSM 6.10 as Microsoft packs it: two frames of 160 samples in 65 bytes, one channel (RFC 2361, A.13)."""
    if fmt.channels != 1:
        raise _wrong_form(f"The WAV file holds {fmt.channels} channels of GSM 6.10; 1 can be converted.")
    if fmt.align not in (0, 65):
        raise _wrong_form(f"The WAV file holds GSM 6.10 in blocks of {fmt.align} bytes; 65 can be converted.")
    return Coding("gsm_ms", fmt.tag, 0, 65, 320, fmt.rate, 1, struct.pack("<H", 320), 65)


def _mpeg(fmt: Fmt, reader: Reader, data: Data, _: Order) -> Coding:
    """MPEG audio: its own frames tell the rate and the channels, and the `fmt ` chunk is often wrong about them."""
    data.skip(id3_size(reader, data.offset))
    first = mpeg.first_frame(reader.at(data.offset, min(data.length, WINDOW)))
    if first is None and data.length:
        raise UnplayableAudio("undecodable", "The WAV file's header says MPEG audio, but there is none in the file.")
    if first is None:
        return Coding("mp3", fmt.tag, 0, 1, 0, fmt.rate, fmt.channels)
    codec = ("mp1", "mp2", "mp3")[first.layer - 1]
    flow = first.size * first.rate / first.samples
    return Coding(codec, fmt.tag, 0, 1, 0, first.rate, first.channels, flow=flow)


def part_frames(coding: Coding, rest: int) -> int:
    """The samples per channel in a block of which only the first `rest` bytes are there."""
    if coding.codec == "adpcm_ms" and rest >= coding.head:
        return (rest - coding.head) * 2 // coding.channels + 2
    if coding.codec == "adpcm_ima_wav" and rest >= coding.head:
        return (rest - coding.head) // coding.head * 8 + 1
    return 0


def coding(fmt: Fmt, reader: Reader, data: Data, order: Order) -> Coding:
    """How the data decodes. Raises UnplayableAudio where it has a form that cannot be converted correctly."""
    codec = CODECS[fmt.tag]
    if order == "big" and not codec.big_endian:
        raise _wrong_form(f"The WAV file is big-endian (RIFX) and holds {codec.name}; PCM and G.711 can be converted.")
    return codec.coding(fmt, reader, data, order)


@dataclass(frozen=True, slots=True)
class Codec:
    """An accepted codec. decoders: ffmpeg's, one for each form of the data. integers: they decode to integers, of at
    most 32 bits except for 64-bit PCM, which need no clipping. big_endian: whether it is accepted in RIFX."""

    tag: int
    name: str
    coding: Callable[[Fmt, Reader, Data, Order], Coding]
    decoders: tuple[str, ...]
    integers: bool = True
    big_endian: bool = False


_LINEAR = ("pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be")
_LINEAR_64 = ("pcm_s64le", "pcm_s64be")
_LAYERS = ("mp1", "mp2", "mp3")
CODECS = {
    codec.tag: codec
    for codec in (
        Codec(0x0001, "PCM", _pcm, (*_LINEAR, *_LINEAR_64), big_endian=True),
        Codec(0x0002, "Microsoft ADPCM", _ms_adpcm, ("adpcm_ms",)),
        Codec(0x0003, "floating-point PCM", _float, ("pcm_f32le", "pcm_f64le"), integers=False),
        Codec(0x0006, "A-law", _g711, ("pcm_alaw",), big_endian=True),
        Codec(0x0007, "µ-law", _g711, ("pcm_mulaw",), big_endian=True),
        Codec(0x0011, "IMA ADPCM", _ima_adpcm, ("adpcm_ima_wav",)),
        Codec(0x0031, "GSM 6.10", _gsm, ("gsm_ms",)),
        Codec(0x0050, "MPEG audio", _mpeg, _LAYERS, integers=False),
        Codec(0x0055, "MP3", _mpeg, _LAYERS, integers=False),
    )
}
# Decoders whose samples can go to the encoder unchanged: integers of at most 32 bits.
INTEGERS = frozenset(name for codec in CODECS.values() if codec.integers for name in codec.decoders) - {*_LINEAR_64}


def check(fmt: Fmt) -> None:
    """Raise UnsupportedAudio or UnplayableAudio where a format cannot be converted, whatever the data is."""
    if fmt.tag == 0:
        raise UnplayableAudio("bad_format", "The WAV file's header does not name a codec.")
    if fmt.tag not in CODECS:
        raise UnsupportedAudio(
            f"The WAV file's codec (format tag 0x{fmt.tag:04X}) is not accepted. "
            "Save it again as 16-bit PCM and send that."
        )
