"""The committed OpenAPI document is what the functions' routes and models make of it."""

from __future__ import annotations

import json

import pytest

from scripts import openapi


def test_the_committed_document_is_not_stale() -> None:
    committed = openapi.DOCUMENT.read_text(encoding="utf-8")
    assert committed == openapi.text(), "run `make openapi` and commit what it writes"


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/users", "post", {200, 201, 400, 403, 409, 415, 422, 429, 503}),
        ("/users", "get", {200, 401, 422, 503}),
        ("/users", "delete", {202, 401, 422, 503}),
        ("/erasure", "get", {200, 202, 404, 422, 503}),
        ("/users/token", "post", {200, 400, 401, 415, 422, 503}),
        ("/records", "get", {200, 401, 422, 503}),
        ("/record", "patch", {200, 400, 401, 404, 415, 422, 503}),
        ("/record", "delete", {204, 401, 404, 422, 503}),
        ("/records", "post", {200, 201, 400, 401, 403, 409, 413, 415, 422, 429, 503}),
        ("/uploads", "post", {200, 201, 400, 401, 403, 409, 413, 415, 422, 429, 503}),
        ("/record", "get", {200, 202, 206, 302, 303, 304, 404, 410, 416, 422, 503}),
        ("/record", "head", {200, 202, 303, 304, 404, 410, 422, 503}),
    ],
)
def test_every_status_of_the_contract_is_described(path: str, method: str, statuses: set[int]) -> None:
    operation = openapi.document()["paths"][path][method]
    assert {int(status) for status in operation["responses"]} == statuses
    assert all("x-request-id" in answer["headers"] for answer in operation["responses"].values())


def test_every_reference_leads_somewhere() -> None:
    document = openapi.document()
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names == set(document["components"]["schemas"])


def test_only_what_needs_a_token_asks_for_one() -> None:
    public = {
        operation["operationId"]
        for operations in openapi.document()["paths"].values()
        for operation in operations.values()
        if operation["security"] == []
    }
    assert public == {"createUser", "getRecord", "headRecord", "getErasure"}
