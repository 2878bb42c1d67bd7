"""Real files over HTTP: each gets a right status, and each MP3 plays for as long as what is really in its WAV.

The project's own files, one or several for each row of the contract's table, are always tried; the corpus where it is.
"""

from __future__ import annotations

import collections
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mutagen.mp3 import MP3

from records.settings import MAX_DIRECT_BYTES
from tests.support.client import Account, HttpClient, send, sign_up
from tests.support.contract import target
from tests.support.corpus import CorpusFile, corpus_files
from tests.support.wavs import cases

TOLERANCE = 0.1  # s, the contract's


def test_every_row_of_the_audio_table(client: HttpClient) -> None:
    account = sign_up(client)

    def problem(number: int) -> str | None:
        case = cases()[number]
        reply = send(client, account, case.data)
        if reply.status != case.status:
            return f"{case.name}: {reply.status} {reply.json}, not {case.status}"
        if case.status != 201:
            details = {"reason": case.reason} if case.reason else None
            return None if reply.json.get("details") == details else f"{case.name}: {reply.json}"
        if reply.json["truncated"] != case.truncated:
            return f"{case.name}: truncated is {reply.json['truncated']}"
        return _compare(client, case.name, reply.json, case.duration)

    with ThreadPoolExecutor(4) as pool:
        problems = [found for found in pool.map(problem, range(len(cases()))) if found]
    print(f"audio table over HTTP: {len(cases())} files")
    assert problems == []


def test_every_file_of_the_corpus(client: HttpClient, corpus: Path | None) -> None:
    account = sign_up(client)
    counts: collections.Counter[int] = collections.Counter()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda file: _try(client, account, file), corpus_files(corpus)))
    counts.update(status for status, _ in found)
    print(f"corpus over HTTP: {len(found)} files, {dict(sorted(counts.items()))}")
    assert [problem for _, problem in found if problem] == []


def _try(client: HttpClient, account: Account, file: CorpusFile) -> tuple[int, str | None]:
    """The status of a file, and what is wrong with the answer, if anything."""
    audio = file.path.read_bytes()
    reply = send(client, account, audio)
    expected = file.expect if len(audio) <= MAX_DIRECT_BYTES else {413}
    if reply.status not in expected:
        return reply.status, f"{file.name}: {reply.status} {reply.body[:200]!r}, not {sorted(expected)}"
    if reply.status != 201:
        return reply.status, None
    # Where more was declared than is there, the manifest's duration may be what was declared.
    duration = file.duration if not reply.json["truncated"] else None
    return reply.status, _compare(client, file.name, reply.json, duration)


def _compare(client: HttpClient, name: str, record: dict[str, Any], duration: float | None) -> str | None:
    mp3 = client.request("GET", target(str(record["url"])))
    if hashlib.sha256(mp3.body).hexdigest() != record["mp3"]["sha256"]:
        return f"{name}: the link returns other bytes than were stored"
    lengths = [float(str(record["duration"])), *([duration] if duration is not None else [])]
    info: Any = MP3(io.BytesIO(mp3.body)).info  # type: ignore[no-untyped-call]
    played = info.length
    wrong = [length for length in lengths if abs(played - length) > TOLERANCE]
    return f"{name}: plays {played:.3f} s, not {wrong}" if wrong else None
