"""Errors, with their statuses, and records as the contract's JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import single_metric
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.metrics import MetricUnit

from records import errors
from records.errors import RecordsError
from records.record import MEASURED, WITHOUT_WAVEFORM, measured
from records.settings import settings

if TYPE_CHECKING:
    from records.recordings import Recording
    from records.requests import Event

JSON = "application/json; charset=utf-8"
RETRY_AFTER_FAULT = "5"
RETRY_AFTER_PENDING = "2"

MAX_ERROR_BYTES = 4096

STATUS: dict[type[RecordsError], HTTPStatus] = {
    errors.MalformedRequest: HTTPStatus.BAD_REQUEST,
    errors.InvalidCredentials: HTTPStatus.UNAUTHORIZED,
    errors.RecordNotFound: HTTPStatus.NOT_FOUND,
    errors.ErasureNotFound: HTTPStatus.NOT_FOUND,
    errors.EmailTaken: HTTPStatus.CONFLICT,
    errors.IdempotencyConflict: HTTPStatus.CONFLICT,
    errors.AudioTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.UploadDamaged: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnsupportedAudio: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.UnplayableAudio: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InviteRequired: HTTPStatus.FORBIDDEN,
    errors.TooManySignUps: HTTPStatus.TOO_MANY_REQUESTS,
    errors.DailyLimit: HTTPStatus.TOO_MANY_REQUESTS,
    errors.StorageFull: HTTPStatus.FORBIDDEN,
    errors.ValidationFailed: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ServerError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response[str]:
    """An uncacheable JSON response."""
    return Response(int(status), JSON, _text(body), headers={"Cache-Control": "no-store", **(headers or {})})


def _text(body: Any) -> str:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate, which a request can hold as "\\ud800", cannot be encoded: Lambda's runtime would fail on it.
    return text.encode("utf-8", "replace").decode()


def error_response(error: RecordsError) -> Response[str]:
    """An error as the contract's JSON, with its status."""
    status = next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
    body = error_body(error)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        body["code"] = errors.Unavailable.code
        headers["Retry-After"] = RETRY_AFTER_FAULT
    if status != HTTPStatus.NOT_FOUND:
        with single_metric(name="Refusals", unit=MetricUnit.Count, value=1) as metric:
            metric.add_dimension(name="code", value=body["code"])
    if len(_text(body).encode()) > MAX_ERROR_BYTES:  # details may hold names that a client made up
        del body["details"]
    return json_response(status, body, headers)


def error_body(error: RecordsError) -> dict[str, Any]:
    """{"code", "message"} and, where there is something to act on, "details"."""
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.details:
        body["details"] = error.details
    return body


def base_url(event: Event) -> str:
    """The service's address: the one that the operator set, else the one that the request came to."""
    return settings().public_url or f"https://{event['requestContext']['domainName']}"


def record_body(event: Event, recording: Recording, *, waveform: bool = True) -> dict[str, Any]:
    """A record as JSON, with the fields that its status has."""
    query = f"id={recording.id}&user={int(recording.user)}"
    body: dict[str, Any] = {
        "url": f"{base_url(event)}/record?{query}",
        "page": f"{base_url(event)}/listen?{query}",
        "id": recording.id,
        "user": int(recording.user),
        "name": recording.name,
        "status": recording.status,
        "created_at": recording.created_at,
    }
    if recording.rejected_upload:
        body["rejected_upload"] = error_body(errors.IdempotencyConflict())
    if recording.status == "failed":
        return body | error_body(recording.error)
    if recording.status == "ready":
        body |= measured(recording, MEASURED if waveform else WITHOUT_WAVEFORM)
    return body
