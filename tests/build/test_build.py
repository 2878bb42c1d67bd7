"""`sam build` for both processors, on whichever this machine has: what is built is for the one that was asked for."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from local.sam import sam

MACHINES = {"x86_64": 62, "arm64": 183}  # e_machine of an ELF file (System V ABI)


def elf_machine(path: Path) -> int:
    head = path.read_bytes()[:20]
    assert head[:4] == b"\x7fELF", path
    machine: int = struct.unpack_from("<H", head, 18)[0]
    return machine


@pytest.mark.parametrize("architecture", MACHINES)
def test_both_processors(architecture: str, tmp_path: Path) -> None:
    sam(
        *("build", "--beta-features", "--build-dir", str(tmp_path)),
        *("--parameter-overrides", f"Architecture={architecture} Runtime=python3.13"),
        environment={"LAYER_ARCHITECTURE": architecture, "LAYER_PYTHON": "3.13"},
    )
    programs = list((tmp_path / "FfmpegLayer/bin").iterdir())
    assert "ffmpeg" in {program.name for program in programs}
    assert all(program.stat().st_mode & 0o111 for program in programs)
    libraries = list((tmp_path / "RecordsLayer/python").rglob("*.so"))
    assert {path.name.partition(".")[0] for path in libraries} >= {"_pydantic_core", "_audioop"}
    assert {elf_machine(path) for path in [*programs, *libraries]} == {MACHINES[architecture]}
