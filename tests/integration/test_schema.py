"""Requests made out of the project's own OpenAPI document, valid and not: every answer is one that it describes.

EXAMPLES an operation; `make soak` runs it with 500.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
import urllib3
from hypothesis import HealthCheck, settings
from requests.adapters import BaseAdapter, HTTPAdapter
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from records.forms import WAV_TYPES
from scripts.openapi import DOCUMENT
from tests.integration.conftest import moto_cloud
from tests.support.client import Account, EventClient, send, sign_up
from tests.support.wavs import fmt, pcm, tone, wav

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "40"))
BASE = "http://functions.example"

# What is right is more than a schema can say (a byte string that is a WAV, an address that exists), and a wrong token
# beside a right Authorization header is not looked at. `ignored_auth` makes requests of its own to a host that is not
# there; tests/support/contract.py asks each of these operations without a token and with a stranger's.
NOT_FOR_A_SCHEMA = [positive_data_acceptance, negative_data_rejection, ignored_auth]


@schemathesis.serializer(*sorted(WAV_TYPES))
def as_bytes(_: object, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


schema = schemathesis.openapi.from_path(DOCUMENT)
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


class FunctionsAdapter(BaseAdapter):
    """Lets `requests` talk to the functions."""

    def __init__(self) -> None:
        super().__init__()
        self.client = EventClient()

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        body: Any = request.body
        if body is not None and not isinstance(body, str | bytes):
            body = b"".join(body) if not hasattr(body, "read") else body.read()
        headers = {
            str(name): value if isinstance(value, str) else value.decode("latin-1")
            for name, value in request.headers.items()
        }
        reply = self.client.request(str(request.method), str(request.url).removeprefix(BASE), headers, body)
        raw = urllib3.HTTPResponse(
            io.BytesIO(reply.body), reply.headers, reply.status, preload_content=False, request_method=request.method
        )
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def session(ffmpeg: str) -> Iterator[requests.Session]:
    with moto_cloud(ffmpeg), requests.Session() as session:
        session.mount(BASE, FunctionsAdapter())
        yield session


@pytest.fixture(scope="module")
def account(session: requests.Session) -> Account:
    return sign_up(EventClient())


@pytest.fixture(scope="module")
def record(account: Account) -> dict[str, Any]:
    made: dict[str, Any] = send(EventClient(), account, wav(fmt(), pcm(tone()))).json
    return made


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_described(
    case: schemathesis.Case[Any], session: requests.Session, account: Account, record: dict[str, Any]
) -> None:
    # Half of what is asked is asked by somebody who may, of a record that is there: else all answers were 401 or 404.
    if isinstance(case.body, dict) and isinstance(case.body.get("user_id"), int) and len(str(case.body)) % 2:
        case.body["user_id"] = account.id
        case.headers["Authorization"] = f"Bearer {account.token}"
    if case.method == "GET" and case.path in ("/records", "/users") and len(str(case.query)) % 2:
        case.query["user_id"] = account.id
        case.headers["Authorization"] = f"Bearer {account.token}"
    if case.path == "/record" and len(str(case.query)) % 2:
        case.query |= {"id": record["id"], "user": account.id}
    response = case.call(base_url=BASE, session=session)
    assert response.status_code != 500
    case.validate_response(response, excluded_checks=NOT_FOR_A_SCHEMA)
