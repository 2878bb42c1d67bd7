"""S3: storing and reading MP3s, reading long WAVs, signing addresses for clients."""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from records import cdn
from records.aws import aws_code, faults, log_fault, s3, s3_public
from records.errors import Unavailable
from records.settings import settings

SIGNED_SECONDS = 3600  # long enough to listen to a lecture, short enough not to become a permanent link
MULTIPART_BYTES = 64 * 1024 * 1024
STREAM_BYTES = 1024 * 1024
STREAM_ATTEMPTS = 3
PART_BYTES = 8 * 1024 * 1024


MAX_DELETED = 1000  # objects in one call: S3's limit


class Stored(NamedTuple):
    """An object; `size` in bytes."""

    key: str
    size: int
    modified: datetime


class ObjectNotFound(Exception):
    """There is no object of that key."""


def put_mp3(key: str, path: Path, sha256: str) -> None:
    """Store a file whole or not at all; S3 itself compares the SHA-256 (hex). Raises Unavailable."""
    with faults():
        if path.stat().st_size <= MULTIPART_BYTES:
            with path.open("rb") as body:
                s3().put_object(
                    Bucket=settings().bucket,
                    Key=key,
                    Body=body,
                    ContentType="audio/mpeg",
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
                )
        else:
            _upload(key, path)


def _upload(key: str, path: Path) -> None:
    """In parts, two at a time: an upload that fails is aborted, so nothing half-stored is left."""
    from s3transfer.manager import TransferConfig, TransferManager

    config = TransferConfig(
        multipart_threshold=MULTIPART_BYTES, multipart_chunksize=PART_BYTES, max_request_concurrency=2
    )
    with TransferManager(s3(), config) as manager:
        manager.upload(str(path), settings().bucket, key, {"ContentType": "audio/mpeg"}).result()


def get(key: str, first: int, last: int) -> bytes:
    """Bytes `first` to `last` (both included) of an object.

    Raises ObjectNotFound, and Unavailable, also where there are fewer.
    """
    return b"".join(_stream(key, first, last))


def etag(key: str) -> str:
    """The entity tag that S3 serves an object with. Raises ObjectNotFound, Unavailable."""
    return str(_call("head_object", key)["ETag"])


def _stream(key: str, first: int, last: int, **conditions: str) -> Iterator[bytes]:
    """Bytes `first` to `last` of an object, in pieces of at most 1 MiB. Raises ObjectNotFound, Unavailable.

    A body that stops midway is resumed where it stopped.
    """
    failures = 0
    while first <= last:
        begun_at = first
        answer = _call("get_object", key, Range=f"bytes={first}-{last}", **conditions)
        with closing(answer["Body"]) as body:
            range_given, length = answer.get("ContentRange", ""), answer.get("ContentLength")
            if not range_given.startswith(f"bytes {first}-{last}/") or length != last - first + 1:
                raise Unavailable  # not the requested range
            try:
                while piece := body.read(STREAM_BYTES):
                    first += len(piece)
                    yield piece
            except (BotoCoreError, OSError) as error:
                log_fault(error)
                if first > last:
                    raise Unavailable from error  # every byte arrived, but they are wrong
        failures = 0 if first > begun_at else failures + 1
        if failures == STREAM_ATTEMPTS:
            raise Unavailable


def _call(operation: str, key: str, **arguments: Any) -> Any:
    with faults():
        try:
            return getattr(s3(), operation)(Bucket=settings().bucket, Key=key, **arguments)
        except ClientError as error:
            if aws_code(error) in ("404", "NoSuchKey", "NoSuchUpload"):
                raise ObjectNotFound from None
            raise


def delete(key: str) -> None:
    """Delete an object, if there is one. Raises Unavailable."""
    with faults():
        s3().delete_object(Bucket=settings().bucket, Key=key)


def delete_prefix(prefix: str, keep: str | None = None) -> None:
    """Delete every object whose key begins with `prefix`, except `keep`. Raises Unavailable."""
    with faults():
        pages = s3().get_paginator("list_objects_v2").paginate(Bucket=settings().bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", []):
                if item["Key"] != keep:
                    s3().delete_object(Bucket=settings().bucket, Key=item["Key"])


def delete_all(keys: list[str]) -> None:
    """Delete at most MAX_DELETED objects in one call. Raises Unavailable."""
    with faults():
        answer = s3().delete_objects(
            Bucket=settings().bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
        )
    if answer.get("Errors"):
        raise Unavailable


def stored(prefix: str) -> Iterator[Stored]:
    """Every object whose key begins with `prefix`. Raises Unavailable."""
    with faults():
        for page in s3().get_paginator("list_objects_v2").paginate(Bucket=settings().bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                yield Stored(item["Key"], item["Size"], item["LastModified"])


def multipart_uploads(prefix: str) -> list[tuple[str, str]]:
    """The key and the id of every upload in parts that is not finished. Raises Unavailable."""
    with faults():
        pages = s3().get_paginator("list_multipart_uploads").paginate(Bucket=settings().bucket, Prefix=prefix)
        return [(item["Key"], item["UploadId"]) for page in pages for item in page.get("Uploads", [])]


def abort(key: str, upload_id: str) -> None:
    """Abort an upload in parts, if it is still there. Raises Unavailable."""
    with faults():
        try:
            s3().abort_multipart_upload(Bucket=settings().bucket, Key=key, UploadId=upload_id)
        except ClientError as error:
            if aws_code(error) != "NoSuchUpload":
                raise


def begin_parts(key: str) -> str:
    """Begin an upload in parts; returns its id. Raises Unavailable."""
    return str(_call("create_multipart_upload", key)["UploadId"])


def parts(key: str, upload_id: str) -> dict[int, tuple[int, str]]:
    """The size in bytes and the entity tag of each part that has arrived, by its number.

    Raises ObjectNotFound where there is no such upload, Unavailable.
    """
    found: dict[int, tuple[int, str]] = {}
    marker = 0
    while True:
        page = _call("list_parts", key, UploadId=upload_id, PartNumberMarker=marker)
        found |= {part["PartNumber"]: (part["Size"], part["ETag"]) for part in page.get("Parts", [])}
        if not page.get("IsTruncated"):
            return found
        marker = page["NextPartNumberMarker"]


def join_parts(key: str, upload_id: str, etags: dict[int, str]) -> bool:
    """Make one object of all parts. Returns False where they have changed since they were listed.

    Raises ObjectNotFound where there is no such upload, Unavailable.
    """
    joined = {"Parts": [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]}
    try:
        _call("complete_multipart_upload", key, UploadId=upload_id, MultipartUpload=joined)
        return True
    except Unavailable as error:
        if error.__cause__ and aws_code(error.__cause__) == "InvalidPart":
            return False
        raise


def signed_part(key: str, upload_id: str, number: int, size: int) -> str:
    """An address to PUT one part of exactly `size` bytes to, for SIGNED_SECONDS: S3 refuses any other length."""
    return _signed("upload_part", key, UploadId=upload_id, PartNumber=number, ContentLength=size)


def signed_get(key: str, content_disposition: str) -> str:
    """An address that serves the object to whoever has it, for at most SIGNED_SECONDS: one of S3's ends with the role's
    credentials."""
    if settings().cdn_secret:
        return cdn.signed_get(key, content_disposition, SIGNED_SECONDS)
    return _signed("get_object", key, ResponseContentType="audio/mpeg", ResponseContentDisposition=content_disposition)


def _signed(operation: str, key: str, **parameters: Any) -> str:
    with faults():
        return s3_public().generate_presigned_url(
            operation, Params={"Bucket": settings().bucket, "Key": key, **parameters}, ExpiresIn=SIGNED_SECONDS
        )


def signed_post(key: str, max_bytes: int) -> dict[str, Any]:
    """A form that lets whoever has it store one object of at most `max_bytes` under this key.

    Returns {"url", "fields", "max_bytes", "expires_at"}; S3 itself refuses what is larger, or empty.
    """
    with faults():
        form = s3_public().generate_presigned_post(
            settings().bucket, key, Conditions=[["content-length-range", 1, max_bytes]], ExpiresIn=SIGNED_SECONDS
        )
    return {"url": form["url"], "fields": form["fields"], "max_bytes": max_bytes, "expires_at": signed_until()}


def signed_until() -> str:
    """When what is signed now expires (RFC 3339)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + SIGNED_SECONDS))


class S3Source(io.RawIOBase):
    """An object as a seekable file, and as a stream: always the same version of it.

    Raises ObjectNotFound where there is no such object; Unavailable, also where the object was replaced: the next
    attempt reads the new one.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        head: Any = _call("head_object", key)
        if not {"ContentLength", "ETag"} <= head.keys():
            raise Unavailable  # a damaged response, which botocore does not notice
        self.size: int = head["ContentLength"]
        self._etag: str = head["ETag"]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        """One range request, or more where a body stops midway."""
        end = min(self._position + len(buffer), self.size)
        data = b"".join(self.stream(self._position, end))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def stream(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, or to the end of the object, in pieces of at most 1 MiB."""
        return _stream(self._key, start, (self.size if end is None else end) - 1, IfMatch=self._etag)
