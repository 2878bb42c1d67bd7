"""The edge: the resolver that the functions share, and the one table from error to HTTP status."""

from __future__ import annotations

import binascii
import json
import re
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError, ServiceError
from aws_lambda_powertools.metrics import MetricUnit

from records import errors
from records.errors import InvalidCredentials, MalformedRequest, RecordsError, UnsupportedMediaType, ValidationFailed
from records.settings import settings

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

    from records.recordings import Recording

JSON = "application/json; charset=utf-8"
RETRY_AFTER_FAULT = "5"
RETRY_AFTER_PENDING = "2"

STATUS: dict[type[RecordsError], HTTPStatus] = {
    errors.MalformedRequest: HTTPStatus.BAD_REQUEST,
    errors.InvalidCredentials: HTTPStatus.UNAUTHORIZED,
    errors.RecordNotFound: HTTPStatus.NOT_FOUND,
    errors.EmailTaken: HTTPStatus.CONFLICT,
    errors.IdempotencyConflict: HTTPStatus.CONFLICT,
    errors.AudioTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.UnsupportedAudio: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.UnplayableAudio: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ValidationFailed: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.OurFault: HTTPStatus.SERVICE_UNAVAILABLE,
}

logger = Logger()
metrics = Metrics()

Event = dict[str, Any]
Answer = dict[str, Any]


def resolver(*, validate: bool = True) -> APIGatewayHttpResolver:
    """A resolver whose every fault is answered as the contract says. Without `validate` it costs no pydantic."""
    app = APIGatewayHttpResolver(enable_validation=validate, json_body_deserializer=parse_json)
    app.exception_handler(RecordsError)(error_response)
    app.exception_handler([NotFoundError, ServiceError])(_not_found)
    app.exception_handler(Exception)(_unexpected)
    if validate:
        from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

        app.exception_handler(RequestValidationError)(_invalid)
    return app


def handler(app: APIGatewayHttpResolver, accepts: Mapping[str, frozenset[str]]) -> Callable[[Event, Any], Answer]:
    """The `lambda_handler` of an API function. `accepts`: the media types that each POST path takes as its body."""

    def lambda_handler(event: Event, context: Any) -> Answer:
        started = time.monotonic()
        # API Gateway gives header names in lower case, `sam local` as they were sent.
        event = {**event, "headers": {name.lower(): value for name, value in (event.get("headers") or {}).items()}}
        http = event["requestContext"]["http"]
        request_id = str(event["requestContext"].get("requestId") or context.aws_request_id)
        logger.append_keys(request_id=request_id)
        try:
            app.context["deadline"] = started + context.get_remaining_time_in_millis() / 1000
            answer = _resolve(app, event, context, accepts)
            answer["headers"]["x-request-id"] = request_id
            # Never the query: the link is the permission.
            logger.info(
                "answered",
                extra={
                    "method": http["method"],
                    "path": event["rawPath"][:200],
                    "status": answer["statusCode"],
                    "ms": round((time.monotonic() - started) * 1000),
                },
            )
            return answer
        finally:
            if metrics.metric_set:
                metrics.flush_metrics()
            logger.remove_keys(["request_id"])

    return lambda_handler


def _resolve(app: APIGatewayHttpResolver, event: Event, context: Any, accepts: Mapping[str, frozenset[str]]) -> Answer:
    """Answer an event, once its body is known to be of a kind that its path takes."""
    try:
        taken = accepts.get(event["rawPath"])
        if taken is not None:
            if media_type(event) not in taken:
                raise UnsupportedMediaType(
                    f"Send the body as {' or '.join(sorted(taken))}, and name it in Content-Type."
                )
            if not event.get("body"):
                raise MalformedRequest("The request has no body.")
            if "application/json" in taken and event.get("isBase64Encoded"):
                event = {**event, "body": _text(body_bytes(event)), "isBase64Encoded": False}
        return app.resolve(event, context)
    except RecordsError as error:
        response = error_response(error)
        return {
            "statusCode": response.status_code,
            "headers": {**response.headers},
            "body": response.body,
            "isBase64Encoded": False,
        }


def media_type(event: Event) -> str:
    """The media type of the request's body, without its parameters, in lower case."""
    return str(event["headers"].get("content-type", "")).split(";")[0].strip().lower()


def body_bytes(event: Event) -> bytes:
    """The request's body as it was sent. Raises MalformedRequest where its base64 is broken."""
    body: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8", "surrogateescape")
    try:
        return binascii.a2b_base64(body, strict_mode=True)  # base64.b64decode would copy the text first
    except ValueError:
        raise MalformedRequest("The body is not valid base64.") from None


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRequest("The body is not valid JSON: it is not UTF-8 text.") from None


def parse_json(text: str) -> Any:
    """JSON by the letter of RFC 8259: no NaN, no name twice in an object. Raises MalformedRequest, ValidationFailed."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise MalformedRequest("The body is not valid JSON.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        # A few are enough to act on; the names are a stranger's, and may be any number and of any length.
        twice = [name[:100] for name, count in Counter(name for name, _ in pairs).items() if count > 1][:10]
        raise ValidationFailed(*[(name, "is given more than once") for name in twice])
    return unique


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def error_response(error: RecordsError) -> Response[str]:
    """An error as the contract's JSON, with the status of the table above."""
    status = next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
    code = errors.Unavailable.code if status == HTTPStatus.SERVICE_UNAVAILABLE else error.code
    headers = {}
    if isinstance(error, InvalidCredentials):
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER_FAULT
    if not isinstance(error, errors.RecordNotFound):
        _count_refusal(code)
    return json_response(status, error_body(error, code), headers)


def error_body(error: RecordsError, code: str | None = None) -> dict[str, Any]:
    """{"code", "message"} and, where there is something to act on, "details"."""
    body: dict[str, Any] = {"code": code or error.code, "message": error.message}
    if error.details:
        body["details"] = error.details
    return body


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response[str]:
    """A JSON answer that nobody keeps."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    # Half of a surrogate pair, which "\\ud800" in a request is, is no text: Lambda's runtime would die of it.
    text = text.encode("utf-8", "replace").decode()
    return Response(int(status), JSON, text, headers={"Cache-Control": "no-store", **(headers or {})})


def _invalid(error: RequestValidationError) -> Response[str]:
    return error_response(ValidationFailed(*problems(error.errors())))


def problems(found: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """pydantic's findings as pairs of a field and what is wrong with it; what was sent is never repeated."""
    pairs = []
    for error in found:
        field = ".".join(str(part) for part in error["loc"] if part != "body")
        problem = str(error["msg"]).removeprefix("Value error, ")
        pairs.append((field or "body", problem[:1].lower() + problem[1:]))
    return pairs


def _not_found(_: ServiceError) -> Response[str]:
    return json_response(404, {"code": "not_found", "message": "There is nothing at this address. See /docs."})


def _unexpected(error: Exception) -> Response[str]:
    """A fault of ours that nobody foresaw. The log gets where it was, never its text: that may quote the request."""
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    logger.error("unexpected fault", extra={"error": type(error).__name__, "where": where})
    return error_response(errors.Unavailable())


def _count_refusal(code: str) -> None:
    with single_metric(name="Refusals", unit=MetricUnit.Count, value=1) as metric:
        metric.add_dimension(name="code", value=code)


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


def record_url(event: Event, recording: Recording) -> str:
    """The link: the address that the operator set, else the one that the request came to."""
    base = settings().public_url or f"https://{event['requestContext']['domainName']}"
    return f"{base}/record?id={recording.id}&user={int(recording.user)}"


def record_body(event: Event, recording: Recording) -> dict[str, Any]:
    """A record as JSON, as far as its status goes."""
    body: dict[str, Any] = {
        "url": record_url(event, recording),
        "id": recording.id,
        "user": int(recording.user),
        "name": recording.name,
        "status": recording.status,
        "created_at": recording.created_at,
    }
    if recording.status == "failed":
        return body | error_body(recording.error)
    if recording.status == "ready":
        body |= {
            "duration": recording.duration,
            "sample_rate": recording.sample_rate,
            "channels": recording.channels,
            "truncated": recording.truncated,
            "wav": {"bytes": recording.wav_bytes, "sha256": recording.wav_sha256},
            "mp3": {"bytes": recording.mp3_bytes, "sha256": recording.mp3_sha256},
            "levels": {
                "peak_dbfs": recording.peak_dbfs,
                "mean_dbfs": recording.mean_dbfs,
                "silent": recording.silent,
            },
            "waveform": list(recording.waveform or b""),
        }
    return body
