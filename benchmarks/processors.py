"""A long recording on 1 to 6 processors: python -m benchmarks.processors [--quick]

The handler of an upload is given 60 and 10 minutes of stereo, and encodes with 1, 2, 4 and 6 processes; beside it, in
turn, the stock ffmpeg of the pinned wheel, and two of our encoders with half of it each, which are not joined: what
processors lose by being busy all at once. Where there are fewer processors than processes, each process has its share
of those that there are, so the time with as many processors is that by the clock, times those that there are, by their
number. The join and the second reading of the recording, for its checksum, are in it, and named apart.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.common import Cost, bare_ffmpeg, best, cost, ffmpeg, interleaved, quiet, stock_ffmpeg, table, wav
from benchmarks.memory import CONVERTERS, children, high_water
from benchmarks.service import Service

PROCESSES = (1, 2, 4, 6)
CASES = ((600, 3), (3600, 2))  # seconds, rounds


def timed(owner: type, name: str, times: list[float]) -> None:
    """Let a method note how long each of its calls takes."""
    method: Callable[..., Any] = getattr(owner, name)

    def noting(*arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*arguments)
        finally:
            times.append(time.perf_counter() - started)

    setattr(owner, name, noting)


class Watch(threading.Thread):
    """The most memory that each encoder of this process has had, in MB, while the block lasts."""

    def __enter__(self) -> list[float]:
        self._peaks: dict[str, float] = {}
        self._found: list[float] = []
        self._ended = threading.Event()
        self.start()
        return self._found

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
        self._found.extend(self._peaks.values())

    def run(self) -> None:
        while not self._ended.wait(0.02):
            for child in children("self", *CONVERTERS):
                self._peaks[child] = max(self._peaks.get(child, 0), high_water(child) / 1e6)


def run(short: bool) -> None:
    with quiet():
        service = Service()
    from records import conversion
    from records.audio.parallel import Encoder

    joins: list[float] = []
    reads: list[float] = []
    timed(Encoder, "_join", joins)
    timed(Encoder, "_read", reads)
    here = len(os.sched_getaffinity(0))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for seconds, rounds in CASES[: 1 if short else None]:
            path = wav(Path(name), seconds)

            def handler(processes: int, path: Path = path) -> Cost:
                conversion.processors = lambda: processes
                return service.uploaded(path)

            def stock(path: Path = path) -> Cost:
                return cost(lambda: bare_ffmpeg(path, path.with_suffix(".mp3"), 128, 44_100, stock_ffmpeg()))

            half = wav(Path(name), seconds // 2)

            def halves(half: Path = half) -> Cost:
                return cost(lambda: both(half))

            works = [stock, halves, *(lambda processes=processes: handler(processes) for processes in PROCESSES)]
            joins.clear()
            reads.clear()
            with quiet():
                handler(1)  # what is imported once
                theirs, separate, *ours = interleaved(1 if short else rounds, *works)
                peaks = []
                for processes in PROCESSES:
                    with Watch() as peak:
                        handler(processes)
                    peaks.append(peak)
            wall = best(theirs).wall
            rows.append([f"{seconds // 60} min, stock ffmpeg", 1, *figures(best(theirs), wall, 1), "", "", ""])
            rows.append(
                [f"{seconds // 60} min, two halves, not joined", 2, *figures(best(separate), wall, 1), "", "", ""]
            )
            split = [processes for processes in PROCESSES if processes > 1]
            for processes, costs, peak in zip(PROCESSES, ours, peaks, strict=True):
                share = here / max(here, processes)
                at = [number for number, each in enumerate(split * (1 if short else rounds)) if each == processes]
                apart = [f"{min(times[number] for number in at):.2f}" if at else "" for times in (joins, reads)]
                rows.append(
                    [
                        f"{seconds // 60} min, {'measured' if share == 1 else 'simulated'}",
                        processes,
                        *figures(best(costs), wall, share),
                        *apart,
                        " ".join(f"{mb:.1f}" for mb in sorted(peak)),
                    ]
                )
            path.unlink()
            half.unlink()
    table(
        f"Processors: the handler against the stock ffmpeg, 44.1 kHz stereo, on {here} of them",
        ("recording", "processes", "CPU s", "s", "**ratio**", "join, s", "reading, s", "memory of each encoder, MB"),
        rows,
    )
    print(f"\nThe handler's own process: at most {high_water('self') / 1e6:.1f} MB.")


def both(half: Path) -> None:
    """Two encoders at once, as fast as they can be: from file to file."""
    from records.audio.plan import ENCODER

    encoder = Path(ffmpeg()).parent / ENCODER

    def encode(number: int) -> None:
        with half.open("rb") as pcm:  # with the WAV header in front, 11 samples more
            subprocess.run([encoder, "44100", "2", "128", half.with_name(f"{number}.mp3")], stdin=pcm, check=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(encode, range(2)))


def figures(least: Cost, stock: float, share: float) -> list[str]:
    return [f"{least.cpu:.2f}", f"{least.wall * share:.2f}", f"**{least.wall * share / stock:.2f}**"]


if __name__ == "__main__":
    run("--quick" in sys.argv)
