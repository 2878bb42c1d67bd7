"""A client of the service, over HTTP or straight into the functions: the same tests run through either."""

from __future__ import annotations

import base64
import functools
import http.client
import importlib
import json
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.support.layers import ROOT

Body = bytes | str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client(Protocol):
    def request(self, method: str, target: str, headers: dict[str, str] | None = None, body: Body = None) -> Reply: ...


class HttpClient:
    """Real HTTP to a base address; follows no redirect, so that a test sees it."""

    def __init__(self, base_url: str, timeout: float = 60) -> None:
        self.base = urlsplit(base_url)
        self.timeout = timeout

    def request(self, method: str, target: str, headers: dict[str, str] | None = None, body: Body = None) -> Reply:
        address = urlsplit(target)
        host = address.netloc or self.base.netloc
        scheme = address.scheme or self.base.scheme
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        connection = kind(host, timeout=self.timeout)
        try:
            path = target[target.index(host) + len(host) :] if address.netloc else target
            data = body.encode() if isinstance(body, str) else body
            connection.request(method, path, body=data, headers=headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


@dataclass
class Context:
    """What Lambda passes to a function beside the event."""

    seconds: float = 29.0
    function_name: str = "function"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:function"
    aws_request_id: str = "00000000-0000-4000-8000-000000000000"

    def __post_init__(self) -> None:
        self._ends = time.monotonic() + self.seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._ends - time.monotonic()) * 1000)


@functools.cache
def routes() -> dict[tuple[str, str], str]:
    """The function of each method and path, as the template has them."""
    from samtranslator.yaml_helper import yaml_parse  # no part of the layer, in which this module is used, too

    template = yaml_parse((ROOT / "template.yaml").read_text())
    found = {}
    for resource in template["Resources"].values():
        for event in (resource.get("Properties") or {}).get("Events", {}).values():
            if event["Type"] == "HttpApi":
                code = resource["Properties"]["CodeUri"].rstrip("/").rpartition("/")[2]
                found[event["Properties"].get("Method"), event["Properties"].get("Path")] = code
    return found


def function(name: str) -> Any:
    """The module of a function."""
    return importlib.import_module(f"functions.{name}.app")


def http_event(method: str, target: str, headers: dict[str, str] | None = None, body: Body = None) -> dict[str, Any]:
    """The event of an HTTP API (payload format 2.0) for a request."""
    address = urlsplit(target)
    pairs: dict[str, str] = {}
    for name, value in parse_qsl(address.query, keep_blank_values=True):
        pairs[name] = f"{pairs[name]},{value}" if name in pairs else value
    lower = {key.lower(): value for key, value in (headers or {}).items()}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": f"{method} {address.path}",
        "rawPath": address.path,
        "rawQueryString": address.query,
        "headers": {"host": "api.example", **lower},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example",
            "http": {
                "method": method,
                "path": address.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "test",
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": f"{method} {address.path}",
            "stage": "$default",
            "time": "23/Nov/2026:10:00:00 +0000",
            "timeEpoch": 1795428000000,
        },
        "isBase64Encoded": False,
    }
    if pairs:
        event["queryStringParameters"] = pairs
    if body:
        text = isinstance(body, str) or lower.get("content-type", "").startswith(("application/json", "text/"))
        data = body.encode() if isinstance(body, str) else body
        event["body"] = data.decode("utf-8", "replace") if text else base64.b64encode(data).decode()
        event["isBase64Encoded"] = not text
    return event


class EventClient:
    """The functions themselves, with the events that API Gateway would make.

    One event at a time, as in each of Lambda's processes: what happens at once is for the tests over HTTP.
    """

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()

    def request(self, method: str, target: str, headers: dict[str, str] | None = None, body: Body = None) -> Reply:
        event = http_event(method, target, headers, body)
        name = routes().get((method, event["rawPath"]), "site")
        with self._one_at_a_time:
            answer = function(name).lambda_handler(event, Context())
        content = answer.get("body") or ""
        data = base64.b64decode(content) if answer.get("isBase64Encoded") else content.encode()
        found = {key.lower(): value for key, value in answer["headers"].items()}
        return Reply(answer["statusCode"], found, b"" if method == "HEAD" else data)


def form(*parts: tuple[str, str | None, bytes], boundary: str = "----boundary7MA4YWxk") -> tuple[dict[str, str], bytes]:
    """Headers and body of a multipart form; a part is (name, file name or None, content)."""
    body = b""
    for name, file_name, content in parts:
        named = f'; filename="{file_name}"' if file_name is not None else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode()
        body += content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, body


@dataclass(frozen=True, slots=True)
class Account:
    """A user that a test signed up."""

    id: int
    token: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def sign_up(client: Client, **fields: Any) -> Account:
    reply = client.request(
        "POST", "/users", {"Content-Type": "application/json"}, json.dumps({"name": "user1", **fields})
    )
    assert reply.status == 201, reply
    return Account(**reply.json)


def send(
    client: Client,
    account: Account,
    audio: bytes,
    name: str | None = None,
    key: str | None = None,
) -> Reply:
    """POST /records with the WAV's own bytes."""
    query = {"user_id": account.id} | ({"name": name} if name is not None else {})
    headers = {"Content-Type": "audio/wav", **account.bearer} | ({"Idempotency-Key": key} if key else {})
    return client.request("POST", f"/records?{urlencode(query)}", headers, audio)
