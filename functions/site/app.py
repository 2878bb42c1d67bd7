"""The pages: `/` for people, `/docs` and `/openapi.json` for programmers; and 404 and 405 for all other addresses.

The API's `$default` route leads here, so a path that the service does not know, or knows only with another method,
arrives here too and gets the contract's JSON. Only the files of a fixed table are ever read: no part of a request
becomes a path. A file's address has a digest of all files in it (`/assets/<version>/page.js`), so caches may keep it
for ever; the modules of the page import each other by relative addresses and so stay within one version.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from records.http import CROSS_ORIGIN, accepts_gzip, matches
from records.settings import origin, settings, storage_origins

STATIC = Path(__file__).parent / "static"
# Swagger UI comes with Powertools (pinned with it); nothing is copied, nothing is loaded from another host.
SWAGGER = ("swagger-ui-bundle.min.js", "swagger-ui.min.css")

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}
PAGES = {"/": "index.html", "/docs": "docs.html", "/openapi.json": "openapi.json", "/sw.js": "sw.js"}
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


class Document(NamedTuple):
    """A file as it is sent: its bytes, the same gzipped, its media type, and the strong tags of both forms."""

    body: bytes
    gzipped: bytes
    type: str
    etag: str
    gzipped_etag: str


@cache
def methods() -> dict[str, str]:
    """The methods of every address, by the OpenAPI document. Requests with these methods go to other functions; those
    with any other method arrive here."""
    paths = json.loads((STATIC / "openapi.json").read_bytes())["paths"]
    documented = {
        path: ", ".join(sorted(method.upper() for method in operations)) for path, operations in paths.items()
    }
    return documented | dict.fromkeys((*PAGES, "/listen"), "GET, HEAD")


@cache
def files() -> dict[str, Path]:
    """Every file that is served, by its name."""
    found = {path.name: path for path in STATIC.iterdir() if path.suffix in TYPES}
    powertools = find_spec("aws_lambda_powertools")  # located, not imported: the import costs 0.1 s
    for folder in powertools.submodule_search_locations or () if powertools else ():
        for name in SWAGGER:
            found[name] = Path(folder, "event_handler", "openapi", "swagger_ui", name)
    return found


@cache
def version() -> str:
    """A digest of all the files: it changes when any of them does."""
    digest = hashlib.sha256()
    for name, path in sorted(files().items()):
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


@cache
def document(name: str) -> Document:
    """The file of that name, ready to be sent. Raises KeyError for a name that is not in the table."""
    path = files()[name]
    body = path.read_bytes()
    if path.suffix == ".html" or name == "sw.js":
        body = body.replace(b"{assets}", f"/assets/{version()}".encode())
    digest = hashlib.sha256(body).hexdigest()[:32]
    return Document(body, gzip.compress(body, mtime=0), TYPES[path.suffix], f'"{digest}"', f'"{digest}-gzip"')


@cache
def policy(name: str) -> str:
    """The Content-Security-Policy of a file.

    A page loads nothing but its own files and talks to nobody but this API and the storage: a long recording is sent
    to the storage's own address, and a long MP3 is read from there after a redirect.
    """
    if name == "sw.js":  # a service worker is held to the policy that it came with
        return "default-src 'none'; connect-src 'self'; frame-ancestors 'none'"
    if not name.endswith(".html"):
        return "default-src 'none'; frame-ancestors 'none'"
    others = storage_origins()
    if settings().public_url:
        others.append(origin(settings().public_url))
    elsewhere = " ".join(others)
    rules = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        # Swagger UI's style sheet has its icons as data: images.
        "img-src 'self' data:" if name == "docs.html" else "img-src 'self'",
        f"connect-src 'self' {elsewhere}",
        f"media-src 'self' blob: {elsewhere}",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return "; ".join(rules)


def answer(status: int, headers: Mapping[str, str], body: bytes = b"") -> dict[str, Any]:
    """An answer of the HTTP API's payload format 2.0."""
    return {
        "statusCode": status,
        "headers": {
            **CROSS_ORIGIN,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",  # whoever has a record's link can listen
            **headers,
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def error(status: int, code: str, message: str, head: bool, **headers: str) -> dict[str, Any]:
    """An error as the contract has it."""
    body = b"" if head else json.dumps({"code": code, "message": message}).encode()
    return answer(status, {"content-type": TYPES[".json"], "cache-control": "no-store", **headers}, body)


def send(name: str, cache_control: str, request: Mapping[str, str], head: bool) -> dict[str, Any]:
    """A file, gzipped if the client accepts that; `304` if the client has it already."""
    found = document(name)
    gzipped = accepts_gzip(request.get("accept-encoding", ""))
    headers = {
        "content-type": found.type,
        "cache-control": cache_control,
        "etag": found.gzipped_etag if gzipped else found.etag,
        "vary": "accept-encoding",
        "content-security-policy": policy(name),
    }
    if name.endswith(".html"):
        headers["permissions-policy"] = "microphone=(self), camera=(), geolocation=()"
        headers["cross-origin-opener-policy"] = "same-origin"
    if matches(request.get("if-none-match", ""), (found.etag, found.gzipped_etag)):
        return answer(304, headers)
    if gzipped:
        headers["content-encoding"] = "gzip"
    return answer(200, headers, b"" if head else found.gzipped if gzipped else found.body)


def respond(method: str, path: str, request: Mapping[str, str]) -> dict[str, Any]:
    """The answer to a request; the names of its headers are in lower case."""
    head = method == "HEAD"
    folder, _, name = path.rpartition("/")
    filed = folder == "/assets" or (folder.startswith("/assets/") and folder.count("/") == 2)
    asset = filed and name in files() and name not in PAGES.values()
    allowed = "GET, HEAD" if asset else methods().get(path)
    if allowed is None:
        return error(404, "not_found", "There is nothing at this address. The API is described at /docs.", head)
    if method not in allowed.split(", ") or not (asset or path in PAGES):
        message = f"{path} does not accept {method}; it accepts {allowed.replace(', ', ' and ')}."
        return error(405, "method_not_allowed", message, head, allow=allowed)
    if not asset:
        return send(PAGES[path], ASK_AGAIN, request, head)
    # A page opened before a deployment may still ask for a file of the version before: it gets today's, which must not
    # be cached under the old address.
    return send(name, FOR_EVER if folder == f"/assets/{version()}" else ASK_AGAIN, request, head)


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """An HTTP API's event (payload format 2.0) in, its answer out."""
    about = event["requestContext"]
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    found = respond(about["http"]["method"], event.get("rawPath") or "/", headers)
    found["headers"]["x-request-id"] = str(about.get("requestId") or context.aws_request_id)
    return found
