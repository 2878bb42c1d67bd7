"""The first conversion after a cold start, with ffmpeg not in the page cache: python -m benchmarks.first_run

Measured: the layer's ffmpeg and the general one of imageio-ffmpeg (or those that are named), on one second of stereo.
Before each cold round the kernel is told to drop the binary's pages (posix_fadvise); afterwards it is asked how many
are there again (mincore), which is what a run takes from the disk on any machine. On Lambda that disk is remote.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.common import Cost, bare_ffmpeg, best, cost, ffmpeg, interleaved, stock_ffmpeg, table, wav

PAGE = mmap.PAGESIZE


def evict(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # only what is on the disk can be dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def resident(path: Path) -> int:
    """Bytes of a file that are in the page cache."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    size = path.stat().st_size
    pages = (size + PAGE - 1) // PAGE
    with path.open("rb") as file:
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    vector = (ctypes.c_ubyte * pages)()
    try:
        if libc.mincore(address, size, vector):
            raise OSError(ctypes.get_errno(), "mincore")
    finally:
        libc.munmap(address, size)
    return PAGE * sum(byte & 1 for byte in vector)


def binaries() -> list[tuple[str, str]]:
    """Titles and paths."""
    if named := [argument for argument in sys.argv[1:] if not argument.startswith("-")]:
        return [(name, name) for name in named]
    return [("the layer's", ffmpeg()), ("imageio-ffmpeg's", stock_ffmpeg())]


def run(short: bool) -> None:
    rows = []
    with tempfile.TemporaryDirectory(dir=".") as name:
        source = wav(Path(name), 1)
        for title, original in binaries():
            # A copy of our own: pages that other processes have mapped would stay.
            program = Path(shutil.copy(original, Path(name) / "ffmpeg"))
            paged: list[int] = []

            def convert(program: Path = program) -> Cost:
                return cost(lambda: bare_ffmpeg(source, Path(name) / "out.mp3", 128, 44_100, str(program)))

            def cold(program: Path = program, paged: list[int] = paged, convert=convert) -> Cost:  # type: ignore[no-untyped-def]
                evict(program)
                assert resident(program) == 0, "the kernel kept the pages"
                found: Cost = convert()
                paged.append(resident(program))
                return found

            evicted, warm = (best(costs) for costs in interleaved(3 if short else 10, cold, convert))
            rows.append(
                [
                    title,
                    f"{program.stat().st_size / 1e6:.1f}",
                    f"{max(paged) / 1e6:.1f}",
                    f"{1000 * evicted.wall:.0f}",
                    f"{1000 * warm.wall:.0f}",
                    f"{1000 * (evicted.wall - warm.wall):.0f}",
                ]
            )
    table(
        "First conversion (1 s of stereo) from an evicted page cache",
        ("ffmpeg", "MB", "MB paged in", "cold ms", "warm ms", "**difference ms**"),
        rows,
    )


if __name__ == "__main__":
    run("--quick" in sys.argv)
