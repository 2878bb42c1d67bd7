"""POST /records: a WAV in the request, converted while the client waits. POST /uploads: a ticket for a longer one."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from pydantic import BaseModel, Field

from records import api, aws, storage
from records.conversion import convert_sent
from records.errors import AudioTooLarge, ValidationFailed
from records.fields import FileName, Token, UserId
from records.forms import MULTIPART, WAV_TYPES, read_recording
from records.parts import next_parts
from records.recordings import PENDING, Announced, Recording
from records.requests import JSON, bearer_token, idempotency_key
from records.responses import json_response, record_body
from records.settings import settings
from records.users import User

# What is left for storing the MP3 and the row after the conversion must stop.
STORE_SECONDS = 5

app = api.resolver()


class NewUpload(BaseModel):
    """A ticket for a recording of any length; with `bytes`, for one that is sent in parts."""

    user_id: UserId = Field(examples=[6312894417265])
    name: FileName = Field(examples=["lecture.wav"])
    token: Token | None = Field(None, description="Unless it is in the Authorization header.")
    bytes: int | None = Field(None, strict=True, ge=1, le=2**53 - 1, examples=[635040044], description="Its size.")
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$", description="Of the file, where it is known.")


@app.post("/records", status_code=201)
def create_record() -> Response[Any]:
    event = app.current_event.raw_event
    sent = read_recording(event)
    key = idempotency_key(event)
    user = User.authenticate(sent.user_id, bearer_token(event, sent.token))
    deadline = app.context["deadline"] - STORE_SECONDS
    recording, made = convert_sent(user, sent.name, key, sent.audio, deadline)
    body = record_body(event, recording)
    return json_response(201 if made else 200, body, {"Location": body["url"]})


@app.post("/uploads", status_code=201)
def create_upload(new: NewUpload) -> Response[Any]:
    event = app.current_event.raw_event
    key = idempotency_key(event)
    announced = _announced(new, key)
    user = User.authenticate(new.user_id, bearer_token(event, new.token))
    recording = Recording.reserve(user, new.name, key, None, announced)
    upload: dict[str, Any] | None = None
    if recording.status == PENDING:
        upload = next_parts(recording) if announced else storage.signed_post(recording.upload_key)
    body = record_body(event, recording) | ({"upload": upload} if upload else {})
    return json_response(201 if recording.fresh else 200, body, {"Location": body["url"]})


def _announced(new: NewUpload, key: str | None) -> Announced | None:
    """What is announced of an upload in parts. Raises ValidationFailed, AudioTooLarge."""
    if new.bytes is None:
        if new.sha256 is not None:
            raise ValidationFailed(("bytes", "is missing: a SHA-256 is announced for an upload in parts"))
        return None
    if key is None:
        raise ValidationFailed(("Idempotency-Key", "is missing: an upload in parts is continued by it"))
    limit = settings().max_upload_bytes
    if new.bytes > limit:
        message = f"The recording is larger than {limit} bytes. Split it, and send the pieces one by one."
        raise AudioTooLarge(limit, message, use=None)
    return Announced(new.bytes, new.sha256.lower() if new.sha256 else None)


lambda_handler = api.handler(app, accepts={"/records": WAV_TYPES | {MULTIPART}, "/uploads": frozenset({JSON})})
aws.warm(User, Recording)
