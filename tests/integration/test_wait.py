"""`Prefer: wait`, on a clock of the tests: how soon a waiting client is told, and how often the row is read for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration import events
from tests.integration.conftest import moto_cloud
from tests.integration.events import arrived, empty_cloud, rows
from tests.integration.faults import Injector, watched_clients
from tests.integration.scenarios import tiny_wav
from tests.support.client import Account, Context, EventClient, function, http_event, sign_up
from tests.support.contract import target


@pytest.fixture(scope="module", autouse=True)
def cloud(ffmpeg: str) -> Iterator[None]:
    with moto_cloud(ffmpeg), watched_clients():
        yield


class Clock:
    """Goes on by what is slept alone. At `at` seconds something happens, without a call of its own being counted."""

    def __init__(self, injector: Injector, at: float, happening: Callable[[], object]) -> None:
        self.begun = time.monotonic()  # of the real clock, which the function's deadline is on
        self.slept: list[float] = []
        self._injector = injector
        self._at, self._happening = at, happening

    @property
    def now(self) -> float:
        return sum(self.slept)

    def monotonic(self) -> float:
        return self.begun + self.now

    def sleep(self, seconds: float) -> None:
        due = self.now < self._at <= self.now + seconds
        self.slept.append(seconds)
        if due:
            counted = len(self._injector.asked)
            self._happening()
            del self._injector.asked[counted:]


@pytest.fixture
def account() -> Account:
    empty_cloud()
    return sign_up(EventClient())


def ticket(account: Account) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **account.bearer}
    body = json.dumps({"user_id": account.id, "name": "a.wav"})
    made: dict[str, Any] = EventClient().request("POST", "/uploads", headers, body).json
    return made


def wait(
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    at: float = 1000,
    happening: Callable[[], object] = list,
    function_seconds: float = 29,
) -> tuple[dict[str, Any], Clock, list[dict[str, Any]]]:
    """To who waits 20 seconds for a pending record: the response, the clock, what DynamoDB was asked of it."""
    headers = {"Accept": "application/json", "Prefer": "wait=20", **account.bearer}
    url = ticket(account)["url"]
    with Injector().active() as injector, monkeypatch.context() as patch:
        clock = Clock(injector, at, happening)
        patch.setattr(function("get_record"), "time", clock)
        response = function("get_record").lambda_handler(
            http_event("GET", target(url), headers), Context(function_seconds)
        )
    reads = [asked for _, asked in injector.asked if asked["TableName"] == "records"]
    return response, clock, reads


def convert(wav: bytes) -> None:
    [row] = rows()
    events.upload(row.upload_key, wav)
    arrived(row.upload_key)


HAPPENINGS = {
    "ready": (lambda: convert(tiny_wav()), 200),
    "failed": (lambda: convert(b"This is a text."), 410),
    "deleted": (lambda: events.remove_rows(events.raw_rows()), 404),
}


@pytest.mark.parametrize("at", [0.1, 1.0, 7.3, 19.9])
@pytest.mark.parametrize("what", HAPPENINGS)
def test_answered_within_a_second(account: Account, monkeypatch: pytest.MonkeyPatch, what: str, at: float) -> None:
    happening, status = HAPPENINGS[what]
    response, clock, reads = wait(account, monkeypatch, at, happening)
    assert response["statusCode"] == status
    assert at <= clock.now <= at + 1
    # One read at first, and one after each second: no more, and each is sure of what was written before it.
    assert len(reads) == 1 + len(clock.slept)
    assert clock.slept == pytest.approx([1.0] * len(clock.slept))
    assert all(read["ConsistentRead"] is True for read in reads)


@pytest.mark.parametrize(("function_seconds", "waited"), [(29, 20), (10, 7)])
def test_no_longer_than_asked_for_and_than_the_function_has(
    account: Account, monkeypatch: pytest.MonkeyPatch, function_seconds: float, waited: float
) -> None:
    """Three seconds are left for the response."""
    response, clock, reads = wait(account, monkeypatch, function_seconds=function_seconds)
    assert (response["statusCode"], json.loads(response["body"])["status"]) == (202, "pending")
    assert response["headers"]["Preference-Applied"] == "wait=20"
    assert clock.now == pytest.approx(waited, abs=0.5)
    assert len(reads) == 1 + len(clock.slept)


def test_only_who_asks_for_json_waits(account: Account) -> None:
    """Whoever asks for the audio, as curl does, is told at once that it is not there yet."""
    headers = {"Accept": "*/*", "Prefer": "wait=20", **account.bearer}
    url = ticket(account)["url"]
    response = function("get_record").lambda_handler(http_event("GET", target(url), headers), Context(29))
    assert response["statusCode"] == 202
    assert "Preference-Applied" not in response["headers"]
