"""The upload path in one process: a ticket, a WAV that arrives, and its event, however it comes."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import struct
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID

from records import aws, conversion, recordings, settings, storage
from records.audio import parallel
from records.conversion import convert_sent
from records.errors import ConversionError, RecordsError, Unavailable
from records.recordings import DAY, MAX_LIFETIME, Recording
from records.users import User
from tests.integration import events
from tests.integration.conftest import BUCKET, moto_cloud
from tests.integration.events import arrived, clean_up, content, empty_cloud, objects, rows
from tests.integration.faults import Call, Fault, Injector, Killed, watched_clients
from tests.integration.scenarios import assert_holds, tiny_wav
from tests.support.client import Account, Context, EventClient, Reply, function, http_event, send, sign_up
from tests.support.contract import target
from tests.support.sounds import pcm16

JSON = {"Content-Type": "application/json"}
WAV, OTHER = tiny_wav(0.1), tiny_wav(0.2)
RUBBISH = b"RIFF\x00\x00\x00\x00 this is no sound at all"
UNSUPPORTED = "unsupported_audio"
FAILED_BY_US = {"code": "conversion_error", "message": "The conversion failed on our side. Send the recording again."}


@pytest.fixture(scope="module", autouse=True)
def cloud(ffmpeg: str) -> Iterator[None]:
    with moto_cloud(ffmpeg), watched_clients():
        yield


@pytest.fixture(autouse=True)
def empty() -> None:
    empty_cloud()


@pytest.fixture
def client() -> EventClient:
    return EventClient()


@pytest.fixture
def account(client: EventClient) -> Account:
    return sign_up(client)


def ask(client: EventClient, account: Account, key: str | None = None, name: str = "lecture.wav") -> Reply:
    headers = {**JSON, **account.bearer} | ({"Idempotency-Key": key} if key else {})
    return client.request("POST", "/uploads", headers, json.dumps({"user_id": account.id, "name": name}))


def ticket(client: EventClient, account: Account, key: str | None = None) -> dict[str, Any]:
    reply = ask(client, account, key)
    assert reply.status == 201, reply
    body: dict[str, Any] = reply.json
    return body


def upload(ticket: dict[str, Any], wav: bytes) -> str:
    """Send a WAV with a ticket; returns the key under which it has arrived."""
    key: str = ticket["upload"]["fields"]["key"]
    events.upload(key, wav)
    return key


def look(client: EventClient, record: dict[str, Any], accept: str = "*/*") -> Reply:
    return client.request("GET", target(record["url"]), {"Accept": accept})


def record_of(record: dict[str, Any]) -> Recording:
    [row] = [row for row in rows() if row.id == record["id"]]
    return row


# ---------------------------------------------------------------- the ticket


def test_ticket(client: EventClient, account: Account) -> None:
    reply = ask(client, account, name="Лекция 1.wav")
    body = reply.json
    [row] = rows()
    form = body["upload"]
    assert (reply.status, reply.headers["location"]) == (201, body["url"])
    assert body == {
        "url": f"http://127.0.0.1:8000/record?id={row.id}&user={account.id}",
        "page": f"http://127.0.0.1:8000/listen?id={row.id}&user={account.id}",
        "id": row.id,
        "user": account.id,
        "name": "Лекция 1.wav",
        "status": "pending",
        "created_at": row.created_at,
        "upload": {
            "url": f"https://{BUCKET}.s3.eu-central-1.amazonaws.com/",
            "fields": form["fields"],
            "max_bytes": 4 * 1024**3,
            "expires_at": form["expires_at"],
        },
    }
    assert set(form["fields"]) == {
        *("key", "policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"),
    }
    assert form["fields"]["key"] == f"uploads/{account.id}/{row.id}/{row.generation}.wav"
    policy = json.loads(base64.b64decode(form["fields"]["policy"]))
    expires = datetime.fromisoformat(form["expires_at"])
    assert abs((expires - datetime.fromisoformat(policy["expiration"])).total_seconds()) <= 2
    assert 3590 < (expires - datetime.now(UTC)).total_seconds() <= 3601
    assert {"bucket": BUCKET} in policy["conditions"]
    assert {"key": form["fields"]["key"]} in policy["conditions"]
    assert ["content-length-range", 1, 4 * 1024**3] in policy["conditions"]
    assert row.expires_at == pytest.approx(time.time() + 15 * DAY, abs=60)


def test_from_pending_to_ready(client: EventClient, account: Account) -> None:
    asked = ticket(client, account)
    pending = {name: value for name, value in asked.items() if name != "upload"}
    key = upload(asked, WAV)
    for accept in ("*/*", "application/json"):
        reply = look(client, asked, accept)
        assert (reply.status, reply.json, reply.headers["retry-after"]) == (202, pending, "2")

    arrived(key)

    mp3, record = look(client, asked), look(client, asked, "application/json")
    direct = send(client, account, WAV, name="lecture.wav").json
    own = {"url", "page", "id", "created_at"}
    assert (mp3.status, record.status) == (200, 200)
    assert record.json == {name: asked[name] for name in own} | {k: v for k, v in direct.items() if k not in own}
    assert hashlib.sha256(mp3.body).hexdigest() == direct["mp3"]["sha256"]
    assert_holds(asked["id"], direct["id"])


def test_sha256_is_that_of_the_whole_file(
    client: EventClient, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks before the sound, bytes after it, and pieces that end anywhere."""
    monkeypatch.setattr(storage, "STREAM_BYTES", 1001)
    before = b"LIST" + struct.pack("<I", 3000) + bytes(3000)
    after = b"cue " + struct.pack("<I", 10) + bytes(10) + b"and bytes that are no chunk"
    wav = WAV[:36] + before + WAV[36:] + after
    wav = wav[:4] + struct.pack("<I", len(wav) - 8) + wav[8:]
    asked = ticket(client, account)
    arrived(upload(asked, wav))
    record = look(client, asked, "application/json").json
    assert record["wav"] == {"bytes": len(wav), "sha256": hashlib.sha256(wav).hexdigest()}
    assert record["mp3"] == send(client, account, WAV).json["mp3"]


# ---------------------------------------------------------------- several processes

LONG = WAV[:22] + struct.pack("<HIIHH", 1, 32000, 64000, 2, 16) + b"data" + struct.pack("<I", 17 * 64000)
LONG += pcm16("speech", 17 * 32000, 32000, 1, seed=1)


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings of more than 16 seconds are encoded by two."""
    monkeypatch.setattr(conversion, "processors", lambda: 2)
    monkeypatch.setattr(parallel, "LEAST_SECONDS", 8.0)


def long_record(client: EventClient, account: Account, *faults: Fault) -> tuple[dict[str, Any], Injector]:
    """What a long upload becomes; without what is another's in another upload, or another MP3 of the same sound."""
    asked = ticket(client, account)
    key = upload(asked, LONG)
    with Injector(*faults).active() as injector:
        arrived(key)
    record = look(client, asked, "application/json").json
    assert record["mp3"].pop("sha256") == hashlib.sha256(look(client, asked).body).hexdigest()
    assert record["wav"] == {"bytes": len(LONG), "sha256": hashlib.sha256(LONG).hexdigest()}
    return {name: record[name] for name in record if name not in ("id", "url", "page", "created_at")}, injector


@pytest.mark.parametrize("kind", ["", "cut", "stalled", "connect", "http_503"])
def test_two_processes_make_the_same_record(
    client: EventClient, account: Account, two_processes: None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each region is read by itself, always of the same object, and a reading that stops midway goes on."""
    # Two: a third could hit the same region, which then gives up.
    faults = [Fault(kind, Call("s3", "GetObject", nth)) for nth in (2, 3)] if kind else []
    several, injector = long_record(client, account, *faults)
    reads = [headers for call, headers in injector.requests if call.operation == "GetObject"]
    assert len(reads) >= 4 + len(faults)  # the head, all of it, and two regions
    assert len({headers["If-Match"] for headers in reads}) == 1
    monkeypatch.setattr(conversion, "processors", lambda: 1)
    one, injector = long_record(client, account)
    assert several == one
    assert sum(call.operation == "GetObject" for call, _ in injector.requests) == 2


@pytest.mark.parametrize("nth", [2, 3, 4])
def test_long_upload_replaced_while_it_is_read(
    client: EventClient, account: Account, two_processes: None, nth: int
) -> None:
    """Never a region of one and a region of the other."""
    asked = ticket(client, account)
    key = upload(asked, LONG)
    with Injector().active() as injector:
        injector.upon(Call("s3", "GetObject", nth), lambda: events.upload(key, OTHER))
        with pytest.raises(Unavailable):
            arrived(key)
    arrived(key)
    assert_holds(asked["id"])
    assert record_of(asked).wav_sha256 == hashlib.sha256(OTHER).hexdigest()


# ---------------------------------------------------------------- what cannot be converted


@pytest.mark.parametrize(
    ("audio", "code"),
    [
        (RUBBISH, UNSUPPORTED),
        (b"OggS" + bytes(100), UNSUPPORTED),
        (WAV[:20] + struct.pack("<H", 0xFFFF) + WAV[22:], UNSUPPORTED),  # a codec that nobody knows
        (WAV[:44], "unplayable_audio"),  # no sample
        (WAV[:22] + struct.pack("<H", 0) + WAV[24:], "unplayable_audio"),  # 0 channels
    ],
)
def test_verdict_is_that_of_the_in_request_path(client: EventClient, account: Account, audio: bytes, code: str) -> None:
    asked = ticket(client, account)
    arrived(upload(asked, audio))
    direct = send(client, account, audio)
    assert (direct.status in (415, 422), direct.json["code"]) == (True, code)
    reply = look(client, asked)
    assert (reply.status, reply.json) == (410, direct.json)
    about = look(client, asked, "application/json")
    failed = {name: asked[name] for name in ("url", "page", "id", "user", "name", "created_at")}
    failed |= {"status": "failed"}
    assert (about.status, about.json) == (410, failed | direct.json)
    assert objects() == []
    assert record_of(asked).expires_at == pytest.approx(time.time() + DAY, abs=60)
    clean_up()
    assert rows() == []


def test_fault_of_ours_then_ready(
    client: EventClient, account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = ticket(client, account)
    key = upload(asked, WAV)
    with monkeypatch.context() as patch:
        patch.setenv("FFMPEG", "/nowhere/ffmpeg")
        settings.settings.cache_clear()
        with pytest.raises(ConversionError):  # so that Lambda delivers the event again, and at last keeps it
            arrived(key)
    settings.settings.cache_clear()
    [line] = [record for record in caplog.records if record.getMessage() == "conversion failed"]
    assert "/nowhere/ffmpeg" in line.__dict__["why"]
    reply = look(client, asked)
    assert (reply.status, reply.headers["retry-after"], reply.json["status"]) == (202, "2", "pending")
    assert objects() == [key]
    assert record_of(asked).expires_at == pytest.approx(time.time() + 15 * DAY, abs=60)

    arrived(key)
    assert look(client, asked).status == 200
    row = record_of(asked)
    assert (row.error_code, row.error_message, row.error_reason, row.expires_at) == (None, None, None, None)  # type: ignore[comparison-overlap]
    assert_holds(asked["id"])


def test_fault_that_nobody_foresaw(
    client: EventClient, account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is full: an OSError from somewhere."""
    asked = ticket(client, account)
    key = upload(asked, WAV)
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", "/nowhere")
        with pytest.raises(ConversionError):
            arrived(key)
    [line] = [record for record in caplog.records if record.getMessage() == "conversion failed"]
    assert line.__dict__["why"] == "FileNotFoundError"
    assert look(client, asked).status == 202
    arrived(key)
    assert_holds(asked["id"])


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """There is no ffmpeg."""
    monkeypatch.setenv("FFMPEG", "/nowhere/ffmpeg")
    settings.settings.cache_clear()
    yield
    settings.settings.cache_clear()


def wait(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + seconds
    monkeypatch.setattr(recordings, "time", SimpleNamespace(time=lambda: later))


@pytest.mark.usefixtures("broken")
def test_attempts_used_up(client: EventClient, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pending while another attempt is to come, failed after that; the WAV waits for an operator."""
    asked = ticket(client, account, "k")
    key = upload(asked, WAV)
    for attempt in (1, 2, 3):
        assert look(client, asked).status == 202
        with pytest.raises(ConversionError):
            arrived(key)
        assert record_of(asked).attempts == attempt
    reply = look(client, asked)
    assert (reply.status, reply.json) == (410, FAILED_BY_US)
    assert record_of(asked).expires_at == pytest.approx(time.time() + 15 * DAY, abs=60)
    with Injector().active() as injector, pytest.raises(ConversionError):  # and so its message ends in the queue
        arrived(key)
    assert [call.operation for call in injector.calls] == ["GetItem"]
    assert (objects(), record_of(asked).attempts) == ([key], 3)


@pytest.mark.usefixtures("broken")
def test_the_key_of_attempts_that_are_used_up(
    client: EventClient, account: Account, ffmpeg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is good for another try."""
    asked = ticket(client, account, "k")
    for _ in range(3):
        with pytest.raises(ConversionError):
            arrived(upload(asked, WAV))
    assert look(client, asked).status == 410
    removed = events.raw_rows()
    monkeypatch.setenv("FFMPEG", ffmpeg)
    settings.settings.cache_clear()
    again = send(client, account, WAV, key="k")
    assert (again.status, again.json["id"]) == (201, asked["id"])
    assert function("remove_audio").lambda_handler(events.removed(*removed), Context()) == {"batchItemFailures": []}
    assert_holds(asked["id"])


def test_killed_three_times(client: EventClient, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process says nothing: the event that comes after it does."""
    asked = ticket(client, account, "k")
    key = upload(asked, WAV)
    for _ in range(3):
        with Injector(kill=("before", Call("s3", "PutObject", 1))).active(), pytest.raises(Killed):
            arrived(key)
        assert look(client, asked).status == 202
    with pytest.raises(Unavailable):  # the third may still be alive
        arrived(key)
    assert look(client, asked).status == 202
    wait(MAX_LIFETIME - 60, monkeypatch)
    again = ask(client, account, "k")  # which does not put the end off
    assert (again.status, again.json["id"], again.json["status"]) == (200, asked["id"], "pending")
    wait(MAX_LIFETIME + 60, monkeypatch)
    with pytest.raises(ConversionError):
        arrived(key)
    assert (look(client, asked).status, look(client, asked).json) == (410, FAILED_BY_US)


def test_event_that_waits_for_a_fortnight(
    client: EventClient, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the two queues keep it, behind others or until it is replayed."""
    asked = ticket(client, account)
    wait(3600, monkeypatch)
    key = upload(asked, WAV)
    wait(3600 + 14 * DAY, monkeypatch)
    assert look(client, asked).status == 202
    arrived(key)
    assert look(client, asked).status == 200
    assert_holds(asked["id"])


@pytest.mark.parametrize("raises", [False, True])
def test_message_of_the_queue(client: EventClient, account: Account, raises: bool, request: Any) -> None:
    """One message for each upload; what fails is reported, so that the queue delivers it again."""
    if raises:
        request.getfixturevalue("broken")
    asked = ticket(client, account)
    event = events.queued(events.object_created(upload(asked, WAV), len(WAV)))
    answer = function("convert_upload").lambda_handler(event, Context(900))
    failed = [{"itemIdentifier": event["Records"][0]["messageId"]}] if raises else []
    assert answer == {"batchItemFailures": failed}
    assert look(client, asked).status == (202 if raises else 200)


def test_message_that_tries_out_the_queue() -> None:
    event = events.queued({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET})
    assert function("convert_upload").lambda_handler(event, Context(900)) == {"batchItemFailures": []}


def test_no_time_left(client: EventClient, account: Account) -> None:
    """Shortly before Lambda would kill it the record says so; the WAV stays for an operator, until the row goes."""
    asked = ticket(client, account)
    key = upload(asked, WAV)
    function("convert_upload").lambda_handler(events.object_created(key), Context(seconds=0))
    reply = look(client, asked)
    message = "The recording takes longer to convert than there is time for."
    assert (reply.status, reply.json) == (410, {"code": "conversion_timeout", "message": message})
    assert objects() == [key]
    assert record_of(asked).expires_at == pytest.approx(time.time() + 15 * DAY, abs=60)
    with Injector().active() as injector:
        arrived(upload(asked, OTHER))  # the form is good for an hour; the row is final
    assert [call.operation for call in injector.calls] == ["GetItem"]
    assert look(client, asked).json == reply.json
    clean_up()
    assert (rows(), objects()) == ([], [])


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An ffmpeg that never ends."""
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setenv("FFMPEG", str(script))
    settings.settings.cache_clear()
    yield
    settings.settings.cache_clear()


@pytest.mark.usefixtures("hanging")
def test_the_end_comes_before_lambdas(client: EventClient, account: Account) -> None:
    """There is time to say that there was none. That is of no recording's length, so it is tried again."""
    asked = ticket(client, account)
    context = Context(seconds=5)
    with pytest.raises(ConversionError):
        function("convert_upload").lambda_handler(events.object_created(upload(asked, WAV)), context)
    assert context.get_remaining_time_in_millis() > 0
    assert look(client, asked).status == 202


def test_a_conversion_that_hung_once(
    client: EventClient, account: Account, ffmpeg: str, monkeypatch: pytest.MonkeyPatch, hanging: None
) -> None:
    asked = ticket(client, account)
    event = events.object_created(upload(asked, WAV))
    with pytest.raises(ConversionError):
        function("convert_upload").lambda_handler(event, Context(seconds=3))
    monkeypatch.setenv("FFMPEG", ffmpeg)
    settings.settings.cache_clear()
    function("convert_upload").lambda_handler(event, Context(seconds=900))
    assert look(client, asked).status == 200
    assert_holds(asked["id"])


@pytest.mark.usefixtures("hanging")
@pytest.mark.parametrize(
    ("seconds", "status", "body"),
    [
        # A hung ffmpeg is a fault of ours, and says nothing of the audio.
        (0.1, 503, {"code": "unavailable", "message": FAILED_BY_US["message"]}),
        (
            60,
            413,
            {
                "code": "audio_too_large",
                "message": "The recording takes too long to convert in one request. Send it through POST /uploads.",
                "details": {"limit_bytes": 4613734, "use": "POST /uploads"},
            },
        ),
    ],
)
def test_a_request_ends_before_lambda_does(account: Account, seconds: float, status: int, body: dict[str, Any]) -> None:
    """The client is told what to do while there is time to."""
    context = Context(seconds=6)
    headers = {"Content-Type": "audio/wav", **account.bearer}
    event = http_event("POST", f"/records?user_id={account.id}", headers, tiny_wav(seconds))
    response = function("create_record").lambda_handler(event, context)
    assert context.get_remaining_time_in_millis() > 0
    assert (response["statusCode"], json.loads(response["body"])) == (status, body)
    clean_up()
    assert (rows(), objects()) == ([], [])


def test_row_survives_an_attempt_that_is_killed(client: EventClient, account: Account) -> None:
    """Killed each time, its event ends in the queue: the WAV is there for as long as the event can be replayed."""
    asked = ticket(client, account)
    key = upload(asked, WAV)
    with Injector(kill=("before", Call("s3", "PutObject", 1))).active(), pytest.raises(Killed):
        arrived(key)
    assert record_of(asked).expires_at == pytest.approx(time.time() + 15 * DAY, abs=60)
    assert ask(client, account).status == 201
    assert objects() == [key]


# ---------------------------------------------------------------- events twice, late, out of order


def test_second_event_does_nothing(client: EventClient, account: Account) -> None:
    asked = ticket(client, account)
    key = upload(asked, WAV)
    arrived(key)
    before = events.raw_rows()
    with Injector().active() as injector:
        arrived(key)
    assert [call.operation for call in injector.calls] == ["GetItem", "ListObjectsV2", "DeleteObject"]
    assert events.raw_rows() == before
    assert_holds(asked["id"])


def test_event_before_the_upload(client: EventClient, account: Account) -> None:
    """An event for what is not there leaves what may arrive to its own event."""
    asked = ticket(client, account)
    key = asked["upload"]["fields"]["key"]
    with Injector().active() as injector:
        arrived(key)
    assert [call.operation for call in injector.calls] == ["GetItem", "UpdateItem", "HeadObject"]
    assert look(client, asked).status == 202
    arrived(upload(asked, WAV))
    assert_holds(asked["id"])


def test_event_for_a_row_that_is_gone(client: EventClient, account: Account) -> None:
    key = upload(ticket(client, account), WAV)
    events.remove_rows(events.raw_rows())
    arrived(key)
    assert_holds()


def test_event_for_a_row_whose_time_is_over(client: EventClient, account: Account) -> None:
    """DynamoDB may take days to remove it; it is gone for everyone."""
    asked = ticket(client, account)
    key = upload(asked, WAV)
    record_of(asked).update(actions=[Recording.expires_at.set(int(time.time()) - 1)])
    assert look(client, asked).status == 404
    arrived(key)
    assert look(client, asked).status == 404
    clean_up()
    assert_holds()


def test_event_of_an_earlier_row(client: EventClient, account: Account) -> None:
    """The row was removed, and made again for the same key: the old upload is nobody's."""
    old = upload(ticket(client, account, "k"), WAV)
    events.remove_rows(events.raw_rows())
    again = ticket(client, account, "k")
    new = upload(again, OTHER)
    assert old != new
    arrived(old)
    assert objects() == [new]
    assert look(client, again).status == 202
    arrived(new)
    assert_holds(again["id"])
    assert record_of(again).wav_sha256 == hashlib.sha256(OTHER).hexdigest()


def test_upload_after_ready(client: EventClient, account: Account) -> None:
    asked = ticket(client, account)
    arrived(upload(asked, WAV))
    before = events.raw_rows()
    arrived(upload(asked, OTHER))
    assert events.raw_rows() == [before[0] | {"rejected_upload": {"BOOL": True}}]
    assert_holds(asked["id"])


@pytest.mark.parametrize("nth", [1, 2])
def test_upload_replaced_while_it_is_read(client: EventClient, account: Account, nth: int) -> None:
    """Never half of one and half of the other, and the later one is not thrown away."""
    asked = ticket(client, account)
    key = upload(asked, WAV)
    with Injector().active() as injector:
        injector.upon(Call("s3", "GetObject", nth), lambda: events.upload(key, OTHER))
        with pytest.raises(Unavailable):
            arrived(key)
    assert objects() == [key]
    arrived(key)
    assert_holds(asked["id"])
    assert record_of(asked).wav_sha256 == hashlib.sha256(OTHER).hexdigest()


# ---------------------------------------------------------------- when a message comes again


@pytest.fixture
def queue(client: EventClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The queue of the uploads, as the template makes it."""
    address = aws.sqs().create_queue(QueueName="uploads", Attributes={"VisibilityTimeout": "960"})["QueueUrl"]
    monkeypatch.setenv("UPLOADS_QUEUE", address)
    settings.settings.cache_clear()
    yield address
    aws.sqs().delete_queue(QueueUrl=address)
    settings.settings.cache_clear()


def put(queue: str, key: str) -> Any:
    """The message of an upload in the queue, as moto holds it."""
    aws.sqs().send_message(QueueUrl=queue, MessageBody=json.dumps(events.object_created(key)))
    [held] = get_backend("sqs")[DEFAULT_ACCOUNT_ID]["eu-central-1"].queues["uploads"].messages
    return held


def deliver(queue: str, held: Any) -> tuple[list[dict[str, str]], int]:
    """Let the message be taken, and give it to the function: what it wants to be delivered again, and for how many
    seconds nobody gets the message."""
    held.visible_at = 0
    [taken] = aws.sqs().receive_message(QueueUrl=queue, AttributeNames=["All"])["Messages"]
    event = events.queued({})
    event["Records"][0] |= {
        "messageId": taken["MessageId"],
        "receiptHandle": taken["ReceiptHandle"],
        "body": taken["Body"],
        "attributes": taken["Attributes"],
    }
    answer = function("convert_upload").lambda_handler(event, Context(seconds=900))
    return answer["batchItemFailures"], round(held.visible_at / 1000 - time.time(), -1)


@pytest.mark.usefixtures("broken")
def test_what_fails_once_is_tried_again_in_a_minute(client: EventClient, account: Account, queue: str) -> None:
    """And what fails again in a quarter of an hour, so that the attempts outlast a longer fault."""
    held = put(queue, upload(ticket(client, account), WAV))
    again = [{"itemIdentifier": held.id}]
    assert [deliver(queue, held) for _ in range(3)] == [(again, 60), (again, 960), (again, 960)]


def test_what_succeeds_is_not_delivered_again(client: EventClient, account: Account, queue: str) -> None:
    held = put(queue, upload(ticket(client, account), WAV))
    assert deliver(queue, held) == ([], 960)


@pytest.mark.usefixtures("broken")
def test_a_queue_that_does_not_answer_keeps_its_own_time(
    client: EventClient, account: Account, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = put(queue, upload(ticket(client, account), WAV))
    monkeypatch.setenv("UPLOADS_QUEUE", f"{queue}-that-is-gone")
    settings.settings.cache_clear()
    assert deliver(queue, held) == ([{"itemIdentifier": held.id}], 960)


# ---------------------------------------------------------------- two at once


def calls_of_one_attempt(client: EventClient, account: Account) -> list[Call]:
    key = upload(ticket(client, account), WAV)
    with Injector().active() as injector:
        arrived(key)
    empty_cloud()
    return injector.calls


def test_two_attempts_at_once(client: EventClient, account: Account) -> None:
    """The whole second attempt comes between two steps of the first: between each two."""
    calls = calls_of_one_attempt(client, account)
    assert len(calls) == 9
    for call in calls:
        account = sign_up(client)
        asked = ticket(client, account)
        key = upload(asked, WAV)
        with Injector().active() as injector:
            injector.upon(call, lambda key=key: arrived(key))  # type: ignore[misc]
            arrived(key)
        assert look(client, asked).status == 200
        assert_holds(asked["id"])
        empty_cloud()


def test_two_attempts_at_different_audio(client: EventClient, account: Account) -> None:
    """A second upload under one ticket, converted between two steps of the first: one of them is the recording."""
    for call in calls_of_one_attempt(client, account):
        account = sign_up(client)
        asked = ticket(client, account)
        key = upload(asked, WAV)

        def other(key: str = key) -> None:
            events.upload(key, OTHER)
            arrived(key)

        with Injector().active() as injector:
            injector.upon(call, other)
            arrived(key)
        assert_holds(asked["id"])
        row = record_of(asked)
        assert row.wav_sha256 in [hashlib.sha256(wav).hexdigest() for wav in (WAV, OTHER)]
        assert content(row.mp3_key())
        empty_cloud()


def test_attempts_in_threads(client: EventClient, account: Account) -> None:
    asked = ticket(client, account)
    key = upload(asked, WAV)
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            arrived(key)
        except BaseException as error:
            errors.append(error)

    with Injector().active():
        threads = [threading.Thread(target=attempt) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # The fourth to begin is told to come back when the others have ended.
    assert [type(error) for error in errors] in ([], [Unavailable])
    assert_holds(asked["id"])


def test_row_removed_at_every_step(client: EventClient, account: Account) -> None:
    for call in calls_of_one_attempt(client, account):
        account = sign_up(client)
        asked = ticket(client, account)
        key = upload(asked, WAV)

        def remove() -> None:
            event = events.remove_rows(events.raw_rows())
            assert function("remove_audio").lambda_handler(event, Context()) == {"batchItemFailures": []}

        with Injector().active() as injector:
            injector.upon(call, remove)
            arrived(key)
        assert look(client, asked).status == 404
        assert_holds()


# ---------------------------------------------------------------- one key over both paths


def test_key_names_one_record_over_both_paths(client: EventClient, account: Account) -> None:
    asked = ticket(client, account, "k")
    arrived(upload(asked, WAV))
    record = look(client, asked, "application/json").json
    again = send(client, account, WAV, key="k")
    assert (again.status, again.json) == (200, record)
    asked_again = ask(client, account, "k")
    assert (asked_again.status, asked_again.json) == (200, record)
    other = send(client, account, OTHER, key="k")
    assert (other.status, other.json["code"]) == (409, "idempotency_conflict")
    assert_holds(asked["id"])


def test_key_of_an_upload_that_was_refused(client: EventClient, account: Account) -> None:
    """The verdict on one file is not given on another."""
    asked = ticket(client, account, "k")
    arrived(upload(asked, RUBBISH))
    refused = look(client, asked)
    assert (refused.status, refused.json["code"]) == (410, "unsupported_audio")
    other = send(client, account, WAV, key="k")
    assert (other.status, other.json["code"]) == (409, "idempotency_conflict")
    assert look(client, asked).json == refused.json


def test_upload_of_what_was_sent_already(client: EventClient, account: Account) -> None:
    asked = ticket(client, account, "k")
    sent = send(client, account, WAV, key="k")
    assert (sent.status, sent.json["id"]) == (201, asked["id"])
    conflict = send(client, account, OTHER, key="k").json
    for wav, about in ((WAV, {}), (OTHER, {"rejected_upload": conflict}), (RUBBISH, {"rejected_upload": conflict})):
        arrived(upload(asked, wav))
        assert look(client, asked, "application/json").json == sent.json | about
        assert_holds(asked["id"])


@pytest.fixture
def claimed(client: EventClient, account: Account) -> dict[str, Any]:
    """A ticket whose key has brought WAV by the in-request path, in a process that was killed."""
    asked = ticket(client, account, "k")
    with Injector(kill=("before", Call("s3", "PutObject", 1))).active(), pytest.raises(Killed):
        send(client, account, WAV, key="k")
    assert record_of(asked).wav_sha256 == hashlib.sha256(WAV).hexdigest()
    return asked


def test_upload_of_the_audio_that_a_killed_request_brought(client: EventClient, claimed: dict[str, Any]) -> None:
    arrived(upload(claimed, WAV))
    assert look(client, claimed).status == 200
    assert_holds(claimed["id"])


@pytest.mark.parametrize("wav", [OTHER, RUBBISH, WAV[:44]])
def test_upload_of_other_audio_than_a_killed_request_brought(
    client: EventClient, account: Account, claimed: dict[str, Any], wav: bytes
) -> None:
    """It is dropped, which the record says; the audio that the key brought first is still welcome."""
    arrived(upload(claimed, wav))
    assert objects() == []
    assert look(client, claimed).status == 202
    assert record_of(claimed).rejected_upload is True
    sent = send(client, account, WAV, key="k")
    assert (sent.status, sent.json["id"]) == (201, claimed["id"])
    assert_holds(claimed["id"])


def test_ticket_again_while_a_request_may_be_at_work(
    client: EventClient, account: Account, claimed: dict[str, Any]
) -> None:
    again = ask(client, account, "k")
    assert (again.status, again.json["status"]) == (200, "pending")
    assert again.json["upload"]["fields"]["key"] == claimed["upload"]["fields"]["key"]


def test_ticket_again_for_what_failed(client: EventClient, account: Account) -> None:
    asked = ticket(client, account, "k")
    arrived(upload(asked, RUBBISH))
    about = look(client, asked, "application/json").json
    again = ask(client, account, "k")
    assert (again.status, again.json) == (200, about)


def with_list_chunk(wav: bytes) -> bytes:
    """Other bytes, the same samples: and so the same MP3."""
    longer = wav + b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.76.100\0"
    return longer[:4] + struct.pack("<I", len(longer) - 8) + longer[8:]


def test_loser_never_deletes_the_winners_mp3(client: EventClient, account: Account, claimed: dict[str, Any]) -> None:
    """Two files with the same samples under one key. The upload's commit is refused since the request claimed the row;
    before it deletes its MP3 the request commits its own."""
    sent: list[Reply] = []
    with Injector().active() as injector:
        injector.upon(Call("s3", "DeleteObject", 1), lambda: sent.append(send(client, account, WAV, key="k")))
        arrived(upload(claimed, with_list_chunk(WAV)))
    assert [reply.status for reply in sent] == [201]
    mp3 = look(client, claimed)
    assert (mp3.status, hashlib.sha256(mp3.body).hexdigest()) == (200, sent[0].json["mp3"]["sha256"])
    assert_holds(claimed["id"])


def test_good_audio_never_gets_the_verdict_of_other_audio(client: EventClient, account: Account) -> None:
    """Good audio in a request, rubbish by upload, under one key: the row fails just before the request claims it."""
    asked = ticket(client, account, "k")
    key = upload(asked, RUBBISH)
    with Injector().active() as injector:
        injector.upon(Call("dynamodb", "UpdateItem", 1), lambda: arrived(key))
        sent = send(client, account, WAV, key="k")
    assert (sent.status, sent.json["code"]) == (409, "idempotency_conflict")
    again = send(client, account, WAV, key="k")
    assert (again.status, again.json["code"]) == (409, "idempotency_conflict")
    assert record_of(asked).wav_sha256 == hashlib.sha256(RUBBISH).hexdigest()


def test_row_past_its_time_that_another_attempt_turns_ready(
    client: EventClient, account: Account, claimed: dict[str, Any]
) -> None:
    """An event finds the row past its time; an attempt that began in time turns it ready, and keeps its MP3."""
    key = upload(claimed, WAV)
    row = record_of(claimed)
    in_time = row.expires_at
    row.update(actions=[Recording.expires_at.set(int(time.time()) - 1)])

    def extend_and_convert() -> None:
        row.update(actions=[Recording.expires_at.set(in_time)])
        assert send(client, account, WAV, key="k").status == 201

    with Injector().active() as injector:
        injector.upon(Call("s3", "ListObjectsV2", 1), extend_and_convert)  # what a row that is gone would come to
        arrived(key)
    if record_of(claimed).status != "ready":
        extend_and_convert()
    assert look(client, claimed).status == 200


def test_ready_record_without_its_mp3(
    client: EventClient, account: Account, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """It must never be: a person is told at once."""
    sent = send(client, account, WAV).json
    [key] = objects()
    aws.s3().delete_object(Bucket=BUCKET, Key=key)
    capsys.readouterr()
    reply = look(client, sent)
    assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (503, "unavailable", "5")
    [line] = [record for record in caplog.records if record.getMessage() == "a ready record without its MP3"]
    assert (line.levelname, line.__dict__["record"]) == ("ERROR", sent["id"])
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [metric["ReadyWithoutObject"] for metric in metrics if "ReadyWithoutObject" in metric] == [[1.0]]


def test_record_that_is_removed_while_it_is_read(client: EventClient, account: Account) -> None:
    sent = send(client, account, WAV).json

    def remove() -> None:
        function("remove_audio").lambda_handler(events.remove_rows(events.raw_rows()), Context())

    with Injector().active() as injector:
        injector.upon(Call("s3", "GetObject", 1), remove)
        reply = look(client, sent)
    assert (reply.status, reply.json["code"]) == (404, "record_not_found")


def direct(account: Account, wav: bytes) -> tuple[str, bool] | str:
    """The in-request path without its handler: the MP3's SHA-256 and whether it was made now, or the error's code."""
    user = User.authenticate(account.id, account.token)
    try:
        row, made = convert_sent(user, "a.wav", "k", wav, time.monotonic() + 60)
    except RecordsError as error:
        return error.code
    return str(row.mp3_sha256), made


@pytest.mark.parametrize("ticketed", [False, True])
@pytest.mark.parametrize("other", [WAV, OTHER])
def test_two_requests_with_one_key(
    client: EventClient, other: bytes, ticketed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole second request comes between two steps of the first: one record, made once.

    Each look at the clock is a second later, so that whoever joins a row always has to lengthen its life: with the real
    clock that call would be there only when a second turns over in between."""
    seconds = itertools.count(int(time.time()))
    monkeypatch.setattr(recordings, "time", SimpleNamespace(time=lambda: float(next(seconds))))

    def begun() -> Account:
        empty_cloud()
        account = sign_up(client)
        if ticketed:
            ticket(client, account, "k")
        return account

    account = begun()
    with Injector().active() as injector:
        direct(account, WAV)
    for call in injector.calls[1:]:
        account = begun()
        second: list[tuple[str, bool] | str] = []
        with Injector().active() as injector:
            injector.upon(call, lambda second=second, account=account: second.append(direct(account, other)))  # type: ignore[misc]
            first = direct(account, WAV)
        [row] = rows()
        assert_holds(row.id)
        if other == WAV:
            assert sorted([first, *second], key=str) == [(row.mp3_sha256, False), (row.mp3_sha256, True)]
        else:
            assert sorted([first, *second], key=str) == [(row.mp3_sha256, True), "idempotency_conflict"]


def test_row_removed_at_every_step_of_a_request(client: EventClient) -> None:
    """A retry with the same key finds its row past its time, and makes way for a new one."""
    for call in (Call("s3", "PutObject", 1), Call("dynamodb", "UpdateItem", 1)):
        account = sign_up(client)

        def remove() -> None:
            event = events.remove_rows(events.raw_rows())
            assert function("remove_audio").lambda_handler(event, Context()) == {"batchItemFailures": []}

        with Injector().active() as injector:
            injector.upon(call, remove)
            reply = send(client, account, WAV, key="k")
        assert (reply.status, reply.json["code"]) == (503, "unavailable")
        assert_holds()
        assert send(client, account, WAV, key="k").status == 201
        empty_cloud()
