"""SAM CLI, and what this machine builds for."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".local" / "build"
REGION = "us-east-1"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
ARCHITECTURE = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
ON_LINUX = sys.platform == "linux"
LAYERS = str(ARCHITECTURE) if ON_LINUX else "host"

# The same in environment.sh.
NETWORK_WORDS = "resolve|network|unreachable|connection|dns error|timed out|client error"
NO_NETWORK = "Packages are downloaded from PyPI: is there a network? Behind a proxy, set HTTPS_PROXY."

Report = Callable[[str], None]


class CloudError(Exception):
    """Why something cannot run, in words for the person at the keyboard."""


def fingerprint(template: Path = ROOT / "template.yaml") -> str:
    """SHA-256 of everything that `build` builds from."""
    digest = hashlib.sha256(f"{PYTHON} {ARCHITECTURE}".encode())
    sources = [path for folder in ("functions", "layers") for path in (ROOT / folder).rglob("*")]
    for path in [template, *sorted(path for path in sources if path.is_file() and "__pycache__" not in path.parts)]:
        digest.update(f"\0{path.relative_to(ROOT) if path != template else ''}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build(report: Report, thorough: bool = False) -> None:
    """`sam build` into .local/build, unless what is there is of these sources. Two processes may call it at once.

    `thorough`: with an ffmpeg built from source if this machine can do that, which takes a minute, once. Otherwise with
    one that was built from source before, else with the one of a wheel, which takes no time."""
    BUILD.mkdir(parents=True, exist_ok=True)
    stamp = BUILD / "fingerprint"
    ffmpeg = os.environ.get("RECORDS_FFMPEG") or ("auto" if thorough else "kept")
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = fingerprint()
        had, _, had_ffmpeg = stamp.read_text().partition(" ") if stamp.exists() else ("", "", "")
        if had == wanted and _is_right(had_ffmpeg, ffmpeg):
            report("Built already.")
            return
        if not shutil.which("make"):
            raise CloudError("The layers are built with make, and there is none on PATH.")
        report("Building the functions and layers with SAM ...")
        stamp.unlink(missing_ok=True)
        build_into(BUILD / "sam", LAYERS, ffmpeg)
        stamp.write_text(f"{wanted} {_origin(BUILD / 'sam/FfmpegLayer')}")


def _is_right(had: str, wanted: str) -> bool:
    """Whether the ffmpeg that was built (`source` or `wheel`) is the one that a build would choose: it is not where a
    compiler was installed since."""
    if had == "wheel" and wanted == "auto":
        with tempfile.TemporaryDirectory() as folder:
            return had == _origin(_ffmpeg_layer(Path(folder)))
    return wanted in ("kept", "auto", had)


def _ffmpeg_layer(folder: Path) -> Path:
    environment = {**os.environ, "LAYER_ARCHITECTURE": LAYERS, "RECORDS_FFMPEG": "auto"}
    command = [sys.executable, str(ROOT / "layers/ffmpeg/build.py"), "layer", str(folder)]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return folder


def _origin(layer: Path) -> str:
    """`source` or `wheel`."""
    origin: str = json.loads((layer / "share/ffmpeg/build.json").read_text())["build"]
    return origin


def build_into(folder: Path, layers: str, ffmpeg: str) -> None:
    """`sam build` with this machine's Python. `layers`: the Linux that they are for (arm64, x86_64), or host."""
    sam(
        *("build", "--beta-features", "--parallel", "--build-dir", str(folder)),
        *("--parameter-overrides", f"Architecture={ARCHITECTURE} Runtime=python{PYTHON}"),
        environment={"LAYER_ARCHITECTURE": layers, "LAYER_PYTHON": PYTHON, "RECORDS_FFMPEG": ffmpeg},
    )


def sam(*arguments: str, environment: dict[str, str]) -> None:
    """Run SAM CLI at the project's root; what it says is shown when it fails.

    Raises CloudError."""
    environment = {
        **clean_environment(),
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.5",
        "AWS_DEFAULT_REGION": REGION,
        **environment,
    }
    command = [str(ROOT / ".sam/bin/sam"), *arguments]
    with tempfile.TemporaryDirectory(prefix="records-sam-") as temporary:  # SAM leaves empty folders behind
        environment["TMPDIR"] = temporary
        done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        said = f"{done.stdout}{done.stderr}"
        hint = f"\n{NO_NETWORK}" if re.search(NETWORK_WORDS, said, re.IGNORECASE) else ""
        raise CloudError(f"{said}\n`sam {arguments[0]}` failed; why is said above.{hint}")


def clean_environment() -> dict[str, str]:
    """Of this process's environment only what programs need to run: no keys, no profile, no endpoint of a real AWS
    account gets to SAM, to the emulator or to the functions."""
    kept = re.compile(
        r"HOME|LANG|LC_\w+|TMPDIR|SSL_CERT_\w+|(UV|PIP|XDG|RECORDS)_\w+|\w+_(PROXY|TARBALL)", re.IGNORECASE
    )
    environment = {name: value for name, value in os.environ.items() if kept.fullmatch(name)}
    return {**environment, "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"}
