"""A bounded load on the local cloud: `make load`.

python -m benchmarks.load [--requests 5000] [--clients 32] [--url ...]

Sign-ups, recordings by both paths and downloads mixed. Every answer is checked, every MP3 compared with its SHA-256;
at the end every record that was ever promised is downloaded once more, and the bucket may hold nothing else. Exit
status 1 on any wrong answer, lost record or object without a record.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.cloud import Cloud, build
from tests.support.client import Account, HttpClient, form, send, sign_up
from tests.support.contract import target
from tests.support.wavs import fmt, pcm, tone, wav

TIMEOUT = 120  # s that an upload may take until it is ready: one machine converts for all 32


@dataclass
class Run:
    """What the clients share: who signed up, what was promised, what went wrong."""

    client: HttpClient
    accounts: list[Account] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: collections.defaultdict(list))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def once(self, number: int) -> None:
        """One request of the mix, always the same for the same number."""
        dice = random.Random(number)
        with self.lock:
            account = dice.choice(self.accounts) if self.accounts else None
            record = dice.choice(self.records) if self.records else None
        action = dice.choices(("sign up", "send", "upload", "download", "range"), (2, 5, 1, 8, 4))[0]
        started = time.monotonic()
        try:
            if action == "sign up" or account is None:
                made = sign_up(self.client, email=f"load-{number}@example.com")
                with self.lock:
                    self.accounts.append(made)
            elif action == "send" or record is None:
                self._send(account, number, dice)
            elif action == "upload":
                self._upload(account, number, dice)
            elif action == "download":
                self._download(record)
            else:
                self._range(record, dice)
        except Exception as error:
            self._wrong(f"{action}: {type(error).__name__}: {error}")
        self.seconds[action].append(time.monotonic() - started)

    def _send(self, account: Account, number: int, dice: random.Random) -> None:
        audio, key = _audio(number, dice), f"load-{number}"
        reply = send(self.client, account, audio, key=key)
        if reply.status != 201 or reply.json["wav"]["sha256"] != hashlib.sha256(audio).hexdigest():
            self._wrong(f"send: {reply.status} {reply.body[:200]!r}")
            return
        with self.lock:
            self.records.append(reply.json)
        if number % 10 == 0 and send(self.client, account, audio, key=key).json != reply.json:
            self._wrong("send again with the same key: another record")

    def _upload(self, account: Account, number: int, dice: random.Random) -> None:
        audio, key = _audio(number, dice), f"load-{number}"
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, **account.bearer}
        ask = json.dumps({"user_id": account.id, "name": "upload.wav"})
        ticket = self.client.request("POST", "/uploads", headers, ask)
        if ticket.status != 201:
            self._wrong(f"ticket: {ticket.status} {ticket.body[:200]!r}")
            return
        place = ticket.json["upload"]
        fields = [(name, None, value.encode()) for name, value in place["fields"].items()]
        stored = self.client.request("POST", place["url"], *form(*fields, ("file", "upload.wav", audio)))
        reply, ends = ticket, time.monotonic() + TIMEOUT
        while stored.status == 204 and (reply.status, time.monotonic() < ends) in ((201, True), (202, True)):
            time.sleep(0.2)
            reply = self.client.request("GET", target(ticket.json["url"]), {"Accept": "application/json"})
        if reply.status != 200 or reply.json["wav"]["sha256"] != hashlib.sha256(audio).hexdigest():
            self._wrong(f"upload: {stored.status}, {reply.status} {reply.body[:200]!r}")
            return
        with self.lock:
            self.records.append(reply.json)

    def _download(self, record: dict[str, Any]) -> None:
        reply = self.client.request("GET", target(record["url"]))
        if (reply.status, hashlib.sha256(reply.body).hexdigest()) != (200, record["mp3"]["sha256"]):
            self._wrong(f"download: {reply.status}, {len(reply.body)} bytes of {record['mp3']['bytes']}")

    def _range(self, record: dict[str, Any], dice: random.Random) -> None:
        first = dice.randrange(record["mp3"]["bytes"])
        reply = self.client.request("GET", target(record["url"]), {"Range": f"bytes={first}-"})
        if (reply.status, len(reply.body)) != (206, record["mp3"]["bytes"] - first):
            self._wrong(f"range: {reply.status}, {len(reply.body)} bytes")

    def _wrong(self, what: str) -> None:
        with self.lock:
            self.wrong.append(what)


def _audio(number: int, dice: random.Random) -> bytes:
    """Up to a second of sound; no two numbers have the same file."""
    return wav(fmt(rate=16000), pcm(tone(frames=dice.randrange(800, 16000), rate=16000))) + number.to_bytes(4, "big")


def orphans(cloud: Cloud, run: Run) -> list[str]:
    """The objects in the bucket that belong to no record that was promised."""
    promised = {f"records/{record['user']}/{record['id']}/" for record in run.records}
    pages = cloud.client("s3").get_paginator("list_objects_v2").paginate(Bucket=cloud.outputs["BucketName"])
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    found = collections.Counter("/".join(key.split("/")[:3]) + "/" for key in keys)
    return [key for key, count in found.items() if key not in promised or count > 1]


def load(url: str, requests: int, clients: int) -> Run:
    run = Run(HttpClient(url))
    run.accounts.append(sign_up(run.client))
    numbers = itertools.count()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda _: run.once(next(numbers)), range(requests)))
        promised = len(run.records)
        list(pool.map(run._download, run.records))
    print(f"{requests} requests from {clients} clients, {promised} records promised and downloaded once more")
    return run


def main() -> int:
    parser = argparse.ArgumentParser(prog="make load", description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--url", default="", help="a running stack; without it a local cloud of its own is started")
    arguments = parser.parse_args()
    started = time.monotonic()
    if arguments.url:
        run = load(arguments.url, arguments.requests, arguments.clients)
    else:
        build(print)
        with tempfile.TemporaryDirectory(prefix="records-load-") as folder, Cloud(0, Path(folder)) as cloud:
            started = time.monotonic()
            run = load(cloud.url, arguments.requests, arguments.clients)
            left = orphans(cloud, run)
            print(f"objects in the bucket that belong to no record: {len(left)}")
            run.wrong += left
    took = time.monotonic() - started
    print(f"{took:.0f} s, {arguments.requests / took:.0f} requests a second")
    for action, seconds in sorted(run.seconds.items()):
        ordered = sorted(seconds)
        p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
        print(f"{action:9} {len(seconds):5}   median {p50 * 1000:6.0f} ms   p99 {p99 * 1000:6.0f} ms")
    print(f"wrong answers: {len(run.wrong)}")
    for what in run.wrong[:20]:
        print(f"  {what}")
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
