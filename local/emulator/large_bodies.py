"""Large objects in MiniStack's S3, on disk and not in memory.

MiniStack 1.5.33 joins a request's body in memory, copies it four times while it takes a form apart, and reads the whole
object for each range of it: a recording of 2 GiB would take 10 GiB of memory. Four of its functions are replaced here,
for large bodies of forms and large objects; everything else goes the way that MiniStack wrote.
"""

from __future__ import annotations

import contextvars
import mmap
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ministack import app as ministack
from ministack.core.responses import StreamingResponse
from ministack.services import s3

LARGE = 8 * 2**20
CHUNK = 2**20

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

read_request_body, parse_multipart_form = ministack._read_request_body, s3._parse_multipart_form
read_body, get_object = s3._read_body, s3._get_object

# Whether the one who reads an object's body is stream_large_objects, which can do with a view of the file.
streaming = contextvars.ContextVar("streaming", default=False)


def install(folder: Path) -> None:
    """Replace the four functions; `folder` takes uploads while they arrive."""
    tempfile.tempdir = str(folder)
    ministack._read_request_body = spool_large_forms
    s3._parse_multipart_form = parse_large_forms
    s3._read_body = map_large_objects
    s3._get_object = stream_large_objects


def mapped(file: Any) -> memoryview:
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


async def spool_large_forms(receive: Receive, method: str, headers: dict[str, str]) -> bytes | memoryview:
    """The body of a request; of a large form as a view of a file that is gone with the view."""
    size = headers.get("content-length", "")
    form = method == "POST" and headers.get("content-type", "").lower().startswith("multipart/form-data")
    if not form or not size.isdecimal() or int(size) < LARGE:
        body: bytes = await read_request_body(receive, method, headers)
        return body
    with tempfile.TemporaryFile() as file:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ministack._RequestBodyDisconnected
            file.write(message.get("body", b""))
            more = message.get("more_body", False)
        file.flush()
        return mapped(file)


def parse_large_forms(content_type: str, body: bytes | memoryview) -> list[tuple[Any, ...]]:
    """[(name, file name, headers, value), ...]; a large value is a view of the body."""
    found = re.search(r'boundary="?([^";\s]+)', content_type, re.IGNORECASE)
    if not isinstance(body, memoryview) or not found:
        return parse_multipart_form(content_type, body)  # type: ignore[no-any-return]
    boundary = b"--" + found[1].encode()
    whole: Any = body.obj  # the mmap, which can be searched
    parts: list[tuple[Any, ...]] = []
    start = whole.find(boundary)
    while start >= 0:
        head = whole.find(b"\r\n\r\n", start) + 4
        end = whole.find(b"\r\n" + boundary, head)
        if head < 4 or end < 0:
            break
        only_head = whole[start:head] + b"\r\n" + boundary + b"--\r\n"
        [(name, filename, headers, _)] = parse_multipart_form(content_type, only_head)
        value = body[head:end]
        parts.append((name, filename, headers, value if len(value) >= LARGE else bytes(value)))
        start = end + 2
    return parts


def map_large_objects(bucket: str, key: str, record: dict[str, Any]) -> bytes | memoryview:
    """The body of an object; of a large one that is being sent a view of its file."""
    if not streaming.get() or record.get("body") is not None or record.get("size", 0) < LARGE:
        body: bytes = read_body(bucket, key, record)
        return body
    with open(s3._object_disk_path(bucket, key), "rb") as file:
        return mapped(file)


def stream_large_objects(*args: Any, **kwargs: Any) -> tuple[int, dict[str, str], Any]:
    """(status, headers, body) of GetObject; a large body is sent piece by piece."""
    token = streaming.set(True)
    try:
        status, headers, body = get_object(*args, **kwargs)
    finally:
        streaming.reset(token)
    if not isinstance(body, memoryview):
        return status, headers, body
    if len(body) < LARGE:
        return status, headers, bytes(body)

    async def send_pieces(send: Send, _receive: Receive) -> None:
        for start in range(0, len(body), CHUNK):
            piece = bytes(body[start : start + CHUNK])
            await send({"type": "http.response.body", "body": piece, "more_body": start + CHUNK < len(body)})

    return status, {**headers, "Content-Length": str(len(body))}, StreamingResponse(send_pieces)
