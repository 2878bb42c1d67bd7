"""KeepDays: a recording that is ready goes some days later, by whichever path it came."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from records import recordings, settings
from tests.integration import events
from tests.integration.conftest import moto_cloud
from tests.integration.events import arrived, clean_up, empty_cloud, objects, rows
from tests.integration.faults import KINDS, Call, Fault, Injector, watched_clients
from tests.integration.scenarios import WAV
from tests.support.client import Account, EventClient, send, sign_up
from tests.support.contract import target

DAY = 24 * 3600
JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module", autouse=True)
def cloud(ffmpeg: str) -> Iterator[None]:
    with moto_cloud(ffmpeg), watched_clients():
        yield


@pytest.fixture
def client() -> EventClient:
    empty_cloud()
    return EventClient()


@pytest.fixture
def account(client: EventClient) -> Account:
    return sign_up(client)


@pytest.fixture
def a_week(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KEEP_DAYS", "7")
    settings.settings.cache_clear()
    yield
    settings.settings.cache_clear()


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        clock = SimpleNamespace(time=lambda: self.now, gmtime=time.gmtime, strftime=time.strftime)
        monkeypatch.setattr(recordings, "time", clock)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def made(client: EventClient, account: Account, path: str) -> str:
    """The link of a recording that came in a request or by upload, under the key "k"."""
    if path == "in-request":
        reply = send(client, account, WAV, key="k")
        assert reply.status == 201
        return target(reply.json["url"])
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k", **account.bearer}
    ticket = client.request("POST", "/uploads", headers, json.dumps({"user_id": account.id, "name": "a.wav"})).json
    events.upload(ticket["upload"]["fields"]["key"], WAV)
    arrived(ticket["upload"]["fields"]["key"])
    return target(ticket["url"])


@pytest.mark.usefixtures("a_week")
@pytest.mark.parametrize("path", ["in-request", "upload"])
def test_a_recording_goes_after_its_days(client: EventClient, account: Account, clock: Clock, path: str) -> None:
    link = made(client, account, path)
    assert [row.expires_at for row in rows()] == [int(clock.now) + 7 * DAY]
    clock.now += 7 * DAY - 1
    assert client.request("GET", link).status == 200
    clock.now += 1  # DynamoDB may take days to remove the row
    page = target(link).replace("/record?", "/listen?")
    assert [client.request(method, link).status for method in ("GET", "HEAD")] == [404, 404]
    assert client.request("GET", link, JSON).json["code"] == "record_not_found"
    assert client.request("GET", page, {"Accept": "text/html"}).status == 404
    owned = f"user_id={account.id}"
    assert client.request("GET", f"/records?{owned}", account.bearer).json == {"records": []}
    usage = client.request("GET", f"/users?{owned}", account.bearer).json["usage"]
    assert usage == {"recordings": 0, "seconds": 0, "mp3_bytes": 0}
    named = {"Content-Type": "application/json", **account.bearer}
    assert client.request("PATCH", link, named, '{"name": "b.wav"}').status == 404
    assert client.request("DELETE", link, account.bearer).status == 204
    assert rows() == []


@pytest.mark.usefixtures("a_week")
def test_the_row_takes_its_audio_along(client: EventClient, account: Account) -> None:
    made(client, account, "upload")
    assert len(objects()) == 1
    clean_up()
    assert (rows(), objects()) == ([], [])


@pytest.mark.usefixtures("a_week")
def test_the_key_makes_the_recording_anew(client: EventClient, account: Account, clock: Clock) -> None:
    link = made(client, account, "in-request")
    assert send(client, account, WAV, key="k").status == 200
    clock.now += 7 * DAY
    assert made(client, account, "in-request") == link
    assert [row.expires_at for row in rows()] == [int(clock.now) + 7 * DAY]
    assert client.request("GET", link).status == 200


@pytest.mark.usefixtures("a_week")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "denied"])
def test_a_fault_at_the_commit_changes_nothing(client: EventClient, account: Account, clock: Clock, kind: str) -> None:
    with Injector(Fault(kind, Call("dynamodb", "UpdateItem", 1))).active():
        assert send(client, account, WAV).status == 201
    assert [(row.status, row.expires_at) for row in rows()] == [("ready", int(clock.now) + 7 * DAY)]


def test_by_default_recordings_are_kept_for_ever(client: EventClient, account: Account) -> None:
    made(client, account, "in-request")
    made(client, sign_up(client), "upload")
    assert {row.expires_at for row in rows()} == {None}
