"""Running ffmpeg: its pipes, its limits, its end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from records.audio.levels import Excerpt, Meter
from records.audio.plan import Plan
from records.errors import ConversionError, ConversionTimeout, UnplayableAudio

_PIPE = 1024 * 1024  # bytes that a pipe is asked to hold: six seconds of stereo
# Served at once, each 32 KiB of sound would make this process and ffmpeg change places on the processor. So the pipes
# are served together, every 20 ms, or so often that even an ffmpeg 400 times as fast as real time would never wait.
_SERVE_INTERVAL, _FASTEST = 0.02, 400
_POLL_INTERVAL = 0.5  # s between two looks at the clock while ffmpeg is silent, and at what it writes while it is not
_STDERR_KEPT = 2_000  # bytes, for the log

# Exit statuses of ffmpeg that are the audio's fault: AVERROR_INVALIDDATA & 0xFF, and "too many decoding errors".
_CANNOT_DECODE = (183, 69)


class FfmpegFailure(Exception):
    """The cause of an error, for the log: what ffmpeg wrote to stderr."""


class Run:
    """One run of ffmpeg. One thread serves its three pipes; the process has ended when `convert` returns or raises."""

    def __init__(self, plan: Plan, path: Path, deadline: float) -> None:
        """path: of the MP3. deadline: a value of time.monotonic()."""
        self._plan = plan
        self.path = path
        self._deadline = deadline
        self._stderr = b""
        self._status = 0
        self._next_look = 0.0
        self._fed = False  # ffmpeg has taken all that there was
        self._idle = False  # the feed had nothing just now
        self._max_bytes = plan.max_duration * plan.kbits * 125
        self._max_frames = plan.max_duration * plan.rate

    def convert(self, feed: Iterator[bytes | memoryview | None], meter: Meter | Excerpt) -> None:
        """Feed ffmpeg and measure the samples that the encoder gets, until it has ended or the deadline comes.

        feed: the data; None means that nothing is ready yet, though more will come.
        """
        process = self._start()
        try:
            self._serve(process, feed, meter)
            self._status = process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise ConversionTimeout from None
        finally:
            _end(process)

    def cancel(self) -> None:
        """Let `convert`, in whatever thread it is, raise ConversionTimeout at once."""
        self._deadline = 0.0

    def check(self, *, compressed: bool) -> None:
        """Raise unless ffmpeg ended well and took everything. Only `compressed` audio can be undecodable."""
        failure = FfmpegFailure(f"ffmpeg ended with {self._status}: {self._stderr.decode('utf-8', 'replace').strip()}")
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

    def _serve(
        self, process: subprocess.Popen[bytes], feed: Iterator[bytes | memoryview | None], meter: Meter | Excerpt
    ) -> None:
        """Serve the pipes until ffmpeg has closed all of its ends, or the deadline comes."""
        stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
        assert stdin and stdout and stderr  # noqa: S101, PT018
        os.set_blocking(stdin.fileno(), False)
        pending = memoryview(self._plan.header)
        interval = 0.0
        if _widen(stdin) and _widen(stdout):
            interval = min(_SERVE_INTERVAL, _PIPE / (self._plan.flow * _FASTEST))
        with selectors.DefaultSelector() as selector, selectors.DefaultSelector() as end:
            selector.register(stdin, selectors.EVENT_WRITE)
            for pipe in (stdout, stderr):
                selector.register(pipe, selectors.EVENT_READ)
            end.register(stderr, selectors.EVENT_READ)  # which ffmpeg closes when it ends
            while selector.get_map():
                self._check_limits(meter)
                for key, _ in selector.select(_POLL_INTERVAL):
                    if key.fileobj is stdin:
                        pending, ended = self._write(key.fd, pending, feed, meter)
                    else:
                        piece = os.read(key.fd, _PIPE)
                        ended = not piece
                        if key.fileobj is stdout:
                            meter.feed(piece)
                        else:
                            self._stderr = (self._stderr + piece)[-_STDERR_KEPT:]
                    if ended:
                        selector.unregister(key.fileobj)
                        if key.fileobj is stdin:
                            stdin.close()
                        elif key.fileobj is stderr:
                            interval = 0.0
                            end.unregister(stderr)
                end.select(_SERVE_INTERVAL if self._idle else interval)

    def _write(
        self, fd: int, pending: memoryview, feed: Iterator[bytes | memoryview | None], meter: Meter | Excerpt
    ) -> tuple[memoryview, bool]:
        """Fill the pipe. Returns the rest of the last piece, and whether this was the end of writing."""
        while True:
            while not pending:
                self._check_deadline()  # a feed may go through gigabytes in which there is nothing for ffmpeg
                try:
                    following = next(feed)
                except StopIteration:
                    self._fed = True
                    return pending, True
                self._idle = following is None
                if following is None:
                    return pending, False
                pending = memoryview(following)
                if self._plan.direct:
                    meter.feed(pending)
            try:
                pending = pending[os.write(fd, pending) :]
            except BlockingIOError:
                return pending, False
            except BrokenPipeError:  # ffmpeg reads no more
                return pending, True

    def _check_deadline(self) -> float:
        now = time.monotonic()
        if now >= self._deadline:
            raise ConversionTimeout
        return now

    def _check_limits(self, meter: Meter | Excerpt) -> None:
        """Stop an ffmpeg that takes too long, or that writes without end."""
        now = self._check_deadline()
        if now >= self._next_look:
            self._next_look = now + _POLL_INTERVAL
            written = self.path.stat().st_size if self.path.exists() else 0
            if written > self._max_bytes or meter.frames > self._max_frames:
                raise ConversionError


def _widen(pipe: IO[bytes]) -> bool:
    """Ask for a pipe of _PIPE bytes. Linux may refuse, and other systems cannot do it."""
    try:
        return fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE) >= _PIPE
    except (OSError, AttributeError):
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of ffmpeg and all that it started, reap it, close the pipes."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
