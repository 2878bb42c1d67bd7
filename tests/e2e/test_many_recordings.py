"""Users with many recordings, on the local cloud: listed while others come and go, erased while uploads arrive.

SOAK=1 takes 2,000 recordings in the list, and 20 users of 50 recordings to erase. Rows and MP3s are put where the
service would, copied from recordings that it made; all that is tested is done by requests.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from local.cloud import Cloud
from tests.e2e.test_long_recordings import ask, music, post_file, riff
from tests.support.client import Account, HttpClient, send, sign_up
from tests.support.contract import target
from tests.support.wavs import sample

SOAK = bool(os.environ.get("SOAK"))
LISTED = 2000 if SOAK else 150
USERS, EACH = (20, 50) if SOAK else (3, 8)
SETTLED = timedelta(minutes=66)  # later than this nothing may arrive any more: see records/erasure.py


class Table:
    """The records table, with the account's own rights."""

    def __init__(self, cloud: Cloud) -> None:
        self.tables = cloud.client("dynamodb")
        self.storage = cloud.client("s3")
        self.name, self.bucket = cloud.outputs["RecordsTableName"], cloud.outputs["BucketName"]

    def row(self, record: dict[str, Any]) -> dict[str, Any]:
        key = {"user": {"N": str(record["user"])}, "id": {"S": record["id"]}}
        found: dict[str, Any] = self.tables.get_item(TableName=self.name, Key=key)["Item"]
        return found

    def copies(self, row: dict[str, Any], number: int) -> list[str]:
        """Put as many copies of a row, a second apart and older than it; returns their ids, newest first."""
        newest = datetime.now(UTC) - timedelta(seconds=10)
        rows = []
        for count in range(number):
            made, record_id = newest - timedelta(seconds=count), str(uuid.uuid4())
            changed = {
                "id": record_id,
                "generation": str(uuid.uuid4()),
                "position": f"{made:%Y-%m-%dT%H:%M:%S.%fZ} {record_id}",
                "created_at": f"{made:%Y-%m-%dT%H:%M:%SZ}",
            }
            rows.append({**row, **{name: {"S": value} for name, value in changed.items()}})
        for start in range(0, number, 25):
            puts = [{"PutRequest": {"Item": item}} for item in rows[start : start + 25]]
            assert not self.tables.batch_write_item(RequestItems={self.name: puts})["UnprocessedItems"]
        return [row["id"]["S"] for row in rows]

    def of(self, user: int) -> dict[str, int]:
        """How many rows, objects and unfinished uploads there are of a user."""
        found = {
            "rows": self.tables.query(
                TableName=self.name,
                KeyConditionExpression="#user = :user",
                ExpressionAttributeNames={"#user": "user"},
                ExpressionAttributeValues={":user": {"N": str(user)}},
                ConsistentRead=True,
            )["Count"]
        }
        for kind in ("records", "uploads"):
            prefix = f"{kind}/{user}/"
            found[kind] = self.storage.list_objects_v2(Bucket=self.bucket, Prefix=prefix)["KeyCount"]
            multipart = self.storage.list_multipart_uploads(Bucket=self.bucket, Prefix=prefix)
            found[f"parts of {kind}"] = len(multipart.get("Uploads", []))
        return found


def test_listed_while_others_come_and_go(cloud: Cloud, client: HttpClient, measured: Callable[[str], None]) -> None:
    """Meanwhile every eleventh of those that are there is deleted, and others are sent."""
    account, table = sign_up(client), Table(cloud)
    first = send(client, account, sample(1)).json
    copies = table.copies(table.row(first), LISTED * 11 // 10)
    deleted = copies[5::11]
    kept = {first["id"], *copies}.difference(deleted)
    counts: Counter[str] = Counter()
    ended = threading.Event()

    def delete() -> None:
        for record_id in deleted:
            if ended.is_set():
                return
            path = f"/record?id={record_id}&user={account.id}"
            assert client.request("DELETE", path, account.bearer).status == 204
            counts["deleted"] += 1

    def add() -> None:
        while not ended.is_set():
            assert send(client, account, sample(1)).status == 201
            counts["added"] += 1

    found: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(delete), pool.submit(add)]
        address: str | None = f"/records?user_id={account.id}&limit=20"
        while address:
            page = client.request("GET", target(address) if "://" in address else address, account.bearer)
            assert page.status == 200, page
            found += [record["id"] for record in page.json["records"]]
            counts["pages"] += 1
            address = page.json.get("next")
        ended.set()
        for each in busy:
            each.result()
    measured(f"{len(kept)} recordings listed in {counts['pages']} pages, each once: {dict(counts)} meanwhile")
    assert max(Counter(found).values()) == 1
    assert [record_id for record_id in found if record_id in kept] == [first["id"], *(c for c in copies if c in kept)]
    assert counts["added"]
    assert counts["deleted"]


class Erased:
    """A user who is about to be erased: recordings, an address for a file, and an upload in parts that is begun."""

    def __init__(self, client: HttpClient, table: Table) -> None:
        self.client = client
        self.account: Account = sign_up(client)
        first = send(client, self.account, sample(1)).json
        row = table.row(first)
        for record_id in table.copies(row, EACH - 1):
            copy = table.row({"user": self.account.id, "id": record_id})
            key = f"records/{self.account.id}/{record_id}/{copy['generation']['S']}/{row['mp3_attempt']['S']}.mp3"
            table.storage.put_object(Bucket=table.bucket, Key=key, Body=b"an MP3")
        self.ticket = ask(client, self.account, "a.wav")
        headers = {"Content-Type": "application/json", "Idempotency-Key": "k", **self.account.bearer}
        body = {"user_id": self.account.id, "name": "b.wav", "bytes": 20_000_000}
        asked = client.request("POST", "/uploads", headers, json.dumps(body))
        self.parts = asked.json["upload"]["parts"]
        self.receipt = ""

    def request(self) -> None:
        path = f"/users?user_id={self.account.id}"
        reply = self.client.request("DELETE", path, self.account.bearer)
        assert (reply.status, reply.json["status"]) == (202, "erasing")
        self.receipt = reply.json["receipt"]

    def arrive(self) -> None:
        """What was signed before still takes what is sent."""
        assert post_file(self.ticket["upload"], riff(8000, 1, 16, 5, music())) in (200, 201, 204)
        for part in self.parts[:1]:
            assert self.client.request("PUT", part["url"], {}, bytes(part["bytes"])).status == 200


class Worker:
    """The queue of the erasures: it delivers in half a minute, a minute, or a quarter of an hour; this does at once."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.tables, self.queues = cloud.client("dynamodb"), cloud.client("sqs")
        self.name = cloud.outputs["UsersTableName"]
        found = self.queues.list_queues()["QueueUrls"]
        [self.erasures] = [url for url in found if "ErasuresQueue" in url and "Failed" not in url]
        self.conversions = cloud.outputs["UploadsQueueUrl"]

    def rows(self) -> list[dict[str, Any]]:
        """Every row of the users' table."""
        pages = self.tables.get_paginator("scan").paginate(TableName=self.name, ConsistentRead=True)
        return [row for page in pages for row in page["Items"]]

    def erasure(self, receipt: str) -> dict[str, Any]:
        key = {"pk": {"S": f"erasure#{receipt.partition('id=')[2]}"}}
        found: dict[str, Any] = self.tables.get_item(TableName=self.name, Key=key, ConsistentRead=True)["Item"]
        return found

    def deliver(self, receipt: str) -> dict[str, Any]:
        """The next pass, now; returns the receipt's row as the pass leaves it."""
        before = self.erasure(receipt)
        step = before.get("step", {"N": "0"})["N"]
        message = f"{before['user']['N']} {before['pk']['S'].partition('#')[2]} {step}"
        self.queues.send_message(QueueUrl=self.erasures, MessageBody=message)
        for _ in range(600):
            after = self.erasure(receipt)
            if "S" in after.get("verified_at", {}) or after.get("step", {"N": "0"})["N"] != step:
                return after
            time.sleep(0.2)
        raise AssertionError(f"no pass came to its end: {before}")

    def conversions_left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.queues.get_queue_attributes(QueueUrl=self.conversions, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def make_older(self, receipt: str) -> None:
        """The request was made over an hour ago."""
        long_ago = datetime.fromisoformat(self.erasure(receipt)["requested_at"]["S"]) - SETTLED
        self.tables.update_item(
            TableName=self.name,
            Key={"pk": self.erasure(receipt)["pk"]},
            UpdateExpression="SET requested_at = :then",
            ExpressionAttributeValues={":then": {"S": f"{long_ago:%Y-%m-%dT%H:%M:%SZ}"}},
        )


def test_erased_while_uploads_arrive(cloud: Cloud, client: HttpClient, measured: Callable[[str], None]) -> None:
    table, worker = Table(cloud), Worker(cloud)
    with ThreadPoolExecutor(4) as pool:
        users = list(pool.map(lambda _: Erased(client, table), range(USERS)))
    before = {"rows": EACH + 2, "records": EACH, "uploads": 0, "parts of records": 0, "parts of uploads": 1}
    assert [table.of(user.account.id) for user in users] == [before] * USERS
    with ThreadPoolExecutor(2 * USERS) as pool:
        done = [pool.submit(user.request) for user in users] + [pool.submit(user.arrive) for user in users]
        for each in done:
            each.result()

    nothing = dict.fromkeys(before, 0)
    passes = 0
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            left = [user for user in users if table.of(user.account.id) != nothing]
            if not (left or worker.conversions_left()):
                break
            passes += len(list(pool.map(lambda user: worker.deliver(user.receipt), left)))
            time.sleep(1)
        for user in users:
            assert client.request("GET", target(user.receipt)).status == 202  # an hour has not passed
            worker.make_older(user.receipt)
        for _ in range(3):
            pending = [user for user in users if "S" not in worker.erasure(user.receipt).get("verified_at", {})]
            passes += len(list(pool.map(lambda user: worker.deliver(user.receipt), pending)))

    assert [table.of(user.account.id) for user in users] == [nothing] * USERS
    receipts = [client.request("GET", target(user.receipt)) for user in users]
    assert [(receipt.status, receipt.json["recordings"]) for receipt in receipts] == [(200, EACH + 2)] * USERS
    rows = worker.rows()
    for user in users:
        mine = [row["pk"]["S"] for row in rows if str(user.account.id) in str(row)]
        assert sorted(mine) == [f"erasure#{user.receipt.partition('id=')[2]}", f"user#{user.account.id}"]
        [tombstone] = [row for row in rows if row["pk"]["S"] == f"user#{user.account.id}"]
        assert set(tombstone) == {"pk", "id", "erased_by", "erasure", "expires_at"}
    found = Counter(receipt.json["objects"] for receipt in receipts)
    measured(
        f"{USERS} users of {EACH + 2} recordings erased at once while {2 * USERS} uploads arrived: nothing left but "
        f"the receipts, after {passes} passes; objects a user: {dict(found)}"
    )
    assert min(found) >= EACH
