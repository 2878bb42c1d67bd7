"""The real files beside the project: each is refused, or becomes an MP3 of the right length."""

from __future__ import annotations

import io
import time
from collections import Counter
from pathlib import Path

import pytest

from records.audio.mp3 import convert
from records.audio.wav import inspect
from records.errors import AudioRejected, RecordsError, UnplayableAudio
from records.settings import settings
from tests.support.corpus import CorpusFile, corpus_files

pytestmark = [pytest.mark.usefixtures("real_ffmpeg"), pytest.mark.slow]


def outcome(file: CorpusFile, directory: Path) -> tuple[int, float | None]:
    """The status that the API returns, and the MP3's duration in seconds."""
    data = memoryview(file.path.read_bytes())
    if not data:
        return 400, None  # an empty body is refused before anyone asks what it is
    try:
        wav = inspect(io.BytesIO(data))
        pieces = [data[wav.data_offset : wav.data_offset + wav.data_bytes]]
        conversion = convert(
            wav, pieces, directory, ffmpeg=settings().ffmpeg, bitrate=64, deadline=time.monotonic() + 60
        )
    except AudioRejected as error:
        return 422 if isinstance(error, UnplayableAudio) else 415, None
    if wav.duration is not None:
        assert conversion.duration == pytest.approx(wav.duration, abs=1 / 22050)
    return 201, conversion.duration


def test_every_file(corpus: Path | None, tmp_path: Path) -> None:
    statuses: Counter[int] = Counter()
    wrong: list[tuple[object, ...]] = []
    for file in corpus_files(corpus):
        try:
            status, duration = outcome(file, tmp_path)
        except RecordsError as error:
            wrong.append((file.name, repr(error), repr(error.__cause__)))
            continue
        statuses[status] += 1
        if status not in file.expect:
            wrong.append((file.name, status, file.expect))
        elif duration is not None and file.duration is not None and abs(duration - file.duration) > 0.1:
            wrong.append((file.name, duration, file.duration))
    print(f"{statuses.total()} files of the corpus: {dict(sorted(statuses.items()))}")
    assert wrong == []
