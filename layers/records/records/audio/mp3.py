"""WAV in, MP3 out, and whether the MP3 is whole.

One run of ffmpeg writes the MP3 into a file (written to a pipe it would lack the header that gives its length) and,
beside it, the very samples that went into the encoder to a pipe, where `levels` measures them and where they are
counted. ffmpeg's word is not taken for anything: exit status 0 comes with cut, empty and silently shortened files
too. A conversion is done when the status is 0, ffmpeg has taken every byte, the samples are as many as the WAV file
has, and the MP3's own frames hold exactly those samples.
"""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from records.audio import mpeg
from records.audio.feed import TOLERANCE, Feed, damaged
from records.audio.ffmpeg import Run
from records.audio.levels import Levels, Meter
from records.audio.plan import Plan, compressed
from records.audio.wav import Wav
from records.errors import ConversionError

_PIECE = 64 * 1024  # bytes of an MP3 that are looked at at once

# LAME pads an MP3 by up to 575 samples and a frame; ffmpeg's muxer can write down 529 and a frame.
_PADDING_EXCESS = 575 - 529

# What ffmpeg puts before the frames: an ID3v2.4 tag with nothing in it. It stays, since it is by it that programs
# know an MP3 of few frames for one.
_EMPTY_ID3 = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)


@dataclass(frozen=True, slots=True)
class Conversion:
    """An MP3 and what was measured on the way. bytes: its size; duration: s, of what it plays; waveform: 200 peaks."""

    path: Path
    bytes: int
    sha256: str
    duration: float
    levels: Levels
    waveform: builtins.bytes


def convert(
    wav: Wav, data: Iterable[bytes | memoryview], directory: Path, *, bitrate: int, deadline: float
) -> Conversion:
    """Convert the bytes of a WAV file's data chunk into `directory`/audio.mp3, in constant memory.

    data: exactly `wav.data_bytes` bytes, in pieces of any size; what its iterator raises is passed on unchanged.
    bitrate: kbit/s a channel, constant. deadline: a value of time.monotonic() at which all is given up.

    Raises UnplayableAudio (the decoder cannot make sense of the audio, or of a part of it), ConversionTimeout, and
    ConversionError (ffmpeg is missing, was killed, or gave less than it must). Leaves no process behind.
    """
    plan = Plan.of(wav, bitrate)
    path = directory / "audio.mp3"
    feed = Feed(wav, data)
    meter = Meter(plan.channels, (wav.frames or 0) * plan.rate // wav.sample_rate)
    run = Run(plan, path, deadline)
    run.convert(iter(feed), meter)
    run.check(compressed=compressed(wav))
    _check_samples(wav, plan, feed.frames, meter.frames)
    _check_mp3(path, plan, meter.frames)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Conversion(path, path.stat().st_size, sha256, meter.frames / plan.rate, meter.levels(), meter.waveform())


def _check_samples(wav: Wav, plan: Plan, expected: int, frames: int) -> None:
    """Raise unless as many samples came out as the `expected` that went in.

    A resampler may round their number. A decoder drops what it cannot decode: beyond the tenth of a second by which
    an MP3 may differ from its WAV file, that is not passed over in silence.
    """
    short = abs(frames * wav.sample_rate - expected * plan.rate)  # in units that are whole: seconds * rate * rate
    if compressed(wav):
        if short > TOLERANCE * plan.rate * wav.sample_rate:
            raise damaged()
    elif short > (0 if plan.rate == wav.sample_rate else wav.sample_rate):
        raise ConversionError


def _check_mp3(path: Path, plan: Plan, frames: int) -> None:
    """Raise unless the MP3 is whole: unbroken frames that hold `frames` samples, as its own Info frame says too."""
    found = mpeg.Frames(3, plan.rate)
    try:
        with path.open("rb") as file:
            if file.read(len(_EMPTY_ID3)) != _EMPTY_ID3:
                raise ConversionError
            info = mpeg.info(file.read(_PIECE))
            file.seek(len(_EMPTY_ID3))
            while piece := file.read(_PIECE):
                found.feed(piece)
    except OSError as error:
        raise ConversionError from error
    if info is None or info.frames != found.frames - 1 or found.skipped or found.unfinished:
        raise ConversionError
    played = info.frames * info.samples - info.delay - info.padding
    if frames == 0 or not 0 <= played - frames <= _PADDING_EXCESS:
        raise ConversionError
