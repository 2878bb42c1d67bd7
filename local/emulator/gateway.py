"""The HTTP application on both of the emulator's ports: which requests each passes on to MiniStack.

The public port is for clients of the service, and so for any web page: it takes requests to the API, and those to the
bucket's objects that a signed address or a signed form allows. The AWS port is for the functions, `sam deploy` and the
tests: it takes only requests that are signed with a key of this run. MiniStack itself does not check the signatures of
the account's root.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from ministack import app as ministack
from ministack.core import sigv4
from ministack.core.iam_evaluator import CredentialResolutionError, resolve_credential
from ministack.services import s3

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = dict[str, Any]
Query = dict[str, list[str]]
Response = tuple[int, dict[str, str], bytes]

MAX_API_BODY = 10 * 2**20  # bytes; the quota of an HTTP API
MAX_SKIPPED = 16 * 2**20  # bytes; a part of an upload has 8 MiB
SIGNED_QUERY = (
    *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date"),
    *("X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"),
)
HEALTH = "/_ministack/health"


class Gateway:
    """ASGI application over MiniStack's own.

    `concurrency`: how many requests to the API run at once; more wait, as a laptop cannot start fifty Pythons at once.
    `on_start` is called when MiniStack has loaded its state, before the first request."""

    def __init__(
        self,
        *,
        public_port: int,
        aws_hosts: Iterable[str],
        bucket: str,
        api_id_file: Path,
        concurrency: int,
        on_start: Callable[[], None],
    ) -> None:
        self.public_port = public_port
        names = {f"{name}:{public_port}" for name in ("127.0.0.1", "localhost")}
        self.public_hosts = names | ({"127.0.0.1", "localhost"} if public_port == 80 else set())
        self.aws_hosts = set(aws_hosts)
        self.bucket_path = f"/{bucket}"
        self.api_id_file = api_id_file
        self.slots = asyncio.Semaphore(concurrency)
        self.on_start = on_start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await ministack.app(scope, receive, self._after_start(send))
        elif scope["type"] != "http":
            await send({"type": "websocket.close"})  # the service has none
        else:
            # Nobody listens in on loopback: it counts as TLS, which is all that the bucket's policy lets through.
            scope = {**scope, "scheme": "https"}
            headers = joined_headers(scope)
            if scope["server"][1] != self.public_port:
                await self._aws(scope, headers, receive, send)
            elif headers.get("host") not in self.public_hosts:
                await refuse(send, 421, "This address is served to this machine only, as 127.0.0.1 or localhost.")
            elif "x-amz-target" in headers or headers.get("authorization", "").startswith("AWS"):
                await refuse(send, 403, "This port takes requests of the service, not of AWS.")
            elif f"{scope['path']}/".startswith(f"{self.bucket_path}/"):
                await self._storage(scope, headers, receive, send)
            else:
                await self._api(scope, receive, send)

    def _after_start(self, send: Send) -> Send:
        async def started(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.on_start()
            await send(message)

        return started

    async def _api(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request runs once its body is there, and its slot is free before the response is sent: slow clients hold
        up nobody."""
        body = await read_body(receive, MAX_API_BODY)
        if body is None:
            await refuse(send, 413, "Request Entity Too Large")
            return
        # The data plane of an HTTP API by path: MiniStack's own paths, such as /health, cannot get in the way.
        prefix = f"/_aws/execute-api/{self.api_id_file.read_text()}/$default"
        scope = {
            **scope,
            "path": prefix + scope["path"],
            "raw_path": prefix.encode() + (scope.get("raw_path") or scope["path"].encode()),
        }
        response: list[Message] = []

        async def collect(message: Message) -> None:
            response.append(message)

        async with self.slots:
            await ministack.app(scope, replay(body), collect)
        for message in response:
            await send(message)

    async def _storage(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        refusal = self._refused_storage(scope["method"], scope["path"], query, headers)
        if refusal:
            await skip_body(receive, MAX_SKIPPED)
            await respond(send, refusal)
        else:
            await ministack.app(scope, receive, send)

    def _refused_storage(self, method: str, path: str, query: Query, headers: dict[str, str]) -> Response | None:
        """The response to what no client of the service does with the bucket's objects; None: it is let through."""
        key = path[len(self.bucket_path) + 1 :]
        amz_headers = {name for name in headers if name.startswith("x-amz-")}
        if method == "OPTIONS":
            return None
        if method == "POST":  # MiniStack checks the form's policy and signature, and takes no form without
            is_form = headers.get("content-type", "").lower().startswith("multipart/form-data")
            allowed = is_form and not (key or query or amz_headers)
        else:
            allowed = (
                (method in ("GET", "HEAD") or (method == "PUT" and {"uploadId", "partNumber"} <= query.keys()))
                and bool(key)
                and all(len(query.get(name, [])) == 1 for name in SIGNED_QUERY)
                and query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
                and amz_headers <= set(query["X-Amz-SignedHeaders"][0].split(";"))  # as S3 wants it
            )
        if not allowed:
            refusal: Response = s3._error("AccessDenied", "Access Denied", 403, path)
            return refusal
        failure: Response | None = s3._verify_presigned_sigv4(method, path, headers, query)
        return failure

    async def _aws(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        if headers.get("host") not in self.aws_hosts:
            await refuse(send, 421, "This port is the emulated AWS of this machine only.")
            return
        if scope["method"] == "GET" and scope["path"] == HEALTH:
            await ministack.app(scope, receive, send)
            return
        signature = sigv4.parse_header_signature(headers)
        if not headers.get("authorization", "").startswith("AWS4-HMAC-SHA256") or isinstance(signature, tuple):
            await refuse(send, 403, "This port takes requests that are signed with a key of this run only.")
            return
        token = headers.get("x-amz-security-token", "")
        credential = resolve_credential(signature.access_key_id, session_token=token)
        if isinstance(credential, CredentialResolutionError):
            await refuse(send, 403, credential.message)
            return
        body = b""
        if "x-amz-content-sha256" not in headers:  # what signs its body otherwise is small; only S3's is not
            body = await read_body(receive, None) or b""
            receive = replay(body)
        query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        raw_path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        failure = sigv4.header_signature_failure(
            signature, credential.secret_access_key, scope["method"], raw_path, query, headers, body
        )
        if failure:
            await refuse(send, 403, failure[1])
        else:
            await ministack.app(scope, receive, send)


def joined_headers(scope: Scope) -> dict[str, str]:
    """By name in lower case; those that come several times are joined by a comma, as they are signed."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), sigv4.decode_header_value(raw_value)
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


async def read_body(receive: Receive, limit: int | None) -> bytes | None:
    """The whole body; None where it is longer than the limit, or the client has gone."""
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        size += len(message.get("body", b""))
        if limit is None or size <= limit:
            pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return None if limit is not None and size > limit else b"".join(pieces)


async def skip_body(receive: Receive, limit: int) -> None:
    """Read up to `limit` bytes of a body that is refused: many clients look for a response only once they sent it."""
    skipped, more = 0, True
    while more and skipped <= limit:
        message = await receive()
        skipped += len(message.get("body", b""))
        more = message["type"] != "http.disconnect" and message.get("more_body", False)


def replay(body: bytes) -> Receive:
    """A body that was read, to be received once more."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


async def refuse(send: Send, status: int, message: str) -> None:
    await respond(send, (status, {"Content-Type": "application/json"}, json.dumps({"message": message}).encode()))


async def respond(send: Send, response: Response) -> None:
    status, headers, body = response
    length = {"Content-Length": str(len(body))}
    pairs = [(name.encode(), str(value).encode()) for name, value in {**headers, **length}.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
