"""A long recording has arrived in the bucket: convert it while it streams."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_plus

from aws_lambda_powertools import Logger, Metrics

from records import aws
from records.conversion import Upload, convert_uploaded
from records.errors import ServerError, Unavailable
from records.recordings import Recording
from records.settings import settings

# The part of the time that the conversion may take; what is left is for storing an MP3 of over a gigabyte.
CONVERSION_SHARE = 0.9

RETRY_SECONDS = 60  # from the first failure of an upload to its second attempt

logger = Logger()
metrics = Metrics()


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Messages of the queue in, each with S3's "object created" events; out the messages to be delivered again.

    An operator may also call this with S3's own event; a failure is then raised.
    """
    remaining = context.get_remaining_time_in_millis() / 1000
    deadline = time.monotonic() + remaining * CONVERSION_SHARE
    failures = []
    try:
        for item in event["Records"]:
            if item.get("eventSource") != "aws:sqs":
                _convert(item, deadline)
                continue
            try:
                # The message that S3 sends to try out a new queue has no records.
                for created in json.loads(item["body"]).get("Records", []):
                    _convert(created, deadline)
            except ServerError as error:
                logger.error("an upload was not converted", extra={"error": error.code, "item": item["messageId"]})
                failures.append({"itemIdentifier": item["messageId"]})
                _retry_soon(item)
    finally:
        if metrics.metric_set:
            metrics.flush_metrics()
    return {"batchItemFailures": failures}


def _retry_soon(item: dict[str, Any]) -> None:
    """Have a message that failed for the first time delivered again in a minute. What fails after that waits for the
    queue's own time, a quarter of an hour: the attempts that are left are for faults that last."""
    queue = settings().uploads_queue
    if not queue or item["attributes"]["ApproximateReceiveCount"] != "1":
        return
    with suppress(Unavailable), aws.faults():
        aws.sqs().change_message_visibility(
            QueueUrl=queue, ReceiptHandle=item["receiptHandle"], VisibilityTimeout=RETRY_SECONDS
        )


def _convert(created: dict[str, Any], deadline: float) -> None:
    stored = created["s3"]["object"]
    upload = Upload(unquote_plus(stored["key"]), stored.get("size"))
    logger.info("arrived", extra={"record": upload.row().id, "bytes": upload.size})
    convert_uploaded(upload, deadline)


aws.warm(Recording)
