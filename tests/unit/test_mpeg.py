"""Frames of MPEG audio: their headers, and finding them in a stream that comes in pieces."""

from __future__ import annotations

import pytest

from records.audio.mpeg import MOST_SAMPLES, Frame, Frames, first_frame, frame, info
from tests.support.wavs import mpeg_frames


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        # By ISO/IEC 11172-3 and 13818-3: 144 (layer I: 12, 4-byte slots) * bit rate / sample rate, and padding.
        ("fffb90c4", Frame(version=1, layer=3, rate=44100, channels=1, samples=1152, size=417)),
        ("fffb9244", Frame(version=1, layer=3, rate=44100, channels=2, samples=1152, size=418)),
        ("fffae804", Frame(version=1, layer=3, rate=32000, channels=2, samples=1152, size=1440)),
        ("fff340c4", Frame(version=2, layer=3, rate=22050, channels=1, samples=576, size=104)),
        ("ffe318c4", Frame(version=3, layer=3, rate=8000, channels=1, samples=576, size=72)),
        ("fffd80c4", Frame(version=1, layer=2, rate=44100, channels=1, samples=1152, size=417)),
        ("fff514c4", Frame(version=2, layer=2, rate=24000, channels=1, samples=1152, size=48)),
        ("ffff4ac4", Frame(version=1, layer=1, rate=32000, channels=1, samples=384, size=196)),
        ("fff7e4c4", Frame(version=2, layer=1, rate=24000, channels=1, samples=384, size=512)),
    ],
)
def test_header(header: str, expected: Frame) -> None:
    assert frame(bytes.fromhex(header)) == expected


@pytest.mark.parametrize("header", ["ffea90c4", "fff990c4", "fffb00c4", "fffbf0c4", "fffb9cc4", "7ffb90c4", "fffb90"])
def test_no_header(header: str) -> None:
    """Reserved version, layer, free format, forbidden bit rate, reserved sample rate, no sync, too short."""
    assert frame(bytes.fromhex(header)) is None


def test_no_byte_holds_more_samples_than_is_said() -> None:
    headers = (bytes((0xFF, second, third, 0)) for second in range(0xE0, 0x100) for third in range(256))
    assert max(found.samples / found.size for found in map(frame, headers) if found) == MOST_SAMPLES


def test_first_frame() -> None:
    stream = mpeg_frames("fffb90c4", 417, 3)
    expected = frame(stream[:4])
    assert first_frame(stream) == expected
    assert first_frame(b"\xff\xfb\x90\xc4 no frame follows\xff\xff" + bytes(500) + stream) == expected
    assert first_frame(stream[:417]) == expected
    assert first_frame(b"\xff" * 1000) is None
    assert first_frame(b"") is None


@pytest.mark.parametrize("length", [1, 7, 416, 417, 418, 100_000])
def test_frames_in_pieces(length: int) -> None:
    """Junk before, between and after is left out; only what is between counts as lost. A cut frame is left out too."""
    stream = mpeg_frames("fffb90c4", 417, 20)
    other = mpeg_frames("fff340c4", 104, 1)
    data = b"ID3 junk\xff" + stream + b"between\xff" + other + stream + b"TAG" + stream[:400]
    found = Frames(layer=3, rate=44100)
    passed = b"".join(found.feed(data[start : start + length]) for start in range(0, len(data), length))
    assert passed == stream + stream
    assert (found.frames, found.samples, found.unfinished) == (40, 40 * 1152, 400)
    assert (found.skipped, found.lost, found.gap, found.after[:3]) == (9 + 8 + 104 + 3, 8 + 104, 3, b"TAG")


def test_info_of_another_kind() -> None:
    stream = mpeg_frames("fffb90c4", 417, 2)
    assert info(stream) is None
    assert info(b"") is None
    assert info(stream[:21] + b"Info" + bytes(400)) is None
    assert info(mpeg_frames("fffd80c4", 417, 1)) is None
