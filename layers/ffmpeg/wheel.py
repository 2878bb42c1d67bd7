"""ffmpeg from the wheel `imageio-ffmpeg`, where it cannot be built."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from kept import HERE, NotPossible, is_whole, keep, kept_folder
from recipe import WHEEL, WHEELS, Wheel


def from_wheel(system: str, architecture: str) -> Path:
    """The folder with the wheel's ffmpeg. Raises NotPossible."""
    wheel = WHEELS[system, architecture]
    recipe = {
        "build": "wheel",
        "system": system,
        "architecture": architecture,
        "ffmpeg": wheel.ffmpeg,
        "wheel": WHEEL,
        "wheel_sha256": wheel.sha256,
    }
    kept = kept_folder(recipe)
    if is_whole(kept):
        return kept
    with tempfile.TemporaryDirectory(prefix="ffmpeg-") as scratch:
        installed = install(Path(scratch), wheel)
        layer = Path(scratch) / "layer"
        (layer / "bin").mkdir(parents=True)
        (layer / "share/ffmpeg").mkdir(parents=True)
        (binary,) = (file for file in installed.glob("imageio_ffmpeg/binaries/ffmpeg-*") if file.is_file())
        shutil.copy(binary, layer / "bin/ffmpeg")
        shutil.copy(HERE / "licenses/GPL-3.0.txt", layer / "share/ffmpeg/LICENSE.ffmpeg.txt")
        return keep(layer, kept, recipe)


def install(scratch: Path, wheel: Wheel) -> Path:
    """Unpack the wheel by whatever installer is here. None resolves anything: there is one file, given by its hash."""
    pins = scratch / "pins.txt"
    pins.write_text(f"{WHEEL} --hash=sha256:{wheel.sha256}\n")
    beside = Path(sys.executable).parent
    uv = ["pip", "install", "--quiet", "--python", sys.executable, "--python-platform", wheel.uv, "--only-binary=:all:"]
    pip = ["install", "--quiet", "--disable-pip-version-check", "--platform", wheel.pip, "--only-binary=:all:"]
    ways = [
        *([program, *uv] for program in (shutil.which("uv"), str(beside / "uv")) if program),
        [sys.executable, "-m", "pip", *pip],
        *([program, *pip] for program in (shutil.which("pip3"), shutil.which("pip")) if program),
    ]
    said = []
    for number, way in enumerate(ways):
        target = scratch / f"installed-{number}"
        command = [*way, "--no-deps", "--require-hashes", "--target", str(target), "-r", str(pins)]
        try:
            done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        except OSError:
            continue
        if done.returncode == 0:
            return target
        said.append(f"{Path(way[0]).name}: {done.stderr.strip()[-300:]}")
    raise NotPossible(f"the wheel {WHEEL} cannot be had: " + ("; ".join(said) or "neither uv nor pip is here"))
