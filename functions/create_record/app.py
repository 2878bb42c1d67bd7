"""POST /records: a WAV in the request, converted while the client waits. POST /uploads: where to send a longer one."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from pydantic import BaseModel, Field

from records import api, aws, limits, openapi, record, storage
from records.conversion import convert_sent
from records.errors import (
    AudioTooLarge,
    DailyLimit,
    IdempotencyConflict,
    MalformedRequest,
    StorageFull,
    UnplayableAudio,
    UnsupportedAudio,
    UnsupportedMediaType,
    ValidationFailed,
)
from records.fields import FileName, Token, UserId
from records.forms import MULTIPART, WAV_TYPES, read_recording
from records.parts import next_parts
from records.recordings import PENDING, Announced, Recording
from records.requests import JSON, bearer_token, idempotency_key
from records.responses import json_response, record_body
from records.settings import MAX_DIRECT_BYTES, settings
from records.users import User

# The conversion must stop this long before the request's deadline, so that there is time to store the MP3 and the row.
STORE_SECONDS = 5

app = api.resolver()


class NewUpload(BaseModel):
    """A recording of any length that is to be uploaded; with `bytes`, in parts."""

    user_id: UserId = Field(examples=[6312894417265])
    name: FileName = Field(examples=["lecture.wav"])
    token: Token | None = Field(None, description="Unless it is in the Authorization header.")
    bytes: int | None = Field(None, strict=True, ge=1, le=2**53 - 1, examples=[635040044], description="Its size.")
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$", description="Of the file, where it is known.")


_WAV = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "required": ["user_id", "audio"],
        "properties": {
            "user_id": record.USER_ID_SCHEMA,
            "token": {"type": "string", "description": "Unless it is in the Authorization header."},
            "audio": {"type": "string", "format": "binary", "description": "The WAV file; its name is kept."},
        },
    }
}
_FILE_NAME = {"type": "string", "minLength": 1, "maxLength": 255}
_REFUSALS = (
    *(openapi.BAD_TOKEN, IdempotencyConflict(), openapi.BAD_FIELD),
    *(DailyLimit(86400, 84123.5), StorageFull(3600000, 3598210.25)),
)


@app.post(
    "/records",
    status_code=201,
    **openapi.operation(
        "createRecord",
        "Send a recording of at most 4.4 MiB",
        {
            201: openapi.response("The record, ready.", openapi.ref("Record"), openapi.READY_RECORD, openapi.LOCATION),
            200: openapi.response(
                "The record that the same key named before.",
                openapi.ref("Record"),
                openapi.READY_RECORD,
                openapi.LOCATION,
            ),
            **openapi.refusals(
                MalformedRequest("The request has no body."),
                AudioTooLarge(MAX_DIRECT_BYTES),
                UnsupportedMediaType("Send the body as audio/wav or multipart/form-data, and name it in Content-Type."),
                UnsupportedAudio("This is not a WAV file: it does not begin with a RIFF header. Send a WAV file."),
                UnplayableAudio("no_samples", "The WAV file has no sound in it: its 'data' chunk is empty."),
                *_REFUSALS,
            ),
        },
        description="Either the WAV's own bytes with `user_id` (and `name`) in the query, or a form.",
        security=openapi.OWNER_OR_BODY,
        parameters=[
            openapi.query("user_id", record.USER_ID_SCHEMA, record.USER_ID, required=False),
            openapi.query("name", _FILE_NAME, "Запись 1.wav", required=False),
            openapi.KEY,
        ],
        body={MULTIPART: _FORM, **dict.fromkeys(sorted(WAV_TYPES), _WAV)},
    ),
)
def create_record() -> Response[Any]:
    event = app.current_event.raw_event
    sent = read_recording(event)
    key = idempotency_key(event)
    user = User.authenticate(sent.user_id, bearer_token(event, sent.token))
    deadline = app.context["deadline"] - STORE_SECONDS
    recording, made = convert_sent(user, sent.name, key, sent.audio, deadline)
    body = record_body(event, recording)
    return json_response(201 if made else 200, body, {"Location": body["url"]})


_URL = {"type": "string", "format": "uri"}
_COUNT = {"type": "integer", "minimum": 0}
SCHEMAS: dict[str, record.Schema] = {
    "Upload": {
        "type": "object",
        "required": ["url", "fields", "max_bytes", "expires_at"],
        "description": "Send a multipart/form-data POST to `url` with every one of `fields` and, last, `file`.",
        "properties": {
            "url": _URL,
            "fields": {"type": "object", "additionalProperties": {"type": "string"}},
            "max_bytes": _COUNT,
            "expires_at": record.TIME,
        },
    },
    "UploadInParts": {
        "type": "object",
        "description": "PUT each part's bytes to its `url`, then ask again: at most 32 missing parts are listed.",
        "required": ["received", "of", "expires_at", "parts"],
        "properties": {
            "received": _COUNT,
            "of": _COUNT,
            "expires_at": record.TIME,
            "parts": {
                "type": "array",
                "minItems": 1,
                "maxItems": 32,
                "items": {
                    "type": "object",
                    "required": ["number", "offset", "bytes", "url"],
                    "properties": {"number": _COUNT, "offset": _COUNT, "bytes": _COUNT, "url": _URL},
                },
            },
        },
    },
    "Ticket": record.schema(*record.ALWAYS, upload=openapi.any_of("Upload", "UploadInParts")),
}
_TICKET = openapi.PENDING_RECORD | {
    "upload": {
        "url": "https://records-example.s3.eu-central-1.amazonaws.com/",
        "fields": {"key": "uploads/…", "policy": "…", "x-amz-signature": "…"},
        "max_bytes": 4294967296,
        "expires_at": "2026-11-23T11:00:00Z",
    }
}


@app.post(
    "/uploads",
    status_code=201,
    **openapi.operation(
        "createUpload",
        "Begin an upload of a recording of any length",
        {
            201: openapi.response(
                "Where to send the file; the conversion starts by itself.",
                openapi.ref("Ticket"),
                _TICKET,
                openapi.LOCATION,
            ),
            200: openapi.response(
                "The record that the same key named before; with `upload` while the file is not complete.",
                openapi.any_of("Ticket", "Record", "PendingRecord", "FailedRecord"),
                _TICKET,
                openapi.LOCATION,
            ),
            **openapi.refusals(
                openapi.BAD_JSON,
                openapi.NOT_JSON,
                AudioTooLarge(4 * 1024**3, "The recording is larger than 4294967296 bytes.", use=None),
                *_REFUSALS,
            ),
        },
        description="With `bytes` and an Idempotency-Key: in parts. The same request again lists the missing ones.",
        security=openapi.OWNER_OR_BODY,
        parameters=[openapi.KEY],
    ),
)
def create_upload(new: NewUpload) -> Response[Any]:
    event = app.current_event.raw_event
    key = idempotency_key(event)
    announced = _announced(new, key)
    user = User.authenticate(new.user_id, bearer_token(event, new.token))
    left = limits.check(user, key, limits.least_seconds(announced.bytes) if announced else 0)
    recording = Recording.reserve(user, new.name, key, None, announced)
    upload: dict[str, Any] | None = None
    if recording.status == PENDING:
        if announced:
            upload = next_parts(recording)
        else:
            upload = storage.signed_post(recording.upload_key, limits.max_bytes(left))
    body = record_body(event, recording) | ({"upload": upload} if upload else {})
    return json_response(201 if recording.fresh else 200, body, {"Location": body["url"]})


def _announced(new: NewUpload, key: str | None) -> Announced | None:
    """What is announced of an upload in parts. Raises ValidationFailed, AudioTooLarge."""
    if new.bytes is None:
        if new.sha256 is not None:
            raise ValidationFailed(("bytes", "is missing: only an upload in parts, which needs it, takes a sha256"))
        return None
    if key is None:
        raise ValidationFailed(("Idempotency-Key", "is missing: it is needed to continue an upload in parts"))
    limit = settings().max_upload_bytes
    if new.bytes > limit:
        message = f"The recording is larger than {limit} bytes. Split it, and send the pieces one by one."
        raise AudioTooLarge(limit, message, use=None)
    return Announced(new.bytes, new.sha256.lower() if new.sha256 else None)


lambda_handler = api.handler(app, accepts={"/records": WAV_TYPES | {MULTIPART}, "/uploads": frozenset({JSON})})
aws.warm(User, Recording)
