"""What MiniStack 1.5.33 and its server do otherwise than AWS, where it matters to this service, put right."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypercorn.asyncio.tcp_server import TCPServer
from ministack.core import lambda_runtime
from ministack.services import apigateway, dynamodb, lambda_svc, sqs, sts
from ministack.services.cloudformation import provisioners

invoke_lambda_proxy = apigateway._invoke_lambda_proxy
cors_response_headers = apigateway._cors_response_headers
execute_function = lambda_svc._execute_function
sqs_esm_concurrency = lambda_svc._sqs_esm_concurrency
load_persisted_state = lambda_svc.load_persisted_state
remove_item_silently = dynamodb._remove_item
alarm_record = provisioners._cw_metric_alarm_record
read_data = TCPServer._read_data

EXPIRY_THREAD = "dynamodb-ttl-reaper"  # as MiniStack calls it
EXPIRY_SECONDS = 5  # between two looks for expired items

unpacking = threading.Lock()


def install(function_keys: str) -> None:
    """`function_keys`: a secret that the access keys of the functions are derived from."""

    def function_credentials(function: dict[str, Any]) -> dict[str, str]:
        return derived_credentials(function, function_keys)

    apigateway._invoke_lambda_proxy = respond_without_null
    apigateway._cors_response_headers = cors_headers_without_vary
    lambda_svc._execute_function = redeliver_failed_items
    # A queue is kept under its address, which must not change with the emulator's port at the next start.
    sqs.DEFAULT_PORT = "4566"
    sqs._CANONICAL_NETLOC = f"{sqs.DEFAULT_HOST}:{sqs.DEFAULT_PORT}"
    lambda_svc._sqs_esm_concurrency = queue_concurrency
    lambda_svc.load_persisted_state = load_lambda_state
    lambda_svc.execution_credentials = lambda_runtime.execution_credentials = function_credentials
    dynamodb._remove_item = remove_item
    provisioners._cw_metric_alarm_record = alarm_of_one_metric
    # MiniStack's own thread looks once a minute; what it waits with is replaced for one more.
    dynamodb.time = SimpleNamespace(time=time.time, sleep=lambda seconds: time.sleep(min(seconds, EXPIRY_SECONDS)))
    threading.Thread(target=dynamodb._ttl_reaper, daemon=True, name=EXPIRY_THREAD).start()
    TCPServer._read_data = read_until_closed  # type: ignore[method-assign,assignment]
    lambda_runtime.zipfile = SimpleNamespace(**vars(zipfile) | {"ZipFile": LayerFile})
    # A function that logs nothing would be waited for, for 50 ms: as long as it waits for the first line of a log, how
    # long for the next, and how long in all.
    lambda_runtime.Worker._drain_stderr_bounded.__defaults__ = (0.005, 0.002, 0.25)


def queue_concurrency(source: dict[str, Any], *args: Any) -> int:
    """The MaximumConcurrency of a queue's functions, which a template's parameter gives as text."""
    scaling = source.get("ScalingConfig") or {}
    limits = {name: int(value) for name, value in scaling.items()}
    return int(sqs_esm_concurrency({**source, "ScalingConfig": limits}, *args))


async def respond_without_null(*args: Any, **kwargs: Any) -> tuple[int, dict[str, Any], Any]:
    """A function may respond with `"body": null`, as for HEAD; MiniStack makes a 500 of that."""
    status, headers, body = await invoke_lambda_proxy(*args, **kwargs)
    return status, headers, b"" if body is None else body


def cors_headers_without_vary(*args: Any) -> dict[str, str]:
    """MiniStack's `Vary: Origin` would replace the function's own `Vary`, and with `*` the origin changes nothing."""
    return {name: value for name, value in cors_response_headers(*args).items() if name != "Vary"}


def redeliver_failed_items(function: dict[str, Any], event: Any) -> dict[str, Any]:
    """What a function could not do of a stream's batch is delivered to it again. MiniStack does not look at its
    response; here the whole batch comes again, in AWS what begins with the first failed item."""
    result: dict[str, Any] = execute_function(function, event)
    records = event.get("Records") if isinstance(event, dict) else None
    if records and records[0].get("eventSource") == "aws:dynamodb" and not result.get("error"):
        body = result.get("body")
        response = json.loads(body) if isinstance(body, str | bytes) and body else body
        if isinstance(response, dict) and response.get("batchItemFailures"):
            return {**result, "error": True}
    return result


def load_lambda_state(state: dict[str, Any]) -> None:
    """MiniStack remembers how far a stream was read but not the stream, which is empty at every start: the position
    of the last time would be past its end, and nothing would be read until it is that long again."""
    load_persisted_state(state)
    lambda_svc._dynamodb_stream_positions.clear()


def remove_item(table: dict[str, Any], partition: str, sort: str) -> dict[str, Any] | None:
    """What expires is in the table's stream, as in DynamoDB; MiniStack removes it without a trace."""
    item: dict[str, Any] | None = remove_item_silently(table, partition, sort)
    if item and threading.current_thread().name == EXPIRY_THREAD:
        dynamodb._emit_stream_event(table["TableName"], "REMOVE", item, None)
    return item


def alarm_of_one_metric(name: str, properties: dict[str, Any]) -> Any:
    """An alarm on a formula is taken as one on the formula's first metric. MiniStack refuses formulas."""
    metrics = properties.get("Metrics")
    if isinstance(metrics, list):
        metric = next(each["MetricStat"]["Metric"] for each in metrics if "MetricStat" in each)
        properties = {**properties, "Metrics": None, "Statistic": "Sum", **metric}
    return alarm_record(name, properties)


def derived_credentials(function: dict[str, Any], secret: str) -> dict[str, str]:
    """The access key of a function's role. MiniStack derives it from names alone, which can be guessed."""
    role = function["Role"].rsplit("/", 1)[-1]
    account = function["FunctionArn"].split(":")[4]

    def derived(purpose: str) -> str:
        return hashlib.sha256(f"{secret}:{purpose}:{function['FunctionArn']}:{role}".encode()).hexdigest()

    credentials = {
        "AWS_ACCESS_KEY_ID": f"ASIA{derived('id')[:16].upper()}",
        "AWS_SECRET_ACCESS_KEY": derived("secret"),
        "AWS_SESSION_TOKEN": derived("token"),
    }
    session = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role}/{function['FunctionName'][:64]}",
        "UserId": f"{role}:{function['FunctionName'][:64]}",
        "SecretAccessKey": credentials["AWS_SECRET_ACCESS_KEY"],
        "SessionToken": credentials["AWS_SESSION_TOKEN"],
    }
    sts.register_session(credentials["AWS_ACCESS_KEY_ID"], session)
    return credentials


class LayerFile(zipfile.ZipFile):
    """A layer is unpacked once, and linked to by each process of a function; MiniStack unpacks it for each."""

    def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:
        if not Path(path).name.startswith("layer_"):
            super().extractall(path, members, pwd)
            return
        digest = hashlib.sha256(Path(str(self.filename)).read_bytes()).hexdigest()
        kept = Path(tempfile.gettempdir()) / "layers" / digest
        with unpacking:
            if not kept.exists():
                partly = kept.with_suffix(".part")
                shutil.rmtree(partly, ignore_errors=True)
                super().extractall(partly)
                partly.rename(kept)
        Path(path).rmdir()
        os.symlink(kept, path)


async def read_until_closed(server: TCPServer) -> None:
    """A connection ends when its client closes it; hypercorn waits for the end of the keep-alive time."""
    await read_data(server)
    await server.idle_task.stop()
