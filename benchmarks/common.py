"""What the benchmarks share: recordings, clocks that count children too, and tables."""

from __future__ import annotations

import array
import contextlib
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.layers import ROOT, layer

TABLE_SEED = 7


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds: by the clock, and of processor time in this process and its children. The second hardly knows load."""

    wall: float
    cpu: float


def cost(work: Callable[[], object]) -> Cost:
    """What a piece of work costs; children count when they have been waited for."""
    before, started = _cpu(), time.perf_counter()
    work()
    return Cost(time.perf_counter() - started, _cpu() - before)


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def interleaved(rounds: int, *works: Callable[[], Cost]) -> list[list[Cost]]:
    """Each work's costs, taken in turn, so that whatever else the machine does hits all of them alike."""
    found: list[list[Cost]] = [[] for _ in works]
    for _ in range(rounds):
        for work, costs in zip(works, found, strict=True):
            costs.append(work())
    return found


def best(costs: Iterable[Cost]) -> Cost:
    """The least of each: what the work itself takes, without what others on the machine added."""
    costs = list(costs)
    return Cost(min(one.wall for one in costs), min(one.cpu for one in costs))


def median_ratio(costs: Sequence[Cost], of: Sequence[Cost]) -> float:
    """The median of processor time against another's of the same round."""
    return statistics.median(one.cpu / other.cpu for one, other in zip(costs, of, strict=True))


# --- recordings ------------------------------------------------------------------------------------------------------


def wav(folder: Path, seconds: int, rate: int = 44_100, channels: int = 2) -> Path:
    """A 16-bit WAV with a sound that keeps an encoder as busy as music does: notes over noise, ten seconds again and
    again."""
    path = folder / f"{seconds}s-{rate}-{channels}.wav"
    if not path.exists():
        chunk = _ten_seconds(rate, channels)
        left = seconds * rate * channels * 2
        with wave.open(str(path), "wb") as file:
            file.setparams((channels, 2, rate, left // channels // 2, "NONE", "not compressed"))
            while left > 0:
                file.writeframesraw(chunk[:left])
                left -= len(chunk)
    return path


@cache
def _ten_seconds(rate: int, channels: int) -> bytes:
    noise = random.Random(TABLE_SEED)
    samples = array.array("h")
    phase = [0.0] * channels
    for frame in range(10 * rate):
        second = frame / rate
        for channel in range(channels):
            note = 220 * 2 ** ((int(second * 4) * 7 % 12 + channel) / 12)  # Hz
            phase[channel] = (phase[channel] + note / rate) % 1.0
            saw = 2 * phase[channel] - 1
            samples.append(int(7000 * saw * (1 - second * 4 % 1) + noise.gauss(0, 500)))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


# --- programs --------------------------------------------------------------------------------------------------------


def ffmpeg() -> str:
    """The ffmpeg to measure: $FFMPEG, else the layer's, as it was built for this machine."""
    built = ROOT / ".local/build/sam/FfmpegLayer/bin/ffmpeg"
    found = os.environ.get("FFMPEG") or (str(built) if built.exists() else shutil.which("ffmpeg"))
    if not found:
        sys.exit("There is no ffmpeg to measure: run `make bench`, or set FFMPEG.")
    return found


def stock_ffmpeg() -> str:
    """The general ffmpeg of the wheel that the project pins, for comparison."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def bare_ffmpeg(source: Path, target: Path, kbits: int, rate: int, program: str | None = None) -> None:
    """The command that anybody would type for the same MP3. rate: of the MP3, Hz."""
    quality = ("-b:a", f"{kbits}k", "-ar", str(rate))
    command = [program or ffmpeg(), "-nostdin", "-loglevel", "error", "-y", "-i", str(source), *quality, str(target)]
    subprocess.run(command, check=True)


ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "USERS_TABLE": "users",
    "RECORDS_TABLE": "records",
    "BUCKET": "records-bucket",
    "PUBLIC_URL": "http://127.0.0.1:8000",
    "POWERTOOLS_SERVICE_NAME": "records",
    "POWERTOOLS_METRICS_NAMESPACE": "Records",
    "POWERTOOLS_LOG_LEVEL": "WARNING",
}


def become_lambda() -> None:
    """Let this process import the functions as they are deployed: from the built layer, with their environment."""
    os.environ.update(ENVIRONMENT, FFMPEG=ffmpeg())
    sys.path.insert(0, str(layer()))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the functions print (their metrics) out of the tables."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


# --- tables ----------------------------------------------------------------------------------------------------------


def machine() -> str:
    """A line that says what was measured on, and how busy it was."""
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]], note: str = "") -> None:
    """Print a table as Markdown, so that it can be put into docs/performance.md as it is."""
    print(f"\n**{title}** ({machine()})\n")
    print("| " + " | ".join(heads) + " |")
    print("| --- |" + " ---: |" * (len(heads) - 1))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    if note:
        print(f"\n{note}")
    sys.stdout.flush()
