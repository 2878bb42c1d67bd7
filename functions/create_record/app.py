"""POST /records: a WAV in the request, converted while the client waits. POST /uploads: a ticket for a longer one."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from pydantic import BaseModel, Field

from records import api, aws, storage
from records.conversion import convert_sent
from records.fields import FileName, Token, UserId
from records.forms import MULTIPART, WAV_TYPES, read_recording
from records.recordings import PENDING, Recording
from records.requests import JSON, bearer_token, idempotency_key
from records.responses import json_response, record_body
from records.users import User

# What is left for storing the MP3 and the row after the conversion must stop.
STORE_SECONDS = 5

app = api.resolver()


class NewUpload(BaseModel):
    """A ticket for a recording of any length."""

    user_id: UserId = Field(examples=[6312894417265])
    name: FileName = Field(examples=["lecture.wav"])
    token: Token | None = Field(None, description="Unless it is in the Authorization header.")


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
    user = User.authenticate(new.user_id, bearer_token(event, new.token))
    recording = Recording.reserve(user, new.name, key, audio=None)
    body = record_body(event, recording)
    if recording.status == PENDING:
        body["upload"] = storage.signed_post(recording.upload_key)
    return json_response(201 if recording.fresh else 200, body, {"Location": body["url"]})


lambda_handler = api.handler(app, accepts={"/records": WAV_TYPES | {MULTIPART}, "/uploads": frozenset({JSON})})
aws.warm(User, Recording)
