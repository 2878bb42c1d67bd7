"""Behind cdn.yaml's CloudFront: what the API refuses, whose address it sees, and the addresses that it signs."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from samtranslator.yaml_helper import yaml_parse

from records import cdn, settings, storage
from tests.conftest import ROOT
from tests.support.client import EventClient

SECRET = "s" * 32
URL = "https://d111111abcdef8.cloudfront.net"
KEY = "records/6312894417265/bff281a0-d6a0-49d9-8557-cd5e66828a05/0/3f.mp3"
DISPOSITION = "attachment; filename=\"a b.mp3\"; filename*=UTF-8''%D0%B0.mp3"
SIGN_UP = ("POST", "/users", {"Content-Type": "application/json"}, '{"name": "user1"}')


@pytest.fixture
def behind(client: EventClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventClient]:
    monkeypatch.setenv("CDN_SECRET", SECRET)
    monkeypatch.setenv("PUBLIC_URL", URL)
    settings.settings.cache_clear()
    yield client
    settings.settings.cache_clear()


@pytest.mark.parametrize("headers", [{}, {"x-cdn-secret": "wrong"}, {"x-cdn-secret": "\u0441" * 32}])
def test_the_api_s_own_address_is_closed(behind: EventClient, headers: dict[str, str]) -> None:
    method, target, sent, body = SIGN_UP
    reply = behind.request(method, target, sent | headers, body)
    assert (reply.status, reply.json) == (
        403,
        {"code": "wrong_address", "message": f"This address is not open to clients. Use {URL} instead."},
    )


def test_through_cloudfront(behind: EventClient) -> None:
    method, target, sent, body = SIGN_UP
    assert behind.request(method, target, sent | {"x-cdn-secret": SECRET}, body).status == 201


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.9, 64.252.0.1", "203.0.113.9"),
        ("10.0.0.1, 192.0.2.7, 203.0.113.9,64.252.0.1", "203.0.113.9"),  # the first two are the client's own claim
        ("64.252.0.1", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_the_address_of_the_client(behind: EventClient, forwarded: str, address: str) -> None:
    context = {"http": {"sourceIp": "127.0.0.1"}}
    event = {"headers": {"x-forwarded-for": forwarded}, "requestContext": context}
    assert cdn.with_client_address(event)["requestContext"]["http"]["sourceIp"] == address


def test_without_cloudfront_a_client_claims_no_address(client: EventClient) -> None:
    event = {"headers": {"x-forwarded-for": "1.2.3.4, 5.6.7.8"}, "requestContext": {"http": {"sourceIp": "127.0.0.1"}}}
    assert cdn.with_client_address(event) is event


def checked(address: str, tmp_path: Path, **changes: str) -> dict[str, Any]:
    """What cdn.yaml's function makes of a request for an address, run by Node.js."""
    node = shutil.which("node") or str(driver())
    source = yaml_parse((ROOT / "cdn.yaml").read_text())["Resources"]["CheckSignature"]["Properties"]["FunctionCode"]
    code = source["Fn::Sub"].replace("${CdnSecret}", SECRET)
    parts = urlsplit(address)
    pairs = (pair.partition("=") for pair in parts.query.split("&"))  # CloudFront does not decode them
    query = {name: {"value": value} for name, _, value in pairs}
    query |= {name: {"value": value} for name, value in changes.items() if name not in ("uri", "method")}
    event = {
        "request": {
            "method": changes.get("method", "GET"),
            "uri": changes.get("uri", parts.path),
            "querystring": query,
        }
    }
    script = tmp_path / "function.mjs"
    script.write_text(f"{code}\nconsole.log(JSON.stringify(handler({json.dumps(event)})));")
    done = subprocess.run([node, str(script)], capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def driver() -> Path:
    """The Node.js that Playwright brings along."""
    import playwright

    return Path(playwright.__file__).parent / "driver/node"


REFUSED = {"statusCode": 403, "statusDescription": "Forbidden"}


def test_a_signed_address(behind: EventClient, tmp_path: Path) -> None:
    address = storage.signed_get(KEY, DISPOSITION)
    parts = urlsplit(address)
    assert (f"{parts.scheme}://{parts.netloc}", unquote(parts.path)) == (URL, f"/{KEY}")
    query = dict(parse_qsl(parts.query, strict_parsing=True))
    assert query["response-content-type"] == "audio/mpeg"
    assert query["response-content-disposition"] == DISPOSITION
    assert 3590 < int(query["expires"]) - time.time() <= 3600
    assert checked(address, tmp_path)["uri"] == f"/{KEY}"


@pytest.mark.parametrize(
    "changes",
    [
        {"uri": f"/{KEY[:-6]}40.mp3"},
        {"expires": "9999999999"},
        {"response-content-disposition": "inline"},
        {"signature": "0" * 64},
        {"signature": ""},
    ],
    ids=str,
)
def test_a_changed_address_is_refused(behind: EventClient, changes: dict[str, str], tmp_path: Path) -> None:
    assert checked(storage.signed_get(KEY, DISPOSITION), tmp_path, **changes) == REFUSED


def test_an_expired_address_is_refused(behind: EventClient, tmp_path: Path) -> None:
    assert checked(cdn.signed_get(KEY, DISPOSITION, seconds=-1), tmp_path) == REFUSED
