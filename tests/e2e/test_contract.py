"""The contract, over real HTTP, with requests that really happen at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.client import HttpClient
from tests.support.contract import *  # noqa: F403


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/records", "authorization,content-type,idempotency-key"),
        ("GET", "/record", "accept,authorization,prefer,range,if-range,if-none-match"),
        ("PATCH", "/record", "authorization,content-type"),
        ("DELETE", "/record", "authorization"),
    ],
)
def test_a_browser_may_send_what_a_client_sends(client: HttpClient, method: str, path: str, headers: str) -> None:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    reply = client.request("OPTIONS", path, {"Origin": "https://other.example", **asked})
    assert reply.status in (200, 204)
    assert reply.headers["access-control-allow-origin"] == "*"
    assert method in reply.headers["access-control-allow-methods"].split(",")
    allowed = reply.headers["access-control-allow-headers"].lower().split(",")
    assert {*headers.split(",")} <= {*allowed}
    assert reply.headers["access-control-max-age"] == "3600"


def test_a_response_of_the_function_keeps_its_vary(client: HttpClient, record: dict[str, Any]) -> None:
    reply = client.request("GET", target(record["url"]), {"Origin": "https://other.example"})  # noqa: F405
    assert (reply.headers["access-control-allow-origin"], reply.headers["vary"]) == ("*", "Accept")
