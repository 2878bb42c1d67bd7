"""A long recording on all the processors: its regions are encoded in parallel, and their MP3 streams joined.

What the joined stream decodes to is, to the sample, what one encoder would have made of the whole recording. An
encoder that begins in the middle makes other frames at first than one that comes from the beginning, because there
are things that it remembers: samples, how loud it was, how full the bit reservoir is. All of that fades, in 10 to 500
frames as measured. So an encoder begins some frames before its region, and its predecessor goes on behind that
boundary until both have made a run of frames with the same sound in the same bits (`mpeg.Body`), out of a reservoir
that is as full (main_data_begin). From there on the two streams are one, and bytes are copied. The same sound alone
would not do, not even for 64 frames: where the reservoirs differ, so does a later frame. A predecessor that never
agrees encodes on to the end of the recording, which is then what one encoder makes.

Only frames near a join are read: the bit rate is constant, so where any other frame is follows from its number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from records.audio import mpeg
from records.audio.ffmpeg import Run
from records.audio.levels import Excerpt, Meter
from records.audio.plan import PACKET_BYTES, Plan
from records.audio.wav import Wav
from records.errors import ConversionError, ConversionTimeout

LEAST_SECONDS = 60.0  # of a region: what is encoded twice is some 12 s
WARM_UP = 256  # frames that an encoder makes before its region, at least
RUN = 64  # frames in a row that must agree
# Frames of which an encoder has the samples and its file has nothing yet: ffmpeg writes 32 KiB at once and reads whole
# packets, and the encoder itself is some frames behind.
_WRITTEN_AT_ONCE, _BEHIND = 32 * 1024, 4
_WAITS = 5  # looks at a file in which there is nothing new, 20 ms apart, before its encoder is given more
_PIECE = 1024 * 1024

# Reads the bytes of the data chunk from one offset in it up to, and without, another.
Ranges = Callable[[int, int], Iterator[bytes | memoryview]]


def boundaries(wav: Wav, plan: Plan, processes: int) -> list[int]:
    """The frames of the MP3 with which regions begin, 0 first; no more than there are processes."""
    if not plan.divisible or not wav.frames:
        return [0]
    count = max(1, min(processes, int(wav.frames / wav.sample_rate / LEAST_SECONDS)))
    frames, period = wav.frames // plan.stream.samples, plan.stream.period
    return sorted({frames * number // count // period * period for number in range(count)})


@dataclass(frozen=True, slots=True)
class Job:
    """A recording, the MP3 that it becomes, and where its data can be read."""

    wav: Wav
    plan: Plan
    ranges: Ranges


class Encoder:
    """Encodes one recording, each of its regions in a process that reads its own range of the data."""

    def __init__(self, job: Job, begins: list[int], path: Path, deadline: float) -> None:
        """begins: the boundaries. path: of the MP3. deadline: a value of time.monotonic()."""
        self._data_bytes = job.wav.data_bytes
        self._path = path
        self._stream = job.plan.stream
        self._deadline = deadline
        self._cancelled = False
        self._regions: list[Region] = []
        for begin in reversed(begins):
            run = Run(job.plan, path.with_name(f"{begin}.mp3"), deadline)
            self._regions.insert(0, Region(job, begin, run, self._regions[0] if self._regions else None))

    def encode(self, data: Iterable[bytes | memoryview]) -> Meter:
        """Write the MP3. Returns what measured its samples.

        data: the same bytes as `ranges` reads, in order; they are only counted. Raises what that or `ranges` raises,
        ConversionTimeout, and ConversionError. Neither a process nor a thread is left when this returns or raises.
        """
        with ThreadPoolExecutor(len(self._regions) + 1) as pool:
            try:
                jobs = [pool.submit(self._read, data), *(pool.submit(region.encode) for region in self._regions)]
                done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
                failures = [error for job in jobs if job in done and (error := job.exception())]
            finally:
                self._cancelled = True
                for region in self._regions:
                    region.run.cancel()
        if failures:
            raise failures[0]
        self._join()
        meter = self._regions[0].meter
        for region in self._regions[1:]:
            meter.add(region.meter)
        return meter

    def _read(self, data: Iterable[bytes | memoryview]) -> None:
        """Read all of the data once, in order, as whoever hands it over wants it (for a checksum)."""
        count = 0
        for piece in data:
            count += len(piece)
            if self._cancelled or time.monotonic() >= self._deadline:
                raise ConversionTimeout
        if count != self._data_bytes:
            raise ConversionError

    def _join(self) -> None:
        """Append the used frames of the other regions to the first region's file; at most one region is on the disk
        twice."""
        first = self._regions[0]
        used, cuts = [first], [0]
        while (after := used[-1].after) and used[-1].joined():
            cuts.append(max(cuts[-1], used[-1].cut))
            used.append(after)
        cuts.append(used[-1].end)
        try:
            with first.run.path.open("r+b") as file:
                template = file.read(len(mpeg.EMPTY_ID3) + first.info.size)[len(mpeg.EMPTY_ID3) :]
                crc = 0
                for region, begin, end in zip(used, cuts, cuts[1:], strict=False):
                    crc = region.copy(begin, end, file, crc)
                    if begin:
                        region.run.path.unlink()
                file.truncate()
                file.seek(len(mpeg.EMPTY_ID3))
                file.write(mpeg.info_frame(template, self._stream, cuts[-1], used[-1].info.padding, crc))
            for region in self._regions[len(used) :]:  # of no use, since a predecessor has encoded to the end
                region.run.path.unlink()
            first.run.path.rename(self._path)
        except OSError as error:
            raise ConversionError from error


class Region:
    """The part of a recording from frame `begin` of the MP3 on, whose encoder makes frame `start` first.

    run: of its ffmpeg. after: the next region. meter: of the samples that are this region's own. Once it is encoded,
    info is that of its MP3, and end the frame of the whole behind its last.
    """

    info: mpeg.Info
    end: int

    def __init__(self, job: Job, begin: int, run: Run, after: Region | None) -> None:
        self._wav, self._channels, self._ranges = job.wav, job.plan.channels, job.ranges
        self._stream = stream = job.plan.stream
        self.begin, self.run, self.after = begin, run, after
        self.start = max(0, begin - -(-WARM_UP // stream.period) * stream.period)
        self.meter = Meter(self._channels, job.wav.frames or 0, begin * stream.samples)
        self._given = 0  # bytes of the data
        self._bodies = [mpeg.Bodies(stream, each.start, after.begin) for each in (self, after)] if after else []
        self._compared = self._agreeing = 0  # frames; of the last ones, those in a row that are the same

    def encode(self) -> None:
        """Run ffmpeg. Raises unless its MP3 holds each sample that it was given."""
        samples, start = self._stream.samples, self.start * self._stream.samples
        end = self.after.begin * samples if self.after else self._wav.frames or 0
        excerpt = Excerpt(self.meter, self._channels, self.begin * samples - start, end - start)
        self.run.convert(self._pieces(), excerpt)
        self.run.check(compressed=False)
        given = self._given // self._wav.block_align
        info = mpeg.whole(self.run.path, self._stream)
        if info is None or not info.holds(given) or excerpt.frames != given:
            raise ConversionError
        self.info, self.end = info, self.start + info.frames

    def _pieces(self) -> Iterator[bytes | memoryview | None]:
        """The data for the encoder: enough for a run of frames behind the boundary to be written, and then more until a
        run agrees. Yields None to wait until more frames are written."""
        frame_bytes, total = self._stream.samples * self._wav.block_align, self._wav.data_bytes
        unwritten = _WRITTEN_AT_ONCE // self._stream.offset(1) + PACKET_BYTES // frame_bytes + _BEHIND
        position = self.start * frame_bytes
        end = (self.after.begin + RUN + unwritten) * frame_bytes if self.after else total
        while position < total:
            end = min(end, total)
            for piece in self._ranges(position, end):
                self._given += len(piece)
                yield piece
            if self._given != end - self.start * frame_bytes:
                raise ConversionError
            position, end = end, end + RUN * frame_bytes
            waits = 0
            while position < total and waits < _WAITS:
                compared = self._compared
                if self.joined():
                    return
                waits = waits + 1 if self._compared == compared else 0
                yield None

    # --- The join with the next region

    @property
    def cut(self) -> int:
        """The frame from which on the next region's are used, when it is `joined`."""
        assert self.after is not None  # noqa: S101
        return self.after.begin + self._compared - self._agreeing

    def joined(self) -> bool:
        """Whether this stream and the next region's have become one, as far as both are written by now."""
        assert self.after is not None  # noqa: S101
        try:
            with self.run.path.open("rb", buffering=0) as own, self.after.run.path.open("rb", buffering=0) as other:
                while self._agreeing < RUN and all(
                    bodies.ready(file) for bodies, file in zip(self._bodies, (own, other), strict=True)
                ):
                    one, two = (bodies.next() for bodies in self._bodies)
                    self._compared += 1
                    self._agreeing = self._agreeing + 1 if one == two and one.main is not None else 0
        except FileNotFoundError:
            return False
        except ValueError as error:  # there is something else than frames
            raise ConversionError from error
        return self._agreeing == RUN

    def copy(self, begin: int, end: int, file: IO[bytes], crc: int) -> int:
        """Append the frames from `begin` to `end` to a file, this region's own or another.

        crc: of the frames that are there already. Returns it with these. Only frames that are left out are read for
        it: the CRC of all of them is in the region's Info frame.
        """
        base = len(mpeg.EMPTY_ID3) + self.info.size - self._stream.offset(self.start)
        top, first, last, size = (base + self._stream.offset(frame) for frame in (self.start, begin, end, self.end))
        with self.run.path.open("rb") as own:
            head = own.read(first)[top:]
            if begin == 0:
                file.seek(last)
            for offset in range(first, last if begin else first, _PIECE):
                file.write(own.read(min(_PIECE, last - offset)))
            own.seek(last)
            tail = own.read(size - last)
        # crc16(head + used + tail) is known: taken apart from behind, and put behind `crc`.
        used = mpeg.crc16_shift(self.info.crc ^ mpeg.crc16(tail), last - size)
        return used ^ mpeg.crc16_shift(crc ^ mpeg.crc16(head), last - first)
