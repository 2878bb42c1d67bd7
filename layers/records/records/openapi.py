"""What the OpenAPI document says of a route, besides its path and its models.

    @app.get("/users", **openapi.operation("getUser", "Get your account", {200: ...}, security=openapi.OWNER))

Powertools takes an operation's summary and responses as they are. It has no argument for parameters that a route reads
by hand, nor for a body that is not JSON, so these are extensions (`x-`) that `scripts/openapi.py` replaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from records import errors, record
from records.record import Schema
from records.responses import STATUS, error_body

Security = list[dict[str, list[str]]]
Responses = dict[int, Any]

PUBLIC: Security = []
OWNER: Security = [{"bearer": []}]
OWNER_OR_BODY: Security = [{"bearer": []}, {}]  # the token may be in the body instead
TOKEN = "6e223112-58d4-4099-a5c8-6ad67487b3d1"  # noqa: S105 (an example)


def operation(
    operation_id: str,
    summary: str,
    responses: Responses,
    *,
    tag: str = "records",
    description: str = "",
    security: Security = PUBLIC,
    parameters: Sequence[dict[str, Any]] = (),
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The keyword arguments of a route. body: the content of a request body that is not JSON, by media type."""
    extensions: dict[str, Any] = {"x-parameters": list(parameters), "x-security": security}
    if body is not None:
        extensions["x-body"] = {"required": True, "content": body}
    return {
        "operation_id": operation_id,
        "summary": summary,
        "description": description or f"{summary}.",
        "tags": [tag],
        "responses": responses,
        "openapi_extensions": extensions,
    }


def header(description: str, example: str, **schema: Any) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string", **schema}, "example": example}


REQUEST_ID = {"x-request-id": header("Identifies this request in the logs.", "Zk3YxhqKFiAEPJA=")}
RETRY_AFTER = {"Retry-After": header("Seconds to wait before asking again.", "2", pattern="^[0-9]+$")}
LOCATION = {"Location": header("The link.", f"{record.SERVICE}/record?{record.QUERY}", format="uri")}


def response(
    description: str,
    schema: Schema | None = None,
    example: Any = None,
    headers: dict[str, Any] | None = None,
    content: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A response: JSON by its schema and an example of it, or other `content` by media type, or without a body."""
    found: dict[str, Any] = {"description": description, "headers": REQUEST_ID | (headers or {})}
    if content or schema:
        json_content = {"application/json": {"schema": schema, "example": example}} if schema else {}
        found["content"] = {**(content or {}), **json_content}
    return found


def refusals(*causes: errors.RecordsError) -> Responses:
    """The responses to these errors and to a fault on our side, by status."""
    by_status: dict[int, list[errors.RecordsError]] = {}
    for cause in (*causes, errors.Unavailable()):
        status = next(int(STATUS[cls]) for cls in type(cause).__mro__ if cls in STATUS)
        by_status.setdefault(status, []).append(cause)
    more = {401: {"WWW-Authenticate": header("The scheme.", "Bearer")}, 429: RETRY_AFTER, 503: RETRY_AFTER}
    return {
        status: response(
            " or ".join(f"`{cause.code}`" for cause in found), ref("Error"), error_body(found[0]), more.get(status)
        )
        for status, found in by_status.items()
    }


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def any_of(*names: str) -> Schema:
    return {"anyOf": [ref(name) for name in names]}


def query(name: str, schema: Schema, example: Any, *, required: bool = True, description: str = "") -> dict[str, Any]:
    said = {"description": description} if description else {}
    return {"name": name, "in": "query", "required": required, "schema": schema, "example": example, **said}


def request_header(
    name: str, description: str, example: str, *, required: bool = False, **schema: Any
) -> dict[str, Any]:
    found = {"name": name, "in": "header", "required": required, "description": description}
    return {**found, "schema": {"type": "string", **schema}, "example": example}


USER_ID = query("user_id", record.USER_ID_SCHEMA, record.USER_ID)
RECORD = (
    query("id", record.RECORD_ID_SCHEMA, record.RECORD_ID),
    query("user", record.USER_ID_SCHEMA, record.USER_ID),
)
KEY = request_header(
    "Idempotency-Key",
    "The same key from the same user always names the same record, so that a retry is safe.",
    "take-1",
    pattern="^[!-~]{1,128}$",
)

# Errors as examples, where a class does not make its own message.
BAD_JSON = errors.MalformedRequest("The body is not valid JSON.")
NOT_JSON = errors.UnsupportedMediaType("Send the body as application/json, and name it in Content-Type.")
BAD_FIELD = errors.ValidationFailed(("user_id", "is missing"))
BAD_TOKEN = errors.InvalidCredentials()

_ERROR: Schema = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "string", "description": "Stable, for programs."},
        "message": {"type": "string", "description": "What went wrong and what to do, for people."},
        "details": {"description": "More about the error, for programs."},
    },
}
_REJECTED = {
    "rejected_upload": ref("Error") | {"description": "An upload held other audio than this record's; it was dropped."}
}
READY_RECORD = record.example(*record.ALWAYS, *record.MEASURED)
PENDING_RECORD = record.example(*record.ALWAYS) | {"status": "pending"}

CREATED_USER = {"id": record.USER_ID, "token": TOKEN}

# Schemas that several functions use; those of one function are in SCHEMAS of its module.
SCHEMAS: dict[str, Schema] = {
    "Error": _ERROR,
    "Record": record.schema(*record.ALWAYS, *record.MEASURED, optional=_REJECTED),
    "PendingRecord": record.schema(*record.ALWAYS, optional=_REJECTED),
    "FailedRecord": record.schema(
        *record.ALWAYS, code={"type": "string"}, message={"type": "string"}, optional={"details": {}, **_REJECTED}
    ),
    "CreatedUser": {
        "type": "object",
        "required": ["id", "token"],
        "properties": {"id": record.USER_ID_SCHEMA, "token": {"type": "string", "format": "uuid"}},
    },
}
