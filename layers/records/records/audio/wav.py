"""Whether a WAV file is accepted, with all that the conversion needs of its header, or refused, with the reason.

ffmpeg later gets a header of our own (`Wav.header`) and the bytes of the data chunk, never what the sender wrote around
them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from records.audio import codecs, riff
from records.audio.codecs import Coding, part_frames
from records.errors import UnplayableAudio

MAX_DURATION = 24 * 3600  # s


@dataclass(frozen=True, slots=True)
class Wav:
    """An accepted WAV file.

    codec: the name of ffmpeg's decoder. bits: of one stored sample (0: the codec has none). block_align: bytes of
    the smallest piece that decodes by itself. data_bytes: what is there and decodes, from data_offset on.
    truncated: the data chunk declares more. frames: samples per channel, and duration, in seconds: both None for
    MPEG audio, where only decoding tells. expected: the duration, estimated for MPEG audio by its first bit rate.
    speakers: the channel mask of dwChannelMask, 0 where there is no good one. b_format: the channels
    are ambisonic W, X, Y … header: a WAV header of our own for `data_bytes` of data.
    """

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
    expected: float = 0
    speakers: int = 0
    b_format: bool = False


def inspect(file: riff.File) -> Wav:
    """Read the headers of a WAV file, which must be seekable, and decide.

    Raises UnsupportedAudio (not a WAV file, or a codec that is not accepted) and UnplayableAudio (nothing to play,
    or a header that makes no sense), whatever the bytes are; and what reading the file raises.
    """
    reader = riff.Reader(file)
    begin = riff.start(reader)
    order: riff.Order = "big" if reader.at(begin, 4) == b"RIFX" else "little"
    chunks = riff.walk(reader, begin + 12, order)
    if chunks.fmt is None:
        raise UnplayableAudio("no_format", "The WAV file has no 'fmt ' chunk, so nothing says how to play it.")
    fmt = codecs.Fmt.parse(chunks.fmt, order)
    codecs.check(fmt)
    if chunks.data is None:
        raise UnplayableAudio("no_data", "The WAV file has no 'data' chunk, so there is no sound in it.")
    codecs.check_numbers(fmt)
    coding = codecs.coding(fmt, reader, chunks.data, order)
    return _wav(order, fmt, coding, chunks, chunks.data)


def _wav(order: riff.Order, fmt: codecs.Fmt, coding: Coding, chunks: riff.Chunks, data: riff.Data) -> Wav:
    data_bytes, frames = _extent(coding, data.length, chunks.fact)
    if data_bytes == 0:
        raise UnplayableAudio("no_samples", "The WAV file has no sound in it: its 'data' chunk is empty.")
    duration = None if frames is None else frames / coding.rate
    if duration is not None and duration > MAX_DURATION:
        raise UnplayableAudio("too_long", "The recording is longer than 24 hours. Split it into several.")
    return Wav(
        codec=coding.codec,
        sample_rate=coding.rate,
        channels=coding.channels,
        bits=coding.bits,
        block_align=coding.align,
        data_offset=data.offset,
        data_bytes=data_bytes,
        truncated=data.truncated,
        frames=frames,
        duration=duration,
        header=_header(coding, order),
        expected=min(data_bytes / coding.flow, MAX_DURATION) if duration is None else duration,
        speakers=fmt.mask,
        b_format=fmt.b_format,
    )


def _extent(coding: Coding, length: int, fact: int | None) -> tuple[int, int | None]:
    """The bytes that decode, and the samples per channel that they hold.

    `fact` counts the samples of a compressed file; it is believed where it takes away less than one block, which is
    the padding of the last one. ffmpeg decodes that padding, so `mp3` cuts it off.
    """
    if coding.block_frames == 0:
        return length, None
    blocks, rest = divmod(length, coding.align)
    frames = blocks * coding.block_frames
    more = part_frames(coding, rest)
    if fact and 0 < frames + more - fact < coding.block_frames:
        return (length if fact > frames else length - rest), fact
    return (length if more else length - rest), frames + more


def _header(coding: Coding, order: riff.Order) -> bytes:
    """The smallest WAV header for this coding, of unknown length, as streaming programs write it."""
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
