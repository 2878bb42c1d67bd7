"""Who may sign up: so many from an address in an hour, and those with an invitation where the operator wants one."""

from __future__ import annotations

import calendar
import dataclasses
import hashlib
import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from records import settings, signups
from records.errors import TooManySignUps
from records.users import User
from tests.integration import events, scenarios
from tests.integration.conftest import moto_cloud
from tests.integration.events import empty_cloud
from tests.integration.faults import KINDS, Call, Fault, Injector, watched_clients
from tests.integration.scenarios import prepared
from tests.integration.test_faults import calls_of, run_with
from tests.support.client import Context, Reply, function, http_event

NOON = calendar.timegm((2026, 11, 25, 12, 0, 0))
INVITE, OTHER = "let-me-in", "\u043f\u0440\u043e\u0441\u0442\u043e \u0442\u0430\u043a"
TOO_MANY = {
    "code": "too_many_signups",
    "message": "Too many users signed up from this network within an hour. Sign up in the next hour.",
}
INVITED_ONLY = {
    "code": "invite_required",
    "message": "Signing up here needs an invitation. Ask whoever runs this service for one, and send it as 'invite'.",
}
OF_ANY_RESPONSE = ("x-request-id", "access-control-allow-origin", "access-control-expose-headers")

Set = Callable[..., None]


@pytest.fixture(scope="module", autouse=True)
def cloud(ffmpeg: str) -> Iterator[None]:
    with moto_cloud(ffmpeg), watched_clients():
        yield


@pytest.fixture(autouse=True)
def empty() -> None:
    empty_cloud()


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Set:
    settings.settings.cache_clear()
    usual = settings.settings()

    def set_limits(hourly: int | None = None, *invites: str) -> None:
        hashes = frozenset(hashlib.sha256(invite.encode()).hexdigest() for invite in invites)
        here = dataclasses.replace(usual, sign_ups_per_hour=hourly, invite_hashes=hashes)
        monkeypatch.setattr(signups, "settings", lambda: here)

    return set_limits


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(now=NOON)
    monkeypatch.setattr(signups, "time", SimpleNamespace(time=lambda: now.now))
    return now


def sign_up(address: str = "192.0.2.1", key: str | None = None, **fields: Any) -> Reply:
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    event = http_event("POST", "/users", headers, json.dumps({"name": "user1", **fields}))
    event["requestContext"]["http"]["sourceIp"] = address
    answer = function("create_user").lambda_handler(event, Context())
    found = {name.lower(): value for name, value in answer["headers"].items()}
    return Reply(answer["statusCode"], found, answer["body"].encode())


def statuses(count: int, address: str = "192.0.2.1") -> list[int]:
    return [sign_up(address).status for _ in range(count)]


def users() -> int:
    return sum(row["pk"]["S"].startswith("user#") for row in events.raw_rows(User))


def headers_of(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name not in OF_ANY_RESPONSE}


# ---------------------------------------------------------------------- so many in an hour


def test_too_many_from_one_address(limited: Set, clock: SimpleNamespace) -> None:
    limited(3)
    clock.now = NOON + 1799.5
    assert statuses(3) == [201] * 3
    refused = sign_up()
    assert (refused.status, refused.json) == (429, TOO_MANY)
    assert headers_of(refused) == {
        "content-type": "application/json; charset=utf-8",
        "cache-control": "no-store",
        "retry-after": "1801",
    }
    assert users() == 3
    assert statuses(1, "192.0.2.2") == [201]


def test_the_next_hour(limited: Set, clock: SimpleNamespace) -> None:
    limited(2)
    clock.now = NOON + 3599.9
    assert statuses(3) == [201, 201, 429]
    assert sign_up().headers["retry-after"] == "1"
    clock.now += 1  # what Retry-After says
    assert statuses(3) == [201, 201, 429]
    rows = [row for row in events.raw_rows(User) if row["pk"]["S"].startswith("signups#")]
    assert sorted(int(row["expires_at"]["N"]) for row in rows) == [NOON + 2 * 3600, NOON + 3 * 3600]
    assert "192.0.2.1" not in str(events.raw_rows(User)), "no address is stored"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("2001:db8:1:2::1", "2001:0DB8:0001:0002:0:0:0:9", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_an_address_is_a_subscriber_s(limited: Set, one: str, other: str, same: bool) -> None:
    limited(1)
    assert statuses(1, one) == [201]
    assert statuses(1, other) == [429 if same else 201]


def test_no_address_is_an_address(limited: Set) -> None:
    limited(1)
    assert [*statuses(1, ""), *statuses(1, "nonsense")] == [201, 429]


def test_a_repetition_is_no_sign_up_more(limited: Set) -> None:
    limited(1)
    key = str(uuid.uuid4())
    first = sign_up(key=key)
    assert first.status == 201
    for _ in range(3):
        again = sign_up(key=key)
        assert (again.status, again.json) == (200, first.json)
    assert (sign_up(key=key, email="a@example.com").status, sign_up(key=str(uuid.uuid4())).status) == (409, 429)


def test_without_a_limit_nothing_is_counted(limited: Set) -> None:
    limited()
    with Injector().active() as injector:
        assert sign_up(key=str(uuid.uuid4())).status == 201
    assert [call.operation for call in injector.calls] == ["TransactWriteItems"]


def test_two_hundred_at_once(limited: Set, measured: Callable[[str], None]) -> None:
    """From one address twenty get in, from ten addresses twenty each."""
    limited(20)
    outcomes: Counter[tuple[str, str]] = Counter()
    begin = threading.Barrier(200)

    def attempt(address: str) -> None:
        begin.wait()
        try:
            signups.admit(address, None)
            outcomes[address, "accepted"] += 1
        except TooManySignUps:
            outcomes[address, "refused"] += 1

    for addresses in (["192.0.2.1"] * 200, [f"192.0.2.{number % 5 + 10}" for number in range(200)]):
        outcomes.clear()
        with Injector().active():
            threads = [threading.Thread(target=attempt, args=(address,)) for address in addresses]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        each = 200 // len({*addresses})
        expected = {(address, "accepted"): 20 for address in addresses}
        assert outcomes == expected | {(address, "refused"): each - 20 for address in addresses}
        accepted = sum(count for (_, outcome), count in outcomes.items() if outcome == "accepted")
        measured(f"200 sign-ups at once from {len({*addresses})} addresses: {accepted} accepted")


# ---------------------------------------------------------------------- invitations


def test_only_with_an_invitation(limited: Set, caplog: pytest.LogCaptureFixture) -> None:
    limited(None, INVITE, OTHER)
    for fields in ({}, {"invite": None}, {"invite": ""}, {"invite": "wrong-guess"}, {"invite": INVITE.upper()}):
        refused = sign_up(**fields)
        assert (refused.status, refused.json) == (403, INVITED_ONLY), fields
        assert headers_of(refused) == {
            "content-type": "application/json; charset=utf-8",
            "cache-control": "no-store",
        }
    assert users() == 0
    assert [sign_up(invite=invite).status for invite in (INVITE, f" {INVITE} ", OTHER)] == [201] * 3
    logged = "".join(str(vars(record)) for record in caplog.records)
    assert [secret for secret in (INVITE, OTHER, "wrong-guess") if secret in logged] == []
    assert INVITE not in str(events.raw_rows(User))


@pytest.mark.parametrize(
    ("invite", "status"), [("x" * 200, 403), ("x" * 201, 422), (5, 422), (["a"], 422), ("\ud800", 403), ("\0", 403)]
)
def test_an_invitation_is_a_short_text(limited: Set, invite: Any, status: int) -> None:
    limited(None, INVITE)
    assert sign_up(invite=invite).status == status


def test_an_invitation_where_none_is_wanted(limited: Set) -> None:
    limited()
    assert sign_up(invite="whatever").status == 201


def test_a_wrong_invitation_is_an_attempt(limited: Set) -> None:
    """So that nobody guesses one; to ask whether one is wanted is none."""
    limited(3, INVITE)
    assert [sign_up().status for _ in range(5)] == [403] * 5
    assert [sign_up(invite=f"guess {n}").status for n in range(4)] == [403, 403, 403, 429]
    assert sign_up(invite=INVITE).status == 429


def test_a_repetition_after_sign_up_was_closed(limited: Set) -> None:
    limited()
    key = str(uuid.uuid4())
    first = sign_up(key=key)
    limited(None, INVITE)
    assert (sign_up(key=key).status, sign_up(key=key).json) == (200, first.json)
    assert sign_up(key=str(uuid.uuid4())).status == 403


def test_the_environment_names_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (hashlib.sha256(text.encode()).hexdigest() for text in (INVITE, OTHER))
    monkeypatch.setenv("INVITE_HASHES", f"{one.upper()}, {other}")
    monkeypatch.setenv("SIGN_UPS_PER_HOUR", "7")
    settings.settings.cache_clear()
    assert settings.settings().invite_hashes == {one, other}
    assert settings.settings().sign_ups_per_hour == 7
    settings.settings.cache_clear()


# ---------------------------------------------------------------------- faults


class SignUpCounted(scenarios.SignUpWithKey):
    """Each request is counted once at most, whatever is lost; and one that is repeated makes one user."""

    def promised(self) -> None:
        self.drop_counts()
        super().promised()

    def settled(self) -> None:
        self.drop_counts()
        super().settled()

    def drop_counts(self) -> None:
        counts = [row for row in events.raw_rows(User) if row["pk"]["S"].startswith("signups#")]
        assert [row["attempts"]["N"] for row in counts] in ([], ["1"])
        for row in counts:
            signups.SignUps(row["pk"]["S"]).delete()


@pytest.mark.parametrize(
    ("kind", "scope"),
    [*[(kind, scope) for scope in ("once", "always") for kind in KINDS], ("timeout", "outage"), ("lost", "outage")],
)
def test_fault(limited: Set, kind: str, scope: str) -> None:
    limited(1000)
    for call in calls_of(SignUpCounted):
        run_with(prepared(SignUpCounted), Fault(kind, call, scope))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "denied"])
def test_a_fault_at_the_count_is_made_good(limited: Set, kind: str) -> None:
    limited(2)
    with Injector(Fault(kind, Call("dynamodb", "UpdateItem", 1))).active():
        assert sign_up().status == 201
    assert statuses(2) == [201, 429]
