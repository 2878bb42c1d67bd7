"""What MiniStack 1.5.33 does otherwise than AWS, where it matters to this service, put right."""

from __future__ import annotations

import json
import threading
from typing import Any

from ministack.services import apigateway, dynamodb, lambda_svc

invoke_lambda_proxy = apigateway._invoke_lambda_proxy
execute_function = lambda_svc._execute_function
load_persisted_state = lambda_svc.load_persisted_state
remove_item_silently = dynamodb._remove_item


def install() -> None:
    apigateway._invoke_lambda_proxy = answer_without_null
    lambda_svc._execute_function = heed_failed_items
    lambda_svc.load_persisted_state = load_lambda_state
    dynamodb._remove_item = remove_item


async def answer_without_null(*args: Any, **kwargs: Any) -> tuple[int, dict[str, Any], Any]:
    """A function may answer with `"body": null`, as for HEAD; MiniStack answers 500 to that."""
    status, headers, body = await invoke_lambda_proxy(*args, **kwargs)
    return status, headers, b"" if body is None else body


def heed_failed_items(function: dict[str, Any], event: Any) -> dict[str, Any]:
    """What a function could not do of a stream's batch is handed to it again. MiniStack does not look at its answer;
    here the whole batch comes again, in AWS what begins with the first failed item."""
    result: dict[str, Any] = execute_function(function, event)
    records = event.get("Records") if isinstance(event, dict) else None
    if records and records[0].get("eventSource") == "aws:dynamodb" and not result.get("error"):
        body = result.get("body")
        answer = json.loads(body) if isinstance(body, str | bytes) and body else body
        if isinstance(answer, dict) and answer.get("batchItemFailures"):
            return {**result, "error": True}
    return result


def load_lambda_state(state: dict[str, Any]) -> None:
    """MiniStack remembers how far a stream was read but not the stream, which begins anew at every start: the position
    of the last time would be past its end, and nothing read for as long."""
    load_persisted_state(state)
    lambda_svc._dynamodb_stream_positions.clear()


def remove_item(table: dict[str, Any], partition: str, sort: str) -> dict[str, Any] | None:
    """What expires is in the table's stream, as in DynamoDB; MiniStack removes it without a trace."""
    item: dict[str, Any] | None = remove_item_silently(table, partition, sort)
    if item and threading.current_thread().name == "dynamodb-ttl-reaper":
        dynamodb._emit_stream_event(table["TableName"], "REMOVE", item, None)
    return item
