"""GET and HEAD /record: the MP3 itself, or the way to it; or, as JSON, what is known of the recording."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote
from uuid import UUID

from aws_lambda_powertools.event_handler import Response

from records import api, aws, storage
from records.errors import RecordNotFound, ValidationFailed
from records.recordings import FAILED, PENDING, Recording
from records.settings import MAX_INLINE_BYTES

FOREVER = "private, max-age=31536000, immutable"

# Without pydantic, since this is the function that is called most: its two parameters are read by hand.
app = api.resolver(validate=False)


@app.get("/record")
@app.head("/record")
def get_record() -> Response[Any]:
    event = app.current_event.raw_event
    recording = Recording.find(*_ids(event))
    headers = event["headers"]
    if _wants_json(headers.get("accept", "")):
        status = {PENDING: 202, FAILED: 410}.get(recording.status, 200)
        waiting = {"Retry-After": api.RETRY_AFTER_PENDING} if status == 202 else {}
        return api.json_response(status, api.record_body(event, recording), {"Vary": "Accept", **waiting})
    if recording.status == PENDING:
        waiting = {"Vary": "Accept", "Retry-After": api.RETRY_AFTER_PENDING}
        return api.json_response(202, api.record_body(event, recording), waiting)
    if recording.status == FAILED:
        return api.json_response(410, api.error_body(recording.error), {"Vary": "Accept"})
    return _mp3(recording, headers, head=event["requestContext"]["http"]["method"] == "HEAD")


def _ids(event: dict[str, Any]) -> tuple[int, str]:
    """The user's and the record's id. Raises ValidationFailed where one is missing, RecordNotFound if malformed."""
    query = event.get("queryStringParameters") or {}
    missing = [(name, "is missing") for name in ("id", "user") if not query.get(name)]
    if missing:
        raise ValidationFailed(*missing)
    try:
        record_id = str(UUID(query["id"]))
    except ValueError:
        raise RecordNotFound from None
    if record_id != query["id"].lower() or not re.fullmatch("[0-9]{1,16}", query["user"]):
        raise RecordNotFound
    return int(query["user"]), record_id


def _wants_json(accept: str) -> bool:
    """Whether JSON is asked for by name, and not less than audio is (RFC 9110, 12.5.1)."""
    quality = {}
    for part in accept.lower().split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        quality[media_type] = float(weight) if re.fullmatch(r"[01](\.[0-9]{0,3})?", weight) else 0.0
    audio = max(quality.get("audio/mpeg", 0.0), quality.get("audio/*", 0.0))
    return quality.get("application/json", 0.0) > 0 and quality["application/json"] >= audio


def _mp3(recording: Recording, headers: dict[str, str], *, head: bool) -> Response[Any]:
    """A ready recording's MP3: whole, in part, unchanged, or by redirect."""
    size = int(recording.mp3_bytes)
    etag = f'"{recording.mp3_sha256}"'
    kept = {"ETag": etag, "Cache-Control": FOREVER, "Vary": "Accept"}
    if _matches(headers.get("if-none-match", ""), etag):
        return Response(304, headers=kept)
    disposition = content_disposition(recording.name)
    whole = {**kept, "Accept-Ranges": "bytes", "Content-Disposition": disposition}
    if head:
        return Response(200, "audio/mpeg", headers={**whole, "Content-Length": str(size)})
    if size > MAX_INLINE_BYTES:
        location = storage.signed_get(recording.mp3_key(), disposition)
        return Response(302, headers={"Location": location, "Cache-Control": "no-store", "Vary": "Accept"})
    wanted = headers.get("range", "")
    if headers.get("if-range", etag) != etag:
        wanted = ""
    match byte_range(wanted, size):
        case None:
            return Response(200, "audio/mpeg", _read(recording, 0, size - 1), headers=whole)
        case (first, last) if first <= last:
            whole["Content-Range"] = f"bytes {first}-{last}/{size}"
            return Response(206, "audio/mpeg", _read(recording, first, last), headers=whole)
        case _:
            message = f"The recording has {size} bytes: ask for a range that begins within them."
            body = {"code": "range_not_satisfiable", "message": message}
            return api.json_response(416, body, {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"})


def _read(recording: Recording, first: int, last: int) -> bytes:
    """Bytes `first` to `last` of a ready recording's MP3. Raises RecordNotFound, Unavailable."""
    try:
        return storage.get(recording.mp3_key(), first, last)
    except storage.ObjectNotFound:
        raise recording.object_missing() from None


def _matches(if_none_match: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """The first and last byte that a Range header asks for (RFC 9110, 14.1.2).

    None where it asks for the whole: no header, several ranges, or not understood. A first byte past the last one
    where it cannot be satisfied.
    """
    match = re.fullmatch(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", header, re.IGNORECASE)
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return max(size - int(last), 0), size - 1 if int(last) else -1
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last), size - 1) if last else size - 1


def content_disposition(name: str) -> str:
    """`attachment` with the recording's name, `.wav` turned into `.mp3`, in any script (RFC 6266, RFC 8187)."""
    stem = name[:-4] if name.lower().endswith(".wav") else name
    file_name = f"{stem}.mp3"
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%/' else "_" for c in file_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"


lambda_handler = api.handler(app, accepts={})
aws.warm(Recording)
