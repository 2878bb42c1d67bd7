"""What is accepted as a WAV file, what is refused and why, and how little of it is read."""

from __future__ import annotations

import io
import struct
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from records.audio.wav import Wav, inspect
from records.errors import UnplayableAudio, UnsupportedAudio
from tests.fuzz.sparse import SparseFile
from tests.support.wavs import EXTENSIBLE, GSM, Case, cases, chunk, extensible, fmt, pcm, riff, tone, wav

ACCEPTED = [case for case in cases() if case.status == 201]
REFUSED = [case for case in cases() if case.status != 201]
MPEG_FILES = [case for case in ACCEPTED if case.name.startswith("mp")]


def ids(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", ACCEPTED, ids=ids)
def test_accepted(case: Case) -> None:
    found = inspect(io.BytesIO(case.data))
    frames = None if case in MPEG_FILES else case.frames
    duration = None if frames is None else frames / case.rate
    expected = (case.rate, case.channels, frames, duration, case.truncated)
    assert (found.sample_rate, found.channels, found.frames, found.duration, found.truncated) == expected
    assert 0 < found.data_bytes <= len(case.data) - found.data_offset


@pytest.mark.parametrize("case", REFUSED, ids=ids)
def test_refused(case: Case) -> None:
    with pytest.raises(UnplayableAudio if case.status == 422 else UnsupportedAudio) as refusal:
        inspect(io.BytesIO(case.data))
    assert refusal.value.details == ({"reason": case.reason} if case.reason else None)
    assert refusal.value.message.endswith(".")


def test_every_field() -> None:
    head = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\2\0\x44\xac\0\0\x10\xb1\2\0\4\0\x10\0data\xff\xff\xff\xff"
    assert inspect(io.BytesIO(wav(fmt(channels=2, rate=44100), bytes(403), before=chunk(b"JUNK", bytes(5))))) == Wav(
        codec="pcm_s16le",
        sample_rate=44100,
        channels=2,
        bits=16,
        block_align=4,
        data_offset=58,
        data_bytes=400,
        truncated=False,
        frames=100,
        duration=100 / 44100,
        expected=100 / 44100,
        header=head,
        speakers=0,
        b_format=False,
    )


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("pcm-8", "pcm_u8"),
        ("pcm-12", "pcm_s16le"),
        ("pcm-20", "pcm_s24le"),
        ("pcm-24-in-32-extensible", "pcm_s32le"),
        ("pcm-64", "pcm_s64le"),
        ("float-32", "pcm_f32le"),
        ("float-64-extensible", "pcm_f64le"),
        ("rifx-pcm-8", "pcm_u8"),
        ("rifx-pcm-24", "pcm_s24be"),
        ("mulaw-extensible", "pcm_mulaw"),
        ("ms-adpcm-2", "adpcm_ms"),
        ("ima-adpcm-1", "adpcm_ima_wav"),
        ("gsm", "gsm_ms"),
        ("mp1", "mp1"),
        ("mp2", "mp2"),
        ("mp3-mpeg2.5", "mp3"),
    ],
)
def test_decoder(name: str, codec: str) -> None:
    assert inspect(io.BytesIO(next(case.data for case in ACCEPTED if case.name == name))).codec == codec


def test_our_own_header_means_the_same() -> None:
    """What ffmpeg is given reads as the file did, whatever stood around the format and the data."""
    for case in ACCEPTED:
        found = inspect(io.BytesIO(case.data))
        data = case.data[found.data_offset : found.data_offset + found.data_bytes]
        again = inspect(io.BytesIO(found.header + data))
        same = replace(
            found,
            data_offset=len(found.header),
            truncated=False,
            frames=again.frames,  # `fact` is not in our header: `mp3` cuts the padding off
            duration=again.duration,
            expected=again.expected,
            speakers=0,
            b_format=False,
        )
        assert again == same, case.name


def test_speakers_and_b_format() -> None:
    data = pcm(tone(channels=4))
    for mask, kept in ((0x33, 0x33), (0x3, 0), (0xFF, 0), (0x80000033, 0), (0xF0000000, 0)):
        found = inspect(io.BytesIO(wav(extensible(channels=4, mask=mask), data)))
        assert (found.speakers, found.b_format) == (kept, False)
    b_format = next(case.data for case in ACCEPTED if case.name == "b-format")
    assert inspect(io.BytesIO(b_format)).b_format


@pytest.mark.parametrize("guid", ["01000000 00001000", "00000001 00000010", "00010000 00001000"])
def test_rifx_guids(guid: str) -> None:
    """A big-endian WAVE_FORMAT_EXTENSIBLE has its GUID in either order, or as SoX writes it (the last)."""
    extra = struct.pack(">HI", 16, 4) + bytes.fromhex(guid + "800000aa00389b71")
    head = fmt(EXTENSIBLE, extra=extra, order=">")
    file = riff(head, chunk(b"data", pcm(tone(), order=">"), order=">"), magic=b"RIFX")
    assert inspect(io.BytesIO(file)).codec == "pcm_s16be"


def test_a_day_is_the_longest() -> None:
    head = wav(fmt(rate=1000, bits=8), b"", size=0xFFFFFFFF)
    day = 24 * 3600 * 1000
    assert inspect(SparseFile(head, day)).duration == 86400.0
    with pytest.raises(UnplayableAudio) as refusal:
        inspect(SparseFile(head, day + 1))
    assert refusal.value.details == {"reason": "too_long"}
    gsm = wav(fmt(GSM, rate=1000, bits=0, align=65), b"", size=0xFFFFFFFF)
    with pytest.raises(UnplayableAudio) as refusal:
        inspect(SparseFile(gsm, 24 * 3600 * 1000 // 320 * 65 + 65))
    assert refusal.value.details == {"reason": "too_long"}


def test_more_than_4_gib() -> None:
    """RF64: the size of the data is in ds64, and what follows the data is not sound."""
    size = 5 * 1024**3
    ds64 = chunk(b"ds64", struct.pack("<QQQI", size + 1000, size, 0, 0))
    head = riff(ds64, fmt(channels=2, rate=192000), chunk(b"data", b"", size=0xFFFFFFFF), magic=b"RF64")
    source = SparseFile(head, size + 900)
    found = inspect(source)
    assert (found.data_bytes, found.truncated, found.frames, source.reads) == (
        size,
        False,
        size // 4,
        2,
    )  # and a look behind the sound


def test_ds64_may_say_that_there_is_no_sound() -> None:
    """Not that all which follows is sound: here that is `fmt `."""
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 36, 0, 0, 0))
    file = riff(ds64, chunk(b"data", b"", size=0xFFFFFFFF), fmt(), magic=b"RF64")
    with pytest.raises(UnplayableAudio) as refusal:
        inspect(io.BytesIO(file))
    assert refusal.value.details == {"reason": "no_samples"}


def test_reads_are_few() -> None:
    for case in ACCEPTED:
        counting = SparseFile(case.data)
        inspect(counting)
        assert counting.reads <= 3, case.name


def test_reads_are_bounded() -> None:
    """However the chunks are strewn over a large file, it is given up after some reads."""
    strewn = Strewn()
    with pytest.raises(UnplayableAudio) as refusal:
        inspect(strewn)
    assert (refusal.value.details, strewn.reads) == ({"reason": "too_many_chunks"}, 256)


class Strewn:
    """A file of chunks without end, each 1 MiB long."""

    reads = 0
    position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.position = (1 << 62) if whence == 2 else offset
        return self.position

    def read(self, length: int) -> bytes:
        self.reads += 1
        return (riff() if self.position == 0 else b"") + b"JUNK\0\0\x10\0".ljust(length, b"\0")


# What SoX 14.4.2 writes before the samples, of `sox -n -r 44100 -c 1 in.wav synth 0.2 sine 440`, and of one of three
# channels: sox in.wav -B -b 24 out.wav; -B -b 32; in3.wav -B -b 16.
SOX = {
    "pcm_s24be": "52494658000067a457415645666d742000000028fffe00010000ac44000204cc00030018001600180000000400010000"
    "00001000800000aa00389b71666163740000000400002274646174610000675c",
    "pcm_s32be": "5249465800008a1857415645666d742000000028fffe00010000ac440002b11000040020001600200000000400010000"
    "00001000800000aa00389b71666163740000000400002274646174610000"
    "89d0",
    "pcm_s16be": "524946580000cf0057415645666d742000000028fffe00030000ac440004099800060010001600100000000000010000"
    "00001000800000aa00389b71666163740000000400002274646174610000ceb8",
}
# The same into a pipe from a pipe, where it does not know the size: sox -t raw ... - -t wav [-b 24 | -B -b 24] -
SOX_PIPE = {
    "pcm_s16le": "5249464624f0ff7f57415645666d7420100000000100010044ac000088580100020010006461746100f0ff7f",
    "pcm_s24le": "5249464648f0ff7f57415645666d742028000000feff010044ac0000cc0402000300180016001800040000000100"
    "00000000"
    "1000800000aa00389b71666163740400000055a5aa2a64617461ffefff7f",
    "pcm_s24be": "524946587ffff04857415645666d742000000028fffe00010000ac44000204cc00030018001600180000000400010000"
    "00001000800000aa00389b7166616374000000042aaaa555646174617fffefff",
}


@pytest.mark.parametrize("codec", SOX)
def test_rifx_of_sox(codec: str) -> None:
    head = bytes.fromhex(SOX[codec])
    found = inspect(io.BytesIO(head + bytes(int.from_bytes(head[-4:], "big"))))
    assert (found.codec, found.frames, found.truncated) == (codec, 8820, False)


@pytest.mark.parametrize("codec", SOX_PIPE)
def test_pipe_of_sox(codec: str) -> None:
    """A size that SoX does not know is 0x7FFFF000, down to a whole block: all that is there is the recording."""
    found = inspect(io.BytesIO(bytes.fromhex(SOX_PIPE[codec]) + bytes(600)))
    assert (found.codec, found.data_bytes, found.truncated) == (codec, 600, False)


def check(data: bytes) -> None:
    """Accepted with sane values, or refused in one of two ways: there is no third."""
    try:
        found = inspect(io.BytesIO(data))
    except (UnplayableAudio, UnsupportedAudio):
        return
    assert 0 < found.data_bytes <= len(data) - found.data_offset
    assert 1000 <= found.sample_rate <= 384_000
    assert 1 <= found.channels <= 8
    assert found.frames is None or found.frames > 0


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.sampled_from(["RIFF", "RIFX", "RF64", "BW64"]), st.binary(max_size=200))
@example("RIFF", b"data\0\0\0\0")
@example("RF64", b"ds64\x1c\0\0\0" + bytes(24) + b"\xff\xff\xff\xff")
def test_any_bytes(magic: str, body: bytes) -> None:
    check(magic.encode() + b"\0\0\0\0WAVE" + body)


@settings(derandomize=True, deadline=None, max_examples=1000)
@given(st.sampled_from(ACCEPTED), st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), max_size=6), st.data())
def test_any_damage(case: Case, damage: list[tuple[int, int]], draw: st.DataObject) -> None:
    data = bytearray(case.data[: draw.draw(st.integers(0, len(case.data)), label="cut")])
    for offset, value in damage:
        if offset < len(data):
            data[offset] = value
    check(bytes(data))
