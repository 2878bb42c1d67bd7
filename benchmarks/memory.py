"""Peak memory of a handler and its ffmpeg against the recording's length: python -m benchmarks.memory [--quick]

Each recording has a process of its own, as if it were the first of a cold function. The figures are the kernel's own
high-water marks (VmHWM) of both processes, added up.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import ROOT, quiet, table, wav

LENGTHS = (10, 60, 600, 3600)  # s
CONVERTERS = ("ffmpeg", "mp3-encoder")
LARGEST_SECONDS = 26  # of 44.1 kHz stereo: 4 586 400 bytes of the 4 613 734 that a request may hold


def high_water(pid: int | str) -> int:
    """The most memory that a process has had so far, in bytes; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return 1024 * int(found[0]) if found else 0


def children(pid: int | str, *names: str) -> list[str]:
    """The processes that a process has started, of these names. A new child still has its parent's memory and name."""
    found = [child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in _read(path).split()]
    return [child for child in found if not names or _read(Path(f"/proc/{child}/comm")).strip() in names]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def peak(route: str, path: Path) -> tuple[int, int]:
    """Bytes: of the handler's process, and of the largest that it started."""
    command = [sys.executable, "-m", "benchmarks.memory", route, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        of_child = 0
        while process.poll() is None:
            of_child = max([of_child, *map(high_water, children(process.pid, *CONVERTERS))])
            time.sleep(0.005)
        assert process.stdout is not None
        own = int(process.stdout.read())
    assert process.returncode == 0
    return own, of_child


def work(route: str, path: Path) -> int:
    """In the process that is measured: one conversion, and what it took."""
    from benchmarks.service import Service

    with quiet():
        service = Service()
        if route == "uploaded":
            service.uploaded(path)
        elif route != "none":
            service.direct(path, form=route == "form")
    return high_water("self")


def run(short: bool) -> None:
    from tests.support.layers import layer

    layer()  # built before, so that the measured processes do not
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        largest = wav(folder, LARGEST_SECONDS)
        cases = [("before any recording", "none", largest)]
        cases += [(f"create_record, {LARGEST_SECONDS} s, {kind}", kind, largest) for kind in ("bytes", "form")]
        for seconds in LENGTHS[: -1 if short else None]:
            length = f"{seconds} s" if seconds < 600 else f"{seconds // 60} min"
            cases.append((f"convert_upload, {length}", "uploaded", wav(folder, seconds)))
        for title, route, path in cases:
            own, of_child = peak(route, path)
            rows.append(
                [title, *(f"{size / 1e6:.1f}" for size in (path.stat().st_size, own, of_child, own + of_child))]
            )
    table("Peak memory, MB, 44.1 kHz stereo", ("recording", "WAV", "Python", "encoder", "**together**"), rows)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(work(sys.argv[1], Path(sys.argv[2])))
    else:
        run("--quick" in sys.argv)
