"""Large objects in MiniStack's S3, on disk and not in memory.

MiniStack 1.5.33 joins a request's body in memory, copies it four times while it takes a form apart, and reads the whole
object for each range of it: a recording of 2 GiB would take 10 GiB of memory. Four of its functions are replaced here,
for large bodies of forms and large objects; everything else goes the way that MiniStack wrote.
"""

from __future__ import annotations

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

Receive = Callable[[], Awaitable[dict[str, Any]]]
Answer = tuple[int, dict[str, str], Any]


def install(folder: Path) -> None:
    """Replace the four functions; `folder` takes the uploads while they arrive."""
    read_request_body, parse_form = ministack._read_request_body, s3._parse_multipart_form
    read_body, get_object = s3._read_body, s3._get_object

    async def spool_large_forms(receive: Receive, method: str, headers: dict[str, str]) -> bytes | memoryview:
        size = headers.get("content-length", "")
        form = method == "POST" and headers.get("content-type", "").lower().startswith("multipart/form-data")
        if not form or not size.isdecimal() or int(size) < LARGE:
            return await read_request_body(receive, method, headers)
        with tempfile.TemporaryFile(dir=folder) as file:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ministack._RequestBodyDisconnected
                file.write(message.get("body", b""))
                more = message.get("more_body", False)
            file.flush()
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def parse_large_form(content_type: str, body: bytes | memoryview) -> list[tuple[Any, ...]]:
        """As MiniStack's, except that a large part is not copied."""
        if not isinstance(body, memoryview):
            return parse_form(content_type, body)
        found = re.search(r'boundary="?([^";\s]+)', content_type, re.IGNORECASE)
        if not found:
            return []
        boundary, whole = b"--" + found[1].encode(), body.obj
        parts: list[tuple[Any, ...]] = []
        start = whole.find(boundary)
        while start >= 0:
            head = whole.find(b"\r\n\r\n", start) + 4
            end = whole.find(b"\r\n" + boundary, head)
            if head < 4 or end < 0:
                break
            only_head = whole[start:head] + b"\r\n" + boundary + b"--\r\n"
            [(name, filename, headers, _)] = parse_form(content_type, only_head)
            value = body[head:end]
            parts.append((name, filename, headers, value if len(value) >= LARGE else bytes(value)))
            start = end + 2
        return parts

    def map_large_objects(bucket: str, key: str, record: dict[str, Any]) -> bytes | memoryview:
        if record.get("body") is not None or record.get("size", 0) < LARGE or not s3.S3_PERSIST:
            return read_body(bucket, key, record)
        path = s3._object_disk_path(bucket, key)
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def stream_large_objects(*args: Any, **kwargs: Any) -> Answer:
        status, headers, body = get_object(*args, **kwargs)
        if not isinstance(body, memoryview):
            return status, headers, body
        if len(body) < LARGE:
            return status, headers, bytes(body)

        async def send_chunks(send: Callable[[dict[str, Any]], Awaitable[None]], _receive: Receive) -> None:
            for start in range(0, len(body), CHUNK):
                chunk = bytes(body[start : start + CHUNK])
                await send({"type": "http.response.body", "body": chunk, "more_body": start + CHUNK < len(body)})

        return status, {**headers, "Content-Length": str(len(body))}, StreamingResponse(send_chunks)

    ministack._read_request_body = spool_large_forms
    s3._parse_multipart_form = parse_large_form
    s3._read_body = map_large_objects
    s3._get_object = stream_large_objects
