"""Put a static ffmpeg into the layer: built from source, with an encoder of MP3, or from a wheel.

    build.py layer DIRECTORY   write bin/ and share/ffmpeg/ (licences, build.json) into DIRECTORY
    build.py check DIRECTORY   say in a line what is in DIRECTORY; fail unless it is for LAYER_ARCHITECTURE, and
                               unless it was built from source where RECORDS_FFMPEG=source

Makefile beside this file lists the variables of the environment. Needs nothing but Python's standard library.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

from kept import NotPossible, Refused, digests, elf, host_architecture, read_facts, write_facts
from recipe import WHEELS
from source import from_source
from wheel import from_wheel


def wanted() -> tuple[str, str]:
    """The system and architecture that LAYER_ARCHITECTURE names."""
    name = os.environ.get("LAYER_ARCHITECTURE") or "arm64"
    if name not in ("arm64", "x86_64", "host"):
        raise Refused(f"LAYER_ARCHITECTURE is {name}; it can be arm64, x86_64 or host.")
    if name != "host":
        return "linux", name
    host = platform.system().lower(), host_architecture()
    if host not in WHEELS:
        raise Refused(f"There is no ffmpeg for {host[0]} on {host[1]} here.")
    return host


def way() -> str:
    name = os.environ.get("RECORDS_FFMPEG") or "auto"
    if name not in ("auto", "source", "kept", "wheel"):
        raise Refused(f"RECORDS_FFMPEG is {name}; it can be auto, source, kept or wheel.")
    return name


def obtain() -> tuple[Path, str | None]:
    """The folder with the requested ffmpeg and, if a build from source was tried and failed, why."""
    system, architecture = wanted()
    why = None
    if way() != "wheel":
        try:
            if system != "linux":
                raise NotPossible(f"it is built on Linux, and this is for {system}")
            return from_source(architecture, only_kept=way() == "kept"), None
        except NotPossible as reason:
            if way() == "source":
                raise Refused(f"ffmpeg for {architecture} is not built from source: {reason}.") from None
            why = str(reason)
    try:
        return from_wheel(system, architecture), why
    except NotPossible as reason:
        raise Refused(f"There is no ffmpeg for {architecture}: {reason}.") from None


def put(target: Path) -> None:
    """Write the layer's files into `target`."""
    kept, why = obtain()
    shutil.copytree(kept, target, dirs_exist_ok=True)
    if why:
        write_facts(target, {**read_facts(target), "why": why})
    check(target)


def check(layer: Path) -> None:
    """Say what is in a layer, and refuse it where it is not what was asked for."""
    system, architecture = wanted()
    try:
        facts = read_facts(layer)
        found, built = digests(layer), dict(facts["sha256"])
        machine = elf(layer / "bin/ffmpeg")[0] if facts["system"] == "linux" else facts["architecture"]
    except (OSError, ValueError, KeyError):
        raise Refused(f"{layer} has no ffmpeg that build.py put there.") from None
    for name in sorted(found.keys() | built.keys()):
        if found.get(name) != built.get(name):
            raise Refused(f"{layer}/bin/{name} is not the file that build.py put there.")
    if (facts["system"], machine) != (system, architecture):
        raise Refused(f"{layer} has an ffmpeg for {machine} on {facts['system']}, not for {architecture} on {system}.")
    if way() == "source" and facts["build"] != "source":
        raise Refused(
            f"{layer} has the ffmpeg of {facts['wheel']}, and RECORDS_FFMPEG=source asks for one from source."
        )
    if facts["build"] == "source":
        origin = f"built from source with LAME {facts['lame']}"
    else:
        origin = f"out of the wheel {facts['wheel']}" + (
            f", not built from source: {facts['why']}" if "why" in facts else ""
        )
    print(f"ffmpeg {facts['ffmpeg']} for {architecture}, {facts['bytes'] / 1e6:.1f} MB, {origin}")


def main(arguments: list[str]) -> int:
    commands = {"layer": put, "check": check}
    if len(arguments) != 2 or arguments[0] not in commands or not arguments[1]:
        print(__doc__)
        return 2
    try:
        commands[arguments[0]](Path(arguments[1]))
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
