"""How loud a recording is: its peak, its mean, whether it is silent, and its waveform. Measured by pydub.

The only importer of pydub, which is imported at the first use: with its warnings it costs some 50 ms.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydub import AudioSegment

PEAKS = 200  # of the waveform
FLOOR = -96.3  # dBFS of digital silence: one step of 16 bits, since JSON has no minus infinity
SILENCE = -80.0  # dBFS: a peak below this is dither or a dead microphone

_FULL_SCALE = 32768
_MAX_BINS = 8 * PEAKS
_PIECE = 256 * 1024  # bytes that are measured at once: they fit into the processor's cache


@dataclass(frozen=True, slots=True)
class Levels:
    """peak_dbfs, mean_dbfs: dB below full scale, FLOOR at least. silent: no sample is louder than SILENCE."""

    peak_dbfs: float
    mean_dbfs: float
    silent: bool


@cache
def _audio_segment() -> type[AudioSegment]:
    """pydub's class, without the warnings of its import: it looks for an ffmpeg on PATH that we do not need."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pydub
    segment: type[AudioSegment] = pydub.AudioSegment
    return segment


class Meter:
    """Measures 16-bit PCM that arrives in pieces of any size, in constant memory, however long it becomes.

    The loudest sample of each bin is kept; all bins are of the same length. When there are _MAX_BINS, they are joined
    in pairs. So all but the shortest recordings have at least 400 bins, from which the 200 peaks are made.
    """

    def __init__(self, channels: int, expected: int = 0, start: int = 0) -> None:
        """expected: how many samples per channel will come, if that is known; otherwise joining bins takes most of the
        time. start: the samples per channel before these, which another meter measures; for `add`.
        """
        self.frames = 0  # samples per channel so far
        self._width = 2 * channels  # bytes of a frame
        self._channels = channels
        self._bin_frames = max(1, expected // (_MAX_BINS // 4))
        self._bins = [0] * -(-start // self._bin_frames)
        self._open = start % self._bin_frames  # frames in the last bin
        self._squares = 0.0
        self._rest = b""

    def feed(self, pcm: bytes | memoryview) -> None:
        """Take samples in: s16le, channels interleaved."""
        for start in range(0, len(pcm), _PIECE):
            self._feed(self._rest + bytes(pcm[start : start + _PIECE]))

    def _feed(self, pcm: bytes) -> None:
        whole = len(pcm) - len(pcm) % self._width
        self._rest, pcm = pcm[whole:], pcm[:whole]
        if not pcm:
            return
        frames = whole // self._width
        # 32 bits: pydub's rms is a whole number, too coarse for a quiet recording's 16-bit samples.
        wide = self._segment(pcm).set_sample_width(4)
        self._squares += float(wide.rms) ** 2 * frames
        self.frames += frames
        self._mark(pcm)

    def add(self, other: Meter) -> None:
        """Add what another meter has measured of other samples of the same recording."""
        self.frames += other.frames
        self._squares += other._squares
        self._bins = [max(pair) for pair in zip_longest(self._bins, other._bins, fillvalue=0)]

    def _segment(self, pcm: bytes) -> AudioSegment:
        return _audio_segment()(data=pcm, sample_width=2, frame_rate=44100, channels=self._channels)

    def _mark(self, pcm: bytes) -> None:
        """Put the peaks of `pcm` into bins."""
        start = 0
        while start < len(pcm):
            if self._open == 0:
                if len(self._bins) == _MAX_BINS:
                    self._join()
                self._bins.append(0)
            take = (self._bin_frames - self._open) * self._width
            piece = pcm[start : start + take]
            self._bins[-1] = max(self._bins[-1], self._segment(piece).max)
            self._open = (self._open + len(piece) // self._width) % self._bin_frames
            start += take

    def _join(self) -> None:
        self._bins = [max(pair) for pair in zip(self._bins[::2], self._bins[1::2], strict=True)]
        self._bin_frames *= 2

    def levels(self) -> Levels:
        peak = _dbfs(max(self._bins, default=0) / _FULL_SCALE)
        mean = _dbfs(math.sqrt(self._squares / self.frames) / (_FULL_SCALE << 16)) if self.frames else FLOOR
        return Levels(round(peak, 1) + 0.0, round(mean, 1) + 0.0, peak < SILENCE)  # + 0.0: no "-0.0" in JSON

    def waveform(self) -> bytes:
        """200 peaks from start to end, 0 to 255, where 255 is full scale. With fewer bins, peaks are repeated."""
        count = len(self._bins)
        if not count:
            return bytes(PEAKS)
        spans = ((peak * count // PEAKS, -(-(peak + 1) * count // PEAKS)) for peak in range(PEAKS))
        return bytes(round(max(self._bins[start:end]) * 255 / _FULL_SCALE) for start, end in spans)


class Excerpt:
    """Passes on to a meter the samples from number `skip` up to, not including, number `end`."""

    def __init__(self, meter: Meter, channels: int, skip: int, end: int) -> None:
        self._meter = meter
        self._width = 2 * channels
        self._skip, self._end = skip * self._width, end * self._width
        self._seen = 0  # bytes

    @property
    def frames(self) -> int:
        """Samples per channel that have arrived."""
        return self._seen // self._width

    def feed(self, pcm: bytes | memoryview) -> None:
        first, last = max(0, self._skip - self._seen), max(0, self._end - self._seen)
        self._seen += len(pcm)
        self._meter.feed(pcm[first:last])


def _dbfs(ratio: float) -> float:
    return max(FLOOR, 20 * math.log10(ratio)) if ratio > 0 else FLOOR
