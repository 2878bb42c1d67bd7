"""A recording to try the service with: three seconds of a melody, as a WAV file."""

from __future__ import annotations

import array
import math
import sys
import wave
from pathlib import Path

RATE = 44_100
NOTES = (523.25, 659.26, 783.99, 1046.50, 783.99, 659.26)  # Hz: C5 E5 G5 C6 G5 E5
NOTE_SECONDS = 0.5


def write_sample(path: Path) -> None:
    """Write a mono 16-bit WAV of 3 s; nothing is written where there is one already."""
    if path.exists():
        return
    length = int(RATE * NOTE_SECONDS)
    samples = array.array(
        "h",
        (
            # Each note dies away, so that it begins without a click.
            int(12_000 * math.exp(-4 * n / length) * min(1, n / 200) * math.sin(2 * math.pi * note * n / RATE))
            for note in NOTES
            for n in range(length)
        ),
    )
    if sys.byteorder == "big":
        samples.byteswap()
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        file.writeframes(samples.tobytes())
