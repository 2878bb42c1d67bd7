"""What a WAV file says of itself: accepted, with all that the conversion needs, or refused with the reason.

The chunks are walked here, by random access and in bounded work, and ffmpeg is later given a header of our own
(`Wav.header`) and the bytes of the data chunk: it never sees what the sender wrote around them.

Sources:
- RIFF and WAVE: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", 1991;
- format tags and their fields: mmreg.h, RFC 2361, and Microsoft's "Multiple Channel Audio Data and WAVE Files";
- RF64 and BW64 (`ds64`): EBU Tech 3306, ITU-R BS.2088;
- B-format: Martin Leese, "File Format for B-Format", https://www.ambisonia.com/Members/mleese/file-format-for-b-format.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Literal, Protocol

from records.audio import mpeg
from records.errors import UnplayableAudio, UnsupportedAudio

MAX_CHANNELS = 8
MIN_RATE, MAX_RATE = 1_000, 384_000  # Hz
MAX_DURATION = 24 * 3600  # s

_UNKNOWN_SIZE = 0xFFFFFFFF  # "see ds64" (EBU Tech 3306), or a writer that could not seek
_WINDOW = 64 * 1024  # bytes read at once: an S3 range read costs the same for 8 bytes
_MAX_READS = 256
_MAX_CHUNKS = 10_000
_MAX_FMT = 256  # bytes of a fmt chunk that matter; MS ADPCM with its coefficients has 50

_PCM, _MS_ADPCM, _FLOAT, _ALAW, _MULAW, _IMA_ADPCM = 0x0001, 0x0002, 0x0003, 0x0006, 0x0007, 0x0011
_GSM610, _MPEG, _MP3, _EXTENSIBLE = 0x0031, 0x0050, 0x0055, 0xFFFE

# The last 12 bytes of a GUID made of a format tag, {xxxxxxxx-0000-0010-8000-00AA00389B71}, and of a B-format's.
_TAG_GUID = bytes.fromhex("000010008000 00aa00389b71")
_TAG_GUID_BIG = bytes.fromhex("000000108000 00aa00389b71")
_B_FORMAT_GUID = bytes.fromhex("2107d3118644 c8c1ca000000")

# Chunks that are met around the data: what comes after an empty or an odd-sized chunk is told by them.
_KNOWN_CHUNKS = frozenset(
    b"fmt |data|fact|LIST|list|INFO|bext|iXML|axml|chna|cart|cue |plst|smpl|inst|acid|strc|PEAK|JUNK|junk|PAD |FLLR|"
    b"ID3 |id3 |_PMX|DISP|afsp|ds64|levl|link|minf|umid|elm1|ovwf|LGWV|wavl|slnt|note|labl|SAUR|SMED|ResU".split(b"|")
)

_MS_COEFFICIENTS = struct.pack("<14h", 256, 0, 512, -256, 0, 0, 192, 64, 240, 0, 460, -208, 392, -232)

Order = Literal["little", "big"]


class Source(Protocol):
    """Bytes that can be read anywhere: a request's body, or an object in S3."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """`length` bytes from `offset`; fewer only where the end comes first."""
        ...


class BytesSource:
    """A source over bytes that are in memory already; nothing is copied."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._view = memoryview(data)
        self.size = self._view.nbytes

    def read(self, offset: int, length: int) -> memoryview:
        return self._view[offset : offset + length]


@dataclass(frozen=True, slots=True)
class Wav:
    """An accepted WAV file.

    codec: the name of ffmpeg's decoder. bits: of one stored sample (0: the codec has none). block_align: bytes of
    the smallest piece that decodes by itself. data_bytes: what is there and decodes, from data_offset on.
    truncated: the data chunk declares more. frames: samples per channel, and duration, in seconds: both None for
    MPEG audio, where only decoding tells. speakers: the channel mask of dwChannelMask, 0 where there is no good
    one. b_format: the channels are ambisonic W, X, Y … header: a WAV header of our own for `data_bytes` of data.
    """

    container: str
    codec: str
    sample_rate: int
    channels: int
    bits: int
    block_align: int
    data_offset: int
    data_bytes: int
    truncated: bool
    frames: int | None
    duration: float | None
    header: bytes = field(repr=False)
    speakers: int = 0
    b_format: bool = False


def inspect(source: Source) -> Wav:
    """Read the headers of a WAV file and decide.

    Raises UnsupportedAudio (not a WAV file, or a codec that is not accepted) and UnplayableAudio (nothing to play,
    or a header that makes no sense), and nothing else whatever the bytes are.
    """
    reader = _Reader(source)
    start = _start(reader)
    container = reader.at(start, 4).decode("latin-1")
    order: Order = "big" if container == "RIFX" else "little"
    chunks = _walk(reader, start + 12, order)
    if chunks.fmt is None:
        raise UnplayableAudio("no_format", "The WAV file has no 'fmt ' chunk, so nothing says how to play it.")
    fmt = _Fmt.parse(chunks.fmt, order)
    _check_tag(fmt)
    if chunks.data is None:
        raise UnplayableAudio("no_data", "The WAV file has no 'data' chunk, so there is no sound in it.")
    _check_numbers(fmt)
    if fmt.tag in (_MPEG, _MP3):
        chunks.data.skip(_id3_size(reader, chunks.data.offset))
    coding = _coding(fmt, reader, chunks.data, order)
    return _wav(container, order, fmt, coding, chunks)


# --- Reading ---------------------------------------------------------------------------------------------------------


class _Reader:
    """Random access through one window, so that chunk headers near each other cost one read, and reads are bounded."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.size = source.size
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
            self._offset, self._window = offset, bytes(self._source.read(offset, _WINDOW))
        return self._window[offset - self._offset :][:length] if length else b""


def _id3_size(reader: _Reader, offset: int) -> int:
    """The size of the ID3v2 tag at `offset`, in bytes; 0 where there is none (id3.org, ID3v2.4, 3.1: 7 bits a byte)."""
    tag = reader.at(offset, 10)
    if tag[:3] != b"ID3" or len(tag) < 10 or max(tag[6:]) > 0x7F:
        return 0
    return 10 + sum(byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))


def _start(reader: _Reader) -> int:
    """Where the RIFF header is: at 0, or after an ID3v2 tag that a tagger has put before it."""
    start = _id3_size(reader, 0)
    head = reader.at(start, 12)
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or head[8:] != b"WAVE":
        raise UnsupportedAudio("This is not a WAV file: it does not begin with a RIFF header. Send a WAV file.")
    return start


# --- Chunks ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Data:
    """The data chunk: where its bytes begin, how many are there, and whether it declares more."""

    offset: int
    length: int
    truncated: bool = False

    def skip(self, size: int) -> None:
        """Leave out what stands before the sound."""
        size = min(size, self.length)
        self.offset, self.length = self.offset + size, self.length - size


@dataclass(slots=True)
class _Chunks:
    fmt: bytes | None = None
    data: _Data | None = None
    fact: int | None = None  # samples per channel, as the writer of a compressed file counted them
    sizes: dict[bytes, int] = field(default_factory=dict)  # 64-bit sizes by chunk, from ds64


def _walk(reader: _Reader, offset: int, order: Order) -> _Chunks:
    """Visit the chunks until both `fmt ` and a `data` with something in it are found.

    The size of the RIFF chunk itself is not used: it is wrong in too many files, and the file's own size is known.
    Of two `fmt ` chunks the first counts, as in ffmpeg.
    """
    found = _Chunks()
    for _ in range(_MAX_CHUNKS):
        head = reader.at(offset, 8)
        if len(head) < 8:
            return found
        name, size, body = head[:4], int.from_bytes(head[4:], order), offset + 8
        if name == b"data":
            data = _data(reader, body, size, found.sizes.get(name, 0))
            if found.data is None or not found.data.length:
                found.data = data
            offset = _after(reader, body, data.length)
        else:
            size = found.sizes.get(name, size) if size == _UNKNOWN_SIZE else size
            _take(found, name, reader.at(body, min(size, _WINDOW)), order)
            offset = _after(reader, body, size)
        if found.fmt is not None and found.data is not None and found.data.length:
            return found
    raise UnplayableAudio("too_many_chunks", "The WAV file is cut into too many chunks to be read.")


def _take(found: _Chunks, name: bytes, body: bytes, order: Order) -> None:
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


def _data(reader: _Reader, body: int, size: int, size64: int) -> _Data:
    """How much of the data chunk is there.

    A size of 0 or 0xFFFFFFFF is what a writer leaves that could not seek back: then all that follows is sound. (In
    RF64 it is what ds64 says.) A size of 0 with a well-known chunk right behind it is an empty recording instead.
    """
    available = max(0, reader.size - body)
    if size in (0, _UNKNOWN_SIZE) and size64:
        size = size64
    if size == 0 and _known_chunk_at(reader, body):
        return _Data(body, 0)
    if size in (0, _UNKNOWN_SIZE, 0xFFFFFFFF_FFFFFFFF):
        return _Data(body, available)
    return _Data(body, min(size, available), truncated=size > available)


def _known_chunk_at(reader: _Reader, offset: int) -> bool:
    head = reader.at(offset, 8)
    return head[:4] in _KNOWN_CHUNKS and len(head) == 8


def _after(reader: _Reader, body: int, size: int) -> int:
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


# --- The format ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fmt:
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
    def parse(cls, body: bytes, order: Order) -> _Fmt:
        if len(body) < 14:
            raise UnplayableAudio("bad_format", "The WAV file's 'fmt ' chunk is too short to say how to play it.")
        prefix = "<" if order == "little" else ">"
        fields = struct.unpack_from(prefix + "HHIIHHH", body.ljust(18, b"\0"))
        tag, channels, rate, byte_rate, align, bits, extra = fields
        plain = cls(tag, channels, rate, byte_rate, align, bits, body[18 : 18 + extra])
        if tag != _EXTENSIBLE:
            return plain
        if len(body) < 40:
            raise UnplayableAudio("bad_format", "The WAV file's extensible 'fmt ' chunk is cut: its codec is missing.")
        valid_bits, mask = struct.unpack_from(prefix + "HI", body, 18)
        tag, b_format = _subformat(body[24:40], order)
        return cls(
            tag,
            channels,
            rate,
            byte_rate,
            align,
            bits or valid_bits,
            body[40 : 18 + extra],
            min(valid_bits, bits or valid_bits),
            mask if mask.bit_count() == channels and mask < 1 << 18 else 0,
            b_format,
        )


def _subformat(guid: bytes, order: Order) -> tuple[int, bool]:
    """The format tag in a SubFormat GUID, and whether it is ambisonic. RIFX writers store a GUID in either order."""
    if guid[4:] == _TAG_GUID:
        return int.from_bytes(guid[:4], "little"), False
    if guid[4:] == _TAG_GUID_BIG and order == "big":
        # SoX stores the tag as 16 bits and pads it behind, others store the 32 bits of the GUID's first field.
        return int.from_bytes(guid[:2], "big") or int.from_bytes(guid[2:4], "big"), False
    if guid[4:] == _B_FORMAT_GUID and guid[:4] in (b"\x01\0\0\0", b"\x03\0\0\0"):
        return guid[0], True
    raise UnsupportedAudio("The WAV file is of a codec that is not accepted. Save it as PCM and send it again.")


def _check_tag(fmt: _Fmt) -> None:
    if fmt.tag == 0:
        raise UnplayableAudio("bad_format", "The WAV file's header does not name a codec.")
    if fmt.tag not in (_PCM, _MS_ADPCM, _FLOAT, _ALAW, _MULAW, _IMA_ADPCM, _GSM610, _MPEG, _MP3):
        raise UnsupportedAudio(
            f"The WAV file's codec (format tag 0x{fmt.tag:04X}) is not accepted. Save it as PCM and send it again."
        )


def _check_numbers(fmt: _Fmt) -> None:
    if not 1 <= fmt.channels <= MAX_CHANNELS:
        raise UnplayableAudio(
            "bad_channels", f"The WAV file says it has {fmt.channels} channels; 1 to {MAX_CHANNELS} can be converted."
        )
    if not MIN_RATE <= fmt.rate <= MAX_RATE:
        raise UnplayableAudio(
            "bad_sample_rate",
            f"The WAV file says it has {fmt.rate} samples a second; {MIN_RATE} to {MAX_RATE} can be converted.",
        )


# --- Codecs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Coding:
    """How the data decodes: ffmpeg's decoder, and blocks of `align` bytes that hold `block_frames` samples a channel.

    head: bytes that a block cannot do without, so that a shorter rest of a block holds nothing. extra: what follows
    cbSize in our own `fmt ` chunk. block_frames 0: MPEG audio, whose frames vary.
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


def _coding(fmt: _Fmt, reader: _Reader, data: _Data, order: Order) -> _Coding:
    if fmt.tag == _PCM:
        return _pcm(fmt, reader, data, order)
    if fmt.tag == _FLOAT:
        return _float(fmt, order)
    if fmt.tag in (_ALAW, _MULAW):
        return _g711(fmt)
    if order == "big":
        raise _wrong_form("Big-endian WAV files (RIFX) can be converted where they are PCM only.")
    if fmt.tag in (_MPEG, _MP3):
        return _mpeg(fmt, reader, data)
    return {_MS_ADPCM: _ms_adpcm, _IMA_ADPCM: _ima_adpcm, _GSM610: _gsm}[fmt.tag](fmt)


def _wrong_form(message: str) -> UnplayableAudio:
    return UnplayableAudio("unsupported_form", message + " Save it as 16-bit PCM and send it again.")


def _inconsistent(message: str) -> UnplayableAudio:
    return UnplayableAudio("inconsistent_format", message + " Save it anew as PCM and send it again.")


def _container(fmt: _Fmt) -> int:
    """Bytes of one PCM sample.

    The number of bits decides, as in every reader; where there is none, the block does. A block that holds larger
    samples than the bits need (24 bits in 4 bytes, without WAVE_FORMAT_EXTENSIBLE) may be padded at either end, and
    the wrong guess is silence or noise: refused, unless the byte rate shows that the block is what is wrong.
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


def _pcm(fmt: _Fmt, reader: _Reader, data: _Data, order: Order) -> _Coding:
    width = _container(fmt)
    suffix = {1: "u8", 2: "s16", 3: "s24", 4: "s32", 8: "s64"}.get(width)
    if suffix is None:
        raise _wrong_form(f"The WAV file has {fmt.bits} bits a sample; 8, 16, 24, 32 and 64 can be converted.")
    if width == 4 and fmt.extra == b"\x01\0":
        # Cool Edit 96 wrote "16.8 float" under the tag of PCM.
        raise _wrong_form("The WAV file holds Cool Edit's 16.8 floating-point samples.")
    if 0 < fmt.valid_bits <= 8 * width - 8 and _right_justified(reader, data, width, fmt.valid_bits, order):
        raise _wrong_form(f"The WAV file holds {fmt.valid_bits}-bit samples in the low end of {8 * width} bits.")
    endian = "" if width == 1 else "le" if order == "little" else "be"
    return _linear(fmt, f"pcm_{suffix}{endian}", 8 * width)


def _right_justified(reader: _Reader, data: _Data, width: int, valid_bits: int, order: Order) -> bool:
    """Whether samples sit in the low bits of their containers, where the standard wants the high ones.

    Such a file would come out at a 256th of its loudness. It is told by three looks at the data: no sample uses the
    high bits, and some use the low ones.
    """
    low_bits = 0
    for part in (0, 1, 2):
        offset = data.offset + data.length * part // 3 // (width * MAX_CHANNELS) * width * MAX_CHANNELS
        piece = reader.at(offset, min(4096 * width, data.offset + data.length - offset))
        for position in range(0, len(piece) - width + 1, width):
            sample = int.from_bytes(piece[position : position + width], order, signed=True)
            if not -(1 << valid_bits - 1) <= sample < 1 << valid_bits - 1:
                return False
            low_bits |= sample
    return low_bits & (1 << 8 * width - valid_bits) - 1 != 0


def _float(fmt: _Fmt, order: Order) -> _Coding:
    if order == "big":
        raise _wrong_form("The WAV file holds big-endian (RIFX) floating-point samples.")
    width = _container(fmt)
    if width not in (4, 8) or fmt.bits not in (0, 8 * width):
        raise _wrong_form(f"The WAV file has {fmt.bits}-bit floating-point samples; 32 and 64 can be converted.")
    return _linear(fmt, f"pcm_f{8 * width}le", 8 * width)


def _g711(fmt: _Fmt) -> _Coding:
    """A-law and µ-law: a byte a sample. Writers of telephony files sometimes give the 16 bits of the decoded sound."""
    if fmt.bits != 8 and fmt.align != fmt.channels:
        raise _inconsistent(f"The WAV file's header gives A-law or µ-law samples {fmt.bits} bits; they have 8.")
    return _linear(fmt, "pcm_alaw" if fmt.tag == _ALAW else "pcm_mulaw", 8)


def _linear(fmt: _Fmt, codec: str, bits: int) -> _Coding:
    """Samples of a fixed size, one after another."""
    return _Coding(codec, fmt.tag, bits, fmt.channels * bits // 8, 1, fmt.rate, fmt.channels)


def _check_adpcm(fmt: _Fmt, head: int) -> None:
    if fmt.channels > 2:
        raise _wrong_form(f"The WAV file holds {fmt.channels} channels of ADPCM; 1 and 2 can be converted.")
    if fmt.bits != 4:
        raise _wrong_form(f"The WAV file holds {fmt.bits}-bit ADPCM; 4-bit ADPCM can be converted.")
    if fmt.align <= head:
        raise _inconsistent(f"The WAV file's header gives ADPCM blocks of {fmt.align} bytes, which hold nothing.")


def _ms_adpcm(fmt: _Fmt) -> _Coding:
    """Microsoft ADPCM: 7 bytes a channel begin a block and hold 2 samples; then 4 bits a sample (RFC 2361, A.2)."""
    head = 7 * fmt.channels
    _check_adpcm(fmt, head)
    if fmt.extra[4:32] not in (b"", _MS_COEFFICIENTS):
        raise _wrong_form("The WAV file holds MS ADPCM with coefficients of its own.")
    block_frames = (fmt.align - head) * 2 // fmt.channels + 2
    extra = struct.pack("<HH", block_frames & 0xFFFF, 7) + _MS_COEFFICIENTS
    return _Coding("adpcm_ms", fmt.tag, 4, fmt.align, block_frames, fmt.rate, fmt.channels, extra, head)


def _ima_adpcm(fmt: _Fmt) -> _Coding:
    """IMA (DVI) ADPCM: 4 bytes a channel begin a block and hold 1 sample; then 4 bytes a channel hold 8 each."""
    head = 4 * fmt.channels
    _check_adpcm(fmt, head)
    block_frames = (fmt.align - head) // head * 8 + 1
    extra = struct.pack("<H", block_frames & 0xFFFF)
    return _Coding("adpcm_ima_wav", fmt.tag, 4, fmt.align, block_frames, fmt.rate, fmt.channels, extra, head)


def _gsm(fmt: _Fmt) -> _Coding:
    """GSM 6.10 as Microsoft packs it: two frames of 160 samples in 65 bytes, one channel (RFC 2361, A.13)."""
    if fmt.channels != 1:
        raise _wrong_form(f"The WAV file holds {fmt.channels} channels of GSM 6.10, which has one.")
    if fmt.align not in (0, 65):
        raise _wrong_form(f"The WAV file holds GSM 6.10 in blocks of {fmt.align} bytes, where they have 65.")
    return _Coding("gsm_ms", fmt.tag, 0, 65, 320, fmt.rate, 1, struct.pack("<H", 320), 65)


def _mpeg(fmt: _Fmt, reader: _Reader, data: _Data) -> _Coding:
    """MPEG audio: its own frames tell the rate and the channels, and the `fmt ` chunk is often wrong about them."""
    first = mpeg.first_frame(reader.at(data.offset, min(data.length, _WINDOW)))
    if first is None and data.length:
        raise UnplayableAudio("undecodable", "The WAV file says that it holds MPEG audio, but there is none in it.")
    if first is None:
        return _Coding("mp3", fmt.tag, 0, 1, 0, fmt.rate, fmt.channels)
    codec = ("mp1", "mp2", "mp3")[first.layer - 1]
    return _Coding(codec, fmt.tag, 0, 1, 0, first.rate, first.channels)


# --- The answer ------------------------------------------------------------------------------------------------------


def _wav(container: str, order: Order, fmt: _Fmt, coding: _Coding, chunks: _Chunks) -> Wav:
    assert chunks.data is not None  # noqa: S101
    data_bytes, frames = _extent(coding, chunks.data.length, chunks.fact)
    if data_bytes == 0:
        raise UnplayableAudio("no_samples", "The WAV file has no sound in it: its 'data' chunk is empty.")
    duration = None if frames is None else frames / coding.rate
    if duration is not None and duration > MAX_DURATION:
        raise UnplayableAudio("too_long", "The recording is longer than 24 hours. Send it in parts.")
    return Wav(
        container=container,
        codec=coding.codec,
        sample_rate=coding.rate,
        channels=coding.channels,
        bits=coding.bits,
        block_align=coding.align,
        data_offset=chunks.data.offset,
        data_bytes=data_bytes,
        truncated=chunks.data.truncated,
        frames=frames,
        duration=duration,
        header=_header(coding, order),
        speakers=fmt.mask,
        b_format=fmt.b_format,
    )


def _extent(coding: _Coding, length: int, fact: int | None) -> tuple[int, int | None]:
    """The bytes that decode, and the samples per channel that they hold.

    `fact` counts the samples of a compressed file; it is believed where it takes away less than one block, which is
    the padding of the last one. ffmpeg decodes that padding, so `mp3` cuts it off.
    """
    if coding.block_frames == 0:
        return length, None
    blocks, rest = divmod(length, coding.align)
    frames = blocks * coding.block_frames
    more = _part(coding, rest)
    if fact and 0 < frames + more - fact < coding.block_frames:
        return (length if fact > frames else length - rest), fact
    return (length if more else length - rest), frames + more


def _part(coding: _Coding, rest: int) -> int:
    """The samples per channel in a block of which only the first `rest` bytes are there."""
    if coding.codec == "adpcm_ms" and rest >= coding.head:
        return (rest - coding.head) * 2 // coding.channels + 2
    if coding.codec == "adpcm_ima_wav" and rest >= coding.head:
        return (rest - coding.head) // coding.head * 8 + 1
    return 0


def _header(coding: _Coding, order: Order) -> bytes:
    """The smallest WAV header for this coding, of unknown length, as a program writes it that streams."""
    prefix, riff = ("<", b"RIFF") if order == "little" else (">", b"RIFX")
    fmt = struct.pack(
        prefix + "HHIIHH",
        coding.tag,
        coding.channels,
        coding.rate,
        coding.rate * coding.align // max(1, coding.block_frames),
        coding.align,
        coding.bits,
    )
    if coding.extra:  # ffmpeg refuses cbSize, even 0, in RIFX
        fmt += struct.pack("<H", len(coding.extra)) + coding.extra
    size = struct.pack(prefix + "I", len(fmt))
    return riff + b"\xff\xff\xff\xffWAVEfmt " + size + fmt + b"data\xff\xff\xff\xff"
