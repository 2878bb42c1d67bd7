"""The contract over `sam local start-api`, as `make sam-local` runs it: the functions in containers, with their layers.

`make test-sam-local` runs this module; by its name it is no part of `make test`, which needs no Docker. Where no image
can be pulled, .ci/docker-engine and .ci/lambda-image bring what it needs.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from local.process import free_port
from local.sam import ROOT, CloudError
from local.sam_local import check_docker, start_api
from tests.support import wavs
from tests.support.client import Account, HttpClient, form
from tests.support.contract import *  # noqa: F403


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where `make sam-local` runs, once it says that it is ready. What it says is kept in .local/sam-local.log."""
    try:
        check_docker()
    except CloudError as error:
        pytest.exit(str(error), returncode=1)
    port, log = free_port(), ROOT / ".local/sam-local.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "local.sam_local", "--port", str(port), "--storage-port", str(free_port())]
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        ready = f"\nAPI: http://127.0.0.1:{port}\n"
        while process.poll() is None and ready not in log.read_text():
            time.sleep(0.5)
        assert ready in log.read_text(), log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(60)
    assert (status, containers()) == (0, [])


def containers() -> list[str]:
    """The containers of this folder's functions."""
    command = ["docker", "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Mounts}}"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if str(ROOT) in line]


@pytest.fixture(scope="module")
def client(address: str) -> HttpClient:
    return HttpClient(address)


def test_the_link_downloads(address: str, client: HttpClient, account: Account, record: dict[str, Any]) -> None:
    assert record["url"] == f"{address}/record?id={record['id']}&user={account.id}"
    reply = client.request("GET", record["url"])
    assert (reply.status, reply.headers["content-type"]) == (200, "audio/mpeg")
    assert hashlib.sha256(reply.body).hexdigest() == record["mp3"]["sha256"]


def test_a_bare_start_api(record: dict[str, Any]) -> None:
    """With samconfig.toml and env.json alone, beside `make sam-local`: the same tables, the same storage."""
    link = target(record["url"])  # noqa: F405
    with start_api(port := free_port(), [("GET", link, 200)]):
        reply = HttpClient(f"http://127.0.0.1:{port}").request("GET", link)
    assert hashlib.sha256(reply.body).hexdigest() == record["mp3"]["sha256"]


def test_an_upload_turns_ready(client: HttpClient, account: Account) -> None:
    """The storage's event reaches the converter in its container; what it made is served by a signed address."""
    second = wavs.pcm(wavs.tone(wavs.RATE))
    audio = wavs.wav(wavs.fmt(), 600 * second)  # long enough for an MP3 past the 4 MiB that the link serves itself
    ticket = post_json(client, "/uploads", {"user_id": account.id, "name": "lecture.wav"}, account.bearer).json  # noqa: F405
    fields = [(name, None, value.encode()) for name, value in ticket["upload"]["fields"].items()]
    reply = client.request("POST", ticket["upload"]["url"], *form(*fields, ("file", "lecture.wav", audio)))
    assert reply.status == 204
    record = settled(client, ticket["url"])
    assert (record["status"], record["duration"]) == ("ready", 600.0)

    redirect = client.request("GET", ticket["url"])
    assert (redirect.status, redirect.headers["cache-control"]) == (302, "no-store")
    mp3 = client.request("GET", redirect.headers["location"])
    assert hashlib.sha256(mp3.body).hexdigest() == record["mp3"]["sha256"]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PATH": "/nowhere"}, "Docker is not installed"),
        ({"DOCKER_HOST": "unix:///nowhere/docker.sock"}, "Docker is installed, but it is not running"),
    ],
)
def test_without_docker(environment: dict[str, str], message: str) -> None:
    """It says what is missing and what to do, at once, and changes nothing."""
    command = [sys.executable, "-m", "local.sam_local"]
    environment = {**os.environ, **environment}
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert "`make run` runs the service without Docker." in done.stderr


def settled(client: HttpClient, url: str) -> dict[str, Any]:
    """The record as JSON, once it is pending no more."""
    for _ in range(120):
        reply = client.request("GET", url, {"Accept": "application/json"})
        if reply.status != 202:
            break
        time.sleep(1)
    record: dict[str, Any] = reply.json
    return record
