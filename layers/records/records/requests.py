"""What any request can hold: a body, a token, an idempotency key, ids. Without pydantic, for `get_record`."""

from __future__ import annotations

import binascii
import json
import re
from collections import Counter
from typing import Any
from uuid import UUID

from records.errors import ErasureNotFound, InvalidCredentials, MalformedRequest, RecordNotFound, ValidationFailed

JSON = "application/json"

MAX_TEXT = (
    8192  # characters of a header, a query parameter or a form's text: API Gateway passes 10 KB of headers in all
)

Event = dict[str, Any]

UUID4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def bounded(event: Event) -> Event:
    """The event with header names in lower case (`sam local` passes them on as they were sent), and headers and query
    parameters cut at MAX_TEXT: longer ones are never valid, and refusing them must be cheap."""
    headers = {name.lower(): value[:MAX_TEXT] for name, value in (event.get("headers") or {}).items()}
    query = {name: value[:MAX_TEXT] for name, value in (event.get("queryStringParameters") or {}).items()}
    return {**event, "headers": headers, "queryStringParameters": query}


def media_type(event: Event) -> str:
    """The media type of the request's body, without its parameters, in lower case."""
    return str(event["headers"].get("content-type", "")).split(";")[0].strip().lower()


def body_bytes(event: Event) -> bytes:
    """The request's body as it was sent. Raises MalformedRequest where its base64 is broken."""
    body: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8", "surrogateescape")
    try:
        decoded = binascii.a2b_base64(body, strict_mode=True)  # base64.b64decode would copy the text first
    except ValueError:
        raise MalformedRequest("The body is not valid base64.") from None
    # Before CPython gh-118314 (3.11.10, 3.12.4) strict mode accepts padding where none belongs.
    if len(body) % 4 or len(decoded) != len(body) // 4 * 3 - body[-4:].count("="):
        raise MalformedRequest("The body is not valid base64.")
    return decoded


def body_text(event: Event) -> str:
    """The request's body as text. Raises MalformedRequest where it is not UTF-8."""
    if not event.get("isBase64Encoded"):
        return event.get("body") or ""
    try:
        return body_bytes(event).decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRequest("The body is not valid JSON: it is not UTF-8 text.") from None


def parse_json(text: str) -> Any:
    """Strict JSON (RFC 8259): no NaN, no name twice in an object. Raises MalformedRequest, ValidationFailed."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_int)
    except (ValueError, RecursionError):
        raise MalformedRequest("The body is not valid JSON.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        # A few are enough to act on, however many there are.
        twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1][:10]
        raise ValidationFailed(*[(name, "is given more than once") for name in twice])
    return unique


def _int(digits: str) -> float:
    """Python converts no more than 4,300 digits; a number of more than 20 is beyond every limit of a field."""
    return int(digits) if len(digits) <= 20 else float(digits)


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def bearer_token(event: Event, other: str | None = None) -> str:
    """The token of the Authorization header, else `other`. Raises InvalidCredentials where there is neither."""
    header = str(event["headers"].get("authorization", "")).strip()
    if not header:
        if not other:
            raise InvalidCredentials
        return other
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise InvalidCredentials
    return token.strip()


def idempotency_key(event: Event) -> str | None:
    """The Idempotency-Key header, if it was sent. Raises ValidationFailed."""
    key: str | None = event["headers"].get("idempotency-key")
    if key is not None and not re.fullmatch(r"[!-~]{1,128}", key):
        raise ValidationFailed(("Idempotency-Key", "must be 1 to 128 visible ASCII characters"))
    return key


def uuid_key(event: Event) -> str | None:
    """The Idempotency-Key of a sign-up, which must be a UUID4: whoever knows it can repeat the sign-up.

    Raises ValidationFailed.
    """
    key: str | None = event["headers"].get("idempotency-key")
    if key is not None and not UUID4.fullmatch(key.lower()):
        raise ValidationFailed(("Idempotency-Key", "must be a UUID of version 4"))
    return key.lower() if key else None


def user_id(event: Event) -> int:
    """The `user_id` of the query. Raises ValidationFailed."""
    value = (event.get("queryStringParameters") or {}).get("user_id", "")
    if not re.fullmatch("[0-9]{1,16}", value):
        raise ValidationFailed(("user_id", "must be the id of a user" if value else "is missing"))
    return int(value)


def record_ids(event: Event) -> tuple[int, str]:
    """The user's and the record's id in a link's query.

    Raises ValidationFailed where one is missing, RecordNotFound where one is malformed.
    """
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


def erasure_id(event: Event) -> str:
    """The id of a receipt in the query. Raises ValidationFailed where it is missing, ErasureNotFound if malformed."""
    value: str = (event.get("queryStringParameters") or {}).get("id", "").lower()
    if not value:
        raise ValidationFailed(("id", "is missing"))
    if not UUID4.fullmatch(value):
        raise ErasureNotFound
    return value
