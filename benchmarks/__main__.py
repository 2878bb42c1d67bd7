"""All benchmarks, one after another: `make bench`, or python -m benchmarks [--quick]. Half an hour."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.common import machine
from tests.support.layers import ROOT, layer

BENCHMARKS = (
    ("size",),
    ("init",),
    ("rie",),
    ("conversion",),
    ("conversion", "--one-core", "--quick"),
    ("processors",),
    ("memory",),
    ("first_run",),
    ("warm_get",),
    ("server",),
)


def main() -> int:
    print(machine())
    layer()  # once for all of them
    failed = 0
    for name, *options in BENCHMARKS:
        command = [sys.executable, "-m", f"benchmarks.{name}", *options, *sys.argv[1:]]
        failed |= subprocess.run(command, cwd=ROOT, check=False).returncode
    return int(failed != 0)


if __name__ == "__main__":
    sys.exit(main())
