"""The coverage-guided fuzzing itself lasts (`make soak`); here it is shown to run, and to try what it should."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fuzz.fuzz_wav import FILL, seeds, try_one
from tests.fuzz.sparse import SparseFile

RUNS = int(os.environ.get("FUZZ_RUNS", "5000"))


def test_every_seed(corpus: Path | None) -> None:
    """Where atheris cannot be had, at least what it begins with is tried."""
    tried = 0
    for seed in seeds(corpus):
        try_one(seed)
        tried += 1
    assert tried > 250


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is made for Linux on x86-64 only")
def test_fuzzing() -> None:
    command = [sys.executable, "-m", "tests.fuzz.fuzz_wav", f"-runs={RUNS}", "-seed=1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr  # the exception is in the one, libFuzzer's report in the other
    counted = re.search(r"^stat::number_of_executed_units: +(\d+)", run.stderr, re.MULTILINE)
    assert counted is not None, run.stderr
    assert int(counted[1]) >= RUNS
    covered = [int(count) for count in re.findall(r" cov: (\d+)", run.stderr)]
    assert covered[-1] > 250, "what is fuzzed is not instrumented"


def test_reads_are_supervised() -> None:
    """A file of which a read goes astray would fail every test here."""
    file = SparseFile(b"RIFF", 1 << 33, b"end", fill=FILL)
    assert file.read(6) == b"RIFF" + 2 * FILL
    file.seek((1 << 33) + 2)
    assert file.read(100) == 2 * FILL + b"end"
    assert (file.reads, file.bytes_read, file.size) == (2, 11, (1 << 33) + 7)
    for offset, length in ((-1, 4), (file.size, 1), (0, 0), (0, 64 * 1024 + 1)):
        file.seek(offset)
        with pytest.raises(AssertionError):
            file.read(length)
