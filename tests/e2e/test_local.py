"""What `make run` promises: the printed lines work, the data are there the next time, what is wrong is said plainly."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import local.sam
from local.cloud import Cloud
from local.process import check_port, free_port
from local.run import curl_lines
from local.sam import BUILD, ROOT, CloudError
from tests.support.client import Account, HttpClient, form, send, sign_up
from tests.support.wavs import sample


def elsewhere(*_: object) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


@pytest.fixture(scope="module")
def again(own_cloud: Cloud | None) -> Iterator[tuple[Cloud, dict[str, Any], list[str]]]:
    """A cloud that was stopped and started again; a record from before; what it said the second time.

    As if its folder were on another filesystem than the project, which no hard link leads to."""
    if own_cloud is None:
        pytest.skip("starts and stops a cloud")
    with tempfile.TemporaryDirectory(prefix="records-e2e-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", elsewhere)
        port = free_port()
        with Cloud(port, Path(folder)) as cloud:
            client = HttpClient(cloud.url)
            account = sign_up(client)
            reply = send(client, account, sample(1), name="before.wav")
            assert reply.status == 201, reply
            record = {**reply.json, "token": account.token}
        said: list[str] = []
        with Cloud(port, Path(folder), report=said.append) as cloud:
            yield cloud, record, said


def test_the_data_are_there_the_next_time(again: tuple[Cloud, dict[str, Any], list[str]]) -> None:
    cloud, record, said = again
    client = HttpClient(cloud.url)
    assert said[1:] == ["Built already.", "Deployed already."]
    reply = client.request("GET", record["url"])
    assert (reply.status, hashlib.sha256(reply.body).hexdigest()) == (200, record["mp3"]["sha256"])
    account = Account(record["user"], record["token"])
    assert send(client, account, sample(1)).status == 201


@pytest.mark.parametrize("how", ["deleted", "expired"])
def test_audio_goes_with_its_row(again: tuple[Cloud, dict[str, Any], list[str]], how: str) -> None:
    """After a restart, too, and by expiry as by deletion (which the emulator looks for once a minute)."""
    cloud, record, _ = again
    made = send(HttpClient(cloud.url), Account(record["user"], record["token"]), sample(1)).json
    tables, table = cloud.client("dynamodb"), cloud.outputs["RecordsTableName"]
    key = {"user": {"N": str(made["user"])}, "id": {"S": made["id"]}}
    if how == "deleted":
        tables.delete_item(TableName=table, Key=key)
    else:
        past = {":past": {"N": str(int(time.time()) - 1)}}
        tables.update_item(
            TableName=table, Key=key, UpdateExpression="SET expires_at = :past", ExpressionAttributeValues=past
        )
    prefix = f"records/{made['user']}/{made['id']}/"
    for _ in range(180):
        listing = cloud.client("s3").list_objects_v2(Bucket=cloud.outputs["BucketName"], Prefix=prefix)
        if not listing.get("Contents"):
            return
        time.sleep(0.5)
    pytest.fail(f"{prefix} is still there")


def test_the_printed_lines_work(cloud: Cloud, tmp_path: Path) -> None:
    """Each in a shell of its own, as they may be pasted."""
    for line in curl_lines(cloud):
        assert line.startswith((f"curl -sS {cloud.url}/", 'curl -sSL "$('))
        subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    record = json.loads((cloud.folder / "record.json").read_text())
    mp3 = (tmp_path / "sample.mp3").read_bytes()
    assert (len(mp3), hashlib.sha256(mp3).hexdigest()) == (record["mp3"]["bytes"], record["mp3"]["sha256"])
    assert (record["duration"], record["channels"], record["sample_rate"]) == (3, 1, 44100)


def test_the_lines_of_the_readme_work(cloud: Cloud, tmp_path: Path) -> None:
    """Those under "Use it" with curl, pasted as they are, for another port."""
    for _ in curl_lines(cloud):
        pass  # writes the sample
    lines = (ROOT / "README.md").read_text().partition("## Use it")[2].partition("```sh\n")[2].partition("```")[0]
    lines = lines.replace("http://127.0.0.1:8000", cloud.url).replace(".local/8000", shlex.quote(str(cloud.folder)))
    subprocess.run(["bash", "-euc", lines], cwd=tmp_path, check=True)
    record = json.loads((tmp_path / "record.json").read_text())
    assert hashlib.sha256((tmp_path / "recording.mp3").read_bytes()).hexdigest() == record["mp3"]["sha256"]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CloudError, match=rf"Port {port} is in use.*\n.*make run PORT={port + 1}"):
            Cloud(port, tmp_path, report=lambda _: None).start()


def test_a_port_for_root_only_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may be root, to whom no port is refused."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(CloudError, match=r"Port 80 needs the rights of root.*\n.*: make run PORT=8000"):
        check_port(80, other="make run PORT=8000")


def test_sam_leaves_nothing_behind(own_cloud: Cloud | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes temporary folders and forgets them."""
    if own_cloud is None:
        pytest.skip("deploys to a cloud of its own")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own_cloud.deploy(BUILD / "sam/template.yaml", stamp="again")
    own_cloud.deploy()
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_came_later_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was built out of the wheel is built again once ffmpeg can be built from source, and not before."""
    for origin in ("source", "wheel"):
        monkeypatch.setattr(local.sam, "_origin", lambda _, origin=origin: origin)
        assert local.sam._is_right("wheel", "auto") == (origin == "wheel")
    assert local.sam._is_right("wheel", "kept")
    assert local.sam._is_right("source", "auto")
    assert not local.sam._is_right("source", "wheel")


@pytest.mark.parametrize(
    ("port", "words"), [("0", "0 is not a port"), ("70000", "70000 is not a port"), ("abc", "invalid int")]
)
def test_no_port(port: str, words: str) -> None:
    command = [sys.executable, "-m", "local.run", "--port", port]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode
    assert words in done.stderr


def test_a_large_form_arrives_whole(cloud: Cloud, client: HttpClient) -> None:
    """Larger than what the emulator holds in memory; under a key that no function looks at."""
    bucket, storage = cloud.outputs["BucketName"], cloud.client("s3")
    post = storage.generate_presigned_post(bucket, "tests/form", Conditions=[["content-length-range", 1, 12 * 2**20]])

    def upload(content: bytes) -> int:
        fields = [(name, None, value.encode()) for name, value in post["fields"].items()]
        headers, body = form(*fields, ("file", "a.wav", content))
        return client.request("POST", f"/{bucket}", headers, body).status

    audio = random.Random(0).randbytes(12 * 2**20)
    assert upload(audio) == 204
    assert storage.get_object(Bucket=bucket, Key="tests/form")["Body"].read() == audio
    assert upload(audio + b"1") == 400
    storage.delete_object(Bucket=bucket, Key="tests/form")


def test_a_large_object_is_read_in_ranges(cloud: Cloud) -> None:
    audio = random.Random(1).randbytes(9 * 2**20)
    bucket, storage = cloud.outputs["BucketName"], cloud.client("s3")
    storage.put_object(Bucket=bucket, Key="tests/large", Body=audio)
    for first, last in ((0, 0), (5, 2**20), (8 * 2**20, 9 * 2**20 - 1), (9 * 2**20 - 1, 10 * 2**20)):
        answer = storage.get_object(Bucket=bucket, Key="tests/large", Range=f"bytes={first}-{last}")
        assert answer["Body"].read() == audio[first : last + 1]
    assert storage.get_object(Bucket=bucket, Key="tests/large")["Body"].read() == audio
    storage.delete_object(Bucket=bucket, Key="tests/large")


def test_started_again_at_once(own_cloud: Cloud | None, tmp_path: Path) -> None:
    """While the one before, which was told to end, is still writing down its data."""
    if own_cloud is None:
        pytest.skip("starts and stops a cloud")
    port = free_port()
    program = (
        "import sys, time; from pathlib import Path; from local.cloud import Cloud;"
        "cloud = Cloud(int(sys.argv[1]), Path(sys.argv[2]), report=lambda _: None); cloud.start();"
        "print(cloud._emulator.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(port), str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        emulator = int(starter.stdout.readline())
        os.kill(emulator, signal.SIGSTOP)  # it ends slowly
        starter.kill()
    goes_on = threading.Timer(2, os.kill, (emulator, signal.SIGCONT))
    goes_on.start()
    second = Cloud(free_port(), tmp_path, report=lambda _: None)
    second.start()
    assert goes_on.finished.is_set()
    assert second.running()
    second.stop()


def test_the_emulator_ends_with_who_started_it(own_cloud: Cloud | None, tmp_path: Path) -> None:
    """Even when that one is killed and can stop nothing."""
    if own_cloud is None:
        pytest.skip("starts a cloud")
    program = (
        "import sys, time; from pathlib import Path; from local.cloud import Cloud;"
        "cloud = Cloud(0, Path(sys.argv[1]), report=lambda _: None); cloud.start();"
        "print(cloud._emulator.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        emulator = int(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
    for _ in range(200):
        try:
            os.kill(emulator, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the emulator lives on")
