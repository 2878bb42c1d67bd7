"""An upload in parts over real HTTP: the addresses take just their bytes, and the client goes on where it was cut."""

from __future__ import annotations

import hashlib
import io
import json
import math
import struct
import time
import wave
from typing import Any

from tests.support.client import Account, HttpClient, Reply, sign_up
from tests.support.contract import target


def ten_minutes() -> bytes:
    """9.6 MB, and so two parts: mono at 8 kHz, a minute ten times."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(8000)
        minute = b"".join(struct.pack("<h", int(9000 * math.sin(i / 7))) for i in range(60 * 8000))
        wav.writeframes(10 * minute)
    return file.getvalue()


WAV = ten_minutes()
SHA256 = hashlib.sha256(WAV).hexdigest()


def ask(client: HttpClient, account: Account, key: str = "k") -> Reply:
    headers = {"Content-Type": "application/json", "Idempotency-Key": key, **account.bearer}
    body = {"user_id": account.id, "name": "lecture.wav", "bytes": len(WAV), "sha256": SHA256}
    return client.request("POST", "/uploads", headers, json.dumps(body))


def put(client: HttpClient, part: dict[str, Any], body: bytes | None = None) -> int:
    sent = WAV[part["offset"] : part["offset"] + part["bytes"]] if body is None else body
    return client.request("PUT", part["url"], {}, sent).status


def test_upload_in_parts(client: HttpClient) -> None:
    account = sign_up(client)
    first = ask(client, account)
    one, two = first.json["upload"]["parts"]
    assert (first.status, one["bytes"] + two["bytes"]) == (201, len(WAV))
    # Another length, another part's address, an address that was changed: the storage refuses each.
    assert put(client, two, b"x" * (two["bytes"] + 1)) == 403
    assert put(client, two, b"x" * (two["bytes"] - 1)) == 403
    assert put(client, {**two, "url": two["url"].replace("partNumber=2", "partNumber=3")}) == 403
    assert put(client, two) == 200
    again = ask(client, account)
    assert (again.status, again.json["upload"]["received"]) == (200, 1)
    assert [part["number"] for part in again.json["upload"]["parts"]] == [1]
    assert put(client, again.json["upload"]["parts"][0]) == 200
    joined = ask(client, account)
    assert (joined.status, "upload" in joined.json) == (200, False)
    for _ in range(60):
        record = client.request("GET", target(joined.json["url"]), {"Accept": "application/json"})
        if record.status != 202:
            break
        time.sleep(0.5)
    assert (record.status, record.json["wav"]) == (200, {"bytes": len(WAV), "sha256": SHA256})
