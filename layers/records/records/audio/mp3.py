"""WAV in, MP3 out: the only place that runs ffmpeg.

One run of ffmpeg writes the MP3 into a file (written to a pipe it would lack the header that gives its length) and,
beside it, the very samples that went into the encoder to a pipe, where `levels` measures them and where they are
counted. ffmpeg's word is not taken for anything: exit status 0 comes with cut, empty and silently shortened files
too. A conversion is done when the status is 0, ffmpeg has taken every byte, the samples are as many as the WAV file
has, and the MP3's own frames hold exactly those samples.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import hashlib
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from records.audio import mpeg
from records.audio.levels import Levels, Meter
from records.audio.wav import MAX_DURATION, Wav
from records.errors import ConversionError, ConversionTimeout, UnplayableAudio
from records.settings import settings

_PIECE = 64 * 1024  # bytes: what a pipe holds unless it is widened
_PIPE = 1024 * 1024  # bytes that a pipe is asked to hold: six seconds of stereo
# Served at once, each 32 KiB of sound would make this process and ffmpeg change places on the processor. So the pipes
# are served together, every 20 ms, or so often that even an ffmpeg 400 times as fast as real time would never wait.
_LEISURE, _FASTEST = 0.02, 400
_PATIENCE = 0.5  # s between two looks at the clock while ffmpeg is silent, and at what it writes while it is not
_STDERR_KEPT = 2_000  # bytes, for the log
_TOLERANCE = 0.1  # s: by how much an MP3 may be longer or shorter than its WAV file
_TAGS = 65_536  # bytes: what may follow the last frame of MPEG audio and be no sound
_RESAMPLER_LEAST = 512  # samples: above half the length of ffmpeg's filter from 384 to 44.1 kHz

# LAME pads an MP3 by up to 575 samples and a frame; ffmpeg's muxer can write down 529 and a frame.
_PADDING_EXCESS = 575 - 529

# What ffmpeg puts before the frames: an ID3v2.4 tag with nothing in it. It stays, since it is by it that programs
# know an MP3 of few frames for one.
_EMPTY_ID3 = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)

# Exit statuses of ffmpeg that are the audio's fault: AVERROR_INVALIDDATA & 0xFF, and "too many decoding errors".
_CANNOT_DECODE = (183, 69)

# Decoders whose samples the encoder may have as they are: integers of at most 32 bits.
_INTEGERS = frozenset(
    [f"pcm_{form}" for form in ("u8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "alaw", "mulaw")]
    + ["adpcm_ms", "adpcm_ima_wav", "gsm_ms"]
)

# Sample rates of MPEG-1 and MPEG-2, and the constant bit rates (kbit/s) of layer III at each (ISO/IEC 11172-3,
# 13818-3). Those of "MPEG 2.5" (8 to 12 kHz) and 16 kHz are left out: the encoder's delay and padding, up to 1727
# samples, are 0.11 to 0.22 s there, by which a player that does not read LAME's tag plays an MP3 too long.
_MPEG1_KBITS = frozenset((32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320))
_MPEG2_KBITS = frozenset((8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160))
_MP3_RATES = {22050: _MPEG2_KBITS, 24000: _MPEG2_KBITS, 32000: _MPEG1_KBITS, 44100: _MPEG1_KBITS, 48000: _MPEG1_KBITS}

# What each speaker gives to the left and the right, in the order of the bits of dwChannelMask (mmreg.h): ITU-R
# BS.775's 0.7 for the centre and the surrounds, as ffmpeg's own downmix has it. Unlike there the low-frequency
# channel is heard, so that a recording with sound in that channel alone does not turn into silence.
_HALF, _NEAR = 0.5, 0.7071
_SPEAKERS = (
    (1.0, 0.0),  # front left
    (0.0, 1.0),  # front right
    (_NEAR, _NEAR),  # front centre
    (_HALF, _HALF),  # low frequency
    (_NEAR, 0.0),  # back left
    (0.0, _NEAR),  # back right
    (1.0, 0.0),  # front left of centre
    (0.0, 1.0),  # front right of centre
    (_HALF, _HALF),  # back centre
    (_NEAR, 0.0),  # side left
    (0.0, _NEAR),  # side right
    (_HALF, _HALF),  # top centre
    (_NEAR, 0.0),  # top front left
    (_HALF, _HALF),  # top front centre
    (0.0, _NEAR),  # top front right
    (_NEAR, 0.0),  # top back left
    (_HALF, _HALF),  # top back centre
    (0.0, _NEAR),  # top back right
)
# ffmpeg's layouts for a number of channels that no mask explains: 2.1, 4.0, 5.0, 5.1, 6.1, 7.1.
_DEFAULT_SPEAKERS = {3: 0x00B, 4: 0x107, 5: 0x037, 6: 0x03F, 7: 0x70F, 8: 0x63F}


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
    plan = _Plan.of(wav, bitrate)
    path = directory / "audio.mp3"
    feed = _Feed(wav, data)
    meter = Meter(plan.channels, (wav.frames or 0) * plan.rate // wav.sample_rate)
    run = _Run(plan, path, deadline)
    run.convert(iter(feed), meter)
    run.check(compressed=_compressed(wav))
    _check_samples(wav, plan, feed.frames, meter.frames)
    _check_mp3(path, plan, meter.frames)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Conversion(path, path.stat().st_size, sha256, meter.frames / plan.rate, meter.levels(), meter.waveform())


# --- What is to be done ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """The MP3 that a WAV file becomes.

    rate: Hz. kbits: kbit/s in all. filters: ffmpeg's, up to the encoder. max_duration: s, no more than which can come.
    flow: bytes for a second of sound, of those that go in and those that come out whichever are more.
    """

    codec: str
    rate: int
    channels: int
    kbits: int
    filters: str
    max_duration: int
    flow: float

    @classmethod
    def of(cls, wav: Wav, bitrate: int) -> _Plan:
        channels = min(wav.channels, 2)
        kbits = bitrate * channels
        rate = mp3_rate(wav.sample_rate, kbits)
        mixed = [*([_downmix(wav)] if wav.channels > 2 else []), *_resample(wav, rate)]
        filters = [
            *_trim(wav),
            # Floats above full scale are clipped before all else; and 16 bits are too few to mix and to resample in.
            *(["aformat=sample_fmts=s32|s32p"] if mixed or wav.codec not in _INTEGERS else []),
            *mixed,
            f"aformat=sample_fmts=fltp:channel_layouts={'mono' if channels == 1 else 'stereo'}",
        ]
        most = wav.duration if wav.duration is not None else wav.data_bytes * mpeg.MOST_SAMPLES / wav.sample_rate
        # A second more is more than any delay or rounding.
        duration = int(min(most, MAX_DURATION)) + 2
        flow = max(wav.data_bytes / wav.duration if wav.duration else 0, 2 * channels * rate)
        return cls(wav.codec, rate, channels, kbits, ",".join(filters), duration, flow)

    def command(self, ffmpeg: str, path: Path) -> list[str]:
        """ffmpeg's command line. It is told what it reads, and may open nothing but its pipes and the MP3."""
        return [
            *(ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error", "-y"),
            *("-protocol_whitelist", "file,pipe"),
            *("-f", "wav", "-ignore_length", "1", "-c:a", self.codec, "-i", "pipe:0"),
            *("-filter_complex", f"[0:a]{self.filters},asplit[mp3][pcm]"),
            *("-map", "[mp3]", "-c:a", "libmp3lame", "-b:a", f"{self.kbits}k", "-map_metadata", "-1"),
            *("-fflags", "+bitexact", "-flags:a", "+bitexact", "-f", "mp3", f"file:{path}"),
            *("-map", "[pcm]", "-c:a", "pcm_s16le", "-f", "s16le", "pipe:1"),
        ]


def mp3_rate(source: int, kbits: int) -> int:
    """The sample rate of the MP3 in Hz: the WAV file's own where that can be, else one that loses nothing of it, else
    one of the two highest.

    A rate that the source's divides, or that divides the source's, is resampled best and fastest, so it is preferred.
    """
    legal = [rate for rate, allowed in _MP3_RATES.items() if kbits in allowed]
    if not legal:
        raise ConversionError(f"No MP3 has {kbits} kbit/s: BITRATE is to be one that MPEG has, mono and stereo.")
    above = [rate for rate in legal if rate >= source]
    if above:
        return min([rate for rate in above if rate % source == 0] or above)
    highest = sorted(legal)[-2:]
    return max([rate for rate in highest if source % rate == 0] or highest)


def _trim(wav: Wav) -> list[str]:
    """Cut off the padding of a compressed file's last block."""
    return [f"atrim=end_sample={wav.frames}"] if _compressed(wav) and wav.frames is not None else []


def _compressed(wav: Wav) -> bool:
    """Whether there is a decoder to speak of, that may fail."""
    return not wav.codec.startswith("pcm_")


def _resample(wav: Wav, rate: int) -> list[str]:
    """To the MP3's rate. The resampler gives nothing for a sound that is shorter than its filter, so that is padded."""
    if wav.sample_rate == rate:
        return []
    if wav.frames is None or wav.frames >= _RESAMPLER_LEAST:
        return [f"aresample={rate}"]
    frames = -(-wav.frames * rate // wav.sample_rate)
    return [f"apad=whole_len={_RESAMPLER_LEAST}", f"aresample={rate}", f"atrim=end_sample={frames}"]


def _downmix(wav: Wav) -> str:
    """The `pan` filter from 3 to 8 channels to stereo, whose gains add up to 1 at most, so that nothing clips."""
    if wav.b_format:
        # Two cardioids, facing half left and half right, out of W (3 dB down by convention), X (front), Y (left).
        gains = [(_NEAR, _NEAR), (_NEAR / 2, _NEAR / 2), (_NEAR / 2, -_NEAR / 2)]
    else:
        mask = wav.speakers or _DEFAULT_SPEAKERS[wav.channels]
        gains = [gain for bit, gain in enumerate(_SPEAKERS) if mask >> bit & 1]
    loudest = max(sum(abs(gain[side]) for gain in gains) for side in (0, 1))
    sides = []
    for side in (0, 1):
        terms = [f"{gain[side] / loudest:+.6f}*c{channel}" for channel, gain in enumerate(gains) if gain[side]]
        sides.append(f"c{side}={''.join(terms).lstrip('+') or '0*c0'}")
    return "pan=stereo|" + "|".join(sides)


class _Feed:
    """The bytes for ffmpeg: a header of our own, then the data. Counts the samples that pass."""

    def __init__(self, wav: Wav, data: Iterable[bytes | memoryview]) -> None:
        self._wav = wav
        self._data = data
        self._bytes = 0
        self._mpeg = mpeg.Frames({"mp1": 1, "mp2": 2}.get(wav.codec, 3), wav.sample_rate)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield self._wav.header
        pieces = self._counted()
        if self._wav.frames is None:
            yield from self._whole_frames(pieces)
        elif self._wav.codec.startswith("pcm_f"):
            yield from self._finite(pieces, self._wav.bits // 8)
        else:
            yield from pieces
        if self._bytes != self._wav.data_bytes:
            raise ConversionError

    @property
    def frames(self) -> int:
        """Samples per channel, at the WAV file's rate."""
        return self._mpeg.samples if self._wav.frames is None else self._wav.frames

    def _counted(self) -> Iterator[bytes | memoryview]:
        for piece in self._data:
            self._bytes += len(piece)
            yield piece

    def _whole_frames(self, pieces: Iterator[bytes | memoryview]) -> Iterator[bytes]:
        """MPEG audio without what is no frame, and without a last one that is cut: ffmpeg would guess at it."""
        found = self._mpeg
        for piece in pieces:
            yield found.feed(piece)
            if found.samples > MAX_DURATION * self._wav.sample_rate:
                raise UnplayableAudio("too_long", "The recording is longer than 24 hours. Send it in parts.")
        if not found.frames:
            raise UnplayableAudio("undecodable", "The WAV file says that it holds MPEG audio, but there is none in it.")
        sound = self._bytes - found.skipped - found.unfinished
        # What follows the last frame may be tags; more than those was sound, as in a file that was never filled.
        lost = found.lost + (found.gap if found.gap > _TAGS else 0)
        if lost * found.samples > sound * self._wav.sample_rate * _TOLERANCE:
            raise _damaged()

    def _finite(self, pieces: Iterator[bytes | memoryview], width: int) -> Iterator[bytes]:
        """Little-endian floats with those made 0 that are no sound: NaN, infinity, and numbers near the largest.

        All of these, and nothing below 2^127, have 0x7F or 0xFF as their highest byte. One NaN would make the
        encoder's model of hearing, and so the rest of the MP3, undefined.
        """
        rest, wild = b"", 0
        for piece in pieces:
            data = rest + bytes(piece)
            whole = len(data) - len(data) % width
            data, rest = data[:whole], data[whole:]
            top = data[width - 1 :: width]
            found = [match.start() for match in re.finditer(b"[\x7f\xff]", top)]
            if found:
                mended = bytearray(data)
                for index in found:
                    mended[index * width : (index + 1) * width] = bytes(width)
                data = bytes(mended)
                wild += len(found)
            yield data
        samples = self._bytes // width
        if wild > min(samples // 2, _TOLERANCE * self._wav.sample_rate * self._wav.channels):
            raise _damaged()


# --- Running ffmpeg --------------------------------------------------------------------------------------------------


class _FfmpegFailure(Exception):
    """What ffmpeg said, for the log: the cause of an error."""


class _Run:
    """One run of ffmpeg: its three pipes are served by one thread, and it is gone when `convert` returns or raises."""

    def __init__(self, plan: _Plan, path: Path, deadline: float) -> None:
        self._plan = plan
        self._path = path
        self._deadline = deadline
        self._stderr = b""
        self._status = 0
        self._next_look = 0.0
        self._fed = False  # ffmpeg has taken all that there was
        self._max_bytes = plan.max_duration * plan.kbits * 125
        self._max_frames = plan.max_duration * plan.rate

    def convert(self, feed: Iterator[bytes | memoryview], meter: Meter) -> None:
        """Feed ffmpeg and measure what comes out, until it has ended or the deadline comes."""
        process = self._start()
        try:
            self._serve(process, feed, meter)
            self._status = process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise ConversionTimeout from None
        finally:
            _end(process)

    def check(self, *, compressed: bool) -> None:
        """Raise unless ffmpeg ended well and took everything. Only `compressed` audio can be undecodable."""
        failure = _FfmpegFailure(f"ffmpeg ended with {self._status}: {self._stderr.decode('utf-8', 'replace').strip()}")
        if compressed and self._status in _CANNOT_DECODE:
            raise UnplayableAudio("undecodable", "The sound in the WAV file cannot be decoded.") from failure
        if self._status != 0 or not self._fed:
            raise ConversionError from failure

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            self._path.unlink(missing_ok=True)
            return subprocess.Popen(  # noqa: S603
                self._plan.command(settings().ffmpeg, self._path.absolute()),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=self._path.parent,
                env={"PATH": os.defpath},  # a parser of strangers' bytes needs none of our credentials
                start_new_session=True,  # so that it can be killed with all that it started
            )
        except OSError as error:
            raise ConversionError from error

    def _serve(self, process: subprocess.Popen[bytes], feed: Iterator[bytes | memoryview], meter: Meter) -> None:
        """Serve the pipes until ffmpeg has closed all of its ends, or the deadline comes."""
        stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
        assert stdin and stdout and stderr  # noqa: S101, PT018
        os.set_blocking(stdin.fileno(), False)
        pending = memoryview(b"")
        leisure = min(_LEISURE, _PIPE / (self._plan.flow * _FASTEST)) if _widen(stdin) and _widen(stdout) else 0.0
        with selectors.DefaultSelector() as selector, selectors.DefaultSelector() as end:
            selector.register(stdin, selectors.EVENT_WRITE)
            for pipe in (stdout, stderr):
                selector.register(pipe, selectors.EVENT_READ)
            end.register(stderr, selectors.EVENT_READ)  # which ffmpeg closes when it ends
            while selector.get_map():
                self._check_limits(meter)
                for key, _ in selector.select(_PATIENCE):
                    if key.fileobj is stdin:
                        pending, ended = self._write(key.fd, pending, feed)
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
                            leisure = 0.0
                            end.unregister(stderr)
                end.select(leisure)

    def _write(self, fd: int, pending: memoryview, feed: Iterator[bytes | memoryview]) -> tuple[memoryview, bool]:
        """Fill the pipe. Returns the rest of the last piece, and whether this was the end of writing."""
        while True:
            while not pending:
                self._check_deadline()  # a feed may go through gigabytes in which there is nothing for ffmpeg
                following = next(feed, None)
                if following is None:
                    self._fed = True
                    return pending, True
                pending = memoryview(following)
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

    def _check_limits(self, meter: Meter) -> None:
        """Stop an ffmpeg that takes too long, or that writes without end."""
        now = self._check_deadline()
        if now >= self._next_look:
            self._next_look = now + _PATIENCE
            written = self._path.stat().st_size if self._path.exists() else 0
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


# --- Is it done? -----------------------------------------------------------------------------------------------------


def _check_samples(wav: Wav, plan: _Plan, expected: int, frames: int) -> None:
    """Raise unless as many samples came out as the `expected` that went in.

    A resampler may round their number. A decoder drops what it cannot decode: beyond the tenth of a second by which
    an MP3 may differ from its WAV file, that is not passed over in silence.
    """
    short = abs(frames * wav.sample_rate - expected * plan.rate)  # in units that are whole: seconds * rate * rate
    if _compressed(wav):
        if short > _TOLERANCE * plan.rate * wav.sample_rate:
            raise _damaged()
    elif short > (0 if plan.rate == wav.sample_rate else wav.sample_rate):
        raise ConversionError


def _damaged() -> UnplayableAudio:
    return UnplayableAudio("damaged", "A part of the sound in the WAV file is damaged and cannot be decoded.")


def _check_mp3(path: Path, plan: _Plan, frames: int) -> None:
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
