"""A recording that several processes encode: it must play, to the sample, what one would have made.

Regions are of seconds here, so that there are many joins. JOINED_RECORDINGS of them; `make soak` tries 200.
"""

from __future__ import annotations

import io
import os
import random
import shlex
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from records.audio import mpeg, parallel
from records.audio.ffmpeg import Run
from records.audio.mp3 import Conversion, convert
from records.audio.plan import Plan
from records.audio.wav import inspect
from records.errors import ConversionError, ConversionTimeout
from records.settings import processors, settings
from tests.support.decoding import decoded
from tests.support.sounds import KINDS, pcm16
from tests.support.wavs import ALAW, FLOAT, IMA_ADPCM, adpcm_fmt, chunk, fmt, riff, wav

RECORDINGS = int(os.environ.get("JOINED_RECORDINGS", "8"))
BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160)  # kbit/s a channel, of the template's parameter
RATES = (22050, 24000, 32000, 44100, 48000)
LEAST = 8.0  # s of a region

pytestmark = [pytest.mark.usefixtures("real_ffmpeg"), pytest.mark.slow]


@pytest.fixture(autouse=True)
def _short_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "LEAST_SECONDS", LEAST)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Neither a process, nor a thread, nor an open file."""

    def running() -> tuple[set[str], int, int]:
        found = {child for path in Path("/proc/self/task").glob("*/children") for child in path.read_text().split()}
        return found, threading.active_count(), len(os.listdir("/proc/self/fd"))

    before = running()
    yield
    assert running() == before


class Reader:
    """Reads a file's data as the storage does, in pieces; notes what was read."""

    def __init__(self, data: bytes) -> None:
        self.wav = inspect(io.BytesIO(data))
        self.view = memoryview(data)[self.wav.data_offset : self.wav.data_offset + self.wav.data_bytes]
        self.reads: list[tuple[int, int]] = []

    def __call__(self, start: int, end: int) -> Iterator[memoryview]:
        self.reads.append((start, end))
        for position in range(start, end, 1 << 18):
            yield self.view[position : min(end, position + (1 << 18))]


def to_mp3(reader: Reader, directory: Path, processes: int, *, bitrate: int = 64, seconds: float = 120) -> Conversion:
    directory.mkdir(exist_ok=True)
    found = convert(
        *(reader.wav, reader(0, reader.wav.data_bytes), directory),
        ffmpeg=settings().ffmpeg,
        bitrate=bitrate,
        deadline=time.monotonic() + seconds,
        ranges=reader,
        processes=processes,
    )
    assert [path.name for path in directory.iterdir()] == ["audio.mp3"]
    return found


class Same(NamedTuple):
    """Whether the two files are the same bytes, and how many regions there were."""

    bytes: bool
    regions: int


def assert_same(data: bytes, processes: int, ffmpeg: str, directory: Path, bitrate: int = 64) -> Same:
    """One process and several make MP3s that play the same samples, and measure the same."""
    reader = Reader(data)
    regions = len(parallel.boundaries(reader.wav, Plan.of(reader.wav, bitrate), processes))
    one = to_mp3(reader, directory / "one", 1, bitrate=bitrate)
    several = to_mp3(reader, directory / "several", processes, bitrate=bitrate)
    first, second = one.path.read_bytes(), several.path.read_bytes()
    assert decoded(second, ffmpeg) == decoded(first, ffmpeg)
    assert (several.bytes, several.duration, several.levels, several.waveform) == (
        *(one.bytes, one.duration, one.levels),
        one.waveform,
    )
    assert without_crcs(second) == without_crcs(first)
    return Same(first == second, regions)


def without_crcs(mp3: bytes) -> bytes:
    """The Info frame but for its checksums: a joined file may have other bits where a frame has nothing to say."""
    head = mp3[len(mpeg.EMPTY_ID3) :]
    info = mpeg.info(head)
    assert info is not None
    assert mpeg.crc16(head[info.size :]) == info.crc
    tag = head.index(b"Info")
    return head[: tag + 152] + head[tag + 156 : info.size]


# --- The same sound --------------------------------------------------------------------------------------------------


class Recording(NamedTuple):
    kind: str
    rate: int
    channels: int
    bitrate: int
    frames: int
    processes: int
    seed: int

    @property
    def data(self) -> bytes:
        return wav(fmt(channels=self.channels, rate=self.rate), pcm16(*self[:1], self.frames, *self[1:3], self.seed))


def recordings() -> list[Recording]:
    """Every kind with every rate, one channel and two, and every bit rate; lengths around all boundaries."""
    chosen = random.Random(17)
    found = []
    for number in range(RECORDINGS):
        kind, rate = list(KINDS)[number % len(KINDS)], RATES[number // 2 % len(RATES)]
        channels = 1 + (number + number // 10) % 2
        highest = 80 if channels == 2 and rate < 32000 else 160  # MPEG-2 has no more: a higher one is resampled
        bitrate = BITRATES[number * 3 % len(BITRATES)]
        processes = 2 + number % 3
        stream = mpeg.Stream(rate, channels, channels * min(bitrate, highest))
        frames = int(processes * LEAST * rate * chosen.uniform(1, 1.3))
        if number % 3:  # around a frame's, and a period's, last sample
            unit = stream.samples * (stream.period if number % 2 else 1)
            frames = -(-frames // unit) * unit + chosen.choice([-1, 0, 1, 47, 528, 529, 576, 577])
        found.append(Recording(kind, rate, channels, min(bitrate, highest), frames, processes, number))
    return found


@pytest.mark.parametrize("first", range(0, RECORDINGS, 8))
def test_the_same_samples(first: int, ffmpeg: str, tmp_path: Path, measured: Callable[[str], None]) -> None:
    same, regions = 0, 0
    some = recordings()[first : first + 8]
    for recording in some:
        found = assert_same(recording.data, recording.processes, ffmpeg, tmp_path, recording.bitrate)
        assert found.regions == recording.processes, recording
        same, regions = same + found.bytes, regions + found.regions
    measured(
        f"recordings {first + 1} to {first + len(some)} in {regions} regions: each plays the samples that one process "
        f"makes; {same} of the files are the same bytes too"
    )


def forms() -> dict[str, bytes]:
    """17 s in other forms of PCM."""
    sixteen = np.frombuffer(pcm16("mixed", 17 * 44100, 44100, 1, 5), "<i2")
    wide = (sixteen.astype("<i4") << 16) + np.arange(len(sixteen), dtype="<i4") % 65536
    three = np.stack([sixteen, sixteen[::-1], sixteen // 2], axis=1)
    return {
        "8 bits": wav(fmt(bits=8, rate=44100), (sixteen // 256 + 128).astype("u1").tobytes()),
        "24 bits": wav(fmt(bits=24, rate=44100), wide.view("u1").reshape(-1, 4)[:, 1:].tobytes()),
        "32 bits": wav(fmt(bits=32, rate=44100), wide.tobytes()),
        "A-law": wav(fmt(ALAW, bits=8, rate=44100), (sixteen // 256).astype("i1").tobytes()),
        "big-endian": riff(
            fmt(rate=44100, order=">"), chunk(b"data", sixteen.astype(">i2").tobytes(), order=">"), magic=b"RIFX"
        ),
        "three channels": wav(fmt(channels=3, rate=44100), three.astype("<i2").tobytes()),
    }


@pytest.mark.parametrize("form", forms())
def test_other_forms_of_pcm(form: str, ffmpeg: str, tmp_path: Path) -> None:
    """What the encoder gets is measured as ffmpeg hands it out, and no sample of it twice."""
    assert assert_same(forms()[form], 2, ffmpeg, tmp_path).regions == 2


# --- Regions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", RATES)
def test_boundaries_are_where_the_padding_repeats(rate: int) -> None:
    found = inspect(io.BytesIO(wav(fmt(rate=rate), bytes(2 * 60 * rate))))
    plan = Plan.of(found, 64)
    begins = parallel.boundaries(found, plan, 4)
    assert len(begins) == 4
    assert begins[0] == 0
    assert all(begin % plan.stream.period == 0 for begin in begins)
    assert all(
        abs(begin * plan.stream.samples - number * 15 * rate) < (plan.stream.period + 1) * plan.stream.samples
        for number, begin in enumerate(begins)
    )


def test_no_region_is_shorter_than_the_least() -> None:
    def regions(seconds: int, processes: int) -> int:
        found = inspect(io.BytesIO(wav(fmt(rate=8000), bytes(2 * 8000 * seconds))))
        same_rate = inspect(io.BytesIO(wav(fmt(rate=32000), bytes(2 * 32000 * seconds))))
        assert parallel.boundaries(found, Plan.of(found, 64), processes) == [0]  # it is resampled
        return len(parallel.boundaries(same_rate, Plan.of(same_rate, 64), processes))

    assert [regions(seconds, 4) for seconds in (1, 15, 16, 31, 32, 100)] == [1, 1, 2, 3, 4, 4]
    assert regions(100, 1) == 1


@pytest.mark.parametrize(
    "head", [fmt(FLOAT, bits=32, rate=44100), adpcm_fmt(IMA_ADPCM, 1, 1024, rate=44100)], ids=["floats", "compressed"]
)
def test_what_is_not_divided(head: bytes) -> None:
    found = inspect(io.BytesIO(wav(head, bytes(4 * 44100 * 20))))
    assert parallel.boundaries(found, Plan.of(found, 64), 4) == [0]


def test_each_region_reads_its_own_range(tmp_path: Path) -> None:
    reader = Reader(Recording("speech", 44100, 2, 64, 80 * 44100, 4, 1).data)
    to_mp3(reader, tmp_path, 4)
    (whole, *ranges) = sorted(reader.reads, key=lambda read: read[0] - read[1])
    assert whole == (0, reader.wav.data_bytes)
    assert sum(end - start for start, end in ranges) < reader.wav.data_bytes * 1.9
    assert max(end - start for start, end in ranges) < reader.wav.data_bytes * 0.5


@pytest.mark.parametrize(
    ("memory", "shown", "used"), [("", 4, 4), ("1769", 2, 1), ("1770", 2, 2), ("3008", 2, 2), ("10240", 6, 6)]
)
def test_processors(memory: str, shown: int, used: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda shows two processors to a function that it gives the time of one."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(shown)), raising=False)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory)
    assert processors() == used


# --- The stream ------------------------------------------------------------------------------------------------------


def parts(path: Path, plan: Plan) -> tuple[bytes, mpeg.Info, bytes]:
    """The Info frame, what it says, and the frames."""
    info = mpeg.whole(path, plan.stream)
    assert info is not None
    mp3 = path.read_bytes()[len(mpeg.EMPTY_ID3) :]
    return mp3[: info.size], info, mp3[info.size :]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
def test_every_bit_rate(rate: int, channels: int, tmp_path: Path) -> None:
    """Each frame is where its number says, and the Info frame can be written to the byte as ffmpeg does."""
    for number, bitrate in enumerate(BITRATES):
        reader = Reader(wav(fmt(channels=channels, rate=rate), pcm16("noise", 3000 + 500 * number, rate, channels, 1)))
        plan = Plan.of(reader.wav, bitrate)
        head, info, frames = parts(to_mp3(reader, tmp_path, 1, bitrate=bitrate).path, plan)
        assert (len(head), len(frames)) == (info.size, plan.stream.offset(info.frames))
        assert mpeg.crc16(frames) == info.crc
        assert mpeg.info_frame(head, plan.stream, info.frames, info.padding, info.crc) == head


@pytest.mark.parametrize("seconds", [1, 10, 11, 21, 43, 90])
def test_info_frame_of_any_length(seconds: int, tmp_path: Path) -> None:
    """ffmpeg halves its table of sizes at every 400, 800, 1600 ... frames. The template is of a second's stream."""
    template = Reader(wav(fmt(rate=44100), bytes(2 * 44100)))
    plan = Plan.of(template.wav, 64)
    short, *_ = parts(to_mp3(template, tmp_path, 1).path, plan)
    head, info, _ = parts(to_mp3(Reader(wav(fmt(rate=44100), bytes(2 * 44100 * seconds + 88))), tmp_path, 1).path, plan)
    assert mpeg.info_frame(short, plan.stream, info.frames, info.padding, info.crc) == head


@pytest.mark.parametrize("where", [0, 1, 2, 3])
@pytest.mark.parametrize("frame", [0, 1, 20, -1])
def test_a_header_that_is_wrong(frame: int, where: int, tmp_path: Path) -> None:
    """In whichever frame, in whichever byte; and the sound itself is not looked at."""
    reader = Reader(wav(fmt(rate=44100), pcm16("noise", 44100, 44100, 1, 1)))
    plan = Plan.of(reader.wav, 64)
    path = to_mp3(reader, tmp_path, 1).path
    head, info, frames = parts(path, plan)
    at = plan.stream.offset(frame % info.frames)
    for offset, bit, found in ((where, 1, False), (4 + plan.stream.side_bytes, 1, True)):
        changed = bytearray(frames)
        changed[at + offset] ^= bit
        path.write_bytes(mpeg.EMPTY_ID3 + head + changed)
        assert (mpeg.whole(path, plan.stream) is not None) == found


def test_crc_of_a_part() -> None:
    one, other = random.Random(1).randbytes(700), random.Random(2).randbytes(1300)
    assert mpeg.crc16(b"123456789") == 0xBB3D  # the check value of CRC-16/ARC
    assert mpeg.crc16(other, mpeg.crc16(one)) == mpeg.crc16(one + other)
    assert mpeg.crc16_shift(mpeg.crc16(one), len(other)) ^ mpeg.crc16(other) == mpeg.crc16(one + other)
    assert mpeg.crc16_shift(mpeg.crc16(one + other) ^ mpeg.crc16(other), -len(other)) == mpeg.crc16(one)


# --- The join --------------------------------------------------------------------------------------------------------


class Liar(Reader):
    """Reads other sound for the last region than there is."""

    def __call__(self, start: int, end: int) -> Iterator[memoryview]:
        pieces = super().__call__(start, end)
        if start > 0 and end == self.wav.data_bytes and end - start > 8 * 4 * 44100:
            yield memoryview(pcm16("noise", (end - start) // 4, 44100, 2, 99))
        else:
            yield from pieces


def test_a_join_that_must_be_refused(ffmpeg: str, tmp_path: Path) -> None:
    """Where the second stream is never the same as the first, the first goes on to the end, and is all that is used."""
    data = Recording("music", 44100, 2, 64, 20 * 44100, 2, 3).data
    one = to_mp3(Reader(data), tmp_path / "one", 1)
    reader = Liar(data)
    several = to_mp3(reader, tmp_path / "several", 2)
    assert several.path.read_bytes() == one.path.read_bytes()
    # The first region's encoder has read all of it, as whoever wants its checksum has.
    assert sum(end - start for start, end in reader.reads) == 2 * reader.wav.data_bytes


def test_the_same_sound_out_of_another_reservoir_is_refused(ffmpeg: str, tmp_path: Path) -> None:
    """A frame's main_data_begin is the encoder's state too: it decides how many bits later frames get."""
    data = Recording("speech", 44100, 2, 64, 20 * 44100, 1, 4).data
    path = to_mp3(Reader(data), tmp_path, 1).path
    mp3 = bytearray(path.read_bytes())
    wav_file = Reader(data)
    job = parallel.Job(wav_file.wav, Plan.of(wav_file.wav, 64), wav_file)
    stream = job.plan.stream
    last = parallel.Region(job, 6 * stream.period, Run(job.plan, tmp_path / "b.mp3", 0), None)
    first = parallel.Region(job, 0, Run(job.plan, path, 0), last)
    # The second stream begins in the first where its region does. It is the same, so it can be joined.
    info = mpeg.info(bytes(mp3[20:]))
    assert info is not None
    head = len(mpeg.EMPTY_ID3) + info.size
    last.run.path.write_bytes(mp3[:head] + mp3[head + stream.offset(last.start) :])
    assert first.joined()
    assert last.begin <= first.cut < last.begin + 16
    # One byte less in the reservoir, in every frame: not the same state, though what is left is decoded alike.
    other = parallel.Region(job, 0, Run(job.plan, path, 0), last)
    changed = bytearray(last.run.path.read_bytes())
    for frame in range(last.start, info.frames):
        at = head + stream.offset(frame) - stream.offset(last.start) + 4
        begin = int.from_bytes(changed[at : at + 2], "big")
        changed[at : at + 2] = (begin - 0x80 if begin >= 0x80 else begin).to_bytes(2, "big")
    last.run.path.write_bytes(changed)
    assert not other.joined()


def test_an_encoder_that_remembers_for_long(ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no frames before the region the streams differ for long; the predecessor then encodes until they do not."""
    monkeypatch.setattr(parallel, "WARM_UP", 1)
    for seed in range(4):
        data = Recording("fading", 24000, 1, 40, 20 * 24000, 2, seed).data
        assert assert_same(data, 2, ffmpeg, tmp_path, 40).regions == 2


# --- What can go wrong -----------------------------------------------------------------------------------------------


@pytest.fixture
def stand_in(
    tmp_path_factory: pytest.TempPathFactory, ffmpeg: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Puts a shell script in the place of the ffmpeg of every region but the first. $OUT is its MP3."""
    preamble = f"""#!/bin/sh
FFMPEG={shlex.quote(str(Path(ffmpeg).absolute()))}
for OUT; do case $OUT in file:*) OUT=${{OUT#file:}}; break;; esac; done
case $OUT in */0.mp3) exec "$FFMPEG" "$@";; esac
keep() {{ head -c "$1" "$OUT" >"$OUT.kept"; mv "$OUT.kept" "$OUT"; }}
"""

    def install(script: str) -> None:
        path = tmp_path_factory.mktemp("stand-in") / "ffmpeg"
        path.write_text(preamble + script)
        path.chmod(0o755)
        monkeypatch.setenv("FFMPEG", str(path))
        settings.cache_clear()

    return install


SPEECH = Recording("speech", 44100, 2, 64, 25 * 44100 + 100, 3, 7).data

FAULTS = {
    "exits at once with 0": "exit 0",
    "reads all, writes nothing": "cat >/dev/null",
    "fails": '"$FFMPEG" "$@"; exit 1',
    "is killed": "kill -9 $$",
    "is killed at the end": '"$FFMPEG" "$@"; kill -9 $$',
    "takes a part": 'head -c 300000 | "$FFMPEG" "$@"; exit 0',
    "loses a sample": '(head -c 300044; head -c 4 >/dev/null; cat) | "$FFMPEG" "$@"',
    "cuts the MP3's last byte": '"$FFMPEG" "$@"; keep -1',
    "cuts the MP3's last frame": '"$FFMPEG" "$@"; keep -418',
    "leaves no MP3": '"$FFMPEG" "$@"; rm "$OUT"',
    "has a full disk": 'ulimit -f 1; trap \'\' XFSZ; exec "$FFMPEG" "$@"',
    "writes a file without end": 'yes >"$OUT"',
    "gives samples without end": "cat /dev/zero",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault: str, stand_in: Callable[[str], None], tmp_path: Path) -> None:
    stand_in(FAULTS[fault])
    with pytest.raises(ConversionError):
        to_mp3(Reader(SPEECH), tmp_path, 3)
    assert not (tmp_path / "audio.mp3").exists()


def test_hang(stand_in: Callable[[str], None], tmp_path: Path) -> None:
    """One region that hangs ends with all of them at the deadline."""
    stand_in("cat >/dev/null; sleep 60 & wait")
    with pytest.raises(ConversionTimeout):
        to_mp3(Reader(SPEECH), tmp_path, 3, seconds=2)


def test_a_failure_ends_those_that_hang(stand_in: Callable[[str], None], tmp_path: Path) -> None:
    """The error of the region that failed is raised, without waiting for the others' deadline."""
    stand_in("case $OUT in */1*.mp3|*/2*.mp3|*/4*.mp3) exit 1;; esac; sleep 60")
    started = time.monotonic()
    with pytest.raises(ConversionError):
        to_mp3(Reader(SPEECH), tmp_path, 3)
    assert time.monotonic() - started < 30  # the deadline is after 120


class Lost(Exception):
    pass


class Failing(Reader):
    """Fails in the middle of the last region, or ends there."""

    error: BaseException | None = None

    def __call__(self, start: int, end: int) -> Iterator[memoryview]:
        for number, piece in enumerate(super().__call__(start, end)):
            if start > 0 and end == self.wav.data_bytes and number == 3:
                if self.error:
                    raise self.error
                return
            yield piece


@pytest.mark.parametrize("error", [Lost(), KeyboardInterrupt(), BrokenPipeError()])
def test_what_reading_raises_is_passed_on(error: BaseException, tmp_path: Path) -> None:
    reader = Failing(SPEECH)
    reader.error = error
    with pytest.raises(type(error)) as raised:
        to_mp3(reader, tmp_path, 3)
    assert raised.value is error


def test_a_range_that_ends_early(tmp_path: Path) -> None:
    with pytest.raises(ConversionError):
        to_mp3(Failing(SPEECH), tmp_path, 3)


@pytest.mark.parametrize("change", [-4, 4])
def test_other_data_than_was_promised(change: int, tmp_path: Path) -> None:
    reader = Reader(SPEECH)
    with pytest.raises(ConversionError):
        convert(
            *(reader.wav, [bytes(reader.wav.data_bytes + change)], tmp_path),
            ffmpeg=settings().ffmpeg,
            bitrate=64,
            deadline=time.monotonic() + 60,
            ranges=reader,
            processes=3,
        )


def test_what_the_data_raises_is_passed_on(tmp_path: Path) -> None:
    reader, error = Reader(SPEECH), Lost()

    def data() -> Iterator[bytes]:
        yield bytes(100)
        raise error

    with pytest.raises(Lost) as raised:
        convert(
            *(reader.wav, data(), tmp_path),
            ffmpeg=settings().ffmpeg,
            bitrate=64,
            deadline=time.monotonic() + 60,
            ranges=reader,
            processes=3,
        )
    assert raised.value is error


def test_memory_is_constant(tmp_path: Path) -> None:
    """42 MB pass through three regions; some pieces of them are held."""
    found = inspect(io.BytesIO(wav(fmt(channels=2, rate=44100), bytes(64))))
    found = replace(found, data_bytes=240 * 44100 * 4, frames=240 * 44100, duration=240.0)

    def ranges(start: int, end: int) -> Iterator[bytes]:
        for position in range(start, end, 1 << 16):
            yield bytes(min(end - position, 1 << 16))

    def work() -> None:
        convert(
            *(found, ranges(0, found.data_bytes), tmp_path),
            ffmpeg=settings().ffmpeg,
            bitrate=64,
            deadline=time.monotonic() + 60,
            ranges=ranges,
            processes=3,
        )

    work()  # what is imported once is not counted
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000
