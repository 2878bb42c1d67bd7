"""An upload in parts over real HTTP: the addresses take just their bytes, and the client goes on where it was cut."""

from __future__ import annotations

import hashlib
import io
import json
import math
import struct
import threading
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.config import Config

from local.cloud import Cloud
from local.sam import REGION
from tests.e2e.test_iam import without
from tests.e2e.test_long_recordings import wait
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
    record = wait(client, joined.json["url"])
    assert (record.status, record.json["wav"]) == (200, {"bytes": len(WAV), "sha256": SHA256})


def send_all(client: HttpClient, account: Account, wav: bytes = WAV, key: str = "k") -> Reply:
    """The whole client. Returns the record, once it is not pending any more."""
    while upload := (asked := ask(client, account, key)).json.get("upload"):
        for part in upload["parts"]:
            # Another client may have joined the parts meanwhile: then there is nothing to send them to.
            assert put(client, part, wav[part["offset"] : part["offset"] + part["bytes"]]) in (200, 404)
    return wait(client, asked.json["url"])


def unfinished(cloud: Cloud, account: Account) -> list[str]:
    prefix = f"uploads/{account.id}/"
    found = cloud.client("s3").list_multipart_uploads(Bucket=cloud.outputs["BucketName"], Prefix=prefix)
    return [upload["UploadId"] for upload in found.get("Uploads", [])]


def test_clients_with_the_same_key_at_once(client: HttpClient, cloud: Cloud) -> None:
    account = sign_up(client)
    together = threading.Barrier(4)

    def send(_: int) -> Reply:
        together.wait()
        return send_all(client, account)

    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(send, range(4)))
    assert [(reply.status, reply.json["wav"]["sha256"]) for reply in replies] == [(200, SHA256)] * 4
    assert len({reply.json["id"] for reply in replies}) == 1
    listed = client.request("GET", f"/records?user_id={account.id}", account.bearer).json["records"]
    assert [record["id"] for record in listed] == [replies[0].json["id"]]
    assert unfinished(cloud, account) == []


def test_parts_that_the_storage_has_removed(client: HttpClient, cloud: Cloud) -> None:
    """As the bucket's rule does after a day: the client sends them again."""
    account = sign_up(client)
    record = ask(client, account).json
    assert put(client, record["upload"]["parts"][0]) == 200
    [upload_id] = unfinished(cloud, account)
    key = urlsplit(record["upload"]["parts"][0]["url"]).path.partition("/uploads/")[2]
    bucket = cloud.outputs["BucketName"]
    cloud.client("s3").abort_multipart_upload(Bucket=bucket, Key=f"uploads/{key}", UploadId=upload_id)
    assert put(client, record["upload"]["parts"][1]) == 404
    with without(cloud, "CreateRecord", "ListAudioOfRecord"):  # which tells them from parts that were joined
        assert ask(client, account).status == 503
    assert ask(client, account).json["upload"]["received"] == 0
    again = send_all(client, account)
    assert (again.status, again.json["id"]) == (200, record["id"])
    assert unfinished(cloud, account) == []


def test_other_bytes_than_were_announced(client: HttpClient, cloud: Cloud) -> None:
    """Under the same key it can be sent again, and is whole then."""
    account = sign_up(client)
    reply = send_all(client, account, WAV[:-1] + b"\1")
    assert (reply.status, reply.json["status"], reply.json["code"]) == (410, "failed", "upload_damaged")
    again = send_all(client, account)
    assert (again.status, again.json["id"]) == (200, reply.json["id"])
    assert unfinished(cloud, account) == []


def test_another_users_parts(client: HttpClient, cloud: Cloud) -> None:
    """The same key of another user is another record's; and nobody's addresses can be turned into somebody else's."""
    account, other = sign_up(client), sign_up(client)
    mine, theirs = ask(client, account).json, ask(client, other).json
    assert mine["id"] != theirs["id"]
    refused = ask(client, Account(other.id, account.token))
    assert (refused.status, refused.json["code"]) == (401, "invalid_credentials")
    [upload], [others] = unfinished(cloud, account), unfinished(cloud, other)
    url = mine["upload"]["parts"][0]["url"]
    for changed in (
        url.replace(upload, others),
        url.replace(f"/{account.id}/", f"/{other.id}/"),
        url.replace(upload, others).replace(f"/{account.id}/{mine['id']}/", f"/{other.id}/{theirs['id']}/"),
    ):
        assert put(client, {**mine["upload"]["parts"][0], "url": changed}) == 403
    assert ask(client, other).json["upload"]["received"] == 0
    for record in (mine, theirs):
        owner = account if record is mine else other
        assert client.request("DELETE", target(record["url"]), owner.bearer).status == 204


def test_expired_address(client: HttpClient, cloud: Cloud) -> None:
    """Signed as the service signs them, but for a second."""
    account = sign_up(client)
    record = ask(client, account).json
    part = record["upload"]["parts"][1]
    address = urlsplit(part["url"])
    storage = boto3.client(
        "s3",
        endpoint_url=cloud.url,
        region_name=REGION,
        aws_access_key_id=cloud.credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=cloud.credentials["AWS_SECRET_ACCESS_KEY"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    bucket, _, key = address.path.lstrip("/").partition("/")
    arguments = {"UploadId": parse_qs(address.query)["uploadId"][0], "PartNumber": 2, "ContentLength": part["bytes"]}

    def signed(seconds: int) -> str:
        parameters = {"Bucket": bucket, "Key": key, **arguments}
        return storage.generate_presigned_url("upload_part", parameters, ExpiresIn=seconds)

    expired = signed(1)
    time.sleep(2.1)
    assert put(client, {**part, "url": expired}) == 403
    assert ask(client, account).json["upload"]["received"] == 0
    assert put(client, {**part, "url": signed(60)}) == 200
    assert [part["number"] for part in ask(client, account).json["upload"]["parts"]] == [1]
    storage.close()
    assert client.request("DELETE", target(record["url"]), account.bearer).status == 204
