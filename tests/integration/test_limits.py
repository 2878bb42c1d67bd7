"""What one user may have converted in a day, and have stored: exact answers, many at once, midnight, faults, kills."""

from __future__ import annotations

import calendar
import dataclasses
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from records import erasure, limits, recordings, settings
from records.conversion import convert_sent
from records.errors import DailyLimit, StorageFull
from records.limits import Day
from records.recordings import Audio, Recording, utc_date
from records.users import User
from tests.integration import events, scenarios
from tests.integration.conftest import moto_cloud
from tests.integration.events import arrived, empty_cloud, objects, rows
from tests.integration.faults import KINDS, Call, Fault, Injector, Killed, replaying, watched_clients
from tests.integration.scenarios import prepared, tiny_wav
from tests.integration.test_faults import calls_of, run_with
from tests.support import wavs
from tests.support.client import Account, EventClient, Reply, send, sign_up
from tests.support.contract import target

JSON = {"Content-Type": "application/json"}
EVENING = calendar.timegm((2026, 11, 25, 21, 0, 0)) + 0.5
EVERY_HEADER = ("x-request-id", "access-control-allow-origin", "access-control-expose-headers")

Set = Callable[..., None]


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
def limited(monkeypatch: pytest.MonkeyPatch) -> Set:
    """Set the limits, in seconds."""
    settings.settings.cache_clear()
    usual = settings.settings()

    def set_limits(daily: int | None = None, stored: int | None = None, **more: Any) -> None:
        here = dataclasses.replace(usual, daily_seconds=daily, stored_seconds=stored, **more)
        for module in (limits, recordings):
            monkeypatch.setattr(module, "settings", lambda: here)
        monkeypatch.setattr("functions.manage.app.settings", lambda: here)

    return set_limits


class Clock:
    """The time of day, for what is counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = EVENING
        clock = SimpleNamespace(time=lambda: self.now, gmtime=time.gmtime, strftime=time.strftime)
        for module in (limits, recordings):
            monkeypatch.setattr(module, "time", clock)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of every test, so that none fails where the real day ends while it counts."""
    return Clock(monkeypatch)


def sound(seconds: float) -> bytes:
    return tiny_wav(seconds, 8000)


def ask(client: EventClient, account: Account, key: str | None = None, **more: Any) -> Reply:
    headers = {**JSON, **account.bearer} | ({"Idempotency-Key": key} if key else {})
    body = {"user_id": account.id, "name": "lecture.wav", **more}
    return client.request("POST", "/uploads", headers, json.dumps(body))


def upload(client: EventClient, account: Account, wav: bytes) -> Reply:
    """Send a recording by upload; returns what its link says of it."""
    ticket = ask(client, account)
    assert ticket.status == 201, ticket
    key = ticket.json["upload"]["fields"]["key"]
    events.upload(key, wav)
    arrived(key)
    assert key not in objects()
    return client.request("GET", target(ticket.json["url"]), {"Accept": "application/json"})


def headers_of(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name not in EVERY_HEADER}


def daily_limit(limit: int, used: float) -> dict[str, Any]:
    return {
        "code": "daily_limit",
        "message": f"At most {limit} seconds of audio may be sent in a day (UTC); {used} were sent today. "
        "Send this recording again tomorrow, or a shorter one now.",
        "details": {"limit_seconds": limit, "used_seconds": used},
    }


def storage_full(limit: int, stored: float) -> dict[str, Any]:
    return {
        "code": "storage_full",
        "message": f"At most {limit} seconds of audio may be stored; {stored} are stored already. "
        "Delete a recording and send this one again.",
        "details": {"limit_seconds": limit, "stored_seconds": stored},
    }


def assert_daily_limit(reply: Reply, limit: int, used: float, retry_after: int) -> None:
    assert (reply.status, reply.json) == (429, daily_limit(limit, used))
    assert headers_of(reply) == {
        "content-type": "application/json; charset=utf-8",
        "cache-control": "no-store",
        "retry-after": str(retry_after),
    }


def assert_storage_full(reply: Reply, limit: int, stored: float) -> None:
    assert (reply.status, reply.json) == (403, storage_full(limit, stored))
    assert headers_of(reply) == {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}


def counted(account: Account, date: str | None = None) -> tuple[float, float]:
    day = Day.read(account.id, date or utc_date())
    return float(day.seconds), float(day.kept)


# ---------------------------------------------------------------------- a day


def test_up_to_the_limit_of_the_day(client: EventClient, account: Account, limited: Set, clock: Clock) -> None:
    limited(daily=3)
    assert send(client, account, sound(1)).status == 201
    assert send(client, account, sound(2)).status == 201, "to the very second"
    made = [row.id for row in rows()]
    for reply in (
        send(client, account, sound(0.1)),
        ask(client, account),
        ask(client, account, "parts", bytes=1000),
        ask(client, account, "form"),
    ):
        assert_daily_limit(reply, 3, 3, 3 * 3600)
    assert [row.id for row in rows()] == made, "what is refused leaves nothing"
    assert counted(account) == (3, 3)


def test_what_does_not_fit_is_refused_and_what_fits_is_not(
    client: EventClient, account: Account, limited: Set, clock: Clock
) -> None:
    limited(daily=3)
    assert send(client, account, sound(2)).status == 201
    assert_daily_limit(send(client, account, sound(1.5)), 3, 2, 10800)
    assert send(client, account, sound(0.5)).status == 201
    assert_daily_limit(send(client, account, sound(0.501)), 3, 2.5, 10800)
    assert counted(account) == (2.5, 2.5)


def test_longer_than_a_whole_day_may_be(client: EventClient, account: Account, limited: Set, clock: Clock) -> None:
    limited(daily=1)
    assert_daily_limit(send(client, account, sound(1.5)), 1, 0, 10800)
    assert upload(client, account, sound(1.5)).json["details"] == {"limit_seconds": 1, "used_seconds": 0}
    assert counted(account) == (0, 0)


def test_midnight(client: EventClient, account: Account, limited: Set, clock: Clock) -> None:
    limited(daily=2)
    assert send(client, account, sound(2)).status == 201
    clock.now = EVENING + 3 * 3600 - 0.6
    assert_daily_limit(send(client, account, sound(2)), 2, 2, 1)
    clock.now += 1  # what Retry-After says
    assert send(client, account, sound(2)).status == 201
    assert (counted(account, "2026-11-25"), counted(account, "2026-11-26")) == ((2, 2), (2, 2))
    [expiry] = [int(row["expires_at"]["N"]) for row in events.raw_rows(User) if row["pk"]["S"].endswith("-25")]
    assert expiry == calendar.timegm((2026, 11, 27, 0, 0, 0))


def test_users_have_a_limit_each(client: EventClient, limited: Set) -> None:
    limited(daily=1)
    accounts = [sign_up(client) for _ in range(3)]
    assert [send(client, account, sound(1)).status for account in accounts] == [201] * 3
    assert [send(client, account, sound(1)).status for account in accounts] == [429] * 3


def test_only_the_arrived_file_shows_it(client: EventClient, account: Account, limited: Set, clock: Clock) -> None:
    limited(daily=3)
    assert upload(client, account, sound(2)).status == 200
    failed = upload(client, account, sound(1.5))
    assert failed.status == 410
    assert {name: failed.json[name] for name in ("status", "code", "message", "details")} == {
        "status": "failed",
        **daily_limit(3, 2),
    }
    assert (objects(), counted(account)) == ([row.mp3_key() for row in rows() if row.status == "ready"], (2, 2))
    audio = client.request("GET", target(failed.json["url"]))
    assert (audio.status, audio.json) == (410, daily_limit(3, 2))


def test_the_key_of_a_refused_upload_serves_again(
    client: EventClient, account: Account, limited: Set, clock: Clock
) -> None:
    limited(daily=3)
    first = ask(client, account, "k").json
    events.upload(first["upload"]["fields"]["key"], sound(4))
    arrived(first["upload"]["fields"]["key"])
    limited(daily=4)
    second = ask(client, account, "k").json
    assert (second["id"], second["status"]) == (first["id"], "pending")
    events.upload(second["upload"]["fields"]["key"], sound(4))
    arrived(second["upload"]["fields"]["key"])
    assert client.request("GET", target(second["url"])).status == 200
    assert counted(account) == (4, 4)


def test_what_was_answered_is_answered_again(client: EventClient, account: Account, limited: Set) -> None:
    """A repetition is no recording more: not at the limit either."""
    limited(daily=1, stored=1)
    assert send(client, account, sound(1), key="k").status == 201
    assert send(client, account, sound(1), key="k").status == 200
    assert ask(client, account, "k").status == 200
    assert send(client, account, sound(0.5), key="k").json["code"] == "idempotency_conflict"
    assert send(client, account, sound(0.5), key="other").json["code"] == "daily_limit"
    assert counted(account) == (1, 1)


def test_a_ticket_s_key_with_the_recording_in_a_request(client: EventClient, account: Account, limited: Set) -> None:
    """The row was there, and is there still; its seconds are counted once, whichever way they come."""
    limited(daily=3)
    ticket = ask(client, account, "k").json
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "check", lambda *_: None)  # as where another took what was left a moment ago
        assert send(client, account, sound(3.5), key="k").status == 429
    [row] = rows()
    assert (row.id, row.status) == (ticket["id"], "pending")
    assert row.counted_on is None
    assert send(client, account, sound(2), key="k").status == 201
    events.upload(ticket["upload"]["fields"]["key"], sound(2))
    arrived(ticket["upload"]["fields"]["key"])
    assert counted(account) == (2, 2)


def test_refused_at_the_last_moment(client: EventClient, account: Account, limited: Set) -> None:
    limited(daily=1, stored=2)
    send(client, account, sound(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "check", lambda *_: None)
        assert send(client, account, sound(1), key="k").json["code"] == "daily_limit"
        limited(stored=1)
        assert send(client, account, sound(1), key="k").json["code"] == "storage_full"
    assert len(rows()) == 1


def test_refused_after_an_upload_was_asked_for_with_its_key(
    client: EventClient, account: Account, limited: Set, clock: Clock
) -> None:
    """What was promised for the upload holds, though the request that made the row is refused."""
    limited(daily=3)
    tickets: list[Reply] = []

    count = limits.count

    def counted_later(*given: Any) -> None:
        tickets.append(ask(EventClient(), account, "k"))  # of its own: a client sends one request at a time
        limits.Day(f"day#{account.id}#{utc_date()}").add(2, "another", most=None, most_kept=None)
        count(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "count", counted_later)
        assert send(client, account, sound(2), key="k").json["code"] == "daily_limit"
    [ticket] = tickets
    assert (ticket.status, ticket.json["status"]) == (200, "pending")
    key = ticket.json["upload"]["fields"]["key"]
    events.upload(key, sound(1))
    arrived(key)
    ready = client.request("GET", target(ticket.json["url"]), {"Accept": "application/json"})
    assert (ready.status, ready.json["duration"]) == (200, 1.0)
    assert counted(account) == (3, 3)


def test_mpeg_audio_is_corrected(client: EventClient, account: Account, limited: Set) -> None:
    """Its header does not tell the length; what it plays does."""
    limited(daily=100, stored=100)
    fast, slow = wavs.mpeg_frames("fffb90c4", 417, 2), wavs.mpeg_frames("fffb10c4", 104, 100)
    audio = wavs.wav(wavs.fmt(wavs.MP3, bits=0, align=1, byte_rate=8000, extra=bytes(12)), fast + slow)
    reply = send(client, account, audio)
    assert (reply.status, reply.json["duration"]) == (201, pytest.approx(102 * 1152 / 44100, abs=0.1))
    assert counted(account) == (reply.json["duration"],) * 2


def test_without_limits_nothing_is_counted(client: EventClient, account: Account, limited: Set) -> None:
    limited()
    with Injector().active() as injector:
        assert send(client, account, sound(1)).status == 201
    calls = [call.operation for call in injector.calls]
    assert calls == ["GetItem", "PutItem", "PutObject", "UpdateItem"]
    assert [row["pk"]["S"] for row in events.raw_rows(User)] == [f"user#{account.id}"]
    assert [row.counted_on for row in rows()] == [None]


def test_one_write_a_recording(client: EventClient, account: Account, limited: Set) -> None:
    limited(daily=1000, stored=1000)
    send(client, account, sound(0.1))  # the first of a day adds up
    with Injector().active() as injector:
        assert send(client, account, sound(1)).status == 201
    calls = [call.operation for call in injector.calls]
    assert calls == ["GetItem", "GetItem", "PutItem", "UpdateItem", "PutObject", "UpdateItem"]


# ---------------------------------------------------------------------- what is stored


def delete(client: EventClient, account: Account, record: dict[str, Any]) -> None:
    assert client.request("DELETE", target(record["url"]), account.bearer).status == 204


def test_up_to_the_limit_of_what_is_stored(client: EventClient, account: Account, limited: Set, clock: Clock) -> None:
    limited(stored=3)
    first = send(client, account, sound(1)).json
    assert send(client, account, sound(2)).status == 201
    for reply in (send(client, account, sound(0.1)), ask(client, account), ask(client, account, "p", bytes=1000)):
        assert_storage_full(reply, 3, 3)
    assert len(rows()) == 2
    delete(client, account, first)
    assert_storage_full(send(client, account, sound(1.1)), 3, 2)
    failed = upload(client, account, sound(1.1))
    assert (failed.status, failed.json["code"], failed.json["details"]) == (
        *(410, "storage_full"),
        {"limit_seconds": 3, "stored_seconds": 2},
    )
    assert send(client, account, sound(1)).status == 201


def test_deletion_frees_what_came_days_ago(client: EventClient, account: Account, limited: Set, clock: Clock) -> None:
    limited(stored=3)
    old = send(client, account, sound(2)).json
    clock.now += 24 * 3600
    assert send(client, account, sound(1)).status == 201
    assert_storage_full(send(client, account, sound(1)), 3, 3)
    delete(client, account, old)
    assert send(client, account, sound(2)).status == 201
    assert_storage_full(send(client, account, sound(0.5)), 3, 3)


def test_the_sum_is_made_once_a_day(client: EventClient, account: Account, limited: Set, clock: Clock) -> None:
    limited(stored=100)

    def queries() -> int:
        with Injector().active() as injector:
            assert send(client, account, sound(0.1)).status == 201
        return [call.operation for call in injector.calls].count("Query")

    assert [queries() for _ in range(3)] == [1, 0, 0]
    clock.now += 3 * 3600  # just after midnight: what was counted before may still be converting
    assert [queries() for _ in range(2)] == [1, 0]
    clock.now += 15 * 60
    assert [queries() for _ in range(3)] == [1, 0, 0]


def test_what_midnight_interrupted_is_in_the_next_sum(
    client: EventClient, account: Account, limited: Set, clock: Clock
) -> None:
    limited(stored=3)
    ticket = ask(client, account).json
    key = ticket["upload"]["fields"]["key"]
    events.upload(key, sound(2))
    clock.now = EVENING + 3 * 3600 - 1

    def past_midnight() -> None:
        clock.now += 2
        send(EventClient(), account, sound(0.5))  # adds up what is stored

    with Injector().active() as injector:
        injector.upon(Call("s3", "PutObject", 1), past_midnight)
        arrived(key)
    clock.now += 15 * 60
    assert_storage_full(send(client, account, sound(1)), 3, 2.5)


@pytest.mark.parametrize("wrong", ["stored", "kept", "both"])
def test_a_refusal_is_right_whatever_the_sum_was(
    client: EventClient, account: Account, limited: Set, clock: Clock, wrong: str
) -> None:
    limited(stored=3)
    send(client, account, sound(1))
    if wrong != "kept":
        User(f"user#{account.id}").update(actions=[User.stored_seconds.set(1000)])
    if wrong != "stored":
        Day(f"day#{account.id}#{utc_date()}").update(actions=[Day.kept.set(1000)])
    assert send(client, account, sound(2)).status == 201
    assert_storage_full(send(client, account, sound(1)), 3, 3)


def test_the_next_day_sets_right_what_was_lost(
    client: EventClient, account: Account, limited: Set, clock: Clock
) -> None:
    limited(stored=3)
    send(client, account, sound(2))
    Day(f"day#{account.id}#{utc_date()}").update(actions=[Day.kept.set(0), Day.seconds.set(0)])
    clock.now += 24 * 3600
    assert_storage_full(send(client, account, sound(2)), 3, 2)
    assert send(client, account, sound(1)).status == 201


def test_a_failed_conversion_holds_no_space(client: EventClient, account: Account, limited: Set) -> None:
    limited(stored=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FFMPEG", "/nonexistent")
        settings.settings.cache_clear()
        assert send(client, account, sound(2)).status == 503
    settings.settings.cache_clear()
    [row] = rows()
    row.delete()  # as time does
    assert send(client, account, sound(2)).status == 201


def test_a_second_attempt_is_not_counted_again(client: EventClient, account: Account, limited: Set) -> None:
    """Nor where another recording was counted between the two."""
    limited(daily=3, stored=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FFMPEG", "/nonexistent")
        settings.settings.cache_clear()
        assert send(client, account, sound(1), key="k").status == 503
    settings.settings.cache_clear()
    assert send(client, account, sound(1)).status == 201
    assert send(client, account, sound(1), key="k").status == 201
    assert counted(account) == (2, 2)


def test_deletion_frees_space_while_another_is_converted(client: EventClient, account: Account, limited: Set) -> None:
    """What is being converted cannot be told from what was deleted by adding up what is ready."""
    limited(stored=3)
    record = send(client, account, sound(2)).json
    user = User.authenticate(account.id, account.token)
    limits.count(Recording.reserve(user, "b.wav", None, Audio(16044, "0" * 64)), 1, user)
    assert_storage_full(send(client, account, sound(1)), 3, 3)
    delete(client, account, record)
    assert send(client, account, sound(2)).status == 201
    assert_storage_full(send(client, account, sound(1)), 3, 3)


def test_an_account_says_its_limits(client: EventClient, account: Account, limited: Set) -> None:
    def said() -> Any:
        return client.request("GET", f"/users?user_id={account.id}", account.bearer).json["limits"]

    limited(daily=86400, stored=3600000)
    assert said() == {"daily_seconds": 86400, "stored_seconds": 3600000}
    limited()
    assert said() == {"daily_seconds": None, "stored_seconds": None}


# ---------------------------------------------------------------------- the bytes of an upload


def test_a_ticket_takes_no_more_than_is_left(client: EventClient, account: Account, limited: Set, clock: Clock) -> None:
    limited(daily=10, stored=8)
    send(client, account, sound(2))
    upload = ask(client, account).json["upload"]
    assert upload["max_bytes"] == 1024 * 1024 + 6 * 192_000 * 2 * 4
    limited(daily=86400, stored=None)
    assert ask(client, account).json["upload"]["max_bytes"] == 4 * 1024**3


def test_parts_that_cannot_fit_are_refused(client: EventClient, account: Account, limited: Set, clock: Clock) -> None:
    most = 1024 * 1024 + 6 * 192_000 * 2 * 4
    limited(daily=6)
    assert ask(client, account, "a", bytes=most).status == 201
    assert_daily_limit(ask(client, account, "b", bytes=most + 1536), 6, 0, 10800)
    limited(stored=6)
    assert ask(client, account, "c", bytes=most).status == 201
    assert_storage_full(ask(client, account, "d", bytes=most + 1536), 6, 0)
    events.clean_up()  # the parts that were begun


# ---------------------------------------------------------------------- many at once

AT_ONCE = 200


@pytest.fixture
def quick(ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An ffmpeg that works once: all send the same sound."""
    monkeypatch.setenv("FFMPEG", replaying(ffmpeg, tmp_path))
    settings.settings.cache_clear()
    yield
    settings.settings.cache_clear()


def at_once(senders: list[User], wav: bytes, key: str | None = None) -> Counter[tuple[int, str]]:
    """Let each send, all at once; returns what came of it by the user."""
    outcomes: Counter[tuple[int, str]] = Counter()
    begin = threading.Barrier(len(senders))

    def attempt(user: User) -> None:
        begin.wait()
        try:
            made = convert_sent(user, "a.wav", key, wav, time.monotonic() + 600).made
            outcome = "accepted" if made else "repeated"
        except (DailyLimit, StorageFull) as error:
            outcome = error.code
        outcomes[int(user.id), outcome] += 1

    with Injector().active():
        threads = [threading.Thread(target=attempt, args=(user,)) for user in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return outcomes


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["daily_limit", "storage_full"])
def test_many_at_once_from_one_user(account: Account, limited: Set, name: str, measured: Callable[[str], None]) -> None:
    limited(**{"daily" if name == "daily_limit" else "stored": 37})
    user = User.authenticate(account.id, account.token)
    send(EventClient(), account, sound(1))  # so that ffmpeg is not asked twice at once
    outcomes = at_once([user] * AT_ONCE, sound(1))
    assert outcomes == {(account.id, "accepted"): 36, (account.id, name): AT_ONCE - 36}
    assert [row.status for row in rows()] == ["ready"] * 37
    assert counted(account) == (37, 37)
    measured(
        f"{AT_ONCE} at once from one user, room for 36: {outcomes[account.id, 'accepted']} accepted, "
        f"{outcomes[account.id, name]} refused with {name}"
    )


@pytest.mark.usefixtures("quick")
def test_many_at_once_from_many_users(client: EventClient, limited: Set, measured: Callable[[str], None]) -> None:
    limited(daily=3, stored=4)
    accounts = [sign_up(client) for _ in range(20)]
    users = [User.authenticate(account.id, account.token) for account in accounts]
    send(client, accounts[0], sound(1))
    outcomes = at_once(users * 10, sound(1))
    expected = {(account.id, "accepted"): 3 for account in accounts} | {(accounts[0].id, "accepted"): 2}
    assert outcomes == expected | {
        (account.id, "daily_limit"): 10 - expected[account.id, "accepted"] for account in accounts
    }
    assert {counted(account) for account in accounts} == {(3, 3)}
    measured(
        f"{AT_ONCE} at once from {len(users)} users, room for 59: "
        f"{sum(count for (_, outcome), count in outcomes.items() if outcome == 'accepted')} accepted"
    )


@pytest.mark.usefixtures("quick")
def test_many_at_once_after_deletions(client: EventClient, account: Account, limited: Set) -> None:
    """What was deleted is room for exactly as many, though others are being converted meanwhile."""
    limited(stored=20)
    user = User.authenticate(account.id, account.token)
    records = [send(client, account, sound(1)).json for _ in range(20)]
    for record in records[:7]:
        delete(client, account, record)
    outcomes = at_once([user] * 60, sound(1))
    assert outcomes == {(account.id, "accepted"): 7, (account.id, "storage_full"): 53}


@pytest.mark.usefixtures("quick")
def test_the_same_recording_fifty_times_at_once(client: EventClient, account: Account, limited: Set) -> None:
    limited(daily=3, stored=3)
    send(client, account, sound(1))
    user = User.authenticate(account.id, account.token)
    outcomes = at_once([user] * 50, sound(1), "k")
    assert outcomes[account.id, "accepted"] == 1
    assert outcomes.total() == outcomes[account.id, "accepted"] + outcomes[account.id, "repeated"] == 50
    assert counted(account) == (2, 2)


# ---------------------------------------------------------------------- faults and kills


class Counted(scenarios.Scenario):
    """A recording is counted once; a fault changes that by its own seconds at most, for each time that it struck."""

    seconds_of_one = 0.1

    def assert_counted(self, interruptions: int) -> None:
        day = Day.read(self.account.id, utc_date())  # type: ignore[attr-defined]
        assert abs(float(day.seconds) - 0.1) <= 0.1 * interruptions + 0.001


class SendCounted(scenarios.SendWithKey, Counted):
    pass


class UploadCounted(scenarios.Upload, Counted):
    pass


@pytest.fixture
def with_limits(limited: Set) -> None:
    limited(daily=1000, stored=1000)


@pytest.mark.usefixtures("with_limits", "quick")
@pytest.mark.parametrize(
    ("kind", "scope"),
    [*[(kind, scope) for scope in ("once", "always") for kind in KINDS], ("timeout", "outage"), ("lost", "outage")],
)
@pytest.mark.parametrize("scenario", [SendCounted, UploadCounted])
def test_fault(scenario: type[Any], kind: str, scope: str) -> None:
    for call in calls_of(scenario):
        run: Any = prepared(scenario)
        injector = run_with(run, Fault(kind, call, scope))
        run.assert_counted(1 if kind in ("lost", "garbled") or not run.saved else 0)
        assert injector.injected


@pytest.mark.usefixtures("with_limits", "quick")
@pytest.mark.parametrize("scenario", [SendCounted, UploadCounted])
def test_kill(scenario: type[Any]) -> None:
    for call in calls_of(scenario):
        for moment in ("before", "after"):
            run: Any = prepared(scenario)
            with Injector(kill=(moment, call)).active(), suppress(Killed):
                run.act()
            run.act()
            assert run.succeeded
            run.settled()
            run.assert_counted(1)


@pytest.mark.usefixtures("with_limits")
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "denied"])
def test_a_fault_at_the_count_is_made_good(client: EventClient, account: Account, kind: str) -> None:
    """The write whose answer was lost is known again by its mark: it is not made twice."""
    send(client, account, scenarios.WAV)
    with Injector(Fault(kind, Call("dynamodb", "UpdateItem", 1))).active():
        assert send(client, account, scenarios.WAV).status == 201
    assert counted(account) == (0.2, 0.2)


@pytest.mark.usefixtures("with_limits")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scope", ["once", "always"])
def test_a_fault_at_a_deletion_frees_the_space_all_the_same(
    client: EventClient, account: Account, limited: Set, kind: str, scope: str
) -> None:
    limited(stored=2)
    record = send(client, account, sound(2)).json
    with Injector(Fault(kind, Call("dynamodb", "UpdateItem", 1), scope)).active():
        reply = client.request("DELETE", target(record["url"]), account.bearer)
    assert reply.status in (204, 503)
    assert client.request("DELETE", target(record["url"]), account.bearer).status == 204
    assert send(client, account, sound(2)).status == 201
    assert_storage_full(send(client, account, sound(1)), 2, 2)


# ---------------------------------------------------------------------- the end of a user


def test_an_erased_user_has_no_counts(client: EventClient, account: Account, limited: Set, clock: Clock) -> None:
    limited(daily=100, stored=100)
    other = sign_up(client)
    send(client, other, sound(0.1))
    for _ in range(3):
        assert send(client, account, sound(0.1)).status == 201
        clock.now += 24 * 3600
    assert client.request("DELETE", f"/users?user_id={account.id}", account.bearer).status == 202
    tombstone = User.get(f"user#{account.id}")
    assert tombstone.stored_seconds is None
    assert tombstone.summed_at is None
    limits._sum(tombstone)  # a request that was under way
    begun = erasure.Erasure.find(tombstone.erasure)
    erasure._erase(account.id, begun, time.monotonic() + 60)
    left = [row["pk"]["S"] for row in events.raw_rows(User) if str(account.id) in row["pk"]["S"]]
    assert left == [f"user#{account.id}"]
    assert User.get(f"user#{account.id}").summed_at is None
    assert any(row["pk"]["S"].startswith(f"day#{other.id}#") for row in events.raw_rows(User))
