"""Coverage-guided fuzzing of the walk through a WAV file's chunks and of the counting of MPEG frames.

    python -m tests.fuzz.fuzz_wav -runs=1000000

Arguments are libFuzzer's. An input is 2 bytes (a position), 6 bytes (how much is put in there, so that few bytes make
a file of many windows, or of more than 4 GiB), and the file. What fails is kept in .local/fuzz.
Atheris has wheels for Linux on x86-64 alone.
"""

from __future__ import annotations

import importlib.util
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT
from tests.fuzz.sparse import SparseFile
from tests.support.corpus import corpus_files
from tests.support.wavs import cases, chunk, extensible, fmt, pcm, riff, tone

LONGEST, LONGEST_SEED = 1024, 512  # bytes of an input: what matters is at the beginning
MOST_FILLED = 1 << 34  # bytes
FILL = b"\xf0"  # as a chunk's header it leads 4 GB on; zeros would be chunks by the thousand, and each execution slow
FAILURES = ROOT / ".local/fuzz"


def try_one(data: bytes) -> None:
    """Raises where something is wrong with the answer to this input."""
    from tests.fuzz.checks import check_frames, inspected  # here, so that atheris can instrument what it imports

    position, filled, file = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:8], "little"), data[8:]
    inspected(SparseFile(file[:position], filled % MOST_FILLED, file[position:], fill=FILL))
    check_frames(file, 50 + position % 500)


def packed(file: bytes, filled: int = 0, position: int = 0) -> bytes:
    """The input that stands for a file."""
    return (struct.pack("<H", position) + filled.to_bytes(6, "little") + file)[:LONGEST_SEED]


def seeds(corpus: Path | None) -> Iterator[bytes]:
    """The beginnings of the cases and of the real files, and some files that are large."""
    for case in cases():
        yield packed(case.data)
    for file in corpus_files(corpus):
        with file.path.open("rb") as opened:
            yield packed(opened.read(LONGEST_SEED))
    data = chunk(b"data", pcm(tone(40)))
    for filled in (1 << 16, (1 << 31) - 36, (1 << 32) - 36, 1 << 32, 1 << 33):
        size = min(filled, 0xFFFFFFFF)
        yield packed(riff(chunk(b"JUNK", b"", size=size), fmt(), data), filled, 20)
        yield packed(riff(fmt(rate=192000), chunk(b"data", b"", size=size), chunk(b"LIST", bytes(4))), filled, 44)
        ds64 = chunk(b"ds64", struct.pack("<QQQI", filled, filled, 0, 1) + b"junk" + struct.pack("<Q", filled))
        tail = (fmt(channels=2, rate=192000), chunk(b"data", b"", size=0xFFFFFFFF))
        yield packed(riff(ds64, *tail, magic=b"RF64"), filled, 36 + len(ds64) + 8)
        yield packed(riff(ds64, chunk(b"junk", b"", size=0xFFFFFFFF), *tail, magic=b"BW64"), filled, 20 + len(ds64))
    yield packed(riff(extensible(bits=32, valid_bits=24), chunk(b"data", bytes(400))), 1 << 20, 200)


def fuzz(arguments: list[str]) -> None:
    """Fuzz in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["records"]):
        import tests.fuzz.checks  # noqa: F401

    atheris.Setup([__file__, *arguments], try_one)
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Fuzz in a process of its own, from the seeds. Returns its exit status: 0 if nothing was found."""
    if importlib.util.find_spec("atheris") is None:
        print("There is no atheris here: it is made for Linux on x86-64 only.", file=sys.stderr)
        return 1
    FAILURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds(_corpus())):
            Path(folder, f"{number:04}").write_bytes(seed)
        options = [f"-max_len={LONGEST}", "-timeout=10", "-print_final_stats=1", f"-artifact_prefix={FAILURES}/"]
        call = f"from tests.fuzz.fuzz_wav import fuzz; fuzz({[*options, *arguments, folder]!r})"
        path = os.pathsep.join((str(ROOT), str(ROOT / "layers/records")))
        return subprocess.call([sys.executable, "-c", call], env={**os.environ, "PYTHONPATH": path})


def _corpus() -> Path | None:
    folder = Path(os.environ.get("CORPUS") or ROOT.parent / "shared/corpus")
    return folder if (folder / "manifest.csv").exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
