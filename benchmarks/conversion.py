"""Conversion through the handlers against bare ffmpeg: python -m benchmarks.conversion [--quick] [--one-core]

The handlers are the deployed ones (the built layer's packages and bytecode), given the event that API Gateway or S3
would give; AWS is in the process's memory. Counted is all from the event to the answer: base64, the form or the bytes,
the header check, the SHA-256 of WAV and MP3, ffmpeg, the measuring of levels, the check of the MP3. Beside them, in
turn: the ffmpeg of the layer and the stock one of the pinned wheel, each by the command that anybody would type.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.common import (
    Cost,
    bare_ffmpeg,
    best,
    cost,
    ffmpeg,
    interleaved,
    median_ratio,
    quiet,
    stock_ffmpeg,
    table,
    wav,
)
from benchmarks.service import MAX_DIRECT_BYTES, Service

CASES = (  # seconds, Hz, channels, rounds, rounds of a quick run
    (10, 44_100, 2, 20, 5),
    (10, 16_000, 1, 20, 5),
    (60, 44_100, 2, 15, 6),
    (60, 16_000, 1, 5, 2),
    (600, 44_100, 2, 4, 3),
    (600, 16_000, 1, 2, 1),
    (3600, 44_100, 2, 1, 0),
    (3600, 16_000, 1, 1, 0),
)


def measure(service: Service, path: Path, rate: int, channels: int, rounds: int) -> list[list[Cost]]:
    """The costs of the handler, of the layer's ffmpeg and of the stock one, in turn."""
    from records.audio.plan import mp3_rate

    kbits = 64 * channels

    def handler() -> Cost:
        return service.direct(path) if path.stat().st_size <= MAX_DIRECT_BYTES else service.uploaded(path)

    def bare(program: str) -> Cost:
        return cost(lambda: bare_ffmpeg(path, path.with_suffix(".mp3"), kbits, mp3_rate(rate, kbits), program))

    return interleaved(rounds, handler, lambda: bare(ffmpeg()), lambda: bare(stock_ffmpeg()))


def one_core() -> None:
    """Give this process and its children one processor, as Lambda does at 1769 MB."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def run(short: bool) -> None:
    with quiet():
        service = Service()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with quiet():
            service.direct(wav(folder, 1))  # pydub is imported by the first conversion
        for seconds, rate, channels, rounds, few in CASES:
            count = few if short else rounds
            if not count:
                continue
            path = wav(folder, seconds, rate, channels)
            with quiet():
                costs = measure(service, path, rate, channels, count)
            direct = path.stat().st_size <= MAX_DIRECT_BYTES
            rows.append(
                [label(seconds, rate, channels), "create_record" if direct else "convert_upload", *line(*costs)]
            )
            path.unlink()
    pinned = " on one core" if "--one-core" in sys.argv else ""
    table(
        f"Conversion: handler against bare ffmpeg{pinned}",
        ("recording", "handler", "CPU s", "layer's", "stock", "**CPU ratio**", "s", "layer's", "stock", "**ratio**"),
        rows,
        "CPU: user and system time of the process and of ffmpeg, s: by the clock; the least of the rounds. Both ratios "
        "are to the stock ffmpeg; that of CPU is the median of the rounds. 16 kHz become 32 kHz on all sides.",
    )


def label(seconds: int, rate: int, channels: int) -> str:
    length = f"{seconds} s" if seconds < 600 else f"{seconds // 60} min"
    return f"{length}, {rate / 1000:g} kHz {'stereo' if channels == 2 else 'mono'}"


def line(ours: list[Cost], layers: list[Cost], stock: list[Cost]) -> list[str]:
    least = [best(costs) for costs in (ours, layers, stock)]
    return [
        *(f"{one.cpu:.3f}" for one in least),
        f"**{median_ratio(ours, stock):.2f}**",
        *(f"{one.wall:.3f}" for one in least),
        f"**{least[0].wall / least[2].wall:.2f}**",
    ]


if __name__ == "__main__":
    if "--one-core" in sys.argv:
        one_core()
    run("--quick" in sys.argv)
