"""Recordings that no request can carry: by POST /uploads, over real HTTP, converted while they stream."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mutagen.mp3 import MP3

from local.cloud import Cloud
from tests.support.client import Account, HttpClient, Reply, sign_up
from tests.support.contract import target

MIB = 1024 * 1024
PIECE = MIB
BOUNDARY = "----records-long"


@dataclass(frozen=True, slots=True)
class LongWav:
    """A WAV that is made as it is sent. head: all up to the sound. piece: a MiB of sound, repeated."""

    head: bytes
    piece: bytes
    sound: int

    @property
    def size(self) -> int:
        return len(self.head) + self.sound

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        for start in range(0, self.sound, len(self.piece)):
            yield self.piece[: self.sound - start]


def fmt(rate: int, channels: int, bits: int) -> bytes:
    align = channels * bits // 8
    return b"fmt " + struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * align, align, bits)


def riff(rate: int, channels: int, bits: int, seconds: float, piece: bytes) -> LongWav:
    sound = int(seconds * rate) * channels * bits // 8
    head = b"WAVE" + fmt(rate, channels, bits) + b"data" + struct.pack("<I", sound)
    return LongWav(b"RIFF" + struct.pack("<I", len(head) + sound) + head, piece, sound)


def rf64(rate: int, channels: int, bits: int, seconds: float, piece: bytes) -> LongWav:
    """EBU Tech 3306: the sizes are in ds64, those in 32 bits are all ones."""
    sound = int(seconds * rate) * channels * bits // 8
    frames = sound // (channels * bits // 8)
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, sound + 72, sound, frames, 0)
    head = b"RF64\xff\xff\xff\xffWAVE" + ds64 + fmt(rate, channels, bits) + b"data\xff\xff\xff\xff"
    return LongWav(head, piece, sound)


@cache
def music(rate: int = 44100) -> bytes:
    """A MiB of 16-bit stereo that is as much work for an encoder as music: noise that is not white."""
    state, left, samples = 1, 0, bytearray()
    for _ in range(MIB // 4):
        state = (state * 1103515245 + 12345) % 2**31
        left = (left * 7 + (state >> 12) % 8192 - 4096) // 8
        samples += struct.pack("<hh", left, -left // 2)
    return bytes(samples)


def ask(client: HttpClient, account: Account, name: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **account.bearer}
    reply = client.request("POST", "/uploads", headers, json.dumps({"user_id": account.id, "name": name}))
    assert reply.status == 201, reply
    ticket: dict[str, Any] = reply.json
    return ticket


def post_file(upload: dict[str, Any], wav: LongWav) -> int:
    """Send a WAV to its storage, in constant memory. Returns the status."""
    head = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in upload["fields"].items()
    )
    head += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'.encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    address = urlsplit(upload["url"])
    connection = http.client.HTTPConnection(address.netloc, timeout=600)
    try:
        connection.putrequest("POST", address.path or "/")
        connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
        connection.putheader("Content-Length", str(len(head) + wav.size + len(tail)))
        connection.endheaders()
        connection.send(head)
        for piece in wav:
            connection.send(piece)
        connection.send(tail)
        return connection.getresponse().status
    finally:
        connection.close()


def wait(client: HttpClient, url: str, seconds: float = 900) -> Reply:
    """The record as JSON, once it is not pending any more."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        reply = client.request("GET", target(url), {"Accept": "application/json"})
        if reply.status != 202:
            return reply
        time.sleep(0.5)
    raise AssertionError(f"still pending after {seconds} s")


def send_long(client: HttpClient, account: Account, wav: LongWav, waits: list[float] | None = None) -> dict[str, Any]:
    """The record of a WAV that was sent by upload. waits: gets the seconds from the upload's end until it was."""
    ticket = ask(client, account, "lecture.wav")
    assert post_file(ticket["upload"], wav) in (200, 201, 204)
    arrived = time.monotonic()
    reply = wait(client, ticket["url"])
    if waits is not None:
        waits.append(time.monotonic() - arrived)
    assert reply.status == 200, reply
    record: dict[str, Any] = reply.json
    digest = hashlib.sha256()
    for piece in wav:
        digest.update(piece)
    assert record["wav"] == {"bytes": wav.size, "sha256": digest.hexdigest()}
    return record


def uploads_left(cloud: Cloud) -> list[str]:
    found = cloud.client("s3").list_objects_v2(Bucket=cloud.outputs["BucketName"], Prefix="uploads/")
    return [item["Key"] for item in found.get("Contents", [])]


class PeakMemory:
    """The most memory that convert_upload and its ffmpeg held together, in resident bytes, by looking often."""

    def __init__(self, cloud: Cloud) -> None:
        self.peak = 0
        self._folder = str(cloud.folder).encode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.peak = max([self.peak, *(_rss(ffmpeg) + _rss(worker) for ffmpeg, worker in self._converting())])

    def _converting(self) -> list[tuple[Path, Path]]:
        """Every ffmpeg or mp3-encoder that a function of this cloud runs, and that function's process."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and (folder / "comm").read_text().strip() in ("ffmpeg", "mp3-encoder"):
                    worker = Path("/proc") / (folder / "stat").read_text().rpartition(")")[2].split()[1]
                    if self._folder in (worker / "cmdline").read_bytes():
                        found.append((folder, worker))
            except OSError:
                continue  # it has ended meanwhile
        return found


def _rss(process: Path) -> int:
    try:
        return int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@pytest.fixture(scope="module")
def account(client: HttpClient) -> Account:
    return sign_up(client)


def test_an_hour(client: HttpClient, cloud: Cloud, account: Account, measured: Callable[[str], None]) -> None:
    piece = music()
    # Long enough for a second ffmpeg beside the first, where there is a processor for it.
    shorter, hour = riff(44100, 2, 16, 600, piece), riff(44100, 2, 16, 3600, piece)
    with PeakMemory(cloud) as of_shorter:
        send_long(client, account, shorter)
    waits: list[float] = []
    with PeakMemory(cloud) as of_hour:
        record = send_long(client, account, hour, waits)
    measured(
        f"an hour of stereo by upload: peak memory {of_hour.peak / 1e6:.0f} MB, of ten minutes' "
        f"{of_shorter.peak / 1e6:.0f} MB; ready {waits[0]:.1f} s after it arrived, beside other tests"
    )
    assert of_shorter.peak > 0
    assert 0 < of_hour.peak < 160e6
    # The hour is 530 MB more than the ten minutes. A look 20 times a second can miss the peak of a short conversion.
    assert of_hour.peak - of_shorter.peak < 40e6
    assert record["duration"] == pytest.approx(3600, abs=0.1)
    assert (record["sample_rate"], record["channels"], record["truncated"]) == (44100, 2, False)
    assert uploads_left(cloud) == []

    redirect = client.request("GET", target(record["url"]))
    assert (redirect.status, redirect.headers["cache-control"]) == (302, "no-store")
    address = redirect.headers["location"]
    mp3 = client.request("GET", address)
    assert (mp3.status, hashlib.sha256(mp3.body).hexdigest()) == (200, record["mp3"]["sha256"])
    info: Any = MP3(io.BytesIO(mp3.body)).info  # type: ignore[no-untyped-call]
    assert info.length == pytest.approx(3600, abs=0.1)
    part = client.request("GET", address, {"Range": "bytes=1000000-1000099"})
    assert (part.status, part.body) == (206, mp3.body[1_000_000:1_000_100])
    head = client.request("HEAD", target(record["url"]))
    assert (head.status, head.headers["content-length"]) == (200, str(len(mp3.body)))
    assert head.headers["etag"] == mp3.headers["etag"]
    assert client.request("GET", target(record["url"]), {"If-None-Match": head.headers["etag"]}).status == 304


@pytest.mark.parametrize("make", [riff, rf64])
def test_over_two_gib(client: HttpClient, cloud: Cloud, account: Account, make: Any) -> None:
    """Silence in eight channels at 384 kHz: many bytes a second, so that it is soon converted."""
    wav = make(384000, 8, 32, 180, bytes(PIECE))
    assert wav.size > 2 * 1024 * MIB
    record = send_long(client, account, wav)
    assert record["duration"] == pytest.approx(180, abs=0.1)
    assert (record["channels"], record["levels"]["silent"], record["truncated"]) == (8, True, False)
    assert uploads_left(cloud) == []


def test_what_is_no_wav_is_gone(client: HttpClient, cloud: Cloud, account: Account) -> None:
    ticket = ask(client, account, "not.wav")
    assert post_file(ticket["upload"], LongWav(b"ID3\x04", bytes(PIECE), 5 * MIB)) in (200, 201, 204)
    reply = wait(client, ticket["url"])
    assert (reply.status, reply.json["status"], reply.json["code"]) == (410, "failed", "unsupported_audio")
    plain = client.request("GET", target(ticket["url"]))
    assert (plain.status, set(plain.json)) == (410, {"code", "message"})
    assert uploads_left(cloud) == []


def test_storage_refuses_what_is_not_in_the_ticket(client: HttpClient, cloud: Cloud, account: Account) -> None:
    upload = ask(client, account, "a.wav")["upload"]
    small = LongWav(b"RIFF", bytes(10), 10)
    elsewhere = {**upload, "fields": {**upload["fields"], "key": "records/1/2/3.mp3"}}
    assert post_file(elsewhere, small) == 403
    forged = {**upload, "fields": {**upload["fields"], "x-amz-signature": "0" * 64}}
    assert post_file(forged, small) == 403
    assert uploads_left(cloud) == []
