"""WAV in, MP3 out: the sound, its length, and every way in which a conversion can go wrong.

The ffmpeg is a real one throughout; where it is to misbehave, a shell script in its place makes it so.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import shlex
import threading
import time
import tracemalloc
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from records.audio import feed
from records.audio.levels import FLOOR, Levels
from records.audio.mp3 import Conversion, convert
from records.audio.mpeg import Frame, frame
from records.audio.plan import Plan, mp3_rate
from records.audio.wav import Wav, inspect
from records.errors import ConversionError, ConversionTimeout, UnplayableAudio
from records.settings import settings
from tests.support.decoding import decoded
from tests.support.wavs import (
    FLOAT,
    HERTZ,
    IMA_ADPCM,
    MP3,
    Case,
    adpcm_fmt,
    cases,
    extensible,
    floats,
    fmt,
    ima_adpcm,
    mpeg_frames,
    pcm,
    sample,
    tone,
    wav,
)

ACCEPTED = [case for case in cases() if case.status == 201]
TONE = next(case.data for case in ACCEPTED if case.name == "pcm-16-stereo")

StandIn = Callable[..., None]  # a shell script, and the name of the program in whose place it is put

pytestmark = pytest.mark.usefixtures("real_ffmpeg")


def to_mp3(data: bytes, directory: Path, *, bitrate: int = 64, seconds: float = 60, piece: int = 1 << 16) -> Conversion:
    found = inspect(io.BytesIO(data))
    return convert(
        found,
        pieces(found, data, piece),
        directory,
        ffmpeg=settings().ffmpeg,
        bitrate=bitrate,
        deadline=time.monotonic() + seconds,
    )


def pieces(found: Wav, data: bytes, piece: int) -> Iterator[memoryview]:
    view = memoryview(data)[found.data_offset : found.data_offset + found.data_bytes]
    for start in range(0, len(view), piece):
        yield view[start : start + piece]


def share(samples: array[int], hertz: float, rate: int) -> float:
    """How much of the sound's energy is at one frequency, 0 to 1."""
    turns = [2 * math.pi * hertz * n / rate for n in range(len(samples))]
    real = sum(sample * math.cos(turn) for sample, turn in zip(samples, turns, strict=True))
    imaginary = sum(sample * math.sin(turn) for sample, turn in zip(samples, turns, strict=True))
    energy = sum(sample * sample for sample in samples)
    return 2 * (real**2 + imaginary**2) / (len(samples) * energy) if energy else 0.0


def test_command() -> None:
    """ffmpeg is told all that it would otherwise guess at, and may open nothing but its pipes and the MP3."""
    quad = wav(fmt(channels=4, rate=96000, bits=24), bytes(24))
    assert Plan.of(inspect(io.BytesIO(quad)), 64, "/opt/bin/ffmpeg").command(Path("/x/audio.mp3")) == [
        *("/opt/bin/ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y"),
        *("-protocol_whitelist", "file,pipe"),
        *("-f", "wav", "-ignore_length", "1", "-max_size", "65536", "-c:a", "pcm_s24le", "-i", "pipe:0"),
        "-filter_complex",
        "[0:a]aformat=sample_fmts=s32|s32p,pan=stereo|c0=0.453083*c0+0.320375*c2+0.226542*c3|c1=0.453083*c1+0.320375*c2+0.226542*c3,"
        "apad=whole_len=512,aresample=48000,atrim=end_sample=1,"
        "aformat=sample_fmts=fltp:channel_layouts=stereo,asplit[mp3][pcm]",
        *("-map", "[mp3]", "-c:a", "libmp3lame", "-b:a", "128k", "-map_metadata", "-1"),
        *("-fflags", "+bitexact", "-flags:a", "+bitexact", "-f", "mp3", "file:/x/audio.mp3"),
        *("-map", "[pcm]", "-c:a", "pcm_s16le", "-f", "s16le", "pipe:1"),
    ]


def test_command_of_the_encoder(tmp_path: Path) -> None:
    """16-bit samples at a rate that MP3 has go straight into the encoder, where there is one beside ffmpeg."""

    def command(data: bytes) -> list[str]:
        return Plan.of(inspect(io.BytesIO(data)), 64, str(tmp_path / "ffmpeg")).command(Path("/x/audio.mp3"))

    stereo = wav(fmt(channels=2, rate=44100), bytes(4))
    assert command(stereo)[0] == str(tmp_path / "ffmpeg")
    (tmp_path / "mp3-encoder").touch()
    assert command(stereo) == [str(tmp_path / "mp3-encoder"), "44100", "2", "128", "/x/audio.mp3"]
    for data in (wav(fmt(rate=16000), bytes(2)), wav(fmt(channels=3), bytes(6)), wav(fmt(bits=24), bytes(3))):
        assert command(data)[0] == str(tmp_path / "ffmpeg")


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_every_accepted_form(case: Case, ffmpeg: str, tmp_path: Path) -> None:
    """The MP3 plays as long as the WAV file, and what is heard is the tone that is in it."""
    conversion = to_mp3(case.data, tmp_path)
    channels = min(case.channels, 2)
    rate = mp3_rate(case.rate, 64 * channels)
    assert os.listdir(tmp_path) == ["audio.mp3"]
    assert conversion.path == tmp_path / "audio.mp3"
    assert conversion.bytes == conversion.path.stat().st_size
    assert conversion.sha256 == hashlib.sha256(conversion.path.read_bytes()).hexdigest()
    assert conversion.duration == pytest.approx(case.duration, abs=1 / rate)
    assert len(conversion.waveform) == 200
    played = decoded(conversion.path.read_bytes(), ffmpeg)
    assert (played.rate, len(played.rows)) == (rate, channels)
    assert 0 <= len(played.rows[0]) - round(conversion.duration * rate) <= 46
    if case.tone:
        assert not conversion.levels.silent
        loudest = max(played.rows, key=lambda row: max(map(abs, row)))
        assert share(loudest, HERTZ, rate) > 0.9


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("pcm-16", Levels(-6.0, -9.1, False)),
        ("pcm-16-stereo", Levels(-6.0, -9.1, False)),
        ("pcm-24-in-32-extensible", Levels(-6.0, -9.1, False)),
        ("float-32", Levels(-6.0, -9.1, False)),
        ("silence", Levels(FLOOR, FLOOR, True)),
        ("mp3-stereo", Levels(FLOOR, FLOOR, True)),
        ("float-32-too-loud", Levels(0.0, -0.9, False)),
    ],
)
def test_levels(name: str, levels: Levels, tmp_path: Path) -> None:
    case = next(case for case in ACCEPTED if case.name == name)
    found = to_mp3(case.data, tmp_path).levels
    assert found.silent == levels.silent
    assert found.peak_dbfs == pytest.approx(levels.peak_dbfs, abs=0.3)
    assert found.mean_dbfs == pytest.approx(levels.mean_dbfs, abs=0.3)


def test_high_sounds_are_measured(tmp_path: Path) -> None:
    """A tone of 15 kHz is as loud as any: nothing is measured at a lower rate than it is heard."""
    samples = [0.5 * math.sin(2 * math.pi * 15_000 * n / 44100) for n in range(22050)]
    conversion = to_mp3(wav(fmt(rate=44100), pcm(samples)), tmp_path)
    assert conversion.levels == Levels(-6.0, -9.0, False)
    assert min(conversion.waveform) > 120


def test_sides_of_a_downmix(ffmpeg: str, tmp_path: Path) -> None:
    """In 5.1 the left speakers are heard left, the right ones right, centre and low frequency on both sides."""
    sides = []
    for channel in range(6):
        data = pcm(tone(channels=6, sounding=[channel]))
        conversion = to_mp3(wav(extensible(channels=6, mask=0x3F), data), tmp_path)
        sides.append(
            "".join("-+"[max(map(abs, row)) > 1000] for row in decoded(conversion.path.read_bytes(), ffmpeg).rows)
        )
    assert sides == ["+-", "-+", "++", "++", "+-", "-+"]


def test_b_format_has_a_left_and_a_right(ffmpeg: str, tmp_path: Path) -> None:
    """W and Y alike are a sound from the left: by a cardioid's (1 + cos) it is 1.71 against 0.29 times as loud."""
    case = next(case for case in ACCEPTED if case.name == "b-format")
    left, right = decoded(to_mp3(case.data, tmp_path).path.read_bytes(), ffmpeg).rows
    assert 2 < max(left) / max(right) < 10


def test_a_downmix_does_not_clip(tmp_path: Path) -> None:
    loud = pcm([2 * value for value in tone(channels=8)])
    assert to_mp3(wav(fmt(channels=8), loud), tmp_path).levels.peak_dbfs == pytest.approx(0, abs=0.1)


def test_same_wav_same_mp3(tmp_path: Path) -> None:
    """Byte for byte, however the data arrives; and nothing of the file's metadata is in it."""
    data = sample(1)
    hashes = {to_mp3(data, tmp_path, piece=piece).sha256 for piece in (1 << 20, 65536, 4099, 97)}
    assert len(hashes) == 1
    tagged = data + b"LIST\x12\0\0\0INFOINAM\x06\0\0\0Secret"
    assert {to_mp3(tagged, tmp_path).sha256} == hashes


@pytest.mark.parametrize("bitrate", [32, 64, 96, 160])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 22050, 44100, 96000])
def test_constant_bit_rate(bitrate: int, channels: int, rate: int, tmp_path: Path) -> None:
    data = wav(fmt(channels=channels, rate=rate), pcm(tone(rate, rate, channels=channels)))
    mp3 = to_mp3(data, tmp_path, bitrate=bitrate).path.read_bytes()
    offset, frames = 20, []
    while found := frame(mp3[offset : offset + 4]):
        frames.append(replace(found, size=found.size - (mp3[offset + 2] >> 1 & 1)))
        offset += found.size
    assert offset == len(mp3)
    hertz = mp3_rate(rate, bitrate * channels)
    samples = 1152 if hertz >= 32000 else 576
    size = samples * 125 * bitrate * channels // hertz
    expected = Frame(1 if hertz >= 32000 else 2, layer=3, rate=hertz, channels=channels, samples=samples, size=size)
    assert set(frames[1:]) == {expected}  # the Info frame, which is no sound, may need more room


@pytest.mark.parametrize(
    ("source", "kbits", "rate"),
    [
        (44100, 128, 44100),
        (48000, 64, 48000),
        (32000, 64, 32000),
        (22050, 64, 22050),
        (24000, 160, 24000),
        (24000, 320, 48000),
        (8000, 64, 24000),
        (11025, 128, 22050),
        (12000, 64, 24000),
        (16000, 64, 32000),
        (1000, 64, 24000),
        (37800, 64, 44100),
        (96000, 128, 48000),
        (88200, 128, 44100),
        (176400, 128, 44100),
        (352800, 128, 44100),
        (384000, 128, 48000),
        (64000, 128, 48000),
        (72000, 128, 48000),
        (192000, 128, 48000),
        (110250, 128, 48000),
        (50000, 128, 48000),
        (44100, 16, 22050),
        (48000, 144, 24000),
    ],
)
def test_mp3_rate(source: int, kbits: int, rate: int) -> None:
    assert mp3_rate(source, kbits) == rate


def test_a_bit_rate_that_mp3_has_not(tmp_path: Path) -> None:
    with pytest.raises(ConversionError):
        to_mp3(TONE, tmp_path, bitrate=200)


def test_memory_is_constant(tmp_path: Path) -> None:
    """24 MB pass through; a few pieces of them are held."""
    found = replace(inspect(io.BytesIO(wav(fmt(channels=8, rate=384000, bits=64), bytes(64)))), data_bytes=24_576_000)
    found = replace(found, frames=384_000, duration=1.0)
    to_mp3(TONE, tmp_path)  # what is imported once is not counted
    tracemalloc.start()
    convert(
        found,
        (bytes(65536) for _ in range(375)),
        tmp_path,
        ffmpeg=settings().ffmpeg,
        bitrate=64,
        deadline=time.monotonic() + 60,
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


# --- Audio that cannot be decoded -------------------------------------------------------------------------------------


def refusal(data: bytes, directory: Path) -> tuple[str, dict[str, str]]:
    with pytest.raises(UnplayableAudio) as error:
        to_mp3(data, directory)
    return error.value.code, error.value.details


def test_damaged_adpcm(tmp_path: Path) -> None:
    """A block whose header is impossible cannot be decoded: where that is much of the sound, nothing is sold as all."""
    head, data = adpcm_fmt(IMA_ADPCM, 1, 1024), bytearray(ima_adpcm(tone(20_000), 1, 1024))
    data[1024 * 3 + 2] = 200  # a step index, 88 at most
    assert refusal(wav(head, bytes(data)), tmp_path) == ("unplayable_audio", {"reason": "damaged"})
    for block in range(0, len(data), 1024):
        data[block + 2] = 200
    assert refusal(wav(head, bytes(data)), tmp_path) == ("unplayable_audio", {"reason": "undecodable"})


def test_mpeg_with_a_hole(tmp_path: Path) -> None:
    frames = mpeg_frames("fffb10c4", 104, 100)
    head = fmt(MP3, rate=44100, bits=0, align=1)
    small = frames[:1040] + bytes(104) + frames[1144:]
    assert to_mp3(wav(head, small), tmp_path).duration == 99 * 1152 / 44100
    large = frames[:1040] + bytes(1040) + frames[2080:]
    assert refusal(wav(head, large), tmp_path) == ("unplayable_audio", {"reason": "damaged"})


def test_mpeg_and_then_nothing(tmp_path: Path) -> None:
    """Tags may follow the last frame. What else does was to be sound, as in a file that was never filled."""
    frames = mpeg_frames("fffb10c4", 104, 100)
    head = fmt(MP3, rate=44100, bits=0, align=1)
    for tag in (
        b"TAG" + bytes(125),
        b"APETAGEX" + bytes(90_000),
        b"LYRICSBEGIN" + bytes(100),
        b"ID3" + bytes(1000),
        b"3DI",
    ):
        assert to_mp3(wav(head, frames + tag), tmp_path).duration == 100 * 1152 / 44100
    assert to_mp3(wav(head, frames + bytes(390)), tmp_path).duration == 100 * 1152 / 44100
    for hole in (bytes(420), bytes(60_000), b"\x55" * 60_000, mpeg_frames("fffb14c4", 96, 5)):
        assert refusal(wav(head, frames + hole), tmp_path) == ("unplayable_audio", {"reason": "damaged"})


def test_mpeg_with_one_frame_cut(tmp_path: Path) -> None:
    cut = mpeg_frames("fffb10c4", 104, 1)[:100]
    head = fmt(MP3, rate=44100, bits=0, align=1)
    assert refusal(wav(head, cut), tmp_path) == ("unplayable_audio", {"reason": "undecodable"})


def test_mpeg_of_more_than_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length is known only when its frames have been counted. A day is a second here."""
    monkeypatch.setattr(feed, "MAX_DURATION", 1)
    head = fmt(MP3, rate=44100, bits=0, align=1)
    second, more = (mpeg_frames("fffb10c4", 104, count) for count in (38, 39))  # of 1152 samples
    assert to_mp3(wav(head, second), tmp_path).duration == 38 * 1152 / 44100
    assert refusal(wav(head, more), tmp_path) == ("unplayable_audio", {"reason": "too_long"})


def test_not_a_number(tmp_path: Path) -> None:
    """What is no number is silence, at every place of a piece's boundaries, and harms nothing around it."""
    samples = tone(4000)
    clean = [0.0 if n % 1000 == 5 else sample for n, sample in enumerate(samples)]
    wild = [math.nan if n % 1000 == 5 else sample for n, sample in enumerate(samples)]
    for bits in (32, 64):
        head = fmt(FLOAT, bits=bits)
        expected = to_mp3(wav(head, floats(clean, bits)), tmp_path).sha256
        for piece in (7, 4001, 1 << 20):
            assert to_mp3(wav(head, floats(wild, bits)), tmp_path, piece=piece).sha256 == expected


def test_no_numbers_at_all(tmp_path: Path) -> None:
    """Silence is not sold as a conversion where the samples were no numbers: a tenth of a second of them, or half."""
    for samples in ([math.nan] * 100, [0.5] * 49 + [math.inf] * 51, [*tone(20_000), *[math.nan] * 801]):
        data = wav(fmt(FLOAT, bits=32), floats(samples))
        assert refusal(data, tmp_path) == ("unplayable_audio", {"reason": "damaged"})
    assert to_mp3(wav(fmt(FLOAT, bits=32), floats([*tone(), *[math.nan] * 800])), tmp_path).duration == 0.35


# --- Faults on our side ----------------------------------------------------------------------------------------------


@pytest.fixture
def stand_in(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Puts a shell script in the place of ffmpeg, or of mp3-encoder. $REAL is the real one, $OUT the MP3 that it is to
    write.

    `keep N` leaves N bytes of the MP3, or takes the last N away where N is negative.
    """

    def install(script: str, program: str = "ffmpeg") -> None:
        real = Path(ffmpeg).absolute().parent / program
        if not real.exists():
            pytest.skip(f"no {program} beside this ffmpeg: it was not built from source")
        path = tmp_path_factory.mktemp("stand-in") / program
        path.write_text(f"""#!/bin/sh
REAL={shlex.quote(str(real))}
for OUT; do case $OUT in file:*) OUT=${{OUT#file:}}; break;; esac; done
keep() {{ head -c "$1" "$OUT" >"$OUT.kept"; mv "$OUT.kept" "$OUT"; }}
{script}""")
        path.chmod(0o755)
        monkeypatch.setenv("FFMPEG", str(path.parent / "ffmpeg"))
        settings.cache_clear()

    return install


def children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()))


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Neither a process, nor a thread, nor an open file."""
    before = children(), threading.active_count(), len(os.listdir("/proc/self/fd"))
    yield
    assert (children(), threading.active_count(), len(os.listdir("/proc/self/fd"))) == before


FAULTS = {
    "exits at once with 0": "exit 0",
    "reads all, writes nothing": "cat >/dev/null",
    "fails": "cat >/dev/null; exit 1",
    "fails at once": "exit 3",
    "is killed": "kill -9 $$",
    "is killed at the end": '"$REAL" "$@"; kill -9 $$',
    "takes a part": 'head -c 3000 | "$REAL" "$@"; exit 0',
    "loses a sample": '(head -c 1044; head -c 4 >/dev/null; cat) | "$REAL" "$@"',
    "cuts the MP3": '"$REAL" "$@"; keep 2000',
    "cuts the MP3's last byte": '"$REAL" "$@"; keep -1',
    "cuts the MP3's last frame": '"$REAL" "$@"; keep -384',
    "adds to the MP3": '"$REAL" "$@"; tail -c 384 "$OUT" >"$OUT.end"; cat "$OUT.end" >>"$OUT"',
    "empties the MP3": '"$REAL" "$@"; : >"$OUT"',
    "leaves no MP3": '"$REAL" "$@"; rm "$OUT"',
    "leaves no Info frame": '"$REAL" "$@"; tail -c +500 "$OUT" >"$OUT.x"; mv "$OUT.x" "$OUT"',
    "has a full disk": 'ulimit -f 1; trap \'\' XFSZ; exec "$REAL" "$@"',
    "is killed by a full disk": 'ulimit -f 1; exec "$REAL" "$@"',
    "gives samples without end": "cat /dev/zero",
    "writes a file without end": 'yes >"$OUT"',
    "closes its pipes, then fails": "exec <&- >&- 2>&-; exit 1",
}


# Each program, and a file that it converts.
PROGRAMS = {"ffmpeg": TONE, "mp3-encoder": wav(fmt(channels=2, rate=44100), pcm([*tone()] * 8))}


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_fault(program: str, stand_in: StandIn, tmp_path: Path) -> None:
    """What the faults below begin with: the program itself is at its place, and gets through."""
    stand_in('touch "$OUT.started"; exec "$REAL" "$@"', program)
    assert to_mp3(PROGRAMS[program], tmp_path).bytes > 2000
    assert (tmp_path / "audio.mp3.started").exists()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault: str, program: str, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in(FAULTS[fault], program)
    with pytest.raises(ConversionError) as error:
        to_mp3(PROGRAMS[program], tmp_path)
    assert error.value.message == "The conversion failed on our side. Send the recording again."


@pytest.mark.parametrize("script", ["sleep 60", "cat >/dev/null; sleep 60 & wait", "exec >&- 2>&- <&-; sleep 60"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_hang(script: str, program: str, stand_in: StandIn, tmp_path: Path) -> None:
    """It is killed at the deadline with all that it started."""
    stand_in(f"echo $$ >{shlex.quote(str(tmp_path / 'pid'))}; {script}", program)
    with pytest.raises(ConversionTimeout):
        to_mp3(PROGRAMS[program], tmp_path, seconds=0.4)
    group = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while group in running_groups() and time.monotonic() < deadline:
        time.sleep(0.01)  # what it started is killed too, but it is init that sees it off
    assert group not in running_groups()


def running_groups() -> set[int]:
    """Process groups with a process that is not a zombie."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if state != "Z":
            found.add(int(group))
    return found


def test_a_deadline_that_is_past(tmp_path: Path) -> None:
    with pytest.raises(ConversionTimeout):
        to_mp3(TONE, tmp_path, seconds=-1)


def test_a_deadline_while_nothing_is_found(tmp_path: Path) -> None:
    """The time is looked at between two pieces of the data, though ffmpeg gets nothing of them."""
    data = wav(fmt(MP3, rate=44100, bits=0, align=1), mpeg_frames("fffb10c4", 104, 2) + bytes(900_000))
    found = inspect(io.BytesIO(data))
    view = memoryview(data)[found.data_offset :]
    given = 0

    def slowly() -> Iterator[memoryview]:
        nonlocal given
        for start in range(0, len(view), 10_000):
            given += 1
            time.sleep(0.02)
            yield view[start : start + 10_000]

    with pytest.raises(ConversionTimeout):
        convert(found, slowly(), tmp_path, ffmpeg=settings().ffmpeg, bitrate=64, deadline=time.monotonic() + 0.2)
    assert given < 50  # of 91


def test_much_on_stderr_is_no_fault(stand_in: StandIn, tmp_path: Path) -> None:
    expected = to_mp3(TONE, tmp_path).sha256
    stand_in('head -c 20000000 /dev/zero >&2; exec "$REAL" "$@"')
    assert to_mp3(TONE, tmp_path).sha256 == expected


def test_what_ffmpeg_said_is_for_the_log(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in("head -c 5000 /dev/zero >&2; echo the disk is gone >&2; exit 7")
    with pytest.raises(ConversionError) as error:
        to_mp3(TONE, tmp_path)
    cause = str(error.value.__cause__)
    assert cause.startswith("ffmpeg ended with 7: ")
    assert cause.endswith("the disk is gone")
    assert len(cause) < 2100


def test_it_sees_none_of_our_environment(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    stand_in("env >&2; exit 1")
    with pytest.raises(ConversionError) as error:
        to_mp3(TONE, tmp_path)
    assert "secret" not in str(error.value.__cause__)


@pytest.mark.parametrize("path", ["/nowhere/ffmpeg", "/etc/passwd", "/"])
def test_no_ffmpeg(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFMPEG", path)
    settings.cache_clear()
    with pytest.raises(ConversionError):
        to_mp3(TONE, tmp_path)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ConversionError):
        to_mp3(TONE, tmp_path / "missing")


class Lost(Exception):
    pass


@pytest.mark.parametrize("error", [Lost(), BrokenPipeError(), KeyboardInterrupt()])
def test_what_the_data_raises_is_passed_on(error: BaseException, tmp_path: Path) -> None:
    found = inspect(io.BytesIO(TONE))

    def data() -> Iterator[bytes]:
        yield bytes(100)
        raise error

    with pytest.raises(type(error)) as raised:
        convert(found, data(), tmp_path, ffmpeg=settings().ffmpeg, bitrate=64, deadline=time.monotonic() + 60)
    assert raised.value is error


@pytest.mark.parametrize("change", [-2, 2])
def test_other_data_than_was_promised(change: int, tmp_path: Path) -> None:
    found = inspect(io.BytesIO(TONE))
    with pytest.raises(ConversionError):
        convert(
            found,
            [bytes(found.data_bytes + change)],
            tmp_path,
            ffmpeg=settings().ffmpeg,
            bitrate=64,
            deadline=time.monotonic() + 60,
        )


def test_all_of_the_data_is_asked_for(tmp_path: Path) -> None:
    """The iterator is run to its end, also behind the last byte: a caller's digest of the whole file depends on it."""
    found = inspect(io.BytesIO(TONE))
    ended = []

    def data() -> Iterator[memoryview]:
        yield from pieces(found, TONE, 1000)
        ended.append(True)

    convert(found, data(), tmp_path, ffmpeg=settings().ffmpeg, bitrate=64, deadline=time.monotonic() + 60)
    assert ended == [True]
