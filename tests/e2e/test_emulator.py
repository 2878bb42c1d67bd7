"""The local cloud holds against other programs' web pages, slow clients, many connections and its own sudden end."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from local.cloud import BUCKET, STACK, Cloud
from local.process import free_port
from local.sam import REGION, ROOT
from tests.e2e.test_long_recordings import ask, music, post_file, riff, wait
from tests.support.client import Account, HttpClient, Reply, form, send, sign_up
from tests.support.wavs import sample

INLINE_FUNCTION = """
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties: {AssumeRolePolicyDocument: {Version: "2012-10-17", Statement: []}}
"""


@pytest.fixture(scope="module")
def account(client: HttpClient) -> Account:
    return sign_up(client)


@pytest.fixture(scope="module")
def record(client: HttpClient, account: Account) -> dict[str, Any]:
    reply = send(client, account, sample(1))
    assert reply.status == 201, reply
    found: dict[str, Any] = reply.json
    return found


def aws_port(cloud: Cloud) -> HttpClient:
    return HttpClient(cloud.client("s3").meta.endpoint_url)


def create_stack(client: HttpClient, path: str, headers: dict[str, str]) -> Reply:
    body = urlencode({"Action": "CreateStack", "StackName": "intruder", "TemplateBody": INLINE_FUNCTION})
    return client.request("POST", path, {"Content-Type": "application/x-www-form-urlencoded", **headers}, body)


def signed(url: str, key: str, secret: str, service: str, data: str) -> dict[str, str]:
    request = AWSRequest(method="POST", url=url, data=data)
    SigV4Auth(Credentials(key, secret), service, REGION).add_auth(request)
    return dict(request.headers)


def stacks(cloud: Cloud) -> set[str]:
    return {stack["StackName"] for stack in cloud.client("cloudformation").describe_stacks()["Stacks"]}


# --- What a web page may not do --------------------------------------------------------------------------------------

UNCHECKED = (
    "AWS4-HMAC-SHA256 Credential={}/20261123/us-east-1/cloudformation/aws4_request, SignedHeaders=host, Signature=0"
)


@pytest.mark.parametrize("path", ["/", f"/{BUCKET}", f"/{BUCKET}/x", "/records"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": UNCHECKED.format("test")},
        {"Authorization": UNCHECKED.format("000000000000")},
        {"X-Amz-Target": "CloudFormation.CreateStack"},
        {"X-Amz-Target": "DynamoDB_20120810.ListTables", "Authorization": UNCHECKED.format("test")},
        {"Authorization": "AWS test:0"},
        {},
    ],
)
def test_no_aws_on_the_public_port(cloud: Cloud, client: HttpClient, path: str, headers: dict[str, str]) -> None:
    reply = create_stack(client, path, headers)
    assert reply.status in (400, 401, 403, 404, 405, 415, 422), reply
    assert reply.status == 403 or not headers
    assert stacks(cloud) == {STACK}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "s3.localhost:{port}", ""])
def test_another_hosts_name_is_refused(cloud: Cloud, client: HttpClient, host: str) -> None:
    """A page of another site whose name turned into this machine's address (DNS rebinding)."""
    host = host.format(port=cloud.port)
    for place in (client, aws_port(cloud)):
        assert place.request("GET", "/", {"Host": host}).status == 421
    assert client.request("GET", "/", {"Host": f"localhost:{cloud.port}"}).status == 200


def test_no_websocket(cloud: Cloud) -> None:
    """No page needs anybody's leave to open one."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "a" * 22 + "==",
    }
    for place in (HttpClient(cloud.url), aws_port(cloud)):
        for path in ("/", "/_aws/execute-api/x/y", "/graphql/realtime"):
            assert place.request("GET", path, upgrade).status in (403, 421)


@pytest.mark.parametrize(
    ("key", "secret"),
    [("test", "test"), ("000000000000", "test"), ("000000000000", ""), ("AKIAIOSFODNN7EXAMPLE", "test"), ("", "test")],
)
def test_the_aws_port_wants_a_key_of_this_run(cloud: Cloud, key: str, secret: str) -> None:
    place = aws_port(cloud)
    url = place.base.geturl()
    body = urlencode({"Action": "CreateStack", "StackName": "intruder", "TemplateBody": INLINE_FUNCTION})
    headers = signed(url, key or "x", secret or "x", "cloudformation", body)
    if not key:
        headers.pop("Authorization")
    reply = place.request("POST", "/", {"Content-Type": "application/x-www-form-urlencoded", **headers}, body)
    assert reply.status == 403, reply
    assert "access-control-allow-origin" not in reply.headers
    assert stacks(cloud) == {STACK}


def test_the_aws_port_checks_the_signature_of_the_right_key(cloud: Cloud) -> None:
    place, key = aws_port(cloud), cloud.credentials["AWS_ACCESS_KEY_ID"]
    headers = signed(
        f"{place.base.geturl()}/", key, "another secret", "sts", "Action=GetCallerIdentity&Version=2011-06-15"
    )
    assert place.request("POST", "/", headers, "Action=GetCallerIdentity&Version=2011-06-15").status == 403
    right = signed(f"{place.base.geturl()}/", key, cloud.credentials["AWS_SECRET_ACCESS_KEY"], "sts", "Action=A")
    assert place.request("POST", "/", right, "Action=GetCallerIdentity&Version=2011-06-15").status == 403


@pytest.mark.parametrize("path", ["/_ministack/reset", "/_ministack/config", "/_aws/ses/messages", "/", f"/{BUCKET}"])
def test_the_aws_port_is_of_no_use_to_a_page(cloud: Cloud, path: str) -> None:
    """A simple request, and the question that a browser asks before any other."""
    place = aws_port(cloud)
    page = {"Origin": "https://evil.example"}
    asked = place.request("OPTIONS", path, {**page, "Access-Control-Request-Headers": "authorization"})
    for reply in (asked, place.request("POST", path, page, "{}"), place.request("GET", path, page)):
        assert (reply.status, "access-control-allow-origin" in reply.headers) == (403, False), reply


def test_the_keys_of_functions_cannot_be_guessed(cloud: Cloud, client: HttpClient, account: Account) -> None:
    """MiniStack makes them of the names of a function's version and its role, which are the same everywhere."""
    ticket = ask(client, account, "a.wav")
    used = ticket["upload"]["fields"]["x-amz-credential"].partition("/")[0]
    guesses = set()
    for function in cloud.client("lambda").list_functions()["Functions"]:
        for version in ("", ":1", ":2"):
            names = f"{function['FunctionArn']}{version}:{function['Role']}"
            guesses.add(f"ASIA{hashlib.sha256(names.encode()).hexdigest()[:16].upper()}")
    assert used not in guesses
    assert len(guesses) >= 18


# --- The bucket's objects --------------------------------------------------------------------------------------------


@pytest.fixture
def stored(cloud: Cloud) -> Iterator[str]:
    """The key of an object."""
    cloud.client("s3").put_object(Bucket=BUCKET, Key="tests/object", Body=b"content")
    yield "tests/object"
    cloud.client("s3").delete_object(Bucket=BUCKET, Key="tests/object")


def presigned(cloud: Cloud, operation: str, **parameters: Any) -> str:
    """The path and query, for the public port, of an operation on the bucket."""
    with_public_address = boto3.client(
        "s3",
        endpoint_url=cloud.url,
        region_name=REGION,
        aws_access_key_id=cloud.credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=cloud.credentials["AWS_SECRET_ACCESS_KEY"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    address = with_public_address.generate_presigned_url(operation, Params={"Bucket": BUCKET, **parameters})
    with_public_address.close()
    return str(address).removeprefix(cloud.url)


def test_a_signed_address_is_good_for_what_was_signed(cloud: Cloud, client: HttpClient, stored: str) -> None:
    get = presigned(cloud, "get_object", Key=stored)
    assert (client.request("GET", get).status, client.request("GET", get).body) == (200, b"content")
    assert client.request("HEAD", presigned(cloud, "head_object", Key=stored)).status == 200
    assert client.request("GET", presigned(cloud, "list_objects_v2")).status == 403  # of the bucket, not an object
    path, _, query = get.partition("?")
    pairs = parse_qsl(query)
    for name, _ in pairs:
        less = [pair for pair in pairs if pair[0] != name]
        assert client.request("GET", f"{path}?{urlencode(less)}").status in (400, 403), name
        other = [
            (key, ("1" if key == "X-Amz-Expires" else f"x{value[1:]}") if key == name else value)
            for key, value in pairs
        ]
        assert client.request("GET", f"{path}?{urlencode(other)}").status in (400, 403), name
        assert client.request("GET", f"{get}&{name}=x").status in (400, 403), name
        assert (
            client.request("GET", f"{path}?{urlencode([(key.lower(), value) for key, value in pairs])}").status == 403
        )
    for target in (path, f"/{BUCKET}", f"/{BUCKET}/?list-type=2", get.replace("object", "other", 1), f"{get}&acl"):
        assert client.request("GET", target).status == 403, target
    for method in ("PUT", "POST", "DELETE", "PATCH", "HEAD"):
        assert client.request(method, get).status == 403, method
    copy = {"X-Amz-Copy-Source": f"/{BUCKET}/{stored}"}
    assert client.request("GET", get, copy).status == 403


def test_only_parts_are_put(cloud: Cloud, client: HttpClient) -> None:
    storage = cloud.client("s3")
    assert client.request("PUT", presigned(cloud, "put_object", Key="tests/whole"), {}, b"content").status == 403
    upload = storage.create_multipart_upload(Bucket=BUCKET, Key="tests/parts")["UploadId"]
    put = presigned(cloud, "upload_part", Key="tests/parts", UploadId=upload, PartNumber=1)
    assert client.request("PUT", put.replace("partNumber=1", "partNumber=2"), {}, b"content").status == 403
    copy = {"X-Amz-Copy-Source": f"/{BUCKET}/tests/other"}
    assert client.request("PUT", put, copy).status == 403
    reply = client.request("PUT", put, {}, b"content")
    assert (reply.status, reply.headers["etag"]) == (200, f'"{hashlib.md5(b"content").hexdigest()}"')  # noqa: S324
    storage.abort_multipart_upload(Bucket=BUCKET, Key="tests/parts", UploadId=upload)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: {"key": "tests/form"},
        lambda fields: {**fields, "x-amz-signature": "0" * 64},
        lambda fields: {name: value for name, value in fields.items() if name != "x-amz-signature"},
        lambda fields: {name: value for name, value in fields.items() if name != "policy"},
        lambda fields: {**fields, "key": "records/1/2/3.mp3"},
        lambda fields: {**fields, "x-amz-credential": fields["x-amz-credential"].replace("AKIA", "AKIB")},
        lambda fields: {"key": "tests/form", "awsaccesskeyid": "test", "signature": "x", "policy": fields["policy"]},
    ],
)
def test_a_form_must_be_signed(cloud: Cloud, client: HttpClient, change: Any) -> None:
    storage = cloud.client("s3")
    fields = storage.generate_presigned_post(BUCKET, "tests/form")["fields"]

    def post(fields: dict[str, str]) -> int:
        parts = [(name, None, value.encode()) for name, value in fields.items()]
        headers, body = form(*parts, ("file", "a.wav", b"content"))
        return client.request("POST", f"/{BUCKET}", headers, body).status

    assert post(change(fields)) in (400, 403)
    assert "Contents" not in storage.list_objects_v2(Bucket=BUCKET, Prefix="tests/form")
    assert post(fields) == 204
    storage.delete_object(Bucket=BUCKET, Key="tests/form")


def test_a_page_may_ask_before_it_sends(client: HttpClient) -> None:
    page = {"Origin": "https://records.example", "Access-Control-Request-Method": "POST"}
    reply = client.request("OPTIONS", f"/{BUCKET}", page)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "*")


# --- Many and slow clients -------------------------------------------------------------------------------------------


def test_slow_senders_hold_up_nobody(
    cloud: Cloud, client: HttpClient, account: Account, record: dict[str, Any]
) -> None:
    """More of them than requests run at once, each with half of its body sent."""
    audio = sample(1)
    headers = f"Content-Type: audio/wav\r\nAuthorization: Bearer {account.token}\r\nContent-Length: {len(audio)}\r\n"
    start = f"POST /records?user_id={account.id} HTTP/1.1\r\nHost: 127.0.0.1:{cloud.port}\r\n{headers}\r\n".encode()
    slow = [socket.create_connection(("127.0.0.1", cloud.port)) for _ in range(32)]
    try:
        for connection in slow:
            connection.sendall(start + audio[: len(audio) // 2])
        time.sleep(0.5)
        assert HttpClient(cloud.url, timeout=20).request("GET", record["url"]).status == 200
        for connection in slow[:2]:
            connection.sendall(audio[len(audio) // 2 :])
            answered = http.client.HTTPResponse(connection)
            answered.begin()
            assert answered.status == 201
    finally:
        for connection in slow:
            connection.close()


def test_what_the_api_takes_at_most(client: HttpClient, account: Account) -> None:
    """HTTP API: 10 MB."""
    headers = {"Content-Type": "audio/wav", **account.bearer}
    reply = client.request("POST", f"/records?user_id={account.id}", headers, bytes(10 * 2**20 + 1))
    assert (reply.status, reply.json) == (413, {"message": "Request Entity Too Large"})


def ask_until_it_can(client: HttpClient, headers: dict[str, str], body: str) -> dict[str, Any]:
    """The answer of POST /uploads, asked for again while it is 503: joining two gigabytes takes long."""
    for _ in range(20):
        reply = client.request("POST", "/uploads", headers, body)
        if reply.status != 503:
            break
        time.sleep(int(reply.headers["retry-after"]))
    assert reply.status in (200, 201), reply
    found: dict[str, Any] = reply.json
    return found


def test_parts_are_kept_on_the_disk(
    cloud: Cloud, client: HttpClient, account: Account, measured: Callable[[str], None]
) -> None:
    """256 MiB, with SOAK=1 2 GiB, in parts: sent, joined and converted, in little memory."""
    seconds = 180 if os.environ.get("SOAK") else 22
    wav = riff(384000, 8, 32, seconds, bytes(2**20))
    emulator = Path(f"/proc/{cloud._emulator.pid if cloud._emulator else 0}")
    (emulator / "clear_refs").write_text("5")  # the peak is counted from now on
    before = peak_memory(emulator)
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4()), **account.bearer}
    body = json.dumps({"user_id": account.id, "name": "a.wav", "bytes": wav.size})
    while upload := (asked := ask_until_it_can(client, headers, body)).get("upload"):
        for part in upload["parts"]:
            start = part["offset"]
            head = wav.head[start : start + part["bytes"]]
            content = head + bytes(part["bytes"] - len(head))
            assert client.request("PUT", part["url"], {}, content).status == 200
    reply = wait(client, asked["url"])
    assert (reply.status, reply.json["duration"], reply.json["wav"]["bytes"]) == (200, seconds, wav.size)
    peak = peak_memory(emulator)
    measured(
        f"{wav.size / 2**20:.0f} MiB sent in parts to the local cloud: the emulator's peak memory was "
        f"{peak / 1e6:.0f} MB, {before / 1e6:.0f} MB before"
    )
    assert peak < 400e6
    assert peak - before < 100e6


def peak_memory(process: Path) -> int:
    """VmHWM, in bytes."""
    [line] = [line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


FEW_FILES = """
import resource, sys
from pathlib import Path
from local.cloud import Cloud
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
with Cloud(0, Path(sys.argv[1]), report=lambda _: None) as cloud:
    print(cloud.port, flush=True)
    sys.stdin.read()
"""


def test_thousands_of_connections_where_few_files_may_be_open(own_cloud: Cloud | None, tmp_path: Path) -> None:
    """As under `ulimit -n 256`, with nothing but the client's end to close each connection."""
    if own_cloud is None:
        pytest.skip("starts a cloud")
    command = [sys.executable, "-c", FEW_FILES, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        missing = "/record?id=00000000-0000-4000-8000-000000000000&user=1"

        def ask_once(_: int) -> int:
            return HttpClient(f"http://127.0.0.1:{port}").request("GET", missing).status

        connections = 5000 if os.environ.get("SOAK") else 1000
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(ask_once, range(connections)))
        assert {status: found.count(status) for status in set(found)} == {404: connections}
        process.communicate()
    assert process.returncode == 0


def test_a_connection_ends_with_its_client(cloud: Cloud) -> None:
    """The emulator's side is closed when the client's is, not when the time to keep it alive is over."""

    def open_connections() -> int:
        """By /proc: established, or closed by the client only (states 1 and 8), on the public port."""
        local = f":{cloud.port:04X}"
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(fields[1].endswith(local) and fields[3] in ("01", "08") for fields in lines)

    before = open_connections()
    for _ in range(50):
        connection = http.client.HTTPConnection("127.0.0.1", cloud.port)
        connection.request("GET", "/", headers={"Host": "other.example"})
        connection.getresponse().read()
        connection.close()
    for _ in range(20):
        if open_connections() <= before:
            return
        time.sleep(0.05)
    pytest.fail(f"{open_connections()} of 50 connections are still open")


# --- A sudden end ----------------------------------------------------------------------------------------------------

UNTIL_TOLD = """
import signal, sys
from pathlib import Path
from local.cloud import Cloud
cloud = Cloud(int(sys.argv[1]), Path(sys.argv[2]), report=lambda _: None)
cloud.start()
cloud.deploy()
print(cloud._emulator.pid, flush=True)
sys.stdin.read()
cloud.stop()
"""


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_nothing_that_was_answered_is_lost(own_cloud: Cloud | None, how: str, tmp_path: Path) -> None:
    """Uploads that had arrived are converted after the next start; records answered with 201 are there."""
    if own_cloud is None:
        pytest.skip("starts and stops a cloud")
    port = free_port()
    command = [sys.executable, "-c", UNTIL_TOLD, str(port), str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    emulator = int(process.stdout.readline())
    client = HttpClient(f"http://127.0.0.1:{port}")
    account = sign_up(client)
    piece = music()
    uploads = []
    for number in range(4):
        ticket = ask(client, account, f"{number}.wav")
        assert post_file(ticket["upload"], riff(44100, 2, 16, 30, piece)) == 204
        uploads.append(ticket["url"])
    records = []
    for _ in range(5):
        reply = send(client, account, sample(1))
        assert reply.status == 201
        records.append(reply.json)
    if how == "killed":
        os.kill(emulator, signal.SIGKILL)
        process.kill()
    process.communicate()
    while Path(f"/proc/{emulator}").exists():
        time.sleep(0.01)
    with Cloud(port, tmp_path, report=lambda _: None):
        assert sign_up(client).id  # another user, by the same tables
        for record in records:
            reply = client.request("GET", record["url"])
            assert (reply.status, hashlib.sha256(reply.body).hexdigest()) == (200, record["mp3"]["sha256"])
        for url in uploads:
            reply = wait(client, url, 120)
            assert (reply.status, reply.json["status"], reply.json["duration"]) == (200, "ready", 30)
