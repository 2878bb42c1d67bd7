"""What the unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from records.settings import settings


@pytest.fixture
def real_ffmpeg(ffmpeg: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings name the ffmpeg that the tests have."""
    monkeypatch.setenv("FFMPEG", ffmpeg)
    settings.cache_clear()
    yield
    settings.cache_clear()
