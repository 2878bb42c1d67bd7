"""The cache of finished binaries on this machine, and helpers for files."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class NotPossible(Exception):
    """ffmpeg cannot be had in this way on this machine; the message says why, and what would help."""


class Refused(Exception):
    """What was asked for cannot be done, or must not."""


def cache() -> Path:
    """Where sources and finished binaries are kept; the working copy, and what SAM removes, are elsewhere."""
    if os.environ.get("RECORDS_CACHE"):
        return Path(os.environ["RECORDS_CACHE"]).expanduser().absolute() / "ffmpeg"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "records/ffmpeg"


def kept_folder(recipe: dict[str, Any]) -> Path:
    """A folder for each recipe: whatever goes into a binary is in its name."""
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    return cache() / f"{recipe['ffmpeg']}-{recipe['system']}-{recipe['architecture']}-{recipe['build']}-{key}"


def is_whole(layer: Path) -> bool:
    try:
        return bool(read_facts(layer)["sha256"] == digests(layer))
    except (OSError, ValueError, KeyError):
        return False


def keep(layer: Path, kept: Path, recipe: dict[str, Any]) -> Path:
    """Move a finished layer into the cache, with the facts about it. Two builds at once do no harm."""
    for binary in (layer / "bin").iterdir():
        binary.chmod(0o755)
    facts = {**recipe, "bytes": (layer / "bin/ffmpeg").stat().st_size, "sha256": digests(layer)}
    write_facts(layer, facts)
    kept.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="new-", dir=kept.parent))
    shutil.copytree(layer, scratch, dirs_exist_ok=True)
    scratch.chmod(0o755)
    shutil.rmtree(kept, ignore_errors=True)
    try:
        scratch.rename(kept)
    except OSError:
        shutil.rmtree(scratch)
        if not is_whole(kept):
            raise
    return kept


def digests(layer: Path) -> dict[str, str]:
    """The SHA-256 of each program in a layer, by name."""
    return {binary.name: sha256_of(binary) for binary in sorted((layer / "bin").iterdir())}


def write_facts(layer: Path, facts: dict[str, Any]) -> None:
    (layer / "share/ffmpeg/build.json").write_text(json.dumps(facts, indent=1) + "\n")


def read_facts(layer: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((layer / "share/ffmpeg/build.json").read_text())
    return facts


def host_architecture() -> str:
    machine = platform.machine().lower()
    return {"aarch64": "arm64", "amd64": "x86_64"}.get(machine, machine)


def host_features() -> set[str]:
    """The features of this machine's processor, by the kernel's names."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return {word for line in lines if line.lower().startswith(("flags", "features")) for word in line.split()}


def output(*command: str) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def sha256_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def elf(file: Path) -> tuple[str, bool]:
    """The architecture of a 64-bit little-endian ELF file, and whether it runs without any other (no PT_INTERP)."""
    with file.open("rb") as opened:
        header = opened.read(64)
        if header[:6] != b"\x7fELF\x02\x01":
            return "no ELF file", False
        (machine,) = struct.unpack_from("<H", header, 18)
        (programs,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        opened.seek(programs)
        table = opened.read(size * count)
    kinds = {struct.unpack_from("<I", table, size * number)[0] for number in range(count)}
    return {62: "x86_64", 183: "arm64"}.get(machine, f"ELF machine {machine}"), 3 not in kinds
