"""What an owner does: list, rename and delete recordings, look at the account, replace its token, erase it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import Response
from pydantic import BaseModel, Field

from records import api, aws, erasure, limits, openapi, record
from records.errors import ErasureNotFound, RecordNotFound, ValidationFailed
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


_COUNT = {"type": "integer", "minimum": 0}
_LIMIT = {"type": ["integer", "null"], "minimum": 0, "description": "`null` where there is no limit."}
_TIMES = ("requested_at", "verified_at", "backups_until", "logs_until")
_ERASING = {"status": {"const": "erasing"}}
_RECEIPT = f"{record.SERVICE}/erasure?id={record.RECORD_ID}"


def _object(**properties: record.Schema) -> record.Schema:
    return {"type": "object", "required": [*properties], "properties": properties}


SCHEMAS: dict[str, record.Schema] = {
    "ListedRecord": record.schema(*record.ALWAYS, *record.WITHOUT_WAVEFORM),
    "Page": {
        "type": "object",
        "required": ["records"],
        "properties": {
            "records": {"type": "array", "items": openapi.any_of("ListedRecord", "PendingRecord", "FailedRecord")},
            "next": {"type": "string", "format": "uri", "description": "The next page, while there is more."},
        },
    },
    "Account": {
        "type": "object",
        "required": ["id", "name", "created_at", "usage", "limits"],
        "properties": {
            "id": record.USER_ID_SCHEMA,
            "name": {"type": "string"},
            "email": {"type": "string", "format": "email"},
            "created_at": record.TIME,
            "usage": _object(recordings=_COUNT, seconds={"type": "number", "minimum": 0}, mp3_bytes=_COUNT),
            "limits": _object(daily_seconds=_LIMIT, stored_seconds=_LIMIT),
        },
    },
    "ErasureBegun": _object(**_ERASING, receipt={"type": "string", "format": "uri"}),
    "ErasurePending": _object(**_ERASING, requested_at=record.TIME),
    "Erasure": _object(
        status={"const": "erased"},
        user=record.USER_ID_SCHEMA,
        recordings=_COUNT,
        objects=_COUNT,
        bytes=_COUNT,
        **dict.fromkeys(_TIMES, record.TIME),
    ),
}
_RECORD_STATES = openapi.any_of("Record", "PendingRecord", "FailedRecord")


@app.get(
    "/records",
    **openapi.operation(
        "listRecords",
        "List your recordings, newest first",
        {
            200: openapi.response(
                "A page. It may be short while there is a `next`.",
                openapi.ref("Page"),
                {"records": [record.example(*record.ALWAYS, *record.WITHOUT_WAVEFORM)]},
                {"Link": openapi.header("The next page, while there is more.", f'<{record.SERVICE}/…>; rel="next"')},
            ),
            **openapi.refusals(openapi.BAD_TOKEN, ValidationFailed(("limit", "must be a whole number from 1 to 100"))),
        },
        security=openapi.OWNER,
        parameters=[
            openapi.USER_ID,
            openapi.query("status", {"type": "string", "enum": [PENDING, READY, FAILED]}, READY, required=False),
            openapi.query(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                DEFAULT_LIMIT,
                required=False,
            ),
            openapi.query("after", {"type": "string"}, "Zm9v", required=False, description="Taken from `next`."),
        ],
    ),
)
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


@app.patch(
    "/record",
    **openapi.operation(
        "renameRecord",
        "Rename a recording",
        {
            200: openapi.response("The record under its new name.", _RECORD_STATES, openapi.READY_RECORD),
            **openapi.refusals(
                openapi.BAD_JSON,
                openapi.BAD_TOKEN,
                RecordNotFound(),
                openapi.NOT_JSON,
                ValidationFailed(("name", "string should have at least 1 character")),
            ),
        },
        security=openapi.OWNER,
        parameters=openapi.RECORD,
    ),
)
def rename_record(new: Rename) -> Response[Any]:
    event = app.current_event.raw_event
    owner, record_id = record_ids(event)
    User.authenticate(owner, bearer_token(event))
    recording = Recording.find(owner, record_id)
    recording.rename(new.name)
    return json_response(200, record_body(event, recording))


@app.delete(
    "/record",
    **openapi.operation(
        "deleteRecord",
        "Delete a recording",
        {
            204: openapi.response("It is deleted, or was not there."),
            **openapi.refusals(openapi.BAD_TOKEN, RecordNotFound(), ValidationFailed(("id", "is missing"))),
        },
        security=openapi.OWNER,
        parameters=openapi.RECORD,
    ),
)
def delete_record() -> Response[Any]:
    event = app.current_event.raw_event
    owner, record_id = record_ids(event)
    User.authenticate(owner, bearer_token(event))
    deleted = Recording.discard(owner, record_id)
    if deleted is not None:
        limits.release(deleted)
    return Response(204, headers={"Cache-Control": "no-store"})


@app.get(
    "/users",
    **openapi.operation(
        "getUser",
        "Get your account",
        {
            200: openapi.response(
                "The account.",
                openapi.ref("Account"),
                {
                    "id": record.USER_ID,
                    "name": "user1",
                    "email": "user1@mail.ru",
                    "created_at": "2026-11-23T10:00:00Z",
                    "usage": {"recordings": 12, "seconds": 5321.4, "mp3_bytes": 85142528},
                    "limits": {"daily_seconds": 86400, "stored_seconds": 3600000},
                },
            ),
            **openapi.refusals(openapi.BAD_TOKEN, openapi.BAD_FIELD),
        },
        tag="users",
        security=openapi.OWNER,
        parameters=[openapi.USER_ID],
    ),
)
def get_user() -> Response[Any]:
    event = app.current_event.raw_event
    user = User.authenticate(user_id(event), bearer_token(event))
    return json_response(
        200,
        {
            "id": int(user.id),
            "name": user.name,
            **({"email": user.email} if user.email else {}),
            "created_at": user.created_at,
            "usage": Recording.usage(int(user.id)),
            "limits": {"daily_seconds": settings().daily_seconds, "stored_seconds": settings().stored_seconds},
        },
    )


@app.post(
    "/users/token",
    **openapi.operation(
        "replaceToken",
        "Replace your token",
        {
            200: openapi.response("The new token.", openapi.ref("CreatedUser"), openapi.CREATED_USER),
            **openapi.refusals(
                openapi.BAD_JSON,
                openapi.BAD_TOKEN,
                openapi.NOT_JSON,
                ValidationFailed(("Idempotency-Key", "is missing: it makes this request safe to retry")),
            ),
        },
        tag="users",
        description="The old token is refused from now on, except that for 24 hours it may repeat this request.",
        security=openapi.OWNER,
        parameters=[openapi.KEY | {"required": True, "description": "Makes this request safe to retry."}],
    ),
)
def replace_token(whose: ReplaceToken) -> Response[Any]:
    event = app.current_event.raw_event
    key = idempotency_key(event)
    if key is None:
        raise ValidationFailed(("Idempotency-Key", "is missing: it makes this request safe to retry"))
    token = User.replace_token(whose.user_id, bearer_token(event), key)
    return json_response(200, {"id": whose.user_id, "token": token})


@app.delete(
    "/users",
    **openapi.operation(
        "eraseUser",
        "Erase your account and recordings",
        {
            202: openapi.response(
                "It has begun. The receipt says when it is done.",
                openapi.ref("ErasureBegun"),
                {"status": "erasing", "receipt": _RECEIPT},
                {"Location": openapi.header("The receipt.", _RECEIPT)},
            ),
            **openapi.refusals(openapi.BAD_TOKEN, openapi.BAD_FIELD),
        },
        tag="users",
        description="From now on the token is good only for repeating this request, which returns the same response.",
        security=openapi.OWNER,
        parameters=[openapi.USER_ID],
    ),
)
def erase_user() -> Response[Any]:
    event = app.current_event.raw_event
    begun = erasure.request(user_id(event), bearer_token(event))
    receipt = f"{base_url(event)}/erasure?id={begun}"
    return json_response(202, {"status": "erasing", "receipt": receipt}, {"Location": receipt})


@app.get(
    "/erasure",
    **openapi.operation(
        "getErasure",
        "Get the receipt of an erasure",
        {
            202: openapi.response(
                "It is under way.",
                openapi.ref("ErasurePending"),
                {"status": "erasing", "requested_at": "2026-11-23T10:00:00Z"},
                openapi.RETRY_AFTER,
            ),
            200: openapi.response(
                "Nothing is left.",
                openapi.ref("Erasure"),
                {
                    "status": "erased",
                    "user": record.USER_ID,
                    "requested_at": "2026-11-23T10:00:00Z",
                    "verified_at": "2026-11-23T11:05:00Z",
                    "recordings": 12,
                    "objects": 12,
                    "bytes": 85142528,
                    "backups_until": "2026-12-28T11:05:00Z",
                    "logs_until": "2026-12-23T11:05:00Z",
                },
            ),
            **openapi.refusals(ErasureNotFound(), ValidationFailed(("id", "is missing"))),
        },
        tag="users",
        parameters=[openapi.query("id", record.RECORD_ID_SCHEMA, record.RECORD_ID)],
    ),
)
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
