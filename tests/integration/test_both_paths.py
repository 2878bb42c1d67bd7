"""The same file gets the same verdict, the same length and the same sound on both paths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from records import aws
from records.settings import MAX_DIRECT_BYTES
from tests.integration.conftest import BUCKET, moto_cloud, objects
from tests.support.client import Account, Context, EventClient, Reply, function, send, sign_up
from tests.support.contract import target
from tests.support.corpus import corpus_files
from tests.support.wavs import cases

# What is the same on both paths: all but the link, its parts and the time.
ABOUT_THE_SOUND = (
    *("duration", "sample_rate", "channels", "truncated", "wav", "mp3", "levels", "waveform"),
    *("code", "message", "details"),
)


@pytest.fixture(scope="module")
def client(ffmpeg: str) -> Iterator[EventClient]:
    with moto_cloud(ffmpeg):
        yield EventClient()


@pytest.fixture(scope="module")
def account(client: EventClient) -> Account:
    return sign_up(client)


def upload(client: EventClient, account: Account, audio: bytes) -> Reply:
    """Send audio by the upload path; returns the record as JSON, as it is after the conversion."""
    headers = {"Content-Type": "application/json", **account.bearer}
    body = json.dumps({"user_id": account.id, "name": "a.wav"})
    ticket = client.request("POST", "/uploads", headers, body).json
    key = ticket["upload"]["fields"]["key"]
    aws.s3().put_object(Bucket=BUCKET, Key=key, Body=audio)
    event = {"Records": [{"s3": {"object": {"key": key, "size": len(audio)}}}]}
    function("convert_upload").lambda_handler(event, Context(900))
    assert objects(key) == [], "the WAV is left behind"
    return client.request("GET", target(ticket["url"]), {"Accept": "application/json"})


def sound(record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in ABOUT_THE_SOUND if name in record}


def compare(client: EventClient, account: Account, audio: bytes) -> int:
    """Send audio by both paths; returns the in-request path's status."""
    direct, uploaded = send(client, account, audio), upload(client, account, audio)
    assert (uploaded.status == 200) == (direct.status == 201)
    # The MP3's SHA-256 is among these: bit for bit the same sound.
    assert sound(uploaded.json) == sound(direct.json)
    return direct.status


@pytest.mark.parametrize("number", range(len(cases())), ids=lambda number: cases()[number].name)
def test_generated_file(client: EventClient, account: Account, number: int) -> None:
    case = cases()[number]
    assert compare(client, account, case.data) == case.status


def test_corpus(client: EventClient, account: Account, corpus: Path | None) -> None:
    compared = 0
    for file in corpus_files(corpus):
        audio = file.path.read_bytes()
        if 0 < len(audio) <= MAX_DIRECT_BYTES:  # the in-request path takes no others, and S3's form no empty one
            assert compare(client, account, audio) in file.expect, file.name
            compared += 1
    print(f"both paths: {compared} files of the corpus, the same verdict and the same MP3")
