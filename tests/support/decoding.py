"""What a player plays of an MP3.

The ffmpeg that the service ships knows WAV files only, so the MP3 is put into one; the encoder's delay and padding are
cut off as LAME's tag says, as a player does that plays without gaps.
"""

from __future__ import annotations

import subprocess
from array import array
from dataclasses import dataclass

from records.audio import mpeg
from tests.support.wavs import MP3, fmt, wav

DECODER_DELAY = 529  # samples that every MP3 decoder adds, and LAME's tag does not count


@dataclass(frozen=True, slots=True)
class Decoded:
    """rows: 16-bit samples, a row for each channel. rate: Hz."""

    rate: int
    rows: list[array[int]]

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.rows[0]) / self.rate


def decoded(mp3: bytes, ffmpeg: str) -> Decoded:
    """Decode an MP3 that the service made. ffmpeg: the path of the binary."""
    tag = 10 + int.from_bytes(mp3[6:10], "big") if mp3[:3] == b"ID3" else 0
    first, info = mpeg.frame(mp3[tag : tag + 4]), mpeg.info(mp3[tag:])
    assert first is not None
    assert info is not None
    head = fmt(MP3, channels=first.channels, rate=first.rate, bits=0, align=1, byte_rate=first.rate, extra=bytes(12))
    command = [ffmpeg, "-v", "error", "-f", "wav", "-i", "pipe:0", "-c:a", "pcm_s16le", "-f", "s16le", "pipe:1"]
    run = subprocess.run(command, input=wav(head, mp3[tag + first.size :]), capture_output=True, check=True)
    samples = array("h", run.stdout)
    assert len(samples) == info.frames * info.samples * first.channels
    start, end = info.delay + DECODER_DELAY, info.frames * info.samples - max(0, info.padding - DECODER_DELAY)
    return Decoded(first.rate, [samples[channel :: first.channels][start:end] for channel in range(first.channels)])
