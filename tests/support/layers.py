"""The `records` layer, built as `sam build` builds it, for the tests and the benchmarks that run what is deployed."""

from __future__ import annotations

import atexit
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "layers" / "records"
ARCHITECTURE = {"x86_64": "x86_64", "amd64": "x86_64"}.get(platform.machine().lower(), "arm64")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def make_layer(folder: Path, architecture: str = ARCHITECTURE, python: str = PYTHON) -> Path:
    """Build the layer into a folder; returns what is unpacked in /opt/python on Lambda."""
    tools = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    subprocess.run(
        ["make", "--silent", "build-RecordsLayer"],
        cwd=SOURCE,
        env={
            **os.environ,
            "PATH": tools,
            "ARTIFACTS_DIR": str(folder),
            "LAYER_ARCHITECTURE": architecture,
            "LAYER_PYTHON": python,
        },
        check=True,
    )
    return folder / "python"


@cache
def layer() -> Path:
    """The layer for this machine and this Python, built once and removed when this process ends.

    Processes that this one starts use the same.
    """
    if built := os.environ.get("RECORDS_LAYER"):
        return Path(built)
    folder = Path(tempfile.mkdtemp(prefix="records-layer-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = make_layer(folder)
    os.environ["RECORDS_LAYER"] = str(made)
    return made
