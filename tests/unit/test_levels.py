"""Loudness and the picture of a recording."""

from __future__ import annotations

import math
import subprocess
import sys
from array import array

import pytest

from records.audio.levels import FLOOR, Levels, Meter

SILENT = Levels(peak_dbfs=FLOOR, mean_dbfs=FLOOR, silent=True)


def measured(samples: list[int], channels: int = 1, piece: int = 1 << 20) -> tuple[Levels, bytes, int]:
    meter = Meter(channels)
    pcm = array("h", samples).tobytes()
    for start in range(0, len(pcm), piece):
        meter.feed(pcm[start : start + piece])
    return meter.levels(), meter.waveform(), meter.frames


def sine(frames: int, amplitude: float = 32767) -> list[int]:
    return [round(amplitude * math.sin(2 * math.pi * n / 100)) for n in range(frames)]


def test_nothing_and_silence() -> None:
    assert measured([]) == (SILENT, bytes(200), 0)
    assert measured([0] * 5000) == (SILENT, bytes(200), 5000)


def test_sine() -> None:
    """A full-scale sine has its peak at 0 dBFS and its mean 3 dB below; half of it 6 dB lower."""
    assert measured(sine(44100)) == (Levels(0.0, -3.0, False), bytes([255]) * 200, 44100)
    assert measured(sine(44100, 16384)) == (Levels(-6.0, -9.0, False), bytes([128]) * 200, 44100)


def test_quiet() -> None:
    """The mean is right below one step of 16 bits too, where a whole number would be 0 or 1."""
    assert measured([3, -3] * 5000)[0] == Levels(-80.8, -80.8, True)
    assert measured([4, -4] * 5000)[0] == Levels(-78.3, -78.3, False)
    assert measured([1, 0, 0, 0] * 5000)[0] == Levels(-90.3, -96.3, True)
    assert measured([0] * 9999 + [1000])[0] == Levels(-30.3, -70.3, False)


def test_full_scale_is_negative_too() -> None:
    levels, waveform, _ = measured([-32768] * 1000)
    assert (levels, waveform) == (Levels(0.0, 0.0, False), bytes([255]) * 200)
    assert str(levels.peak_dbfs) == "0.0"


@pytest.mark.parametrize("frames", [1, 2, 7, 199, 200, 201, 1000, 1601, 123_457])
def test_waveform_of_any_length(frames: int) -> None:
    """A ramp's peaks are a ramp, for one sample as for many."""
    samples = [32767 * (n + 1) // frames for n in range(frames)]
    waveform = measured(samples)[1]
    assert len(waveform) == 200
    assert list(waveform) == sorted(waveform)
    assert waveform[-1] == 255
    within = 255 / frames + 1 if frames < 200 else 3
    assert all(abs(peak - (number + 1) * 255 / 200) <= within for number, peak in enumerate(waveform))


def test_one_click_is_seen_where_it_is() -> None:
    for place in (0, 50_000, 99_999):
        samples = [0] * 100_000
        samples[place] = -32768
        waveform = measured(samples)[1]
        assert abs(waveform.index(255) - place * 200 // 100_000) <= 1
        assert waveform.count(0) in (198, 199)


@pytest.mark.parametrize("expected", [1, 7000, 8000, 9000])
def test_length_known_before(expected: int) -> None:
    """It saves work, and changes nothing that is seen, even where it is not quite right."""
    samples = [32767 * (n + 1) // 8000 for n in range(8000)]
    meter = Meter(1, expected)
    meter.feed(array("h", samples).tobytes())
    assert (meter.levels(), meter.frames) == (measured(samples)[0], 8000)
    assert all(abs(peak - (number + 1) * 255 / 200) <= 3 for number, peak in enumerate(meter.waveform()))


@pytest.mark.parametrize("piece", [1, 3, 4, 1000, 65536])
def test_pieces_make_no_difference(piece: int) -> None:
    samples = [n * 7919 % 65536 - 32768 for n in range(8000)]
    whole = measured(samples, channels=2)
    assert whole == measured(samples, channels=2, piece=piece)
    assert whole[2] == 4000


def test_the_louder_channel_counts() -> None:
    assert measured([0, 32767] * 1000, channels=2)[0] == Levels(0.0, -3.0, False)


def test_pydub_comes_late_and_in_silence() -> None:
    """Importing the conversion does not import pydub; measuring does, with no warning about an ffmpeg on PATH."""
    script = (
        "import sys, warnings; from records.audio import levels; assert 'pydub' not in sys.modules\n"
        "warnings.simplefilter('error'); levels.Meter(1).feed(b'ab'); assert 'pydub' in sys.modules\n"
        "import warnings\ntry: warnings.warn('ours')\nexcept UserWarning: print('still heard')"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={"PATH": "/nowhere", "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "still heard\n", "")


def test_memory_is_constant() -> None:
    meter = Meter(2)
    block = array("h", sine(16384)).tobytes()
    for _ in range(200):
        meter.feed(block)
    assert meter.frames == 200 * 8192
    assert len(meter._bins) <= 1600
