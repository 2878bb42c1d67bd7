"""GET and HEAD /record: the MP3 itself or a redirect to it; or, as JSON, what is known of the recording."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import Response

from records import api, aws, storage
from records.errors import InvalidCredentials, RecordNotFound
from records.http import byte_range, content_disposition, matches, preferred_wait, prefers_html, prefers_json
from records.recordings import FAILED, PENDING, Recording
from records.requests import Event, bearer_token, record_ids
from records.responses import RETRY_AFTER_PENDING, base_url, error_body, json_response, record_body
from records.settings import MAX_INLINE_BYTES
from records.users import User

# The record may be deleted: then nobody's cache may play it for longer than this.
CACHE = "private, max-age=3600"
MAX_WAIT = 20  # s
SPARE_SECONDS = 3  # of the function's time: what comes after a wait

Read = TypeVar("Read")

# Without pydantic, since this is the function that is called most: its two parameters are read by hand.
app = api.resolver(validate=False)


@app.get("/record")
@app.head("/record")
def get_record() -> Response[Any]:
    event = app.current_event.raw_event
    accept = event["headers"].get("accept", "")
    try:
        recording = Recording.find(*record_ids(event))
    except RecordNotFound:
        if prefers_html(accept):
            return _listening_page(event)
        raise
    if prefers_json(accept):
        return _json(event, recording)
    if recording.status in (PENDING, FAILED) and prefers_html(accept):
        return _listening_page(event)
    if recording.status == PENDING:
        return _json(event, recording)
    if recording.status == FAILED:
        return json_response(410, error_body(recording.error), {"Vary": "Accept"})
    return _mp3(event, recording)


def _listening_page(event: Event) -> Response[Any]:
    """A person who opens a link that plays nothing gets a page that says why."""
    query = urlencode({name: event["queryStringParameters"][name] for name in ("id", "user")})
    location = f"{base_url(event)}/listen?{query}"
    return Response(303, headers={"Location": location, "Cache-Control": "no-store", "Vary": "Accept"})


def _json(event: Event, recording: Recording) -> Response[Any]:
    headers = {"Vary": "Accept"}
    wait = preferred_wait(event["headers"].get("prefer", ""))
    if recording.status == PENDING and wait is not None and _is_owner(event, recording):
        wait = min(wait, MAX_WAIT)
        recording = _wait(recording, time.monotonic() + wait)
        headers["Preference-Applied"] = f"wait={wait}"
    status = {PENDING: 202, FAILED: 410}.get(recording.status, 200)
    if status == 202:
        headers["Retry-After"] = RETRY_AFTER_PENDING
    return json_response(status, record_body(event, recording), headers)


def _is_owner(event: Event, recording: Recording) -> bool:
    """Only the owner may hold a function for seconds; whoever else has the link polls."""
    try:
        User.authenticate(int(recording.user), bearer_token(event))
    except InvalidCredentials:
        return False
    return True


def _wait(recording: Recording, until: float) -> Recording:
    """Read the row once a second until it is no longer pending. Raises RecordNotFound where it was deleted."""
    until = min(until, app.context["deadline"] - SPARE_SECONDS)
    while recording.status == PENDING and (left := until - time.monotonic()) > 0:
        time.sleep(min(1.0, left))
        recording = Recording.find(int(recording.user), recording.id)
    return recording


def _mp3(event: Event, recording: Recording) -> Response[Any]:
    """A ready recording's MP3: whole, in part, unchanged, or by redirect."""
    headers = event["headers"]
    head = event["requestContext"]["http"]["method"] == "HEAD"
    size = int(recording.mp3_bytes)
    inline = size <= MAX_INLINE_BYTES
    disposition = content_disposition(recording.name)
    if inline or head or "if-none-match" in headers:
        # A large MP3 is served by S3, which has an entity tag of its own.
        etag = f'"{recording.mp3_sha256}"' if inline else _stored(recording, storage.etag)
        whole = {"ETag": etag, "Cache-Control": CACHE, "Vary": "Accept"}
        if matches(headers.get("if-none-match", ""), [etag]):
            return Response(304, headers=whole)
        whole |= {"Accept-Ranges": "bytes", "Content-Disposition": disposition}
        if head:
            return Response(200, "audio/mpeg", headers={**whole, "Content-Length": str(size)})
        if inline:
            wanted = headers.get("range", "") if headers.get("if-range", etag) == etag else ""
            return _bytes(recording, size, byte_range(wanted, size), whole)
    location = storage.signed_get(recording.mp3_key(), disposition)
    return Response(302, headers={"Location": location, "Cache-Control": "no-store", "Vary": "Accept"})


def _bytes(recording: Recording, size: int, wanted: tuple[int, int] | None, headers: dict[str, str]) -> Response[Any]:
    """The MP3, or the range of it that is wanted."""
    first, last = wanted or (0, size - 1)
    if first > last:
        message = f"The recording has {size} bytes: ask for a range that begins within them."
        body = {"code": "range_not_satisfiable", "message": message}
        return json_response(416, body, {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"})
    content = _stored(recording, lambda key: storage.get(key, first, last))
    if wanted is None:
        return Response(200, "audio/mpeg", content, headers=headers)
    return Response(206, "audio/mpeg", content, headers={**headers, "Content-Range": f"bytes {first}-{last}/{size}"})


def _stored(recording: Recording, read: Callable[[str], Read]) -> Read:
    """What `read` finds of a ready recording's MP3. Raises RecordNotFound, Unavailable."""
    try:
        return read(recording.mp3_key())
    except storage.ObjectNotFound:
        raise recording.object_missing() from None


lambda_handler = api.handler(app, accepts={})
aws.warm(Recording)
