"""Side by side with a conventional server: python -m benchmarks.server [--quick]

The service on this machine is `make run`'s: the deployed functions, behind an emulator of AWS written in Python. Each
request goes through that emulator's API Gateway, Lambda, DynamoDB, S3 and access control, none of which AWS does on
the function's processor. The reference is one uvicorn process with PostgreSQL beside it. So throughput here compares
an emulator with a server and says little about AWS; what the design is for shows in the small request's wait.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.common import table, wav
from benchmarks.memory import CONVERTERS, children, high_water
from benchmarks.reference.run import reference_server
from tests.support.client import HttpClient, Reply, form, sign_up

PAUSE = 0.05  # s between two small requests while the long recording is converted
CLIENTS = (1, 8, 32)


class Side:
    """One of the two, with a user signed up."""

    def __init__(self, url: str, pid: int) -> None:
        self.client, self.pid = HttpClient(url, timeout=600), pid
        self.account = sign_up(self.client)
        self.most_memory = 0  # bytes, of the process that converts and its ffmpeg: no database, no emulator

    def small(self) -> None:
        """The smallest request that comes to the database: signing up."""
        sign_up(self.client)

    def get(self, link: str) -> None:
        checked(self.client.request("GET", link), 200)

    def send(self, audio: bytes) -> str:
        """Send a short recording; returns its link."""
        raise NotImplementedError

    def send_long(self, path: Path) -> None:
        """Send a long recording, and wait until it is converted."""
        raise NotImplementedError

    def look(self) -> None:
        """Keep the high-water mark of this moment's processes."""
        raise NotImplementedError


class Reference(Side):
    """FastAPI, PostgreSQL and ffmpeg."""

    def send(self, audio: bytes) -> str:
        query = urlencode({"user_id": self.account.id, "token": self.account.token})
        reply = self.client.request("POST", f"/records?{query}", {"Content-Type": "audio/wav"}, audio)
        return str(checked(reply, 201).json["url"])

    def send_long(self, path: Path) -> None:
        self.send(path.read_bytes())

    def look(self) -> None:
        self.most_memory = max(self.most_memory, memory_of(self.pid))


class Local(Side):
    """`make run`'s stack."""

    def send(self, audio: bytes) -> str:
        headers = {"Content-Type": "audio/wav", **self.account.bearer}
        reply = self.client.request("POST", f"/records?user_id={self.account.id}", headers, audio)
        return str(checked(reply, 201).json["url"])

    def send_long(self, path: Path) -> None:
        headers = {"Content-Type": "application/json", **self.account.bearer}
        asked = json.dumps({"user_id": self.account.id, "name": path.name})
        ticket = checked(self.client.request("POST", "/uploads", headers, asked), 201).json
        fields = [(name, None, value.encode()) for name, value in ticket["upload"]["fields"].items()]
        form_headers, body = form(*fields, ("file", path.name, path.read_bytes()))
        checked(self.client.request("POST", ticket["upload"]["url"], form_headers, body), 204)
        while (status := self.client.request("HEAD", ticket["url"]).status) == 202:
            time.sleep(0.2)
        assert status == 200, status

    def look(self) -> None:
        self.most_memory = max([self.most_memory, *map(memory_of, children(self.pid))])


def memory_of(pid: int | str) -> int:
    """The most that a process and the ffmpeg that it runs now have had."""
    return high_water(pid) + sum(map(high_water, children(pid, *CONVERTERS)))


def checked(reply: Reply, status: int) -> Reply:
    assert reply.status == status, reply
    return reply


@contextmanager
def local() -> Iterator[Side]:
    from local.cloud import Cloud

    with tempfile.TemporaryDirectory(prefix="records-bench-") as folder:
        # The limit that protects a deployed API is far below what is asked for here.
        limits = {"ThrottleRate": "10000", "ThrottleBurst": "10000"}
        with Cloud(0, Path(folder), report=lambda _: None, parameters=limits) as cloud:
            assert cloud._emulator is not None
            yield Local(cloud.url, cloud._emulator.pid)


@contextmanager
def reference(*, blocking: bool) -> Iterator[Side]:
    with reference_server(blocking=blocking) as (url, pid):
        yield Reference(url, pid)


def waits(side: Side, path: Path) -> tuple[float, list[float]]:
    """Seconds: of the long recording, from its first byte until it is converted; of the small requests meanwhile."""
    side.small()
    done = threading.Event()
    taken: list[float] = []

    def long() -> float:
        started = time.perf_counter()
        try:
            side.send_long(path)
        finally:
            done.set()
        return time.perf_counter() - started

    with ThreadPoolExecutor(1) as pool:
        conversion = pool.submit(long)
        while not done.wait(PAUSE):
            started = time.perf_counter()
            side.small()
            taken.append(time.perf_counter() - started)
            side.look()
        return conversion.result(), taken


def throughput(work: Callable[[], object], clients: int, seconds: float) -> float:
    """Requests a second, of so many clients that each send one after another."""
    ends = time.perf_counter() + seconds

    def client() -> int:
        count = 0
        while time.perf_counter() < ends:
            work()
            count += 1
        return count

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        count = sum(pool.map(lambda _: client(), range(clients)))
    return count / (time.perf_counter() - started)


def run(short: bool) -> None:
    seconds = 2.0 if short else 3.0
    sides: tuple[tuple[str, AbstractContextManager[Side]], ...] = (
        ("FastAPI, subprocess.run", reference(blocking=True)),
        ("FastAPI, asyncio's subprocess", reference(blocking=False)),
        ("the service, local emulator", local()),
    )
    speed, waiting = [], []
    with tempfile.TemporaryDirectory() as name:
        long, audio = wav(Path(name), 300 if short else 1800), wav(Path(name), 1).read_bytes()
        for title, made in sides:
            with made as side:
                speed.append([title, *speeds(side, audio, seconds)])
                waiting.append([title, *waiting_line(side, long)])
    heads = [f"{what}, {clients}" for what in ("sign-up", "GET", "1 s WAV") for clients in CLIENTS]
    table("Requests a second, by clients at once", ("server", *heads), speed)
    table(
        f"While a WAV of {5 if short else 30} min is sent and converted: signing up, ms",
        ("server", "the long one, s", "sign-ups", "median", "95 %", "**longest**", "memory, MB"),
        waiting,
        "Memory: the most of the process that takes and converts the recording, with its ffmpeg.",
    )


def speeds(side: Side, audio: bytes, seconds: float) -> list[str]:
    link = side.send(audio)
    works = (side.small, lambda: side.get(link), lambda: side.send(audio))
    return [f"{throughput(work, clients, seconds):.0f}" for work in works for clients in CLIENTS]


def waiting_line(side: Side, long: Path) -> list[str]:
    took, taken = waits(side, long)
    taken.sort()
    return [
        f"{took:.1f}",
        str(len(taken)),
        f"{1000 * statistics.median(taken):.0f}",
        f"{1000 * taken[-1 - len(taken) // 20]:.0f}",
        f"**{1000 * taken[-1]:.0f}**",
        f"{side.most_memory / 1e6:.0f}",
    ]


if __name__ == "__main__":
    run("--quick" in sys.argv)
