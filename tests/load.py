"""A bounded load on the local cloud: `make load` (python -m tests.load [--requests 5000] [--clients 32] [--url ...]).

Sign-ups, recordings and downloads mixed. Every answer is checked, every MP3 compared with its SHA-256, and at the end
every record that was ever promised is downloaded once more. Exit status 1 on any wrong answer or lost record.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import itertools
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
from tests.client import Account, HttpClient, send, sign_up
from tests.contract import target
from tests.wavs import fmt, pcm, tone, wav


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
        action = dice.choices(("sign up", "send", "download", "range"), (1, 3, 4, 2))[0]
        started = time.monotonic()
        try:
            if action == "sign up" or account is None:
                made = sign_up(self.client, email=f"load-{number}@example.com")
                with self.lock:
                    self.accounts.append(made)
            elif action == "send" or record is None:
                self._send(account, number, dice)
            elif action == "download":
                self._download(record)
            else:
                self._range(record, dice)
        except Exception as error:
            self._wrong(f"{action}: {type(error).__name__}: {error}")
        self.seconds[action].append(time.monotonic() - started)

    def _send(self, account: Account, number: int, dice: random.Random) -> None:
        audio = wav(fmt(rate=16000), pcm(tone(frames=dice.randrange(800, 16000), rate=16000))) + bytes([number % 256])
        key = f"load-{number}"
        reply = send(self.client, account, audio, key=key)
        if reply.status != 201 or reply.json["wav"]["sha256"] != hashlib.sha256(audio).hexdigest():
            self._wrong(f"send: {reply.status} {reply.body[:200]!r}")
            return
        with self.lock:
            self.records.append(reply.json)
        if number % 10 == 0 and send(self.client, account, audio, key=key).json != reply.json:
            self._wrong("send again with the same key: another record")

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
