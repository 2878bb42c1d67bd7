"""Delete audio that no row names: at once when its row is removed (it expired, or somebody deleted it), and a quarter
of an hour after it was stored by an attempt that was killed, or whose row was removed meanwhile."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote_plus

from aws_lambda_powertools import Logger

from records import aws, storage
from records.recordings import READY, Recording

logger = Logger()


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Items of a DynamoDB stream in, or messages of the queue that delays S3's events; out those to be sent again.

    Every item is tried, whatever fails before it. A queue delivers only the failed ones again. A stream, which is read
    in order, delivers everything again from the first failed one on, and later items wait until that one succeeds or
    has gone to FailedRemovalsQueue.
    """
    failures = []
    for item in event["Records"]:
        number = item["messageId"] if item.get("eventSource") == "aws:sqs" else item["dynamodb"]["SequenceNumber"]
        try:
            if item.get("eventSource") == "aws:sqs":
                # The message that S3 sends to try out a new queue has no records.
                for stored in json.loads(item["body"]).get("Records", []):
                    _remove_if_unnamed(unquote_plus(stored["s3"]["object"]["key"]))
            elif item["eventName"] == "REMOVE":
                _remove_audio(item["dynamodb"]["OldImage"])
        except Exception as error:
            logger.error(
                "audio that no row names is still there", extra={"error": type(error).__name__, "item": number}
            )
            failures.append({"itemIdentifier": number})
    return {"batchItemFailures": failures}


def _remove_audio(image: dict[str, Any]) -> None:
    row = Recording.from_raw_data(image)
    storage.delete_prefix(row.mp3_prefix)
    if row.upload_id is not None:
        storage.abort(row.upload_key, row.upload_id)
    storage.delete(row.upload_key)


def _remove_if_unnamed(key: str) -> None:
    """Delete an MP3 unless its row is ready and names it. The queue delays an event for longer than any attempt runs,
    so the attempt that stored it has committed its row by now, or never will."""
    _, user, record_id, *_ = key.split("/")
    row = Recording.read(int(user), record_id)
    if row is None or row.status != READY or row.mp3_key() != key:
        storage.delete(key)


aws.warm(Recording)
