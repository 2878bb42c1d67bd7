"""The HTTP contract, as tests that run over any client: the functions themselves, the local cloud, a deployed stack.

`tests/integration/test_contract.py` and `tests/e2e/test_contract.py` import every test of this module.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.support.client import Account, Client, Reply, form, send, sign_up
from tests.support.wavs import sample

JSON = {"Content-Type": "application/json"}
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
SIGN_IN_AGAIN = (
    "The user id and the token do not match. Send the token that POST /users returned, "
    "as 'Authorization: Bearer <token>'."
)
SEE_DETAILS = "Some fields are not valid. See details, fix them and try again."


def post_json(client: Client, path: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
    text = body if isinstance(body, bytes | str) else json.dumps(body)
    return client.request("POST", path, JSON | (headers or {}), text)


def assert_error(reply: Reply, status: int, code: str, message: str, details: Any = None) -> None:
    body = {"code": code, "message": message} | ({"details": details} if details is not None else {})
    assert (reply.status, reply.json) == (status, body)
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.headers["x-request-id"]


def assert_invalid(reply: Reply, *fields: str) -> None:
    """A 422 whose details name just these fields, each with a problem in words."""
    assert (reply.status, reply.json["code"], reply.json["message"]) == (422, "validation_failed", SEE_DETAILS)
    assert [item["field"] for item in reply.json["details"]] == list(fields)
    assert all(set(item) == {"field", "problem"} and item["problem"] for item in reply.json["details"])


@pytest.fixture(scope="module")
def wav() -> bytes:
    return sample()


@pytest.fixture
def account(client: Client) -> Account:
    return sign_up(client)


@pytest.fixture
def record(client: Client, account: Account, wav: bytes) -> dict[str, Any]:
    reply = send(client, account, wav, name='Запись №1 "тест".wav')
    assert reply.status == 201, reply
    body: dict[str, Any] = reply.json
    return body


def target(url: str) -> str:
    """A link's path and query, to be asked of whichever client a test has."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


# ---------------------------------------------------------------- POST /users


@pytest.mark.parametrize(
    "body",
    [
        {"name": "user1", "email": "User1@mail.ru"},
        {"name": "u"},
        {"name": "  Ann  ", "email": None},
        {"name": "я" * 200},
        {"name": "Zoë", "unknown": "ignored"},
        {"name": "👩\u200d🚀"},
    ],
)
def test_sign_up(client: Client, body: dict[str, Any]) -> None:
    if body.get("email"):
        body = body | {"email": f"{uuid.uuid4()}@mail.ru"}
    reply = post_json(client, "/users", body)
    assert reply.status == 201
    assert set(reply.json) == {"id", "token"}
    assert 1 <= reply.json["id"] < 2**53
    assert UUID4.fullmatch(reply.json["token"])
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"name": "   "}, ["name"]),
        ({"name": "a" * 201}, ["name"]),
        ({"name": 5}, ["name"]),
        ({"name": None}, ["name"]),
        ({"name": ["a"]}, ["name"]),
        ({"name": "a\u0000b"}, ["name"]),
        ({"name": "a\nb"}, ["name"]),
        ({"name": "a\u007fb"}, ["name"]),
        ({"name": "\u200b"}, ["name"]),
        ({"name": "\u3164"}, ["name"]),
        ({"name": "Ann\u202egpj"}, ["name"]),
        ('{"name": "\\ud800"}', ["name"]),
        ('{"name": "a", "name": "b"}', ["name"]),
        ({"name": "a", "email": ""}, ["email"]),
        ({"name": "a", "email": "nobody"}, ["email"]),
        ({"name": "a", "email": "a@b"}, ["email"]),
        ({"name": "a", "email": "a@b@c.ru"}, ["email"]),
        ({"name": "a", "email": "a b@c.ru"}, ["email"]),
        ({"name": "a", "email": 7}, ["email"]),
        ({"name": "a", "email": f"{'a' * 65}@b.ru"}, ["email"]),
        ({"name": "a", "email": f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 20}.ru"}, ["email"]),
        ({"name": "", "email": "x"}, ["name", "email"]),
        ([], ["body"]),
        ("null", ["body"]),
        ('"text"', ["body"]),
    ],
)
def test_sign_up_invalid(client: Client, body: Any, fields: list[str]) -> None:
    assert_invalid(post_json(client, "/users", body), *fields)


def test_media_types_in_any_case(client: Client, account: Account) -> None:
    for path, body in (("/users", {"name": "user1"}), ("/uploads", {"user_id": account.id, "name": "a.wav"})):
        for kind in ("Application/JSON", "application/JSON; Charset=UTF-8"):
            assert post_json(client, path, body, account.bearer | {"Content-Type": kind}).status == 201


@pytest.mark.parametrize("size", ["9" * 21, "9" * 5000, "-" + "9" * 5000, "1" + "0" * 400, "1e400"])
def test_number_of_any_size(client: Client, account: Account, size: str) -> None:
    body = f'{{"user_id": {account.id}, "name": "a.wav", "bytes": {size}}}'
    reply = post_json(client, "/uploads", body, account.bearer | {"Idempotency-Key": "k"})
    assert (reply.status, reply.json["code"]) in ((422, "validation_failed"), (413, "audio_too_large")), reply


@pytest.mark.parametrize("body", ["{", '{"name": "a"', "name=a", '{"name": NaN}', "[" * 100_000, "\ufeff", b"\xff{}"])
def test_sign_up_not_json(client: Client, body: Any) -> None:
    reply = post_json(client, "/users", body)
    assert (reply.status, reply.json["code"]) == (400, "malformed_request")
    assert set(reply.json) == {"code", "message"}


def test_sign_up_empty(client: Client) -> None:
    assert_error(post_json(client, "/users", ""), 400, "malformed_request", "The request has no body.")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "image/png"]
)
def test_sign_up_other_media_type(client: Client, kind: str) -> None:
    reply = client.request("POST", "/users", {"Content-Type": kind}, '{"name": "a"}')
    message = "Send the body as application/json, and name it in Content-Type."
    assert_error(reply, 415, "unsupported_media_type", message)


def test_email_is_unique_whatever_its_case(client: Client) -> None:
    email = f"{uuid.uuid4()}@Mail.ru"
    sign_up(client, email=email)
    message = "A user with this e-mail exists already. Use that user's token, or another e-mail."
    for twin in (email, email.upper(), email.lower()):
        assert_error(post_json(client, "/users", {"name": "b", "email": twin}), 409, "email_taken", message)


@pytest.mark.parametrize(
    ("one", "other"),
    [("straße", "STRASSE"), ("µ", "Μ"), ("ﬅ", "ST"), ("σας", "ΣΑΣ"), ("ｊｏｅ", "joe"), ("café", "CAFÉ")],
)
def test_email_is_unique_whatever_its_case_in_unicode(client: Client, one: str, other: str) -> None:
    number = uuid.uuid4().hex[:12]
    first, second = (post_json(client, "/users", {"name": "a", "email": f"{x}{number}@mail.ru"}) for x in (one, other))
    assert (first.status, second.status, second.json["code"]) == (201, 409, "email_taken")


def test_two_sign_ups_at_once_with_one_email(client: Client) -> None:
    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            body = {"name": "twin", "email": f"{uuid.uuid4()}@mail.ru"}
            replies = pool.map(lambda body: post_json(client, "/users", body), [body, body])
            assert sorted(reply.status for reply in replies) == [201, 409]


def test_sign_up_repeated(client: Client) -> None:
    """The answer was lost, or came twice: one account, one token."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"name": "Ann", "email": f"{uuid.uuid4()}@mail.ru"}
    first, second = (post_json(client, "/users", body, key) for _ in range(2))
    assert (first.status, second.status, second.json) == (201, 200, first.json)
    upper = {"Idempotency-Key": key["Idempotency-Key"].upper()}
    assert post_json(client, "/users", {**body, "name": " Ann "}, upper).json == first.json
    assert UUID4.fullmatch(first.json["token"])
    for other in ({**body, "name": "Bob"}, {"name": "Ann"}, {**body, "email": f"{uuid.uuid4()}@mail.ru"}):
        reply = post_json(client, "/users", other, key)
        assert (reply.status, reply.json["code"]) == (409, "idempotency_conflict")


def test_sign_ups_at_once_with_one_key(client: Client) -> None:
    for _ in range(5):
        key, body = {"Idempotency-Key": str(uuid.uuid4())}, {"name": "Ann", "email": f"{uuid.uuid4()}@mail.ru"}
        with ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda _, k=key, b=body: post_json(client, "/users", b, k), range(4)))
        assert sorted(reply.status for reply in replies) == [200, 200, 200, 201]
        assert len({reply.body for reply in replies}) == 1


@pytest.mark.parametrize(
    "key", ["", "a", "6e223112-58d4-1099-a5c8-6ad67487b3d1", "{6e223112-58d4-4099-a5c8-6ad67487b3d1}"]
)
def test_sign_up_key_invalid(client: Client, key: str) -> None:
    reply = post_json(client, "/users", {"name": "Ann"}, {"Idempotency-Key": key})
    assert_invalid(reply, "Idempotency-Key")


# ---------------------------------------------------------------- GET /users, POST /users/token


def test_account(client: Client, wav: bytes) -> None:
    email = f"{uuid.uuid4()}@mail.ru"
    account = sign_up(client, email=email)
    records = [send(client, account, wav).json for _ in range(2)]
    post_json(client, "/uploads", {"user_id": account.id, "name": "pending.wav"}, account.bearer)
    reply = client.request("GET", f"/users?user_id={account.id}", account.bearer)
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
    assert reply.json == {
        "id": account.id,
        "name": "user1",
        "email": email,
        "created_at": reply.json["created_at"],
        "usage": {
            "recordings": 2,
            "seconds": pytest.approx(sum(record["duration"] for record in records), abs=0.001),
            "mp3_bytes": sum(record["mp3"]["bytes"] for record in records),
        },
        "limits": reply.json["limits"],
    }
    assert set(reply.json["limits"]) == {"daily_seconds", "stored_seconds"}
    assert "email" not in client.request("GET", f"/users?user_id={(other := sign_up(client)).id}", other.bearer).json


def replace_token(client: Client, account: Account, key: str = "1") -> Reply:
    return post_json(client, "/users/token", {"user_id": account.id}, {**account.bearer, "Idempotency-Key": key})


def test_replace_token(client: Client, account: Account) -> None:
    reply = replace_token(client, account)
    assert (reply.status, reply.json) == (200, {"id": account.id, "token": reply.json["token"]})
    assert UUID4.fullmatch(reply.json["token"])
    assert reply.json["token"] != account.token
    new = Account(account.id, reply.json["token"])
    # The old token may only repeat that very request.
    assert client.request("GET", f"/users?user_id={account.id}", new.bearer).status == 200
    old = client.request("GET", f"/users?user_id={account.id}", account.bearer)
    assert_error(old, 401, "invalid_credentials", SIGN_IN_AGAIN)
    assert (replace_token(client, account).status, replace_token(client, account).json) == (200, reply.json)
    assert_error(replace_token(client, account, "2"), 401, "invalid_credentials", SIGN_IN_AGAIN)
    newest = replace_token(client, new, "3")
    assert newest.status == 200
    # Now it is one token too old even for that.
    assert replace_token(client, account).status == 401
    assert replace_token(client, new, "3").json == newest.json


def test_replace_token_at_once(client: Client, account: Account) -> None:
    """With one key all get the same token; with two keys one of them wins."""
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda number: replace_token(client, account, str(number % 2)), range(6)))
    tokens = {reply.json["token"] for reply in replies if reply.status == 200}
    assert (len(tokens), {reply.status for reply in replies}) == (1, {200, 401})
    assert client.request("GET", f"/users?user_id={account.id}", Account(account.id, tokens.pop()).bearer).status == 200


def test_sign_up_repeated_after_its_token_was_replaced(client: Client) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    account = Account(**post_json(client, "/users", {"name": "Ann"}, key).json)
    assert replace_token(client, account).status == 200
    reply = post_json(client, "/users", {"name": "Ann"}, key)
    assert (reply.status, reply.json["code"]) == (409, "idempotency_conflict")


def test_replace_token_invalid(client: Client, account: Account) -> None:
    body = {"user_id": account.id}
    assert_invalid(post_json(client, "/users/token", body, account.bearer), "Idempotency-Key")
    key = {"Idempotency-Key": "1"}
    assert_invalid(post_json(client, "/users/token", {}, {**account.bearer, **key}), "user_id")
    assert_error(post_json(client, "/users/token", body, key), 401, "invalid_credentials", SIGN_IN_AGAIN)


@pytest.mark.parametrize("path", ["/users", "/records"])
def test_owner_only(client: Client, account: Account, path: str) -> None:
    stranger = sign_up(client)
    for headers in ({}, stranger.bearer, {"Authorization": "Bearer x"}):
        reply = client.request("GET", f"{path}?user_id={account.id}", headers)
        assert_error(reply, 401, "invalid_credentials", SIGN_IN_AGAIN)
        assert reply.headers["www-authenticate"] == "Bearer"
    for query in ("", "?user_id=", "?user_id=x", "?user_id=-1", f"?user_id={'9' * 17}"):
        assert_invalid(client.request("GET", f"{path}{query}", account.bearer), "user_id")


# ---------------------------------------------------------------- GET /records


def pages(client: Client, account: Account, query: str = "") -> list[list[dict[str, Any]]]:
    """Every page of a user's list, by its `next` links."""
    found, following = [], f"/records?user_id={account.id}{query}"
    while following:
        reply = client.request("GET", following, account.bearer)
        assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
        assert set(reply.json) <= {"records", "next"}
        found.append(reply.json["records"])
        following = reply.json.get("next", "")
        assert reply.headers.get("link", "") == (f'<{following}>; rel="next"' if following else "")
        following = following and target(following)
    return found


def joined(lists: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [item for each in lists for item in each]


def test_list(client: Client, account: Account, wav: bytes) -> None:
    assert pages(client, account) == [[]]
    sent = [send(client, account, wav, name=f"{number}.wav").json for number in range(5)]
    ticket = post_json(client, "/uploads", {"user_id": account.id, "name": "5.wav"}, account.bearer).json
    newest_first = [
        {name: value for name, value in record.items() if name not in ("upload", "waveform")}
        for record in reversed([*sent, ticket])
    ]
    assert pages(client, account) == [newest_first]
    assert pages(client, account, "&limit=6") == [newest_first]
    assert pages(client, account, "&limit=4") == [newest_first[:4], newest_first[4:]]
    assert joined(pages(client, account, "&limit=1")) == newest_first
    assert joined(pages(client, account, "&status=pending&limit=2")) == newest_first[:1]
    assert joined(pages(client, account, "&status=ready&limit=2")) == newest_first[1:]
    assert joined(pages(client, account, "&status=failed")) == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=1.5",
        "limit=٣",
        "status=",
        "status=done",
        "after=",
    ]
    + [f"after={text}" for text in ("x", "é", "YWJj", "=" * 50)],
)
def test_list_invalid(client: Client, account: Account, query: str) -> None:
    reply = client.request("GET", f"/records?user_id={account.id}&{quote(query, safe='=')}", account.bearer)
    assert_invalid(reply, query.partition("=")[0])


def test_cursor_of_another(client: Client, account: Account, wav: bytes) -> None:
    for _ in range(2):
        send(client, account, wav)
    following = client.request("GET", f"/records?user_id={account.id}&limit=1", account.bearer).json["next"]
    other = sign_up(client)
    stolen = target(following).replace(str(account.id), str(other.id))
    assert_invalid(client.request("GET", stolen, other.bearer), "after")


# ---------------------------------------------------------------- PATCH and DELETE /record


def test_rename(client: Client, account: Account, record: dict[str, Any]) -> None:
    link = target(record["url"])
    etag = client.request("HEAD", link).headers["etag"]
    reply = client.request("PATCH", link, JSON | account.bearer, '{"name": " AC/DC – живьём.wav "}')
    assert (reply.status, reply.json) == (200, record | {"name": "AC/DC – живьём.wav"})
    download = client.request("GET", link)
    assert (download.status, download.headers["etag"]) == (200, etag)
    assert "AC%2FDC" in download.headers["content-disposition"]
    assert client.request("GET", link, {"Accept": "application/json"}).json == reply.json


def test_rename_refused(client: Client, account: Account, record: dict[str, Any]) -> None:
    link, new = target(record["url"]), '{"name": "a"}'
    owner = JSON | account.bearer
    assert_error(client.request("PATCH", link, JSON, new), 401, "invalid_credentials", SIGN_IN_AGAIN)
    stranger = JSON | sign_up(client).bearer
    assert_error(client.request("PATCH", link, stranger, new), 401, "invalid_credentials", SIGN_IN_AGAIN)
    assert_error(client.request("PATCH", link, owner, ""), 400, "malformed_request", "The request has no body.")
    assert client.request("PATCH", link, owner, "{").json["code"] == "malformed_request"
    assert client.request("PATCH", link, account.bearer | {"Content-Type": "text/plain"}, new).status == 415
    for name in ("", " ", "a" * 256, "a\nb", 5, None, "\u200b"):
        assert_invalid(client.request("PATCH", link, owner, json.dumps({"name": name})), "name")
    for unknown in (link.replace(record["id"], str(uuid.uuid4())), link.replace("id=", "id=x", 1)):
        assert_error(client.request("PATCH", unknown, owner, new), 404, "record_not_found", NOT_FOUND)
    assert client.request("GET", link, {"Accept": "application/json"}).json == record


def test_delete(client: Client, account: Account, wav: bytes) -> None:
    record = send(client, account, wav, key="again").json
    kept = send(client, account, wav).json
    link = target(record["url"])
    for headers in ({}, sign_up(client).bearer):
        assert_error(client.request("DELETE", link, headers), 401, "invalid_credentials", SIGN_IN_AGAIN)
    assert_error(
        client.request("DELETE", link.replace("id=", "id=x", 1), account.bearer), 404, "record_not_found", NOT_FOUND
    )
    for _ in range(2):
        reply = client.request("DELETE", link, account.bearer)
        assert (reply.status, reply.body) == (204, b"")
    for method in ("GET", "HEAD"):
        assert client.request(method, link).status == 404
    assert [item["id"] for item in joined(pages(client, account))] == [kept["id"]]
    again = send(client, account, wav, key="again")
    assert (again.status, again.json["id"]) == (201, record["id"])
    assert client.request("GET", link).status == 200
    assert client.request("GET", target(kept["url"])).status == 200


def test_delete_what_is_pending(client: Client, account: Account) -> None:
    ticket = post_json(client, "/uploads", {"user_id": account.id, "name": "a.wav"}, account.bearer).json
    assert client.request("DELETE", target(ticket["url"]), account.bearer).status == 204
    assert client.request("GET", target(ticket["url"])).status == 404


# ---------------------------------------------------------------- DELETE /users, GET /erasure


def test_erase(client: Client, wav: bytes) -> None:
    email, key = f"{uuid.uuid4()}@mail.ru", {"Idempotency-Key": str(uuid.uuid4())}
    account = Account(**post_json(client, "/users", {"name": "Ann", "email": email}, key).json)
    send(client, account, wav)
    path = f"/users?user_id={account.id}"
    stranger = sign_up(client)
    for headers in ({}, stranger.bearer):
        assert_error(client.request("DELETE", path, headers), 401, "invalid_credentials", SIGN_IN_AGAIN)
    reply = client.request("DELETE", path, account.bearer)
    assert (reply.status, reply.json) == (202, {"status": "erasing", "receipt": reply.headers["location"]})
    again = client.request("DELETE", path, account.bearer)
    assert (again.status, again.json) == (202, reply.json)

    # At once the token is refused everywhere else, and the e-mail is free.
    assert client.request("GET", path, account.bearer).status == 401
    assert client.request("GET", f"/records{path.removeprefix('/users')}", account.bearer).status == 401
    assert send(client, account, wav).status == 401
    assert replace_token(client, account).status == 401
    assert post_json(client, "/users", {"name": "Ann", "email": email}, key).json["code"] == "idempotency_conflict"
    assert post_json(client, "/users", {"name": "Ann", "email": email}).status == 201

    receipt = client.request("GET", target(reply.json["receipt"]))
    assert (receipt.status, receipt.json) == (202, {"status": "erasing", "requested_at": receipt.json["requested_at"]})
    assert receipt.headers["retry-after"] == "60"


def test_erase_twice_at_once(client: Client) -> None:
    account = sign_up(client)
    with ThreadPoolExecutor(4) as pool:
        path = f"/users?user_id={account.id}"
        replies = list(pool.map(lambda _: client.request("DELETE", path, account.bearer), range(4)))
    assert {reply.status for reply in replies} == {202}
    assert len({reply.body for reply in replies}) == 1


def test_receipt_unknown(client: Client) -> None:
    message = "There is no such receipt. Check the address; receipts are kept for 400 days."
    for unknown in (uuid.uuid4(), "x", "../x"):
        assert_error(client.request("GET", f"/erasure?id={unknown}"), 404, "erasure_not_found", message)
    assert_invalid(client.request("GET", "/erasure"), "id")
    assert_invalid(client.request("DELETE", "/users", sign_up(client).bearer), "user_id")


# ---------------------------------------------------------------- POST /records


def test_send_and_download(client: Client, account: Account, wav: bytes) -> None:
    reply = send(client, account, wav, name="Запись 1.wav")
    assert reply.status == 201, reply
    body = reply.json
    mp3 = client.request("GET", target(body["url"]))
    assert mp3.status == 200
    parts = urlsplit(body["url"])
    assert (parts.path, parts.query) == ("/record", f"id={body['id']}&user={account.id}")
    assert reply.headers["location"] == body["url"]
    assert UUID4.fullmatch(body["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["created_at"])
    assert len(body["waveform"]) == 200
    assert all(0 <= peak <= 255 for peak in body["waveform"])
    levels = body["levels"]
    assert set(levels) == {"peak_dbfs", "mean_dbfs", "silent"}
    assert -96 < levels["mean_dbfs"] < levels["peak_dbfs"] <= 0
    assert levels["silent"] is False
    seconds = (len(wav) - 44) / (44100 * 2 * 2)
    assert body == {
        "url": body["url"],
        "page": body["url"].replace("/record?", "/listen?"),
        "id": body["id"],
        "user": account.id,
        "name": "Запись 1.wav",
        "status": "ready",
        "created_at": body["created_at"],
        "duration": pytest.approx(seconds, abs=0.001),
        "sample_rate": 44100,
        "channels": 2,
        "truncated": False,
        "wav": {"bytes": len(wav), "sha256": hashlib.sha256(wav).hexdigest()},
        "mp3": {"bytes": len(mp3.body), "sha256": hashlib.sha256(mp3.body).hexdigest()},
        "levels": levels,
        "waveform": body["waveform"],
    }


@pytest.mark.parametrize("kind", ["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave", "Audio/WAV; codec=1"])
def test_send_bytes_of_each_media_type(client: Client, account: Account, wav: bytes, kind: str) -> None:
    headers = {"Content-Type": kind, **account.bearer}
    reply = client.request("POST", f"/records?user_id={account.id}", headers, wav)
    assert (reply.status, reply.json["name"]) == (201, "recording.wav")


@pytest.mark.parametrize(
    ("file_name", "kept"),
    [
        ("Запись №1.wav", "Запись №1.wav"),
        ("C:\\sounds\\a.wav", "a.wav"),
        ("../../etc/passwd", "passwd"),
        ("", "recording.wav"),
        (None, "recording.wav"),
    ],
)
def test_send_form(client: Client, account: Account, wav: bytes, file_name: str | None, kept: str) -> None:
    headers, body = form(
        ("user_id", None, str(account.id).encode()),
        ("token", None, account.token.encode()),
        ("audio", file_name, wav),
    )
    reply = client.request("POST", "/records", headers, body)
    assert (reply.status, reply.json["name"]) == (201, kept)
    assert reply.json["wav"] == {"bytes": len(wav), "sha256": hashlib.sha256(wav).hexdigest()}


def test_send_form_with_token_in_header(client: Client, account: Account, wav: bytes) -> None:
    headers, body = form(("audio", "a.wav", wav), ("user_id", None, str(account.id).encode()))
    assert client.request("POST", "/records", headers | account.bearer, body).status == 201


@pytest.mark.parametrize("field", ["user_id", "audio", "token"])
def test_form_with_a_part_twice(client: Client, account: Account, wav: bytes, field: str) -> None:
    parts = {"user_id": str(account.id).encode(), "token": account.token.encode(), "audio": wav}
    headers, body = form(*[(name, None, content) for name, content in parts.items()], (field, None, parts[field]))
    assert_invalid(client.request("POST", "/records", headers, body), field)


@pytest.mark.parametrize("user_id", ["", "abc", "1.5", "-1", "0", "9007199254740992", "1" * 40, "１２", "1 OR 1=1"])
def test_user_id_invalid(client: Client, account: Account, wav: bytes, user_id: str) -> None:
    headers, body = form(("user_id", None, user_id.encode()), ("audio", "a.wav", wav))
    assert_invalid(client.request("POST", "/records", headers | account.bearer, body), "user_id")
    raw = {"Content-Type": "audio/wav", **account.bearer}
    assert_invalid(client.request("POST", f"/records?user_id={quote(user_id)}", raw, wav), "user_id")


def test_user_id_missing(client: Client, account: Account, wav: bytes) -> None:
    headers, body = form(("audio", "a.wav", wav))
    assert_invalid(client.request("POST", "/records", headers | account.bearer, body), "user_id")
    raw = {"Content-Type": "audio/wav", **account.bearer}
    assert_invalid(client.request("POST", "/records", raw, wav), "user_id")


@pytest.mark.parametrize("name", ["", " ", "a" * 256, "a\tb.wav", "a\r\nX-Evil: 1"])
def test_name_invalid(client: Client, account: Account, wav: bytes, name: str) -> None:
    raw = {"Content-Type": "audio/wav", **account.bearer}
    reply = client.request("POST", f"/records?user_id={account.id}&name={quote(name)}", raw, wav)
    assert_invalid(reply, "name")


@pytest.mark.parametrize(
    ("encoded", "name"),
    [
        ("Запись 1.wav".encode("cp1251"), "Запись 1.wav"),
        ("Ёжик.wav".encode("cp1251"), "Ёжик.wav"),
        ("café.wav".encode("latin-1"), "café.wav"),
        ("Zoë – 1.wav".encode("cp1252"), "Zoë – 1.wav"),
        (b"a\x81.wav", "a\N{REPLACEMENT CHARACTER}.wav"),
    ],
)
def test_file_name_that_is_not_utf8(client: Client, account: Account, wav: bytes, encoded: bytes, name: str) -> None:
    headers, body = form(("user_id", None, str(account.id).encode()), ("audio", "NAME", wav))
    body = body.replace(b"NAME", encoded)
    reply = client.request("POST", "/records", headers | account.bearer, body)
    assert (reply.status, reply.json["name"]) == (201, name)


def test_form_with_an_epilogue(client: Client, account: Account, wav: bytes) -> None:
    headers, body = form(("user_id", None, str(account.id).encode()), ("audio", "a.wav", wav))
    for epilogue in (b"\r\n", b"This is the epilogue. It is to be ignored.\r\n"):
        reply = client.request("POST", "/records", headers | account.bearer, body + epilogue)
        assert (reply.status, reply.json["wav"]["bytes"]) == (201, len(wav))
    message = "The form goes on after its end. Choose a boundary that the audio does not contain."
    reply = client.request("POST", "/records", headers | account.bearer, body + body)
    assert_error(reply, 400, "malformed_request", message)


def test_token_in_the_query_is_not_looked_at(client: Client, account: Account, wav: bytes) -> None:
    """Logs and histories keep addresses."""
    path = f"/records?user_id={account.id}&token={account.token}"
    assert_error(
        client.request("POST", path, {"Content-Type": "audio/wav"}, wav), 401, "invalid_credentials", SIGN_IN_AGAIN
    )


def test_form_without_audio(client: Client, account: Account) -> None:
    headers, body = form(("user_id", None, str(account.id).encode()))
    message = "The form has no part called 'audio'. Send the WAV file as 'audio'."
    assert_error(client.request("POST", "/records", headers | account.bearer, body), 400, "malformed_request", message)


def test_form_without_boundary(client: Client, account: Account, wav: bytes) -> None:
    _, body = form(("audio", "a.wav", wav))
    headers = {"Content-Type": "multipart/form-data", **account.bearer}
    message = "The Content-Type of the form has no boundary. Let your HTTP client set it."
    assert_error(client.request("POST", "/records", headers, body), 400, "malformed_request", message)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_form_cut_short(client: Client, account: Account, wav: bytes, share: float) -> None:
    headers, body = form(("user_id", None, str(account.id).encode()), ("audio", "a.wav", wav))
    message = "The multipart form is cut short or broken. Send it again in full."
    reply = client.request("POST", "/records", headers | account.bearer, body[: int(len(body) * share)])
    assert_error(reply, 400, "malformed_request", message)


def test_no_body(client: Client, account: Account) -> None:
    raw = {"Content-Type": "audio/wav", **account.bearer}
    reply = client.request("POST", f"/records?user_id={account.id}", raw)
    assert_error(reply, 400, "malformed_request", "The request has no body.")


def test_audio_empty(client: Client, account: Account) -> None:
    headers, body = form(("user_id", None, str(account.id).encode()), ("audio", "a.wav", b""))
    message = "The audio is empty. Send the bytes of a WAV file."
    assert_error(client.request("POST", "/records", headers | account.bearer, body), 400, "malformed_request", message)


@pytest.mark.parametrize("kind", ["application/json", "audio/mpeg", "application/octet-stream", "text/plain"])
def test_send_other_media_type(client: Client, account: Account, kind: str) -> None:
    reply = client.request("POST", f"/records?user_id={account.id}", {"Content-Type": kind, **account.bearer}, b"{}")
    message = (
        "Send the body as audio/vnd.wave or audio/wav or audio/wave or audio/x-wav or multipart/form-data, "
        "and name it in Content-Type."
    )
    assert_error(reply, 415, "unsupported_media_type", message)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer",
        "Bearer nonsense",
        f"Bearer {uuid.UUID(int=1)}",
        "Bearer 3b241101-e2bb-4255-8caf-4136c566a962",  # nobody's
        "Bearer {3b241101-e2bb-4255-8caf-4136c566a962}",
        "Basic 3b241101-e2bb-4255-8caf-4136c566a962",
    ],
)
def test_credentials_wrong(client: Client, account: Account, wav: bytes, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    query = f"/records?user_id={account.id}"
    reply = client.request("POST", query, {"Content-Type": "audio/wav", **headers}, wav)
    assert_error(reply, 401, "invalid_credentials", SIGN_IN_AGAIN)
    assert reply.headers["www-authenticate"] == "Bearer"
    assert_error(
        post_json(client, "/uploads", {"user_id": account.id, "name": "a.wav"}, headers),
        401,
        "invalid_credentials",
        SIGN_IN_AGAIN,
    )


@pytest.mark.parametrize(
    "authorization", ["Basic {}", "{}", "Token {}", "Bearer {{{}}}", "Bearer urn:uuid:{}", "Bearer {} {}", "Bearer {}0"]
)
def test_right_token_in_a_wrong_form(client: Client, account: Account, wav: bytes, authorization: str) -> None:
    headers = {"Content-Type": "audio/wav", "Authorization": authorization.format(account.token, account.token)}
    reply = client.request("POST", f"/records?user_id={account.id}", headers, wav)
    assert_error(reply, 401, "invalid_credentials", SIGN_IN_AGAIN)


def test_right_token_in_capitals(client: Client, account: Account, wav: bytes) -> None:
    assert send(client, Account(account.id, account.token.upper()), wav).status == 201


def test_token_of_another_user(client: Client, account: Account, wav: bytes) -> None:
    other = sign_up(client)
    reply = send(client, Account(account.id, other.token), wav)
    assert_error(reply, 401, "invalid_credentials", SIGN_IN_AGAIN)
    unknown = send(client, Account(4503599627370497, other.token), wav)
    assert_error(unknown, 401, "invalid_credentials", SIGN_IN_AGAIN)


def test_not_a_wav(client: Client, account: Account) -> None:
    reply = send(client, account, b"OggS" + bytes(100))
    assert (reply.status, reply.json["code"]) == (415, "unsupported_audio")
    assert set(reply.json) == {"code", "message"}


def test_wav_with_nothing_to_play(client: Client, account: Account, wav: bytes) -> None:
    reply = send(client, account, wav[:36])
    assert (reply.status, reply.json["code"]) == (422, "unplayable_audio")
    assert set(reply.json) == {"code", "message", "details"}
    assert set(reply.json["details"]) == {"reason"}


def test_audio_too_large(client: Client, account: Account, wav: bytes) -> None:
    reply = send(client, account, wav + bytes(4_613_735 - len(wav)))
    message = "The audio is larger than 4613734 bytes. Send it through POST /uploads."
    details = {"limit_bytes": 4613734, "use": "POST /uploads"}
    assert_error(reply, 413, "audio_too_large", message, details)


def test_largest_audio(client: Client, account: Account, wav: bytes) -> None:
    audio = wav + bytes(4_613_734 - len(wav))
    reply = send(client, account, audio)
    assert (reply.status, reply.json["wav"]["bytes"]) == (201, 4_613_734)


# ---------------------------------------------------------------- Idempotency-Key


def test_same_key_names_the_same_record(client: Client, account: Account, wav: bytes) -> None:
    first = send(client, account, wav, key="key-1")
    second = send(client, account, wav, key="key-1")
    assert (first.status, second.status) == (201, 200)
    assert first.json == second.json
    other = send(client, account, wav + b"\0\0", key="key-1")
    message = "This Idempotency-Key was used for other audio. Send this audio under a key of its own."
    assert_error(other, 409, "idempotency_conflict", message)
    assert send(client, sign_up(client), wav, key="key-1").json["id"] != first.json["id"]


@pytest.mark.parametrize("key", ["a" * 129, "a b", "ключ".encode().decode("latin-1")])
def test_key_invalid(client: Client, account: Account, wav: bytes, key: str) -> None:
    assert_invalid(send(client, account, wav, key=key), "Idempotency-Key")


def test_fifty_at_once_with_one_key(client: Client, account: Account, wav: bytes) -> None:
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda _: send(client, account, wav, key="fifty"), range(50)))
    statuses = sorted(reply.status for reply in replies)
    assert statuses[:-1] == [200] * 49
    assert statuses[-1] in (200, 201)
    assert len({reply.json["url"] for reply in replies}) == 1
    assert len({json.dumps(reply.json) for reply in replies}) == 1


# ---------------------------------------------------------------- GET and HEAD /record


def test_headers_of_an_mp3(client: Client, record: dict[str, Any]) -> None:
    link = target(record["url"])
    got, head = client.request("GET", link), client.request("HEAD", link)
    assert (got.status, head.status) == (200, 200)
    expected = {
        "content-type": "audio/mpeg",
        "content-disposition": (
            "attachment; filename=\"______ _1 ______.mp3\"; filename*=UTF-8''"
            "%D0%97%D0%B0%D0%BF%D0%B8%D1%81%D1%8C%20%E2%84%961%20%22%D1%82%D0%B5%D1%81%D1%82%22.mp3"
        ),
        "etag": f'"{record["mp3"]["sha256"]}"',
        "accept-ranges": "bytes",
        "cache-control": "private, max-age=3600",
    }
    for reply in (got, head):
        assert {name: reply.headers.get(name) for name in expected} == expected
    assert hashlib.sha256(got.body).hexdigest() == record["mp3"]["sha256"]
    assert head.body == b""
    assert head.headers["content-length"] == str(len(got.body))


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=100-", 100, -1),
        ("bytes=-5", -5, -1),
        ("bytes=0-999999999", 0, -1),
    ],
)
def test_range(client: Client, record: dict[str, Any], header: str, first: int, last: int) -> None:
    link, size = target(record["url"]), record["mp3"]["bytes"]
    whole = client.request("GET", link).body
    first, last = first % size, last % size
    reply = client.request("GET", link, {"Range": header})
    assert (reply.status, reply.body) == (206, whole[first : last + 1])
    assert reply.headers["content-range"] == f"bytes {first}-{last}/{size}"
    assert reply.headers["etag"] == f'"{record["mp3"]["sha256"]}"'


@pytest.mark.parametrize("digits", ["999999999-", "-0", "99999999999999999999-", "9" * 5000 + "-"])
def test_range_not_satisfiable(client: Client, record: dict[str, Any], digits: str) -> None:
    size = record["mp3"]["bytes"]
    reply = client.request("GET", target(record["url"]), {"Range": f"bytes={digits}"})
    message = f"The recording has {size} bytes: ask for a range that begins within them."
    assert_error(reply, 416, "range_not_satisfiable", message)
    assert reply.headers["content-range"] == f"bytes */{size}"


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6"])
def test_range_ignored(client: Client, record: dict[str, Any], header: str) -> None:
    reply = client.request("GET", target(record["url"]), {"Range": header})
    assert (reply.status, len(reply.body)) == (200, record["mp3"]["bytes"])


def test_if_range(client: Client, record: dict[str, Any]) -> None:
    link, etag = target(record["url"]), f'"{record["mp3"]["sha256"]}"'
    assert client.request("GET", link, {"Range": "bytes=0-9", "If-Range": etag}).status == 206
    assert client.request("GET", link, {"Range": "bytes=0-9", "If-Range": '"other"'}).status == 200
    assert client.request("GET", link, {"Range": "bytes=0-9", "If-Range": f"W/{etag}"}).status == 200


def test_if_none_match(client: Client, record: dict[str, Any]) -> None:
    link, etag = target(record["url"]), f'"{record["mp3"]["sha256"]}"'
    for tags in (etag, f"W/{etag}", f'"a", {etag}', "*"):
        for method in ("GET", "HEAD"):
            reply = client.request(method, link, {"If-None-Match": tags})
            assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag)
    assert client.request("GET", link, {"If-None-Match": '"other"'}).status == 200


@pytest.mark.parametrize("accept", ["application/json", "application/json;q=0.9, */*;q=0.1", "Application/JSON"])
def test_record_as_json(client: Client, record: dict[str, Any], accept: str) -> None:
    reply = client.request("GET", target(record["url"]), {"Accept": accept})
    assert (reply.status, reply.json) == (200, record)
    assert reply.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    "accept",
    [
        *("*/*", "audio/*", "text/html,*/*;q=0.8", "application/json;q=0"),
        *("audio/mpeg, application/json;q=0.5", "text/html,application/json;q=0.5"),
    ],
)
def test_record_as_audio(client: Client, record: dict[str, Any], accept: str) -> None:
    assert client.request("GET", target(record["url"]), {"Accept": accept}).headers["content-type"] == "audio/mpeg"


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def test_browser_is_sent_to_the_listening_page(client: Client, account: Account, record: dict[str, Any]) -> None:
    """A person meets no JSON: what does not play has a page that says why. What is ready downloads for everybody."""
    ticket = post_json(client, "/uploads", {"user_id": account.id, "name": "a.wav"}, account.bearer).json
    unknown = record["url"].replace(record["id"], str(uuid.uuid4()))
    for url, status in ((ticket["url"], 202), (unknown, 404), (unknown.replace("id=", "id=x"), 404)):
        reply = client.request("GET", target(url), {"Accept": BROWSER})
        assert (reply.status, reply.headers["location"]) == (303, url.replace("/record?", "/listen?"))
        page = client.request("GET", target(reply.headers["location"]), {"Accept": BROWSER})
        assert (page.status, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
    for accept, status in ((f"{BROWSER},application/json", 202), (f"{BROWSER},application/json;q=0.5", 303)):
        assert client.request("GET", target(ticket["url"]), {"Accept": accept}).status == status
    long = client.request("GET", f"/record?user=1&id={'(' * 3000}", {"Accept": BROWSER})
    assert (long.status, len(long.headers["location"]) < 500) == (303, True)
    assert client.request("GET", target(record["url"]), {"Accept": BROWSER}).headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize(("language", "word"), [("en", "Download MP3"), ("ru-RU, en;q=0.1", "Скачать MP3")])
def test_listening_page(client: Client, record: dict[str, Any], language: str, word: str) -> None:
    reply = client.request("GET", target(record["page"]), {"Accept": BROWSER, "Accept-Language": language})
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["x-robots-tag"] == "noindex"
    assert reply.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    page = reply.body.decode()
    assert f'<meta property="og:audio" content="{record["url"].replace("&", "&amp;")}">' in page
    assert word in page
    assert client.request("HEAD", target(record["page"])).status == 200


@pytest.mark.parametrize("prefer", ["wait=1", "respond-async, wait=1", 'WAIT="1"'])
def test_owner_waits(client: Client, account: Account, prefer: str) -> None:
    ticket = post_json(client, "/uploads", {"user_id": account.id, "name": "a.wav"}, account.bearer).json
    headers = {"Accept": "application/json", "Prefer": prefer}
    started = time.monotonic()
    reply = client.request("GET", target(ticket["url"]), headers | account.bearer)
    assert (reply.status, reply.headers["preference-applied"]) == (202, "wait=1")
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("prefer", ["wait", "wait=", "wait=-1", "wait=1.5", "wait=a", "await=1"])
def test_wait_that_is_malformed_is_ignored(client: Client, account: Account, prefer: str) -> None:
    ticket = post_json(client, "/uploads", {"user_id": account.id, "name": "a.wav"}, account.bearer).json
    headers = {"Accept": "application/json", "Prefer": prefer, **account.bearer}
    reply = client.request("GET", target(ticket["url"]), headers)
    assert reply.status == 202
    assert "preference-applied" not in reply.headers


def test_only_the_owner_may_wait(client: Client, account: Account) -> None:
    ticket = post_json(client, "/uploads", {"user_id": account.id, "name": "a.wav"}, account.bearer).json
    headers = {"Accept": "application/json", "Prefer": "wait=20"}
    for token in ({}, sign_up(client).bearer, {"Authorization": "Basic YTpi"}):
        reply = client.request("GET", target(ticket["url"]), headers | token)
        assert reply.status == 202
        assert "preference-applied" not in reply.headers


NOT_FOUND = "There is no such recording. Check that the link was copied whole."


def test_record_unknown(client: Client, account: Account, record: dict[str, Any]) -> None:
    other = sign_up(client)
    for record_id, user in [
        (uuid.uuid4(), account.id),
        (record["id"], other.id),
        (record["id"], "abc"),
        (record["id"], f"{account.id}0000000000000000000"),
        (record["id"], f"-{account.id}"),
        (record["id"][:-1], account.id),
        (f"{{{record['id']}}}", account.id),
        ("../../etc/passwd", account.id),
    ]:
        reply = client.request("GET", f"/record?id={quote(str(record_id))}&user={user}")
        assert_error(reply, 404, "record_not_found", NOT_FOUND)


@pytest.mark.parametrize(
    ("query", "missing"),
    [("", ["id", "user"]), ("?id=1", ["user"]), ("?user=1", ["id"]), ("?id=&user=", ["id", "user"])],
)
def test_record_without_its_ids(client: Client, query: str, missing: list[str]) -> None:
    details = [{"field": field, "problem": "is missing"} for field in missing]
    assert_error(client.request("GET", f"/record{query}"), 422, "validation_failed", SEE_DETAILS, details)


# ---------------------------------------------------------------- POST /uploads


def test_upload_ticket(client: Client, account: Account) -> None:
    reply = post_json(client, "/uploads", {"user_id": account.id, "name": "lecture.wav"}, account.bearer)
    assert reply.status == 201
    body = reply.json
    assert set(body) == {"url", "page", "id", "user", "name", "status", "created_at", "upload"}
    assert (body["user"], body["name"], body["status"]) == (account.id, "lecture.wav", "pending")
    assert set(body["upload"]) == {"url", "fields", "max_bytes", "expires_at"}
    assert body["upload"]["max_bytes"] == 4294967296
    pending = client.request("GET", target(body["url"]))
    assert (pending.status, pending.headers["retry-after"]) == (202, "2")
    assert pending.json == {key: value for key, value in body.items() if key != "upload"}


def test_upload_ticket_twice_with_one_key(client: Client, account: Account) -> None:
    headers = {**account.bearer, "Idempotency-Key": "ticket"}
    body = {"user_id": account.id, "name": "lecture.wav"}
    first, second = (post_json(client, "/uploads", body, headers) for _ in range(2))
    assert (first.status, second.status) == (201, 200)
    assert first.json["url"] == second.json["url"]


def test_key_is_one_over_both_paths(client: Client, account: Account, wav: bytes) -> None:
    ready = send(client, account, wav, key="both")
    headers = {**account.bearer, "Idempotency-Key": "both"}
    again = post_json(client, "/uploads", {"user_id": account.id, "name": "a.wav"}, headers)
    assert (again.status, again.json) == (200, ready.json)
    ticket = post_json(client, "/uploads", {"user_id": account.id, "name": "a.wav"}, headers | {"Idempotency-Key": "2"})
    sent = send(client, account, wav, key="2")
    assert (ticket.status, sent.status, sent.json["id"]) == (201, 201, ticket.json["id"])


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["user_id", "name"]),
        ({"user_id": "1", "name": "a"}, ["user_id"]),
        ({"user_id": True, "name": "a"}, ["user_id"]),
        ({"user_id": 1.0, "name": "a"}, ["user_id"]),
        ({"user_id": 0, "name": "a"}, ["user_id"]),
        ({"user_id": 2**53, "name": "a"}, ["user_id"]),
        ({"user_id": None, "name": "a"}, ["user_id"]),
        ({"user_id": 1, "name": ""}, ["name"]),
        ({"user_id": 1, "name": "a" * 256}, ["name"]),
        ({"user_id": 1, "name": 1}, ["name"]),
        ([], ["body"]),
    ],
)
def test_upload_ticket_invalid(client: Client, account: Account, body: Any, fields: list[str]) -> None:
    assert_invalid(post_json(client, "/uploads", body, account.bearer), *fields)


@pytest.mark.parametrize("token", [1, None, "", [], "nonsense"])
def test_upload_ticket_token_malformed(client: Client, account: Account, token: Any) -> None:
    reply = post_json(client, "/uploads", {"user_id": account.id, "name": "a.wav", "token": token})
    assert_error(reply, 401, "invalid_credentials", SIGN_IN_AGAIN)


# ---------------------------------------------------------------- any response


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/record", 422),
        ("POST", "/users", 415),
        ("GET", "/", 200),
        ("GET", "/nothing", 404),
        ("PUT", "/users", 405),
    ],
)
def test_any_web_page_may_read_the_response(client: Client, method: str, path: str, status: int) -> None:
    reply = client.request(method, path, {"Origin": "https://other.example"})
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (status, "*")
    assert set(re.split(", ?", reply.headers["access-control-expose-headers"])) == {
        *("Accept-Ranges", "Allow", "Content-Disposition", "Content-Range", "ETag", "Link", "Location"),
        *("Preference-Applied", "Retry-After", "WWW-Authenticate", "x-request-id"),
    }
    assert "access-control-allow-credentials" not in reply.headers


# ---------------------------------------------------------------- other addresses


METHODS = {
    "/users": "DELETE, GET, POST",
    "/erasure": "GET",
    "/users/token": "POST",
    "/records": "GET, POST",
    "/uploads": "POST",
    "/record": "DELETE, GET, HEAD, PATCH",
}


@pytest.mark.parametrize(("path", "allowed"), METHODS.items())
def test_method_not_allowed(client: Client, path: str, allowed: str) -> None:
    for method in {"GET", "POST", "DELETE", "PUT", "PATCH"} - set(allowed.split(", ")):
        reply = client.request(method, path)
        assert (reply.status, reply.json["code"], reply.headers["allow"]) == (405, "method_not_allowed", allowed)


def test_unknown_address(client: Client) -> None:
    reply = client.request("GET", "/nothing/here")
    assert (reply.status, reply.json["code"]) == (404, "not_found")
    assert reply.headers["x-request-id"]
