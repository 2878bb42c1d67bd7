"""An upload in parts: asked for, sent, asked for again, joined. Faults and kills: test_faults.py, test_crashes.py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from records import aws, parts, settings
from records.errors import ConversionError
from records.recordings import Recording
from tests.integration import events
from tests.integration.conftest import BUCKET, moto_cloud
from tests.integration.events import arrived, empty_cloud, objects, rows
from tests.integration.faults import Call, Fault, Injector, watched_clients
from tests.integration.scenarios import assert_busy, assert_holds, tiny_wav
from tests.support.client import Account, Context, EventClient, Reply, function, send, sign_up
from tests.support.contract import target

WAV, OTHER = tiny_wav(0.1), tiny_wav(0.2)
PART = 1000
COUNT = -(-len(WAV) // PART)
SHA256 = hashlib.sha256(WAV).hexdigest()


@pytest.fixture(scope="module", autouse=True)
def cloud(ffmpeg: str) -> Iterator[None]:
    with moto_cloud(ffmpeg), watched_clients():
        yield


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Parts of 1 kB; and after each test the storage holds no upload that is not finished."""
    empty_cloud()
    monkeypatch.setattr(parts, "PART_BYTES", PART)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
    yield
    clean_up_rows()
    assert events.parts() == []


def clean_up_rows() -> None:
    past = [image for image in events.raw_rows() if "N" in image.get("expires_at", {})]
    if past:
        function("remove_audio").lambda_handler(events.remove_rows(past), Context(seconds=60))


@pytest.fixture
def client() -> EventClient:
    return EventClient()


@pytest.fixture
def account(client: EventClient) -> Account:
    return sign_up(client)


def ask(client: EventClient, account: Account, key: str | None = "k", **announced: Any) -> Reply:
    headers = {"Content-Type": "application/json", **account.bearer} | ({"Idempotency-Key": key} if key else {})
    body = {"user_id": account.id, "name": "lecture.wav", "bytes": len(WAV), **announced}
    return client.request("POST", "/uploads", headers, json.dumps({k: v for k, v in body.items() if v is not None}))


def put(part: dict[str, Any], wav: bytes = WAV) -> None:
    """What the storage does with a client's PUT to the part's address; its signature is for the local cloud's tests."""
    address = urlsplit(part["url"])
    query = parse_qs(address.query)
    assert query["X-Amz-SignedHeaders"] == ["content-length;host"]
    assert query["partNumber"] == [str(part["number"])]
    body = wav[part["offset"] : part["offset"] + part["bytes"]]
    aws.s3().upload_part(
        Bucket=BUCKET,
        Key=address.path.lstrip("/"),
        UploadId=query["uploadId"][0],
        PartNumber=part["number"],
        Body=body,
    )


def send_all(client: EventClient, account: Account, wav: bytes = WAV, **announced: Any) -> dict[str, Any]:
    """The whole client: ask, put what is missing, ask again. Returns the record, once the parts are joined."""
    for _ in range(COUNT + 2):
        reply = ask(client, account, **announced)
        assert reply.status in (200, 201), reply
        body: dict[str, Any] = reply.json
        if "upload" not in body:
            return body
        for part in body["upload"]["parts"]:
            put(part, wav)
    raise AssertionError("it never ends")


def look(client: EventClient, record: dict[str, Any]) -> Reply:
    return client.request("GET", target(record["url"]), {"Accept": "application/json"})


def convert() -> None:
    [key] = [key for key in objects() if key.startswith("uploads/")]
    arrived(key)


def test_from_the_first_part_to_the_recording(client: EventClient, account: Account) -> None:
    first = ask(client, account, sha256=SHA256)
    body = first.json
    upload = body["upload"]
    assert (first.status, body["status"], set(body)) == (
        201,
        "pending",
        {"url", "page", "id", "user", "name", "status", "created_at", "upload"},
    )
    assert (upload["received"], upload["of"], set(upload)) == (0, COUNT, {"received", "of", "expires_at", "parts"})
    assert [set(part) for part in upload["parts"]] == [{"number", "offset", "bytes", "url"}] * COUNT
    assert sum(part["bytes"] for part in upload["parts"]) == len(WAV)
    for part in upload["parts"][::2]:
        put(part)
    second = ask(client, account, sha256=SHA256)
    missing = [part["number"] for part in upload["parts"][1::2]]
    assert (second.status, second.json["upload"]["received"]) == (200, COUNT - len(missing))
    assert [part["number"] for part in second.json["upload"]["parts"]] == missing
    for part in reversed(second.json["upload"]["parts"]):
        put(part)
    third = ask(client, account, sha256=SHA256)
    assert (third.status, third.json) == (200, {k: v for k, v in body.items() if k != "upload"})
    assert events.parts() == []
    assert ask(client, account, sha256=SHA256).json == third.json  # the response was lost, or somebody asks for fun
    convert()
    ready = look(client, body)
    assert (ready.status, ready.json["wav"]) == (200, {"bytes": len(WAV), "sha256": SHA256})
    assert ask(client, account, sha256=SHA256).json == ready.json
    assert_holds(body["id"])


def test_at_most_32_parts_are_listed(client: EventClient, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 100)
    upload = ask(client, account).json["upload"]
    assert (len(upload["parts"]), upload["of"]) == (32, -(-len(WAV) // 100))


@pytest.mark.parametrize(
    ("key", "announced", "fields"),
    [
        (None, {}, ["Idempotency-Key"]),
        ("k", {"bytes": 0}, ["bytes"]),
        ("k", {"bytes": -1}, ["bytes"]),
        ("k", {"bytes": "1000"}, ["bytes"]),
        ("k", {"bytes": 1.5}, ["bytes"]),
        ("k", {"bytes": True}, ["bytes"]),
        ("k", {"sha256": "abc"}, ["sha256"]),
        ("k", {"sha256": SHA256 + "\n"}, ["sha256"]),
        ("k", {"bytes": None, "sha256": SHA256}, ["bytes"]),
    ],
)
def test_invalid(
    client: EventClient, account: Account, key: str | None, announced: dict[str, Any], fields: Any
) -> None:
    reply = ask(client, account, key, **announced)
    assert (reply.status, reply.json["code"]) == (422, "validation_failed"), reply
    assert [detail["field"] for detail in reply.json["details"]] == fields
    assert rows() == []


def test_too_large(client: EventClient, account: Account) -> None:
    limit = settings.settings().max_upload_bytes
    assert ask(client, account, bytes=limit).status == 201
    reply = ask(client, account, "l", bytes=limit + 1)
    assert (reply.status, reply.json["code"], reply.json["details"]) == (413, "audio_too_large", {"limit_bytes": limit})


def test_other_audio_under_the_key(client: EventClient, account: Account) -> None:
    ask(client, account, sha256=SHA256)
    for announced in ({"bytes": len(WAV) + 1}, {"sha256": "0" * 64}):
        reply = ask(client, account, **announced)
        assert (reply.status, reply.json["code"]) == (409, "idempotency_conflict")
    assert send(client, account, OTHER, key="k").json["code"] == "idempotency_conflict"
    assert ask(client, account, sha256=SHA256.upper()).status == 200
    assert send(client, account, WAV, key="k").status == 201
    assert ask(client, account, sha256=SHA256).json["status"] == "ready"
    assert ask(client, account, sha256="0" * 64).json["code"] == "idempotency_conflict"
    # The parts that were begun go with the row, or by the bucket's rule.
    events.remove_rows(images := events.raw_rows())
    function("remove_audio").lambda_handler(events.removed(*images), Context())
    assert (objects(), events.parts()) == ([], [])


def test_sha256_that_is_announced_later(client: EventClient, account: Account) -> None:
    """From then on it counts."""
    assert ask(client, account).status == 201
    assert ask(client, account, sha256="0" * 64).status == 200
    for sha256 in (None, "0" * 64):
        assert ask(client, account, sha256=sha256).status == 200
    assert ask(client, account, sha256=SHA256).json["code"] == "idempotency_conflict"
    record = send_all(client, account, sha256="0" * 64)
    convert()
    assert look(client, record).json["code"] == "upload_damaged"


@pytest.mark.parametrize("wav", [WAV[:-1] + b"\1", b"no sound" * (len(WAV) // 8) + WAV[: len(WAV) % 8]])
def test_damaged(client: EventClient, account: Account, wav: bytes) -> None:
    """Other bytes than were announced, whether they are a WAV or not; sent again under the same key it is whole."""
    record = send_all(client, account, wav, sha256=SHA256)
    convert()
    reply = look(client, record)
    assert (reply.status, reply.json["status"], reply.json["code"]) == (410, "failed", "upload_damaged")
    again = send_all(client, account, sha256=SHA256)
    assert again["id"] == record["id"]
    convert()
    assert look(client, again).status == 200


def test_another_size_than_was_announced(client: EventClient, account: Account) -> None:
    record = ask(client, account).json
    [row] = rows()
    events.upload(row.upload_key, WAV + b"\0")
    arrived(row.upload_key)
    assert look(client, record).json["code"] == "upload_damaged"


def test_without_a_sha256_other_bytes_are_what_they_are(client: EventClient, account: Account) -> None:
    record = send_all(client, account, b"x" * len(WAV))
    convert()
    assert look(client, record).json["code"] == "unsupported_audio"


def test_two_clients_at_once(client: EventClient, account: Account) -> None:
    """The whole of another request between every two calls of one: one record, and no upload that nobody finishes."""
    with Injector().active() as injector:
        ask(client, account)
    for call in injector.calls:
        clean_up_rows()
        empty_cloud()
        account = sign_up(client)
        with Injector().active() as injector:
            injector.upon(call, lambda account=account: direct(account))  # type: ignore[misc]
            first = ask(client, account)
        assert first.status in (200, 201), (call, first)
        assert len(rows()) == 1
        assert len(events.parts()) == 1, call
        record = send_all(client, account)
        convert()
        assert look(client, record).status == 200


def direct(account: Account) -> Any:
    """Below the edge, which serves one request at a time."""
    from records.recordings import Announced
    from records.users import User

    user = User.authenticate(account.id, account.token)
    return parts.next_parts(Recording.reserve(user, "lecture.wav", "k", None, Announced(len(WAV), None)))


def test_the_bucket_has_removed_the_parts(client: EventClient, account: Account) -> None:
    """They were begun two days ago: the client sends them again."""
    for part in ask(client, account).json["upload"]["parts"][:3]:
        put(part)
    events._bucket().multiparts.clear()
    assert ask(client, account).json["upload"]["received"] == 0
    record = send_all(client, account)
    convert()
    assert look(client, record).status == 200


def test_part_that_changes_as_the_parts_are_joined(client: EventClient, account: Account) -> None:
    upload = ask(client, account).json["upload"]
    for part in upload["parts"]:
        put(part)
    with Injector().active() as injector:
        injector.upon(Call("s3", "CompleteMultipartUpload", 1), lambda: put(upload["parts"][0], OTHER + WAV))
        reply = ask(client, account, sha256=None)
    assert (reply.status, "upload" in reply.json) == (200, False)
    assert events.parts() == []


def test_record_that_is_deleted(client: EventClient, account: Account) -> None:
    """Its parts are aborted; and what comes between finds that it is gone."""
    record = ask(client, account).json
    put(record["upload"]["parts"][0])
    images = events.raw_rows()
    assert client.request("DELETE", target(record["url"]), account.bearer).status == 204
    function("remove_audio").lambda_handler(events.removed(*images), Context())
    assert (rows(), objects(), events.parts()) == ([], [], [])


def test_record_that_is_deleted_as_it_is_begun(client: EventClient, account: Account) -> None:
    with Injector().active() as injector:
        injector.upon(Call("dynamodb", "UpdateItem", 1), lambda: events.remove_rows(events.raw_rows()) and None)
        assert_busy(ask(client, account))
    assert (rows(), events.parts()) == ([], [])


@pytest.mark.parametrize("kind", ["http_503", "lost"])
def test_parts_that_were_removed_before_they_could_be_joined(client: EventClient, account: Account, kind: str) -> None:
    """The storage failed to join them, and the client asked again two days later: it sends them again, unless they were
    joined after all and only the response was lost."""
    for part in ask(client, account).json["upload"]["parts"]:
        put(part)
    with Injector(Fault(kind, Call("s3", "CompleteMultipartUpload", 1), "always")).active():
        assert_busy(ask(client, account))
    events._bucket().multiparts.clear()
    assert ("upload" in ask(client, account).json) == (kind == "http_503")
    record = send_all(client, account)
    convert()
    assert look(client, record).status == 200


@pytest.mark.parametrize("converted", [True, False])
def test_row_that_was_read_before_its_parts_were_joined(
    client: EventClient, account: Account, monkeypatch: pytest.MonkeyPatch, converted: bool
) -> None:
    """Whoever has it begins no second upload of what has arrived, whether it is converted by then or failed once."""
    ask(client, account)
    [row] = rows()
    send_all(client, account)
    with monkeypatch.context() as patch:
        if not converted:
            patch.setenv("FFMPEG", "/nowhere/ffmpeg")
        settings.settings.cache_clear()
        with nullcontext() if converted else pytest.raises(ConversionError):
            convert()
    settings.settings.cache_clear()
    assert parts.next_parts(row) is None
    assert events.parts() == []
    assert not row.set_upload("another")
