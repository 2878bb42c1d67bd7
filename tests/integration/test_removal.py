"""When a row goes its objects go, and nothing else does: the table and the bucket are listed to see it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from records.recordings import Recording
from records.users import User
from tests.integration import events
from tests.integration.conftest import moto_cloud
from tests.integration.events import arrived, clean_up, content, empty_cloud, objects, raw_rows, rows
from tests.integration.faults import Call, Fault, Injector, Killed, replaying, watched_clients
from tests.integration.scenarios import assert_holds, tiny_wav
from tests.support.client import Account, Context, EventClient, function, send, sign_up
from tests.support.contract import target

WAV = tiny_wav()


@pytest.fixture(scope="module", autouse=True)
def cloud(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with moto_cloud(replaying(ffmpeg, tmp_path_factory.mktemp("ffmpeg"))), watched_clients():
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


@pytest.fixture
def ready(client: EventClient, account: Account) -> Recording:
    """A record that stays, whatever happens to others of the same user."""
    assert send(client, account, WAV).status == 201
    [row] = rows()
    return row


def reserve(account: Account, key: str | None = None) -> Recording:
    return Recording.reserve(User.authenticate(account.id, account.token), "a.wav", key, None)


def remove(*images: dict[str, Any]) -> list[str]:
    """Give `remove_audio` the removal of rows; returns the numbers of the items that it wants again."""
    event = events.removed(*images)
    return remove_with(event)


def remove_with(event: dict[str, Any]) -> list[str]:
    answer = function("remove_audio").lambda_handler(event, Context(seconds=60))
    assert set(answer) == {"batchItemFailures"}
    assert all(set(item) == {"itemIdentifier"} for item in answer["batchItemFailures"])
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def image_of(row: Recording) -> dict[str, Any]:
    [image] = [image for image in raw_rows() if image["id"]["S"] == row.id]
    return image


# ---------------------------------------------------------------- every way to end


def test_unused_ticket(account: Account, ready: Recording) -> None:
    reserve(account)
    clean_up()
    assert_holds(ready.id)


def test_upload_that_nobody_converted(account: Account, ready: Recording) -> None:
    events.upload(reserve(account).upload_key, WAV)
    clean_up()
    assert_holds(ready.id)


def test_rejected_upload(account: Account, ready: Recording) -> None:
    key = reserve(account).upload_key
    events.upload(key, b"no sound")
    arrived(key)
    clean_up()
    assert_holds(ready.id)


def test_upload_that_takes_too_long(account: Account, ready: Recording) -> None:
    key = reserve(account).upload_key
    events.upload(key, WAV)
    function("convert_upload").lambda_handler(events.object_created(key), Context(seconds=0))
    assert objects() == sorted([key, ready.mp3_key()])
    clean_up()
    assert_holds(ready.id)


@pytest.mark.parametrize("point", [("after", Call("dynamodb", "PutItem", 1)), ("after", Call("s3", "PutObject", 1))])
def test_request_that_was_killed(
    client: EventClient, account: Account, ready: Recording, point: tuple[str, Call]
) -> None:
    with Injector(kill=point).active(), pytest.raises(Killed):
        send(client, account, WAV)
    assert len(rows()) == 2
    clean_up()
    assert_holds(ready.id)


def test_row_that_somebody_deletes(client: EventClient, account: Account, ready: Recording) -> None:
    """A ready record has no time; a deletion feature has only to remove its row."""
    other = send(client, account, WAV).json
    image = next(image for image in raw_rows() if image["id"]["S"] == other["id"])
    assert remove_with(events.remove_rows([image])) == []
    assert client.request("GET", target(other["url"])).status == 404
    assert_holds(ready.id)


def test_more_objects_than_one(account: Account, ready: Recording) -> None:
    """Attempts that were killed left their MP3s; and what is beside them, of neighbouring names, is not theirs."""
    row = reserve(account)
    for digit in "012":
        events.upload(row.mp3_key(digit * 64), b"mp3")
    neighbours = [f"{row.mp3_prefix[:-1]}0/a.mp3", f"records/{account.id}/{row.id}0/a.mp3", f"{row.upload_key}0"]
    for key in neighbours:
        events.upload(key, b"another's")
    assert remove_with(events.remove_rows([image_of(row)])) == []
    assert objects() == sorted([*neighbours, ready.mp3_key()])


def test_more_objects_than_a_page_lists(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    row = reserve(account)
    for digit in "01234":
        events.upload(row.mp3_key(digit * 64), b"mp3")
    image = image_of(row)
    with Injector().active() as injector:
        assert remove(image) == []
    assert [call.operation for call in injector.calls].count("ListObjectsV2") == 3
    assert objects() == []


# ---------------------------------------------------------------- a row of the same name


def test_row_made_again_keeps_its_audio(client: EventClient, account: Account) -> None:
    """The event of the old row's removal comes late: when the key has a new row, and that has an MP3."""
    for when in ("pending", "uploaded", "ready"):
        old = reserve(account, "k")
        image = image_of(old)
        events.upload(old.upload_key, WAV)
        events.upload(old.mp3_key("0" * 64), b"of an attempt that was killed")
        events.remove_rows([image])
        new = reserve(account, "k")
        assert (new.id, new.generation != old.generation) == (old.id, True)
        if when != "pending":
            events.upload(new.upload_key, WAV)
        if when == "ready":
            arrived(new.upload_key)
        kept = [key for key in objects() if new.generation in key]
        assert len(kept) == (when != "pending")

        assert remove(image) == []

        assert objects() == kept
        [row] = rows()
        assert row.generation == new.generation
        empty_cloud()
        account = sign_up(client)


def test_row_past_its_time_makes_way(client: EventClient, account: Account) -> None:
    """DynamoDB has not removed it yet: for the same key it is as if it were gone, and so for whoever has its link."""
    old = reserve(account, "k")
    events.upload(old.upload_key, WAV)
    past = int(time.time()) - 1
    old.update(actions=[Recording.expires_at.set(past)])
    image = image_of(old)
    assert client.request("GET", f"/record?id={old.id}&user={account.id}").status == 404

    sent = send(client, account, WAV, key="k")
    assert (sent.status, sent.json["id"]) == (201, old.id)
    [row] = rows()
    assert row.generation != old.generation
    assert remove(image) == []
    assert_holds(old.id)


def test_row_that_turns_ready_as_its_time_ends(client: EventClient, account: Account) -> None:
    """A retry found it past its time; before it could remove it the attempt before had turned it ready."""
    with Injector(kill=("before", Call("dynamodb", "UpdateItem", 1))).active(), pytest.raises(Killed):
        send(client, account, WAV, key="k")
    [row] = rows()
    row.update(actions=[Recording.expires_at.set(int(time.time()) - 1)])
    [key] = objects()
    mp3 = content(key)

    def turn_ready() -> None:
        row.update(
            actions=[
                Recording.status.set("ready"),
                Recording.expires_at.remove(),
                Recording.mp3_attempt.set(key.rsplit("/", 1)[1].removesuffix(".mp3")),
                Recording.mp3_sha256.set(hashlib.sha256(mp3).hexdigest()),
                Recording.mp3_bytes.set(len(mp3)),
            ]
        )

    with Injector().active() as injector:
        injector.upon(Call("dynamodb", "DeleteItem", 1), turn_ready)
        reply = send(client, account, WAV, key="k")
    assert (reply.status, reply.json["status"]) == (200, "ready")
    assert_holds(row.id)
    assert rows()[0].generation == row.generation


def test_row_that_goes_as_a_second_request_finds_it(account: Account) -> None:
    """It was there when it was looked at, and is gone when it is to be kept alive: a new one is made."""
    old = reserve(account, "k")
    old.update(actions=[Recording.expires_at.set(int(time.time()) + 5)])

    def remove_all() -> None:
        events.remove_rows(raw_rows())

    with Injector().active() as injector:
        injector.upon(Call("dynamodb", "UpdateItem", 1), remove_all)
        new = reserve(account, "k")
    assert (new.id, new.fresh, new.generation != old.generation) == (old.id, True, True)
    assert [row.generation for row in rows()] == [new.generation]


# ---------------------------------------------------------------- a batch of which a part fails


def test_one_bad_item_holds_nothing_up(account: Account, ready: Recording) -> None:
    """S3 refuses one item's objects; the others' are gone, and only that one is asked for again."""
    gone = [reserve(account) for _ in range(3)]
    for row in gone:
        events.upload(row.upload_key, WAV)
    event = events.remove_rows([image_of(row) for row in gone])
    numbers = [item["dynamodb"]["SequenceNumber"] for item in event["Records"]]
    with Injector(Fault("denied", Call("s3", "ListObjectsV2", 2))).active():
        assert remove_with(event) == [numbers[1]]
    assert objects() == sorted([gone[1].upload_key, ready.mp3_key()])
    assert remove_with({"Records": event["Records"][1:]}) == []
    assert_holds(ready.id)


def test_item_that_cannot_be_read(account: Account, ready: Recording) -> None:
    row = reserve(account)
    events.upload(row.upload_key, WAV)
    event = events.remove_rows([image_of(row)])
    strange = events.removed({"user": {"N": "1"}, "id": {"S": "x"}})["Records"][0]
    del strange["dynamodb"]["OldImage"]
    event["Records"].insert(0, strange)
    assert remove_with(event) == [strange["dynamodb"]["SequenceNumber"]]
    assert_holds(ready.id)


def test_rows_that_are_made_or_changed_are_no_business_of_its(account: Account, ready: Recording) -> None:
    row = reserve(account)
    events.upload(row.upload_key, WAV)
    event = events.removed(image_of(row), image_of(ready))
    for item, name in zip(event["Records"], ("INSERT", "MODIFY"), strict=True):
        item["eventName"] = name
    assert remove_with(event) == []
    assert objects() == sorted([row.upload_key, ready.mp3_key()])


# ---------------------------------------------------------------- audio that no row names


def look_again(*keys: str) -> list[dict[str, str]]:
    """What the delayed queue delivers a quarter of an hour after each MP3 was stored."""
    event = {"Records": [events.queued(events.object_created(key))["Records"][0] for key in keys]}
    failed: list[dict[str, str]] = function("remove_audio").lambda_handler(event, Context())["batchItemFailures"]
    return failed


def test_audio_of_a_ready_row_stays(ready: Recording) -> None:
    assert look_again(ready.mp3_key()) == []
    assert_holds(ready.id)


def test_audio_of_a_row_made_before_attempts_had_keys_stays(ready: Recording) -> None:
    old = f"{ready.mp3_prefix}{ready.mp3_sha256}.mp3"
    events.upload(old, content(ready.mp3_key()))
    ready.update(actions=[Recording.mp3_attempt.remove()])
    assert look_again(old) == []
    assert old in objects()


def test_audio_that_no_row_names_goes(account: Account, ready: Recording) -> None:
    """Another attempt's beside the ready row's, a pending row's, and that of a row which is gone."""
    gone, pending = reserve(account, "gone"), reserve(account, "pending")
    keys = [row.mp3_key("0" * 64) for row in (ready, pending, gone)]
    for key in keys:
        events.upload(key, b"mp3")
    events.remove_rows([image_of(gone)])
    assert look_again(*keys) == []
    assert objects() == [ready.mp3_key()]


def test_fault_at_the_second_look(ready: Recording) -> None:
    """It is looked at again; the next message is not held up."""
    stray = ready.mp3_key("0" * 64)
    events.upload(stray, b"mp3")
    with Injector(Fault("http_500", Call("dynamodb", "GetItem", 1), "always")).active():
        event = events.queued(events.object_created(stray))
        failed = function("remove_audio").lambda_handler(event, Context())["batchItemFailures"]
        assert failed == [{"itemIdentifier": event["Records"][0]["messageId"]}]
    assert look_again(stray) == []
    assert_holds(ready.id)


def test_message_that_tries_out_the_queue() -> None:
    event = events.queued({"Service": "Amazon S3", "Event": "s3:TestEvent"})
    assert function("remove_audio").lambda_handler(event, Context()) == {"batchItemFailures": []}
