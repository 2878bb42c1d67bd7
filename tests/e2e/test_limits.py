"""The limits of users, sign-ups and conversions on a cloud of its own, over HTTP, with hundreds of requests at once.

SOAK=1 sends 500 uploads.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Cloud
from tests.e2e.test_iam import without
from tests.support.client import Account, HttpClient, Reply, form, send, sign_up
from tests.support.contract import target
from tests.support.wavs import sample

INVITE = "let-me-in"
DAILY, STORED = 72, 36  # s
SIGN_UPS = 30
CONVERTED_AT_ONCE = 2
UPLOADS = 500 if os.environ.get("SOAK") else 60
ONE, TWO = sample(1, 8000), sample(2, 8000)

Measured = Callable[[str], None]


@pytest.fixture(scope="module")
def limited(own_cloud: Cloud | None) -> Iterator[Cloud]:
    if own_cloud is None:
        pytest.skip("needs low limits, which it may set in a cloud of its own only")
    parameters = {
        "UserDailyHours": str(DAILY / 3600),
        "UserStoredHours": str(STORED / 3600),
        "SignUpsPerHour": str(SIGN_UPS),
        "ConvertConcurrency": str(CONVERTED_AT_ONCE),
        "InviteHashes": hashlib.sha256(INVITE.encode()).hexdigest(),
    }
    with (
        tempfile.TemporaryDirectory(prefix="records-e2e-") as folder,
        Cloud(0, Path(folder), parameters=parameters) as cloud,
    ):
        yield cloud


@pytest.fixture
def client(limited: Cloud) -> HttpClient:
    return HttpClient(limited.url, timeout=600)


def account(client: HttpClient) -> Account:
    return sign_up(client, invite=INVITE)


def at_once(*calls: Callable[[], Reply]) -> list[Reply]:
    """Make all these calls at once."""
    replies: list[Reply] = []
    begin = threading.Barrier(len(calls))

    def make(call: Callable[[], Reply]) -> None:
        begin.wait()
        replies.append(call())

    threads = [threading.Thread(target=make, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == len(calls)
    return replies


def outcomes(replies: list[Reply]) -> Counter[tuple[int, str]]:
    return Counter((reply.status, reply.json.get("code", "ready")) for reply in replies)


def not_near_the_end_of(seconds: int, spare: int) -> None:
    """Counts start from zero with the hour and the day: do not begin shortly before."""
    left = seconds - time.time() % seconds
    if left < spare:
        time.sleep(left + 1)


def test_two_hundred_at_once_from_one_user(client: HttpClient, measured: Measured) -> None:
    not_near_the_end_of(86400, 600)
    user = account(client)

    def flood() -> tuple[list[Reply], Counter[tuple[int, str]]]:
        replies = at_once(*[lambda: send(client, user, ONE)] * 200)
        measured(f"200 at once from one user on the local cloud: {dict(outcomes(replies))}")
        return [reply for reply in replies if reply.status == 201], outcomes(replies)

    stored, found = flood()
    assert found == {(201, "ready"): STORED, (403, "storage_full"): 200 - STORED}
    for reply in stored:
        assert client.request("DELETE", target(reply.json["url"]), user.bearer).status == 204
    _, found = flood()
    assert found == {(201, "ready"): STORED, (429, "daily_limit"): 200 - STORED}
    listed = client.request("GET", f"/users?user_id={user.id}", user.bearer).json
    assert (listed["usage"]["recordings"], listed["usage"]["seconds"]) == (STORED, STORED)
    assert listed["limits"] == {"daily_seconds": DAILY, "stored_seconds": STORED}
    refused = send(client, user, ONE)
    assert refused.json["details"] == {"limit_seconds": DAILY, "used_seconds": DAILY}
    assert 0 < int(refused.headers["retry-after"]) <= 86400


def test_two_hundred_at_once_from_many_users(client: HttpClient, measured: Measured) -> None:
    not_near_the_end_of(86400, 600)
    users = [account(client) for _ in range(8)]
    replies = at_once(*[lambda user=user: send(client, user, TWO) for user in users * 25])
    measured(f"200 at once from 8 users on the local cloud: {dict(outcomes(replies))}")
    each = STORED // 2
    assert outcomes(replies) == {(201, "ready"): 8 * each, (403, "storage_full"): 200 - 8 * each}
    made = Counter(reply.json["user"] for reply in replies if reply.status == 201)
    assert made == {user.id: each for user in users}


def test_an_upload_shows_it_when_it_arrives(client: HttpClient) -> None:
    user = account(client)
    body = json.dumps({"user_id": user.id, "name": "a.wav"})
    ticket = client.request("POST", "/uploads", {"Content-Type": "application/json", **user.bearer}, body).json
    assert ticket["upload"]["max_bytes"] == 1024 * 1024 + STORED * 192_000 * 2 * 4
    upload(client, ticket, sample(STORED + 1, 8000))
    failed = wait(client, ticket["url"])
    assert (failed.status, failed.json["code"]) == (410, "storage_full")
    assert failed.json["details"] == {"limit_seconds": STORED, "stored_seconds": 0}


def upload(client: HttpClient, ticket: dict[str, Any], wav: bytes) -> None:
    fields = [(name, None, value.encode()) for name, value in ticket["upload"]["fields"].items()]
    headers, content = form(*fields, ("file", "a.wav", wav))
    assert client.request("POST", ticket["upload"]["url"], headers, content).status == 204


def wait(client: HttpClient, url: str) -> Reply:
    for _ in range(120):
        reply = client.request("GET", target(url), {"Accept": "application/json"})
        if reply.status != 202:
            return reply
        time.sleep(0.5)
    raise AssertionError(reply)


def test_a_flood_of_uploads(limited: Cloud, client: HttpClient, measured: Measured) -> None:
    """They wait in the queue, from which no more are converted at once than the operator allows, and none is lost."""
    user = account(client)
    queues = limited.client("sqs")
    urls = queues.list_queues()["QueueUrls"]
    waiting = next(url for url in urls if "UploadsQueue" in url)
    counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")

    def in_queue(url: str) -> list[int]:
        found = queues.get_queue_attributes(QueueUrl=url, AttributeNames=list(counts))["Attributes"]
        return [int(found[name]) for name in counts]

    def one(number: int) -> Any:
        body = json.dumps({"user_id": user.id, "name": f"{number}.wav"})
        ticket = client.request("POST", "/uploads", {"Content-Type": "application/json", **user.bearer}, body).json
        upload(client, ticket, sample((100 + number) / 8000, 8000))
        return ticket

    with ThreadPoolExecutor(16) as pool:
        tickets = list(pool.map(one, range(UPLOADS)))
    seen, ends = [in_queue(waiting)], time.monotonic() + 600
    while any(seen[-1]) and time.monotonic() < ends:
        time.sleep(0.05)
        seen.append(in_queue(waiting))
    most_waiting, most_at_once = (max(counted) for counted in zip(*seen, strict=True))
    outcome: Counter[str] = Counter()
    for number, ticket in enumerate(tickets):
        record = wait(client, ticket["url"]).json
        outcome[record["status"]] += 1
        assert record["name"] == f"{number}.wav"
        assert record["duration"] == pytest.approx((100 + number) / 8000, abs=1e-3)
    measured(f"{UPLOADS} uploads at once: {dict(outcome)}, {most_waiting} waited, {most_at_once} converted at once")
    assert outcome == {"ready": UPLOADS}
    assert 0 < most_at_once <= CONVERTED_AT_ONCE
    assert [in_queue(url) for url in urls] == [[0, 0]] * len(urls)
    left = limited.client("s3").list_objects_v2(Bucket=limited.outputs["BucketName"], Prefix=f"uploads/{user.id}/")
    assert left["KeyCount"] == 0


def test_the_count_of_sign_ups_needs_its_permission(limited: Cloud, client: HttpClient) -> None:
    def attempt() -> int:
        body = json.dumps({"name": "user2", "invite": INVITE})
        return client.request("POST", "/users", {"Content-Type": "application/json"}, body).status

    with without(limited, "CreateUser", "CountSignUp"):
        assert attempt() == 503
    assert attempt() == 201


def test_a_flood_of_sign_ups(limited: Cloud, client: HttpClient, measured: Measured) -> None:
    def attempt(**fields: str) -> Reply:
        body = json.dumps({"name": "user1", **fields})
        return client.request("POST", "/users", {"Content-Type": "application/json"}, body)

    not_near_the_end_of(3600, 120)
    assert (attempt().status, attempt().json["code"]) == (403, "invite_required")
    table = limited.outputs["UsersTableName"]
    found = limited.client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]
    this_hour = str(int((time.time() // 3600 + 2) * 3600))
    before = sum(int(row["attempts"]["N"]) for row in found if row.get("expires_at", {}).get("N") == this_hour)
    replies = at_once(*[lambda: attempt(invite=INVITE)] * 100)
    codes = Counter((reply.status, reply.json.get("code", "made")) for reply in replies)
    measured(f"100 sign-ups at once from one address on the local cloud: {dict(codes)}")
    assert codes == {(201, "made"): SIGN_UPS - before, (429, "too_many_signups"): 100 - SIGN_UPS + before}
    assert 0 < int(next(reply for reply in replies if reply.status == 429).headers["retry-after"]) <= 3600
