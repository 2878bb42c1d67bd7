"""Requests that no honest client sends: each gets a 4xx, or is understood; never a 5xx, never another's recording."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.integration.conftest import moto_cloud, objects
from tests.support.client import Account, Context, EventClient, function, http_event, send, sign_up
from tests.support.contract import assert_error, assert_invalid, target
from tests.support.wavs import fmt, pcm, tone, wav

BROKEN = "The multipart form is cut short or broken. Send it again in full."
WAV = wav(fmt(), pcm(tone()))


@pytest.fixture(scope="module")
def client(ffmpeg: str) -> Iterator[EventClient]:
    with moto_cloud(ffmpeg):
        yield EventClient()


@pytest.fixture(scope="module")
def account(client: EventClient) -> Account:
    return sign_up(client)


def part(name: str, content: bytes, more: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content


def post(client: EventClient, account: Account, content_type: str, body: bytes) -> Any:
    return client.request("POST", "/records", {"Content-Type": content_type, **account.bearer}, body)


def form(account: Account, *parts: bytes, boundary: bytes = b"b") -> bytes:
    user = part("user_id", str(account.id).encode())
    return (
        b"".join(b"--" + boundary + b"\r\n" + each + b"\r\n" for each in (user, *parts)) + b"--" + boundary + b"--\r\n"
    )


def multipart(boundary: str = "b") -> str:
    return f"multipart/form-data; boundary={boundary}"


@pytest.mark.parametrize(
    "body",
    [
        b"--",
        b"--b",
        b"--b--",
        b"\r\n--b\r\n",
        b"--b\r\n\r\n",
        b"--b\r\nContent-Disposition: form-data; name=audio\r\n\r\nRIFF",  # no end
        b'--b\nContent-Disposition: form-data; name="audio"\n\nRIFF\n--b--\n',  # bare line feeds
        b"--b\r\nContent-Disposition: attachment\r\n\r\nRIFF\r\n--b--\r\n",  # no name
        b"--b\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--b--\r\n",  # no disposition
        b"--b\r\n: form-data\r\n\r\nRIFF\r\n--b--\r\n",
        b"--b\r\n" + b"x" * 100_000 + b"\r\n\r\nRIFF\r\n--b--\r\n",  # a header without end
        b"--b\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\nRIFF\r\n--b--\r\n",  # headers without end
        b'--b\r\nContent-Disposition: form-data; name="\xff\xfe"\r\n\r\nRIFF\r\n--b--\r\n',  # not UTF-8
        b"--b\r\nContent-Disposition: form-data; name=\"audio\"; filename*=UTF-16''%ff\r\n\r\nRIFF\r\n--b--\r\n",
        bytes(1000),
    ],
)
def test_broken_form(client: EventClient, account: Account, body: bytes) -> None:
    reply = post(client, account, multipart(), body)
    assert (reply.status, reply.json["code"]) in [
        (400, "malformed_request"),
        (415, "unsupported_audio"),
        (422, "validation_failed"),
    ]
    assert set(reply.json) <= {"code", "message", "details"}


def test_part_without_a_name(client: EventClient, account: Account) -> None:
    nameless = b"Content-Disposition: form-data\r\n\r\n1"
    reply = post(client, account, multipart(), form(account, part("audio", WAV), nameless))
    assert (reply.status, reply.json["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ("; filename=\"=?utf-8?B?0JfQsNC/?=\"; filename*=utf-8''%D0%97%20%E2%84%961.wav", "З №1.wav"),  # as .NET does
        ("; filename*=UTF-8'ru'%D0%97.wav", "З.wav"),
        ("; filename*=UTF-8''..%2F%D0%97.wav; filename=a.wav", "З.wav"),
        ("; filename=\"a.wav\"; filename*=utf-8''%ff", "a.wav"),
        ("; filename=\"a.wav\"; filename*=utf-16''%D0%97", "a.wav"),
        ("; filename=\"a; filename*=utf-8''b\"", "a; filename*=utf-8''b"),
    ],
)
def test_file_name_in_two_ways(client: EventClient, account: Account, more: str, name: str) -> None:
    reply = post(client, account, multipart(), form(account, part("audio", WAV, more)))
    assert (reply.status, reply.json["name"]) == (201, name)


@pytest.mark.parametrize("token", [b"x" * 5000, b"\xff\xfe", b"\0", b""])
def test_token_in_the_form_that_is_none(client: EventClient, account: Account, token: bytes) -> None:
    headers = {"Content-Type": multipart()}
    body = form(account, part("token", token), part("audio", WAV))
    reply = client.request("POST", "/records", headers, body)
    assert (reply.status, reply.json["code"]) == (401, "invalid_credentials")


def test_ten_thousand_parts(client: EventClient, account: Account) -> None:
    body = form(account, *[part(f"x{number}", b"1") for number in range(10_000)])
    assert_error(post(client, account, multipart(), body), 400, "malformed_request", BROKEN)


def test_the_boundary_inside_the_audio(client: EventClient, account: Account) -> None:
    """A boundary is one only at the start of a line: the same letters within the audio are audio."""
    audio = wav(fmt(), pcm(tone()) + b"--b--b")
    reply = post(client, account, multipart(), form(account, part("audio", audio, '; filename="a.wav"')))
    assert (reply.status, reply.json["wav"]["bytes"]) == (201, len(audio))
    cut = wav(fmt(), pcm(tone()) + b"\r\n--b--\r\n" + pcm(tone()))
    reply = post(client, account, multipart(), form(account, part("audio", cut)))
    message = "The form goes on after its end. Choose a boundary that the audio does not contain."
    assert_error(reply, 400, "malformed_request", message)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("multipart/form-data; boundary=", 400),
        ('multipart/form-data; boundary=""', 400),
        ("multipart/form-data; boundary=" + "b" * 5000, 400),
        ("multipart/form-data; Boundary=b", 201),
        ('multipart/form-data; charset=utf-8; boundary="b"', 201),
        ("multipart/form-data; boundary=c", 400),
        ("multipart/mixed; boundary=b", 415),
        ("", 415),
        (";;;", 415),
    ],
)
def test_content_type(client: EventClient, account: Account, content_type: str, status: int) -> None:
    assert post(client, account, content_type, form(account, part("audio", WAV))).status == status


@pytest.mark.parametrize("encoded", ["!!!!", "QUJD=", "Q", "QUJDé", "QUJD QUJD", "=" * 8, "QUJD===\n"])
@pytest.mark.parametrize("path", ["/records", "/users", "/uploads"])
def test_bad_base64(client: EventClient, account: Account, encoded: str, path: str) -> None:
    kind = "audio/wav" if path == "/records" else "application/json"
    headers = {"Content-Type": kind, **account.bearer}
    event = http_event("POST", f"{path}?user_id={account.id}", headers, b"x") | {
        "body": encoded,
        "isBase64Encoded": True,
    }
    name = "create_user" if path == "/users" else "create_record"
    answer = function(name).lambda_handler(event, Context())
    assert (answer["statusCode"], json.loads(answer["body"])) == (
        400,
        {"code": "malformed_request", "message": "The body is not valid base64."},
    )


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.wav\r\nSet-Cookie: x=1", None),
        ('"; filename="evil.exe', '"; filename="evil.exe'),
        ("%0d%0aX: 1.wav", "%0d%0aX: 1.wav"),
        ("../../../etc/passwd.wav", "passwd.wav"),
        ("..\\..\\boot.wav", "boot.wav"),
        ("\u202egnp.wav", "gnp.wav"),
        ("<script>alert(1)<", "<script>alert(1)<"),
        ("a" * 255, "a" * 255),
        ("日本語😀.WAV", "日本語😀.WAV"),
    ],
)
def test_injection_through_the_name(client: EventClient, account: Account, name: str, kept: str | None) -> None:
    headers = {"Content-Type": "application/json", **account.bearer}
    ticket = client.request("POST", "/uploads", headers, json.dumps({"user_id": account.id, "name": name}))
    if kept is None:
        assert_invalid(ticket, "name")
        return
    assert (ticket.status, ticket.json["name"]) == (201, kept)
    # The name is in no key, so it can lead nowhere in the bucket.
    assert ticket.json["upload"]["fields"]["key"].startswith(f"uploads/{account.id}/{ticket.json['id']}/")
    sent = send(client, account, WAV, name=name)
    assert sent.status == 201
    disposition = client.request("GET", target(sent.json["url"])).headers["content-disposition"]
    assert disposition.isascii()
    assert disposition.isprintable()
    plain, _, extended = disposition.removeprefix('attachment; filename="').partition("\"; filename*=UTF-8''")
    assert '"' not in plain
    assert "\\" not in plain
    assert " " not in extended


@pytest.mark.parametrize("value", ["x" * 100_000, "\x00", "Bearer " + "x" * 100_000, "é", "Bearer \u2028"])
@pytest.mark.parametrize("name", ["Authorization", "Accept", "Range", "If-None-Match", "If-Range", "Idempotency-Key"])
def test_odd_headers(client: EventClient, account: Account, name: str, value: str) -> None:
    sent = send(client, account, WAV)
    for method, path in (("GET", target(sent.json["url"])), ("POST", f"/records?user_id={account.id}")):
        headers = {"Content-Type": "audio/wav", **account.bearer, name: value}
        reply = client.request(method, path, headers, WAV if method == "POST" else None)
        assert reply.status in (200, 201, 401, 422), reply


def test_the_token_of_another(client: EventClient, account: Account) -> None:
    """One user's identifiers with the other's token, on every call that takes both; and one's record under another."""
    other = sign_up(client)
    stolen = Account(account.id, other.token)
    before = objects()
    assert send(client, stolen, WAV).status == 401
    headers = {"Content-Type": "application/json", **stolen.bearer}
    body = json.dumps({"user_id": account.id, "name": "a"})
    assert client.request("POST", "/uploads", headers, body).status == 401
    assert objects() == before
    mine = send(client, account, WAV).json
    for user in (other.id, account.id + 1):
        reply = client.request("GET", f"/record?id={mine['id']}&user={user}", {"Accept": "application/json"})
        assert (reply.status, reply.json["code"]) == (404, "record_not_found")


def test_a_key_of_another_names_another_record(client: EventClient, account: Account) -> None:
    key = str(uuid.uuid4())
    other = sign_up(client)
    assert send(client, account, WAV, key=key).json["id"] != send(client, other, WAV, key=key).json["id"]


def test_names_given_more_than_once(client: EventClient) -> None:
    """As many as a body holds, of any length, and such as are no text: the answer is small, UTF-8 and soon there."""
    headers = {"Content-Type": "application/json"}
    many = "{" + ",".join(f'"{number % 50_000}":0' for number in range(100_000)) + "}"
    long = '{"' + "x" * 1_000_000 + '":0,"' + "x" * 1_000_000 + '":0}'
    for body in (many, long, '{"\\ud800":1,"\\ud800":2}'):
        reply = client.request("POST", "/users", headers, body)
        assert (reply.status, reply.json["code"]) == (422, "validation_failed")
        assert 1 <= len(reply.json["details"]) <= 10
        assert len(reply.body) < 2000
        reply.body.decode("utf-8")


def test_deep_json(client: EventClient) -> None:
    for body in ("[" * 200_000, '{"a":' * 100_000, '{"name": ' + "[" * 50_000 + "]" * 50_000 + "}"):
        reply = client.request("POST", "/users", {"Content-Type": "application/json"}, body)
        assert reply.status in (400, 422)


def test_huge_numbers(client: EventClient, account: Account) -> None:
    headers = {"Content-Type": "application/json", **account.bearer}
    for number in ("9" * 5000, "1e400", "-1e400", "0.1e1", "1" + "0" * 400):
        reply = client.request("POST", "/uploads", headers, f'{{"user_id": {number}, "name": "a"}}')
        assert reply.status in (400, 422), reply
    for number in ("9" * 5000, "1e5", "0x10", "٣"):
        assert client.request("GET", f"/record?id={uuid.uuid4()}&user={number}").status == 404


def test_duplicated_query_and_unknown_parameters(client: EventClient, account: Account) -> None:
    raw = {"Content-Type": "audio/wav", **account.bearer}
    twice = client.request("POST", f"/records?user_id={account.id}&user_id={account.id}", raw, WAV)
    assert_invalid(twice, "user_id")
    more = client.request("POST", f"/records?user_id={account.id}&x=1&y[]=2", raw, WAV)
    assert more.status == 201


# The worst text for each kind of reader: slow to normalize, to escape, to trim, to match, to count.
WORST = {
    "combining": "a" + "\u0315\u0300" * 700_000,
    "quotes": '"' * 1_400_000,
    "spaces": " " * 4_000_000 + "a",
    "at signs": "a@" * 2_000_000,
    "dots": "a@" + "b." * 2_000_000,
    "slashes": "/" * 4_000_000,
    "digits": "9" * 4_000_000,
    "wide": "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 1_300_000,
    "escapes": "\\" * 2_000_000,
    "semicolons": "; filename*=utf-8''" * 200_000,
    "commas": "a," * 2_000_000,
}
MAX_ERROR_BYTES = 4096
MOST_TIMES_A_PLAIN_TEXT = 20  # the processor's time: what is quadratic takes a hundred times as long and more


@pytest.mark.parametrize("text", WORST.values(), ids=WORST)
def test_the_worst_text_in_every_field(
    client: EventClient, account: Account, text: str, measured: Callable[[str], None]
) -> None:
    """Every text is bounded before anything else looks at it, and no response repeats it."""
    field = "unknown field"
    plain = max(0.02, refused(client, account, field, requests_with(account, "a" * len(text))[field]))
    tries = [
        (refused(client, account, field, request), field) for field, request in requests_with(account, text).items()
    ]
    seconds, field = max(tries)
    measured(f"worst text, slowest: {seconds * 1000:.0f} ms, {seconds / plain:.1f} times a plain text, for {field}")
    assert seconds < plain * MOST_TIMES_A_PLAIN_TEXT, field


Request = tuple[str, str, dict[str, str], bytes | str | None]


def requests_with(account: Account, text: str) -> dict[str, Request]:
    """A request for each field that a client can fill."""
    json_type = {"Content-Type": "application/json", **account.bearer}
    form_type = {"Content-Type": multipart(), **account.bearer}
    wav_type = {"Content-Type": "audio/wav", **account.bearer}
    small = text[:20_000]  # twice what a header or an address can hold
    link = f"/record?id={uuid.uuid4()}&user={account.id}"
    headers = ("Accept", "Range", "If-Range", "If-None-Match", "Prefer", "X-Unknown")
    return {
        "name": ("POST", "/users", json_type, json.dumps({"name": text}, ensure_ascii=False)),
        "email": ("POST", "/users", json_type, json.dumps({"name": "a", "email": text}, ensure_ascii=False)),
        "email's local part": ("POST", "/users", json_type, json.dumps({"name": "a", "email": text + "@x.example"})),
        "email's domain": ("POST", "/users", json_type, json.dumps({"name": "a", "email": "a@" + text})),
        "email of 254": ("POST", "/users", json_type, json.dumps({"name": "", "email": text[:254]})),
        "unknown field": ("POST", "/users", json_type, json.dumps({text: 1, "name": ""}, ensure_ascii=False)),
        "body": ("POST", "/users", json_type, text),
        "upload's name": ("POST", "/uploads", json_type, json.dumps({"user_id": account.id, "name": text})),
        "upload's user": ("POST", "/uploads", json_type, json.dumps({"user_id": text, "name": "a"})),
        "upload's token": (
            "POST",
            "/uploads",
            {"Content-Type": "application/json"},
            json.dumps({"user_id": 1, "name": "a", "token": text}),
        ),
        "form's user": ("POST", "/records", form_type, form_of("user_id", text)),
        "form's token": ("POST", "/records", form_type, form_of("token", text)),
        "form's file name": ("POST", "/records", form_type, form_of("audio", "", text)),
        "form": ("POST", "/records", form_type, text.encode()),
        "query's user": ("POST", f"/records?{urlencode({'user_id': small})}", wav_type, WAV),
        "query's name": ("POST", f"/records?{urlencode({'user_id': account.id, 'name': small})}", wav_type, WAV),
        "link's id": ("GET", f"/record?{urlencode({'id': small, 'user': 1})}", {}, None),
        "link's user": ("GET", f"/record?{urlencode({'id': uuid.uuid4(), 'user': small})}", {}, None),
        **{name: ("GET", link, {name: small, **account.bearer}, None) for name in headers},
        "Authorization": ("POST", "/uploads", {**json_type, "Authorization": f"Bearer {small}"}, "{}"),
        "Idempotency-Key": ("POST", "/uploads", {**json_type, "Idempotency-Key": small}, "{}"),
        "boundary": ("POST", "/records", {"Content-Type": f"multipart/form-data; boundary={small}"}, WAV),
    }


def form_of(name: str, text: str, file_name: str | None = None) -> bytes:
    more = f'; filename="{file_name}"' if file_name is not None else ""
    return b"--b\r\n" + part(name, text.encode(), more) + b"\r\n--b--\r\n"


def refused(client: EventClient, account: Account, field: str, request: Request) -> float:
    """Send a request that must be refused briefly; returns the processor's seconds that it took."""
    method, path, headers, body = request
    started = time.process_time()
    reply = client.request(method, path, headers, body)
    seconds = time.process_time() - started
    assert 400 <= reply.status < 500, (field, reply.status)
    assert len(reply.body) <= MAX_ERROR_BYTES, (field, len(reply.body))
    assert set(reply.json) <= {"code", "message", "details"}
    return seconds
