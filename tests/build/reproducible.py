"""ffmpeg built twice is the same file. `make soak` runs this: it takes a minute of two processors an architecture.

By its name it is no part of `make test`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build.test_ffmpeg_layer import build, facts_of


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_a_second_build_gives_the_same_bytes(architecture: str, tmp_path: Path) -> None:
    """In other folders, with nothing kept from the first."""
    (tmp_path / "tmp").mkdir()
    first, again = tmp_path / "first", tmp_path / "again"
    source = {"LAYER_ARCHITECTURE": architecture, "RECORDS_FFMPEG": "source"}
    done = build("layer", first, **source)
    assert done.returncode == 0, done.stderr
    cache = {"RECORDS_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "tmp")}
    done = build("layer", again, **source, **cache)
    assert done.returncode == 0, done.stderr
    assert facts_of(again) == facts_of(first)
    for program in ("ffmpeg", "mp3-encoder"):
        assert (again / "bin" / program).read_bytes() == (first / "bin" / program).read_bytes()
