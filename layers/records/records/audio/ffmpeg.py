"""Running ffmpeg, or mp3-encoder in its place: its pipes, its limits, its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import IO

from records.audio.levels import Excerpt, Meter
from records.audio.plan import Plan
from records.errors import ConversionError, ConversionTimeout, UnplayableAudio

_READ_BYTES = 64 * 1024  # what a pipe holds
_PAUSE = 0.02  # s, until a feed that had nothing is asked again
_POLL_INTERVAL = 0.1  # s between two looks at the clock and at what ffmpeg has written
_STDERR_KEPT = 2_000  # bytes, for the log

# Exit statuses of ffmpeg that are the audio's fault: AVERROR_INVALIDDATA & 0xFF, and "too many decoding errors".
_CANNOT_DECODE = (183, 69)


class FfmpegFailure(Exception):
    """The cause of an error, for the log: what ffmpeg wrote to stderr."""


class Run:
    """One run of ffmpeg, and a thread for each of its pipes. All have ended when `convert` returns or raises."""

    def __init__(self, plan: Plan, path: Path, deadline: float) -> None:
        """path: of the MP3. deadline: a value of time.monotonic()."""
        self._plan = plan
        self.path = path
        self._deadline = deadline
        self._stderr = b""
        self._status = 0
        self._fed = False  # ffmpeg has taken all that there was
        self._max_bytes = plan.max_duration * plan.kbits * 125
        self._max_frames = plan.max_duration * plan.rate

    def convert(self, feed: Iterator[bytes | memoryview | None], meter: Meter | Excerpt) -> None:
        """Feed ffmpeg and measure the samples that the encoder gets, until it has ended or the deadline comes.

        feed: the data; None means that nothing is ready yet, though more will come.
        """
        with self._start() as process, ThreadPoolExecutor(3) as threads:
            stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
            assert stdin and stdout and stderr  # noqa: S101, PT018
            try:
                running = {
                    threads.submit(self._write, stdin, feed, meter),
                    threads.submit(self._measure, stdout, meter),
                    threads.submit(self._keep, stderr),
                }
                while running:
                    done, running = wait(running, _POLL_INTERVAL, FIRST_EXCEPTION)
                    for job in done:
                        job.result()
                    self._check_limits(meter)
                self._status = process.wait(max(0.0, self._deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise ConversionTimeout from None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # with all that it started; by that the threads end, too

    def cancel(self) -> None:
        """Let `convert`, in whatever thread it is, raise ConversionTimeout soon."""
        self._deadline = 0.0

    def check(self, *, compressed: bool) -> None:
        """Raise unless ffmpeg ended well and took everything. Only `compressed` audio can be undecodable."""
        said = self._stderr.decode("utf-8", "replace").strip()
        failure = FfmpegFailure(f"{self._plan.program.name} ended with {self._status}: {said}")
        if compressed and self._status in _CANNOT_DECODE:
            raise UnplayableAudio("undecodable", "The sound in the WAV file cannot be decoded.") from failure
        if self._status != 0 or not self._fed:
            raise ConversionError from failure

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            self.path.unlink(missing_ok=True)
            return subprocess.Popen(  # noqa: S603
                self._plan.command(self.path.absolute()),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=self.path.parent,
                env={"PATH": os.defpath},  # it parses untrusted bytes, so it gets none of our credentials
                start_new_session=True,  # so that it can be killed with all that it started
            )
        except OSError as error:
            raise ConversionError from error

    def _write(self, pipe: IO[bytes], feed: Iterator[bytes | memoryview | None], meter: Meter | Excerpt) -> None:
        """Write the header and the feed, until that ends or ffmpeg reads no more."""
        with pipe:
            if not _write_all(pipe, self._plan.header):
                return
            for piece in feed:
                self._check_deadline()  # a feed may go through gigabytes in which there is nothing for ffmpeg
                if piece is None:
                    time.sleep(_PAUSE)
                    continue
                if self._plan.direct:
                    meter.feed(piece)
                if not _write_all(pipe, piece):
                    return
            self._fed = True

    def _measure(self, pipe: IO[bytes], meter: Meter | Excerpt) -> None:
        """Measure what ffmpeg writes: the samples that the encoder gets, unless they are the feed's own."""
        while piece := pipe.read(_READ_BYTES):
            meter.feed(piece)

    def _keep(self, pipe: IO[bytes]) -> None:
        """Keep the end of what ffmpeg says."""
        while piece := pipe.read(_READ_BYTES):
            self._stderr = (self._stderr + piece)[-_STDERR_KEPT:]

    def _check_deadline(self) -> None:
        if time.monotonic() >= self._deadline:
            raise ConversionTimeout

    def _check_limits(self, meter: Meter | Excerpt) -> None:
        """Stop an ffmpeg that takes too long, or that writes without end."""
        self._check_deadline()
        written = self.path.stat().st_size if self.path.exists() else 0
        if written > self._max_bytes or meter.frames > self._max_frames:
            raise ConversionError


def _write_all(pipe: IO[bytes], data: bytes | memoryview) -> bool:
    """Write into a pipe, however long that takes. False when nobody reads from it any more."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[pipe.write(rest) :]
    except BrokenPipeError:
        return False
    return True
