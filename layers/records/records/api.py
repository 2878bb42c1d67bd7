"""What every request to an API function goes through: the resolver and the handler."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError, ServiceError

from records import cdn, requests
from records.errors import MalformedRequest, RecordsError, Unavailable, UnsupportedMediaType, ValidationFailed
from records.http import CROSS_ORIGIN
from records.requests import Event
from records.responses import error_response, json_response
from records.settings import settings

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

logger = Logger()
metrics = Metrics()


def resolver(*, validate: bool = True) -> APIGatewayHttpResolver:
    """A resolver that turns every error into the contract's response; without `validate` it needs no pydantic."""
    app = APIGatewayHttpResolver(enable_validation=validate, json_body_deserializer=requests.parse_json)
    app.exception_handler(RecordsError)(error_response)
    app.exception_handler([NotFoundError, ServiceError])(_not_found)
    app.exception_handler(Exception)(_unexpected)
    if validate:
        from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

        app.exception_handler(RequestValidationError)(_invalid)
    return app


def handler(
    app: APIGatewayHttpResolver, accepts: Mapping[str, frozenset[str]]
) -> Callable[[Event, Any], dict[str, Any]]:
    """The `lambda_handler` of an API function. `accepts`: the media types that each path takes as its body."""

    def lambda_handler(event: Event, context: Any) -> dict[str, Any]:
        started = time.monotonic()
        event = requests.bounded(event)
        http = event["requestContext"]["http"]
        request_id = str(event["requestContext"].get("requestId") or context.aws_request_id)
        logger.append_keys(request_id=request_id)
        try:
            app.context["deadline"] = started + context.get_remaining_time_in_millis() / 1000
            if cdn.refuses(event):
                response = _as_dict(_wrong_address())
            else:
                response = _resolve(app, cdn.with_client_address(event), context, accepts)
            response["headers"] |= {**CROSS_ORIGIN, "x-request-id": request_id}
            # Without the query: whoever has the link can listen.
            logger.info(
                "answered",
                extra={
                    "method": http["method"],
                    "path": event["rawPath"][:200],
                    "status": response["statusCode"],
                    "ms": round((time.monotonic() - started) * 1000),
                },
            )
            return response
        finally:
            if metrics.metric_set:
                metrics.flush_metrics()
            logger.remove_keys(["request_id"])

    return lambda_handler


def _resolve(
    app: APIGatewayHttpResolver, event: Event, context: Any, accepts: Mapping[str, frozenset[str]]
) -> dict[str, Any]:
    """The response to an event, once its body is known to be of a kind that its path takes."""
    try:
        taken = accepts.get(event["rawPath"])
        if taken is not None and event["requestContext"]["http"]["method"] in ("POST", "PATCH"):
            if requests.media_type(event) not in taken:
                raise UnsupportedMediaType(
                    f"Send the body as {' or '.join(sorted(taken))}, and name it in Content-Type."
                )
            if not event.get("body"):
                raise MalformedRequest("The request has no body.")
            if requests.JSON in taken:
                headers = event["headers"] | {"content-type": requests.JSON}  # Powertools knows it in lower case only
                event = {**event, "headers": headers, "body": requests.body_text(event), "isBase64Encoded": False}
        return app.resolve(event, context)
    except RecordsError as error:
        return _as_dict(error_response(error))


def _as_dict(response: Response[str]) -> dict[str, Any]:
    return {
        "statusCode": response.status_code,
        "headers": {**response.headers},
        "body": response.body,
        "isBase64Encoded": False,
    }


def _invalid(error: RequestValidationError) -> Response[str]:
    from records.fields import problems

    return error_response(ValidationFailed(*problems(error.errors())))


def _not_found(_: ServiceError) -> Response[str]:
    return json_response(404, {"code": "not_found", "message": "There is nothing at this address. See /docs."})


def _wrong_address() -> Response[str]:
    message = f"This address is not open to clients. Use {settings().public_url} instead."
    return json_response(403, {"code": "wrong_address", "message": message})


def _unexpected(error: Exception) -> Response[str]:
    """An unforeseen fault of ours. The log gets its place in the code, never its text, which may quote the request."""
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    logger.error("unexpected fault", extra={"error": type(error).__name__, "where": where})
    return error_response(Unavailable())
