"""Erasing a user: the passes of its worker, one after another, with kills and late arrivals between them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from records import aws, erasure
from records.recordings import Recording
from tests.integration import events
from tests.integration.conftest import BUCKET, moto_cloud
from tests.integration.events import clean_up, empty_cloud, objects, parts, raw_rows
from tests.integration.faults import replaying
from tests.integration.scenarios import tiny_wav
from tests.support.client import Account, Context, EventClient, function, send, sign_up
from tests.support.contract import target

WAV = tiny_wav()
START = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process is killed here."""


@pytest.fixture(scope="module", autouse=True)
def cloud(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with moto_cloud(replaying(ffmpeg, tmp_path_factory.mktemp("ffmpeg"))):
        yield


@pytest.fixture
def client() -> EventClient:
    empty_cloud()
    return EventClient()


class Worker:
    """The queue and the function behind it, with a clock of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = datetime.now(UTC)
        self.messages: list[tuple[datetime, str]] = []
        self.kill_at: int | None = None
        self.calls = 0
        clock = type("Clock", (datetime,), {"now": classmethod(lambda *_: self.now)})
        monkeypatch.setattr(erasure, "datetime", clock)
        monkeypatch.setattr(aws, "sqs", lambda: SimpleNamespace(send_message=self._send))
        for name in ("delete_all", "abort", "stored", "multipart_uploads"):
            monkeypatch.setattr(erasure.storage, name, self._killable(getattr(erasure.storage, name)))
        monkeypatch.setattr(erasure, "_update", self._killable(erasure._update))

    def _send(self, *, MessageBody: str, DelaySeconds: int, **_: str) -> None:  # noqa: N803 (as SQS has it)
        assert 0 <= DelaySeconds <= 900
        self._step()
        self.messages.append((self.now + timedelta(seconds=DelaySeconds), MessageBody))
        self._step()

    def _killable(self, function: Any) -> Any:
        def call(*args: Any) -> Any:
            self._step()
            result = function(*args)
            self._step()
            return result

        return call

    def _step(self) -> None:
        self.calls += 1
        if self.calls == self.kill_at:
            raise Killed

    def deliver(self) -> None:
        """Deliver the message that is due next; one whose function was killed is delivered again."""
        self.messages.sort()
        due, body = self.messages.pop(0)
        self.now = max(self.now, due)
        event = {"Records": [{"messageId": "1", "body": body, "eventSource": "aws:sqs"}]}
        try:
            reply = function("erase_user").lambda_handler(event, Context(seconds=900))
        except Killed:
            self.messages.append((self.now + timedelta(seconds=960), body))
        else:
            if reply["batchItemFailures"]:
                self.messages.append((self.now + timedelta(seconds=960), body))

    def run(self) -> int:
        """Deliver until there is no message left; returns how many there were."""
        for count in itertools.count():
            if not self.messages:
                return count
            assert count < 60
            self.deliver()
        raise AssertionError


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(monkeypatch)


def erase(client: EventClient, account: Account) -> str:
    reply = client.request("DELETE", f"/users?user_id={account.id}", account.bearer)
    assert reply.status == 202
    return target(reply.json["receipt"])


def recordings(client: EventClient, account: Account, count: int) -> tuple[int, int]:
    """Send some recordings; returns the bytes of their MP3s, and how many objects there are."""
    size = sum(send(client, account, WAV).json["mp3"]["bytes"] for _ in range(count))
    return size, len(objects())


def assert_nothing_of(account: Account) -> None:
    assert [row for row in raw_rows() if row["user"]["N"] == str(account.id)] == []
    assert [key for key in objects() if f"/{account.id}/" in key] == []
    assert parts() == []


def test_from_request_to_receipt(client: EventClient, worker: Worker) -> None:
    kept = sign_up(client)
    stays = send(client, kept, WAV).json
    account = sign_up(client, email="ann@mail.ru")
    size = sum(send(client, account, WAV).json["mp3"]["bytes"] for _ in range(3))
    aws.s3().create_multipart_upload(Bucket=BUCKET, Key=f"uploads/{account.id}/x/y.wav")
    worker.now += timedelta(seconds=5)
    requested = worker.now
    receipt = erase(client, account)

    worker.deliver()
    assert_nothing_of(account)
    assert client.request("GET", receipt).status == 202
    assert worker.run() >= 4  # SQS delays a message by 15 minutes at most
    done = client.request("GET", receipt)
    verified = datetime.fromisoformat(done.json["verified_at"])
    assert (done.status, done.json) == (
        200,
        {
            "status": "erased",
            "user": account.id,
            "requested_at": f"{requested:%Y-%m-%dT%H:%M:%SZ}",
            "verified_at": f"{verified:%Y-%m-%dT%H:%M:%SZ}",
            "recordings": 3,
            "objects": 3,
            "bytes": size,
            "backups_until": f"{verified + timedelta(days=35):%Y-%m-%dT%H:%M:%SZ}",
            "logs_until": f"{verified + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}",
        },
    )
    assert timedelta(minutes=65) <= verified - requested < timedelta(minutes=81)
    assert client.request("GET", target(stays["url"])).status == 200
    assert client.request("GET", f"/users?user_id={kept.id}", kept.bearer).status == 200


def test_what_arrives_in_between(client: EventClient, worker: Worker) -> None:
    """A request that was authenticated just before, and an upload to an address that was signed before."""
    account = sign_up(client)
    send(client, account, WAV)
    worker.now += timedelta(seconds=5)
    receipt = erase(client, account)
    worker.deliver()
    late = Recording(account.id, "late", generation="g", status="pending", name="a", created_at=moment(worker.now))
    late.save()
    upload = f"uploads/{account.id}/late/g.wav"
    events.upload(upload, WAV)
    events._bucket().keys[upload].last_modified = worker.now.replace(tzinfo=None)
    worker.now += timedelta(minutes=10)
    worker.run()
    assert_nothing_of(account)
    done = client.request("GET", receipt).json
    assert (done["status"], done["recordings"], done["objects"]) == ("erased", 2, 2)


def moment(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def test_killed_anywhere(client: EventClient, worker: Worker) -> None:
    """At each step of the first passes in turn: nothing is left, nothing is counted twice, one receipt is written."""
    killed = 0
    for step in itertools.count(1):
        empty_cloud()
        account = sign_up(client)
        send(client, account, WAV)
        events.upload(f"uploads/{account.id}/x/y.wav", WAV)
        worker.now = datetime.now(UTC) + timedelta(seconds=5)
        receipt = erase(client, account)
        worker.calls, worker.kill_at = 0, step
        deliveries = worker.run()
        reached, worker.kill_at = worker.calls >= step, None
        done = client.request("GET", receipt).json
        assert (done["status"], done["recordings"], done["objects"]) == ("erased", 1, 2), (step, done)
        assert_nothing_of(account)
        assert worker.messages == []
        if not reached:
            break
        killed += 1
        assert deliveries >= 5
    assert killed > 20


def test_message_of_a_request_that_failed_is_dropped(client: EventClient, worker: Worker) -> None:
    account = sign_up(client)
    send(client, account, WAV)
    worker.messages.append((worker.now, f"{account.id} {'0' * 8}-0000-4000-8000-000000000000 0"))
    worker.deliver()
    assert worker.messages == []
    assert client.request("GET", f"/users?user_id={account.id}", account.bearer).status == 200
    assert len(objects()) == 1


def test_request_that_is_killed_after_its_message(
    client: EventClient, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = sign_up(client)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(erasure, "_write", killed)
        with pytest.raises(Killed):
            client.request("DELETE", f"/users?user_id={account.id}", account.bearer)
    assert client.request("GET", f"/users?user_id={account.id}", account.bearer).status == 200
    receipt = erase(client, account)
    worker.run()
    assert client.request("GET", receipt).json["status"] == "erased"


def test_receipt_is_kept_for_400_days(client: EventClient, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = erase(client, sign_up(client))
    worker.run()
    day = 24 * 3600
    for days, status in ((399, 200), (401, 404)):
        later = time.time() + days * day
        monkeypatch.setattr(erasure, "time", SimpleNamespace(time=lambda later=later: later))
        assert client.request("GET", receipt).status == status


def test_nothing_else_is_left_when_time_has_passed(client: EventClient, worker: Worker) -> None:
    account = sign_up(client)
    erase(client, account)
    worker.run()
    clean_up()
    assert_nothing_of(account)


def test_no_row_is_without_its_audio(client: EventClient, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the objects are deleted the rows are gone: a link is never answered as if the MP3 were lost."""
    account = sign_up(client)
    recordings(client, account, 2)
    worker.now += timedelta(seconds=5)
    delete_all, left = erasure.storage.delete_all, []

    def look(keys: list[str]) -> None:
        left.append(len([row for row in raw_rows() if row["user"]["N"] == str(account.id)]))
        delete_all(keys)

    monkeypatch.setattr(erasure.storage, "delete_all", look)
    erase(client, account)
    worker.deliver()
    assert left == [0]
    assert_nothing_of(account)
