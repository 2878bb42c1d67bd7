"""What an owner does with what is there: list, rename and delete recordings, look at the account, replace its token,
erase it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import Response
from pydantic import BaseModel, Field

from records import api, aws, erasure
from records.errors import ValidationFailed
from records.fields import RecordName, UserId
from records.recordings import FAILED, PENDING, READY, Recording
from records.requests import JSON, bearer_token, erasure_id, idempotency_key, record_ids, user_id
from records.responses import base_url, json_response, record_body
from records.settings import settings
from records.users import User

DEFAULT_LIMIT, MAX_LIMIT = 50, 100
RETRY_AFTER_ERASING = "60"

app = api.resolver()


class Rename(BaseModel):
    """A recording's new name."""

    name: RecordName = Field(examples=["Interview with Ann.wav"])


class ReplaceToken(BaseModel):
    """Whose token is to be replaced; the token itself is in the Authorization header."""

    user_id: UserId = Field(examples=[6312894417265])


@app.get("/records")
def list_records() -> Response[Any]:
    event = app.current_event.raw_event
    query = event["queryStringParameters"]
    owner = user_id(event)
    limit, status, after = _limit(query.get("limit")), _status(query.get("status")), query.get("after")
    user = User.authenticate(owner, bearer_token(event))
    position = None if after is None else user.position(after)
    if after is not None and position is None:
        raise ValidationFailed(("after", "must be the cursor of this user's list, as it was returned"))
    recordings, last = Recording.page(owner, limit, status, position)
    body: dict[str, Any] = {"records": [record_body(event, recording, waveform=False) for recording in recordings]}
    headers = {}
    if last is not None:
        asked = {name: query[name] for name in ("user_id", "status", "limit") if name in query}
        body["next"] = f"{base_url(event)}/records?{urlencode({**asked, 'after': user.cursor(last)})}"
        headers["Link"] = f'<{body["next"]}>; rel="next"'
    return json_response(200, body, headers)


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not text.isascii() or not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= MAX_LIMIT:
        raise ValidationFailed(("limit", f"must be a whole number from 1 to {MAX_LIMIT}"))
    return int(text)


def _status(text: str | None) -> str | None:
    if text is not None and text not in (PENDING, READY, FAILED):
        raise ValidationFailed(("status", f"must be {PENDING}, {READY} or {FAILED}"))
    return text


@app.patch("/record")
def rename_record(new: Rename) -> Response[Any]:
    event = app.current_event.raw_event
    owner, record_id = record_ids(event)
    User.authenticate(owner, bearer_token(event))
    recording = Recording.find(owner, record_id)
    recording.rename(new.name)
    return json_response(200, record_body(event, recording))


@app.delete("/record")
def delete_record() -> Response[Any]:
    event = app.current_event.raw_event
    owner, record_id = record_ids(event)
    User.authenticate(owner, bearer_token(event))
    Recording.discard(owner, record_id)
    return Response(204, headers={"Cache-Control": "no-store"})


@app.get("/users")
def get_user() -> Response[Any]:
    event = app.current_event.raw_event
    user = User.authenticate(user_id(event), bearer_token(event))
    usage = Recording.usage(int(user.id))
    return json_response(
        200,
        {
            "id": int(user.id),
            "name": user.name,
            **({"email": user.email} if user.email else {}),
            "created_at": user.created_at,
            "usage": {"recordings": usage.recordings, "seconds": usage.seconds, "mp3_bytes": usage.mp3_bytes},
            "limits": {"daily_seconds": settings().daily_seconds, "stored_seconds": settings().stored_seconds},
        },
    )


@app.post("/users/token")
def replace_token(whose: ReplaceToken) -> Response[Any]:
    event = app.current_event.raw_event
    key = idempotency_key(event)
    if key is None:
        raise ValidationFailed(("Idempotency-Key", "is missing: with it this request can be repeated"))
    token = User.replace_token(whose.user_id, bearer_token(event), key)
    return json_response(200, {"id": whose.user_id, "token": token})


@app.delete("/users")
def erase_user() -> Response[Any]:
    event = app.current_event.raw_event
    begun = erasure.request(user_id(event), bearer_token(event))
    receipt = f"{base_url(event)}/erasure?id={begun}"
    return json_response(202, {"status": "erasing", "receipt": receipt}, {"Location": receipt})


@app.get("/erasure")
def get_erasure() -> Response[Any]:
    found = erasure.Erasure.find(erasure_id(app.current_event.raw_event))
    if found.verified_at is None:
        body = {"status": "erasing", "requested_at": found.requested_at}
        return json_response(202, body, {"Retry-After": RETRY_AFTER_ERASING})
    return json_response(
        200,
        {
            "status": "erased",
            "user": int(found.user),
            "requested_at": found.requested_at,
            "verified_at": found.verified_at,
            "recordings": int(found.recordings),
            "objects": int(found.objects),
            "bytes": int(found.bytes),
            "backups_until": found.backups_until,
            "logs_until": found.logs_until,
        },
    )


lambda_handler = api.handler(app, accepts={"/record": frozenset({JSON}), "/users/token": frozenset({JSON})})
aws.warm(User, Recording, storage=False)
