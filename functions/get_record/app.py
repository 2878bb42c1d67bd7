"""GET and HEAD /record: the MP3 itself, a redirect to it, or the record as JSON."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import Response

from records import api, aws, openapi, record, storage
from records.errors import InvalidCredentials, RecordNotFound, ValidationFailed
from records.http import byte_range, content_disposition, matches, preferred_wait, prefers_html, prefers_json
from records.recordings import FAILED, PENDING, Recording
from records.requests import Event, bearer_token, record_ids
from records.responses import RETRY_AFTER_PENDING, base_url, error_body, json_response, record_body
from records.settings import MAX_INLINE_BYTES
from records.users import User

# A cache may still play a deleted recording for as long as this.
CACHE = "private, max-age=3600"
MAX_WAIT = 20  # s
SPARE_SECONDS = 3  # of the function's time: what comes after a wait

Read = TypeVar("Read")

# Without pydantic, for a faster cold start of the function that is called most.
app = api.resolver(validate=False)


_AUDIO = {"audio/mpeg": {"schema": {"type": "string", "format": "binary"}}}
_ETAG = {"ETag": openapi.header("The MP3's SHA-256, in quotes.", f'"{"60303ae2" * 8}"')}
_HEADERS = _ETAG | {
    "Accept-Ranges": openapi.header("The unit of ranges.", "bytes"),
    "Content-Disposition": openapi.header("`attachment`, with the recording's name.", 'attachment; filename="1.mp3"'),
    "Cache-Control": openapi.header("How long a client may keep the MP3.", CACHE),
}
_SIGNED = "https://records-example.s3.eu-central-1.amazonaws.com/records/…?X-Amz-Signature=…"
_PAGE = f"{record.SERVICE}/listen?{record.QUERY}"
_PAST = {"code": "range_not_satisfiable", "message": "The recording has 99 bytes: ask for a range within them."}
_STATES: dict[int, Any] = {
    202: openapi.response(
        "It is not converted yet.", openapi.ref("PendingRecord"), openapi.PENDING_RECORD, openapi.RETRY_AFTER
    ),
    303: openapi.response(
        "To a browser, where there is nothing to play: the page that says why.",
        headers={"Location": openapi.header("The listening page.", _PAGE)},
    ),
    304: openapi.response("The client has the current MP3.", headers=_ETAG),
    410: openapi.response(
        "It could not be converted; `code` says why.",
        openapi.ref("Error"),
        {"code": "unsupported_audio", "message": "This is not a WAV file: it does not begin with a RIFF header."},
    ),
    **openapi.refusals(RecordNotFound(), ValidationFailed(("id", "is missing"))),
}
_GET = {
    200: openapi.response(
        "The MP3; or, with `Accept: application/json`, the record.",
        openapi.ref("Record"),
        openapi.READY_RECORD,
        _HEADERS,
        _AUDIO,  # the first is what "Try it out" asks for
    ),
    206: openapi.response(
        "The range of the MP3.",
        headers=_HEADERS | {"Content-Range": openapi.header("Which bytes these are.", "bytes 0-98/99")},
        content=_AUDIO,
    ),
    302: openapi.response(
        "A larger MP3: an address that serves the bytes for up to an hour.",
        headers={"Location": openapi.header("The signed address.", _SIGNED)},
    ),
    416: openapi.response(
        "`range_not_satisfiable`",
        openapi.ref("Error"),
        _PAST,
        {"Content-Range": openapi.header("How many bytes there are.", "bytes */99")},
    ),
}
_HEAD = {200: openapi.response("The MP3's headers.", headers=_HEADERS)}
_IF_NONE_MATCH = openapi.request_header("If-None-Match", "ETags that the client has.", '"60303ae2"')


@app.get(
    "/record",
    **openapi.operation(
        "getRecord",
        "Download a recording",
        _GET | _STATES,
        parameters=[
            *openapi.RECORD,
            openapi.request_header("Range", "One range of bytes.", "bytes=0-98"),
            openapi.request_header("If-Range", "An ETag: the range is for that MP3 only.", '"60303ae2"'),
            _IF_NONE_MATCH,
            openapi.request_header("Prefer", "The owner may wait for a pending record to change, in s.", "wait=20"),
        ],
    ),
)
def get_record() -> Response[Any]:
    event = app.current_event.raw_event
    accept = event["headers"].get("accept", "")
    try:
        recording = Recording.find(*record_ids(event))
    except RecordNotFound:
        if prefers_html(accept):
            return _listening_page(event)
        raise
    if prefers_html(accept):
        if recording.status in (PENDING, FAILED):
            return _listening_page(event)
    elif prefers_json(accept):
        return _json(event, recording, may_wait=True)
    if recording.status == PENDING:
        return _json(event, recording)
    if recording.status == FAILED:
        return json_response(410, error_body(recording.error), {"Vary": "Accept"})
    return _mp3(event, recording)


@app.head(
    "/record",
    **openapi.operation(
        "headRecord",
        "Get the headers of a download",
        {
            status: {name: said for name, said in found.items() if name != "content"}
            for status, found in (_HEAD | _STATES).items()
        },
        parameters=[*openapi.RECORD, _IF_NONE_MATCH],
    ),
)
def head_record() -> Response[Any]:
    return get_record()


def _listening_page(event: Event) -> Response[Any]:
    """A person who opens a link that plays nothing gets a page that says why."""
    # As long as any id: API Gateway passes no larger headers than 10 KB.
    query = urlencode({name: event["queryStringParameters"][name][:40] for name in ("id", "user")})
    location = f"{base_url(event)}/listen?{query}"
    return Response(303, headers={"Location": location, "Cache-Control": "no-store", "Vary": "Accept"})


def _json(event: Event, recording: Recording, *, may_wait: bool = False) -> Response[Any]:
    headers = {"Vary": "Accept"}
    wait = preferred_wait(event["headers"].get("prefer", ""))
    if may_wait and recording.status == PENDING and wait is not None and _is_owner(event, recording):
        wait = min(wait, MAX_WAIT)
        recording = _wait(recording, time.monotonic() + wait)
        headers["Preference-Applied"] = f"wait={wait}"
    status = {PENDING: 202, FAILED: 410}.get(recording.status, 200)
    if status == 202:
        headers["Retry-After"] = RETRY_AFTER_PENDING
    return json_response(status, record_body(event, recording), headers)


def _is_owner(event: Event, recording: Recording) -> bool:
    """Whether the request has the owner's token. Only the owner may occupy a function for seconds; others poll."""
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
    """What `read` returns for a ready recording's MP3. Raises RecordNotFound, Unavailable."""
    try:
        return read(recording.mp3_key())
    except storage.ObjectNotFound:
        raise recording.object_missing() from None


lambda_handler = api.handler(app, accepts={})
aws.warm(Recording)
