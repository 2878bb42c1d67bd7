"""The pages' function: what it serves, how it may be kept, and what it says of every other address."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator

import pytest

from functions.site import app
from records import settings
from records.http import CROSS_ORIGIN
from tests.support.client import EventClient, Reply
from tests.support.contract import METHODS

STORAGE = "https://audio.s3.eu-central-1.amazonaws.com https://audio.s3.amazonaws.com"


def forget() -> None:
    settings.settings.cache_clear()
    app.policy.cache_clear()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("BUCKET", "audio")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    for name in ("PUBLIC_URL", "STORAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    forget()
    yield
    forget()


def ask(method: str, path: str, **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return EventClient().request(method, path, names)


def assets(page: str) -> list[str]:
    """The addresses of the files that a page loads."""
    return re.findall(r'(?:src|href)="(/assets/[^"]+)"', ask("GET", page).body.decode())


def test_the_page_in_full() -> None:
    reply = ask("GET", "/")
    request_id = reply.headers.pop("x-request-id")
    assert re.fullmatch(r"[0-9a-f-]{36}", request_id)
    assert reply.status == 200
    assert reply.body.startswith(b"<!doctype html>")
    assert b"{assets}" not in reply.body
    assert reply.headers == {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-cache",
        "etag": f'"{hashlib.sha256(reply.body).hexdigest()[:32]}"',
        "vary": "accept-encoding",
        "content-security-policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
            f"connect-src 'self' {STORAGE}; media-src 'self' blob: {STORAGE}; "
            "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "permissions-policy": "microphone=(self), camera=(), geolocation=()",
        "cross-origin-opener-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        **{name.lower(): value for name, value in CROSS_ORIGIN.items()},
    }


@pytest.mark.parametrize("page", ["/", "/docs"])
def test_a_page_has_no_script_and_no_style_of_its_own(page: str) -> None:
    html = ask("GET", page).body.decode()
    assert "unsafe" not in ask("GET", page).headers["content-security-policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert all(re.search(r'src="/assets/', tag) for tag in re.findall(r"<script[^>]*>", html))
    assert not re.search(r'(?:src|href)="(?!/|#)', html), "an address of another host"


@pytest.mark.parametrize("page", ["/", "/docs"])
def test_every_file_of_a_page_may_be_kept_for_ever(page: str) -> None:
    found = assets(page)
    assert len(found) >= 3
    for path in found:
        reply = ask("GET", path)
        assert (reply.status, reply.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert reply.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_the_modules_that_modules_load_are_all_there() -> None:
    for path in app.STATIC.glob("*.js"):
        for name in re.findall(r"""(?:from |URL\()'\./([\w.]+)'""", path.read_text()):
            assert ask("GET", f"/assets/{app.version()}/{name}").status == 200, f"{path.name} loads {name}"


def test_the_page_preloads_every_module_that_it_will_import() -> None:
    """Or the browser would find them a level at a time, a round trip each."""
    needed, found = ["page.js"], {"page.js"}
    while needed:
        imports = set(re.findall(r"^import .* from '\./([\w.]+)';", (app.STATIC / needed.pop()).read_text(), re.M))
        needed += imports - found
        found |= imports
    page = (app.STATIC / "index.html").read_text()
    preloaded = re.findall(r'<link rel="modulepreload" href="{assets}/([\w.]+)">', page)
    assert preloaded == sorted(found - {"page.js"})


def test_a_file_of_an_older_version_is_todays_and_not_kept() -> None:
    reply = ask("GET", "/assets/0123456789abcdef/page.js")
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-cache")
    assert reply.body == (app.STATIC / "page.js").read_bytes()


def test_the_service_worker_keeps_this_version_only() -> None:
    reply = ask("GET", "/sw.js")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["content-security-policy"].startswith("default-src 'none'; connect-src 'self';")
    assert f"const CACHE = '/assets/{app.version()}';" in reply.body.decode()
    assert ask("GET", f"/assets/{app.version()}/sw.js").status == 404


def test_swagger_ui_comes_from_powertools() -> None:
    sizes = {path.rpartition("/")[2]: len(ask("GET", path).body) for path in assets("/docs")}
    assert sizes["swagger-ui-bundle.min.js"] > 1_000_000
    assert sizes["swagger-ui.min.css"] > 100_000


def test_openapi() -> None:
    reply = ask("GET", "/openapi.json")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert json.loads(reply.body)["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    ("header", "gzipped"),
    [
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("*", True),
        ("*;q=0.1", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("*, gzip; q=0.000", False),
        ("identity", False),
    ],
)
def test_gzip_for_who_accepts_it(header: str, *, gzipped: bool) -> None:
    plain = ask("GET", "/")
    reply = ask("GET", "/", accept_encoding=header)
    assert reply.headers.get("content-encoding") == ("gzip" if gzipped else None)
    assert (gzip.decompress(reply.body) if gzipped else reply.body) == plain.body
    assert (reply.headers["etag"] == plain.headers["etag"]) is not gzipped, "two forms of one tag"
    assert len(reply.body) < len(plain.body) / 2 or not gzipped


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("page", ["/", "/docs", "/openapi.json", "/assets/page.css"])
def test_who_has_it_is_told_so(page: str, encoding: str) -> None:
    first = ask("GET", page, accept_encoding=encoding)
    for tag in (first.headers["etag"], f"W/{first.headers['etag']}", f'"other", {first.headers["etag"]}', "*"):
        again = ask("GET", page, accept_encoding=encoding, if_none_match=tag)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["cache-control"] == first.headers["cache-control"]
    assert ask("GET", page, if_none_match='"other"').status == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/assets/page.js", "/nothing"])
def test_head_is_get_without_the_body(path: str) -> None:
    got, head = ask("GET", path), ask("HEAD", path)
    for reply in (got, head):
        del reply.headers["x-request-id"]
    assert (head.status, head.headers) == (got.status, got.headers)
    event = {"rawPath": path, "requestContext": {"requestId": "1", "http": {"method": "HEAD"}}}
    assert app.lambda_handler(event, None)["body"] == ""


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/docs/",
        "/users/1",
        "/record/",
        "/assets",
        "/assets/",
        "/assets/app.py",
        "/assets/index.html",
        "/assets/openapi.json",
        "/assets/../app.py",
        "/assets/a/../../app.py",
        "/assets/a/b/page.js",
        "//assets/page.js",
        "/assets/%2e%2e/app.py",
        "/assets/\x00page.js",
        "/static/page.js",
        "/page.js",
        "/favicon.ico",
        "/Docs",
        "",
    ],
)
def test_no_such_address(path: str) -> None:
    event = {"rawPath": path or "/.", "requestContext": {"requestId": "1", "http": {"method": "GET"}}}
    answer = app.lambda_handler(event, None)
    assert answer["statusCode"] == 404
    assert answer["headers"] == {
        "content-type": "application/json; charset=utf-8",
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        **CROSS_ORIGIN,
        "x-request-id": "1",
    }


def test_no_such_address_in_words() -> None:
    reply = ask("POST", "/nothing")
    assert (reply.status, reply.json) == (
        404,
        {"code": "not_found", "message": "There is nothing at this address. The API is described at /docs."},
    )


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/users", METHODS["/users"]),
        ("PUT", "/records", METHODS["/records"]),
        ("GET", "/uploads", METHODS["/uploads"]),
        ("OPTIONS", "/users", METHODS["/users"]),
        ("POST", "/record", METHODS["/record"]),
        ("POST", "/", "GET, HEAD"),
        ("PUT", "/docs", "GET, HEAD"),
        ("DELETE", "/assets/page.js", "GET, HEAD"),
        ("HEAD", "/records", METHODS["/records"]),
    ],
)
def test_another_method(method: str, path: str, allow: str) -> None:
    reply = ask(method, path)
    assert (reply.status, reply.headers["allow"]) == (405, allow)
    if method == "HEAD":
        assert reply.body == b""
    else:
        message = f"{path} does not accept {method}; it accepts {allow.replace(', ', ' and ')}."
        assert reply.json == {"code": "method_not_allowed", "message": message}


@pytest.mark.parametrize(
    ("settings_", "connect"),
    [
        ({"STORAGE_URL": "http://127.0.0.1:4566"}, "'self' http://127.0.0.1:4566"),
        (
            {"PUBLIC_URL": "https://records.example.com", "STORAGE_URL": "http://127.0.0.1:4566"},
            "'self' http://127.0.0.1:4566 https://records.example.com",
        ),
        (
            {"AWS_REGION": "cn-north-1"},
            "'self' https://audio.s3.cn-north-1.amazonaws.com.cn https://audio.s3.amazonaws.com.cn",
        ),
    ],
)
def test_the_page_may_talk_to_the_storage_that_there_is(
    settings_: dict[str, str], connect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings_.items():
        monkeypatch.setenv(name, value)
    forget()
    assert f"connect-src {connect};" in ask("GET", "/").headers["content-security-policy"]


def test_a_request_without_an_id_gets_lambdas() -> None:
    class Invocation:
        aws_request_id = "lambda-1"

    event = {"rawPath": "/", "requestContext": {"http": {"method": "GET"}}}
    assert app.lambda_handler(event, Invocation())["headers"]["x-request-id"] == "lambda-1"
