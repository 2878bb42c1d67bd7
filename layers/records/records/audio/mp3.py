"""WAV in, MP3 out, and whether the MP3 is whole.

One run of ffmpeg (of a long recording, several: `parallel`) writes the MP3 into a file: written to a pipe it would lack
the header that tells its length. The samples that go into the encoder are counted, and measured by `levels`: 16-bit PCM
on its way into the encoder, everything else as ffmpeg writes it to a pipe beside the MP3. ffmpeg's exit status proves
little: it is 0 for cut, empty and silently shortened files too. A conversion is done when the status is 0, ffmpeg has
taken every byte, the samples are as many as the WAV file has, and the MP3's own frames hold exactly those samples.
"""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from records.audio import mpeg, parallel
from records.audio.feed import TOLERANCE, Feed, damaged
from records.audio.ffmpeg import Run
from records.audio.levels import Levels, Meter
from records.audio.parallel import Ranges
from records.audio.plan import Plan, compressed
from records.audio.wav import Wav
from records.errors import ConversionError


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
    wav: Wav,
    data: Iterable[bytes | memoryview],
    directory: Path,
    *,
    ffmpeg: str,
    bitrate: int,
    deadline: float,
    ranges: Ranges | None = None,
    processes: int = 1,
) -> Conversion:
    """Convert the bytes of a WAV file's data chunk into `directory`/audio.mp3, in constant memory.

    data: exactly `wav.data_bytes` bytes, in pieces of any size; what its iterator raises is passed on unchanged.
    ffmpeg: the path of the program. bitrate: kbit/s a channel, constant. deadline: a value of time.monotonic() at which
    the conversion is given up.
    ranges: reads any range of the same data, in several threads at once. With it, up to `processes` encode a long
    recording at once; its MP3 plays the same.

    Raises UnplayableAudio (the audio, or a part of it, cannot be decoded), ConversionTimeout, and ConversionError
    (ffmpeg is missing, was killed, or wrote less than it must). Leaves no process behind.
    """
    plan = Plan.of(wav, bitrate, ffmpeg)
    path = directory / "audio.mp3"
    begins = parallel.boundaries(wav, plan, processes) if ranges else [0]
    if ranges and len(begins) > 1:
        encoder = parallel.Encoder(parallel.Job(wav, plan, ranges), begins, path, deadline)
        meter, expected = encoder.encode(data), wav.frames or 0
    else:
        meter, expected = _encode(wav, plan, data, path, deadline)
    _check_samples(wav, plan, expected, meter.frames)
    info = mpeg.whole(path, plan.stream)
    if info is None or meter.frames == 0 or not info.holds(meter.frames):
        raise ConversionError
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Conversion(path, path.stat().st_size, sha256, meter.frames / plan.rate, meter.levels(), meter.waveform())


def _encode(wav: Wav, plan: Plan, data: Iterable[bytes | memoryview], path: Path, deadline: float) -> tuple[Meter, int]:
    """Encode by one process. Returns what measured the samples, and how many of the WAV file's went in."""
    feed = Feed(wav, data)
    meter = Meter(plan.channels, (wav.frames or 0) * plan.rate // wav.sample_rate)
    run = Run(plan, path, deadline)
    run.convert(iter(feed), meter)
    run.check(compressed=compressed(wav))
    return meter, feed.frames


def _check_samples(wav: Wav, plan: Plan, expected: int, frames: int) -> None:
    """Raise unless as many samples came out as the `expected` that went in.

    A resampler may round their number. A decoder drops what it cannot decode: that is an error if it is more than the
    tenth of a second by which an MP3 may differ from its WAV file.
    """
    short = abs(frames * wav.sample_rate - expected * plan.rate)  # in units that are whole: seconds * rate * rate
    if compressed(wav):
        if short > TOLERANCE * plan.rate * wav.sample_rate:
            raise damaged()
    elif short > (0 if plan.rate == wav.sample_rate else wav.sample_rate):
        raise ConversionError
