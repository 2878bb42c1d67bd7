"""Large objects in MiniStack's S3, on disk and not in memory.

MiniStack 1.5.33 joins a request's body in memory, copies it four times while it takes a form apart, keeps the parts of
an upload in memory, and reads the whole object for each range of it: a recording of 2 GiB would take 10 GiB of memory.
Six of its functions are replaced here, for large bodies of forms, parts and large objects; everything else goes the way
that MiniStack wrote.
"""

from __future__ import annotations

import contextvars
import hashlib
import mmap
import os
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
Query = dict[str, Any]
Response = tuple[int, dict[str, str], Any]

read_request_body, parse_multipart_form = ministack._read_request_body, s3._parse_multipart_form
read_body, get_object = s3._read_body, s3._get_object
upload_part, complete_multipart_upload = s3._upload_part, s3._complete_multipart_upload

# Whether the one who reads an object's body is stream_large_objects, which can do with a view of the file.
streaming = contextvars.ContextVar("streaming", default=False)


def install(folder: Path) -> None:
    """Replace the six functions; `folder` takes uploads while they arrive."""
    tempfile.tempdir = str(folder)
    ministack._read_request_body = spool_large_forms
    s3._parse_multipart_form = parse_large_forms
    s3._read_body = map_large_objects
    s3._get_object = stream_large_objects
    s3._upload_part = spool_parts
    s3._complete_multipart_upload = join_parts


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


def stream_large_objects(*args: Any, **kwargs: Any) -> Response:
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
        whole: Any = body.obj  # the mmap
        for start in range(0, len(body), CHUNK):
            piece = bytes(body[start : start + CHUNK])
            whole.madvise(mmap.MADV_DONTNEED)  # or else all that was sent would stay in this process's memory
            await send({"type": "http.response.body", "body": piece, "more_body": start + CHUNK < len(body)})

    return status, {**headers, "Content-Length": str(len(body))}, StreamingResponse(send_pieces)


def spool_parts(bucket: str, key: str, body: bytes, query: Query, headers: dict[str, str]) -> Response:
    """(status, headers, body) of UploadPart. The parts of an upload are in one file, which is gone when the upload is.

    Parts with checksums of their own, as those of an MP3, stay in memory: MiniStack joins them itself.
    """
    response: Response = upload_part(bucket, key, body, query, headers)
    if response[0] == 200:
        upload = s3._multipart_uploads[s3._qp(query, "uploadId")]
        if upload["checksum_algorithm"] is None:
            part = upload["parts"][int(s3._qp(query, "partNumber"))]
            if "file" not in upload:
                upload["file"] = tempfile.TemporaryFile()  # noqa: SIM115
            part["offset"] = upload["file"].seek(0, os.SEEK_END)
            upload["file"].write(body)
            part["body"] = b""
    return response


def join_parts(bucket: str, key: str, body: bytes, query: Query, headers: dict[str, str] | None = None) -> Response:
    """(status, headers, body) of CompleteMultipartUpload. Parts that are in a file are copied to the object's."""
    upload_id = s3._qp(query, "uploadId")
    upload = s3._multipart_uploads.get(upload_id, {})
    asked = {
        int(part.findtext("{*}PartNumber", "0")): part.findtext("{*}ETag", "")
        for part in s3.fromstring(body).findall("{*}Part")
    }
    parts = [upload["parts"][number] for number in sorted(asked) if number in upload.get("parts", {})]
    right = upload.get("key") == key and [part["etag"] for part in parts] == [asked[number] for number in sorted(asked)]
    if "file" not in upload or not right:
        response: Response = complete_multipart_upload(bucket, key, body, query, headers)
        return response
    path = s3._object_disk_path(bucket, key)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(f"{path}.tmp", "wb") as file:
        for part in parts:
            upload["file"].seek(part["offset"])
            for start in range(0, part["size"], CHUNK):
                file.write(upload["file"].read(min(CHUNK, part["size"] - start)))
    os.replace(f"{path}.tmp", path)
    digests = b"".join(bytes.fromhex(part["etag"].strip('"')) for part in parts)
    etag = f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'
    inherited = ("content_type", "content_encoding", "metadata", "preserved_headers", "storage_class")
    record = {
        **{name: upload[name] for name in inherited},
        "body": None,  # it is on the disk
        "etag": etag,
        "last_modified": s3.now_iso(),
        "size": sum(part["size"] for part in parts),
        "parts": [{"PartNumber": number, "Size": upload["parts"][number]["size"]} for number in sorted(asked)],
    }
    s3._buckets[bucket]["objects"][key] = record
    s3._persist_object(bucket, key, record)
    del s3._multipart_uploads[upload_id]
    s3._fire_s3_event_async(bucket, key, "s3:ObjectCreated:CompleteMultipartUpload", record["size"], etag)
    root = s3.Element("CompleteMultipartUploadResult", xmlns=s3.S3_NS)
    for name, text in {"Bucket": bucket, "Key": key, "ETag": etag}.items():
        s3.SubElement(root, name).text = text
    response = (200, {"Content-Type": "application/xml"}, s3._xml_body(root))
    s3._completed_multipart_uploads[upload_id] = {"key": key, "response": response}  # for who asks again
    return response
