"""A long recording has arrived in the bucket: convert it while it streams."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import unquote_plus

from aws_lambda_powertools import Logger, Metrics

from records import aws
from records.conversion import convert_uploaded
from records.recordings import Recording

# The part of the time that the conversion may take; what is left is for storing an MP3 of over a gigabyte.
CONVERSION_SHARE = 0.9

logger = Logger()
metrics = Metrics()


def lambda_handler(event: dict[str, Any], context: Any) -> None:
    """S3's "object created" event in; nothing out. Raising makes Lambda deliver the event again."""
    remaining = context.get_remaining_time_in_millis() / 1000
    deadline = time.monotonic() + remaining * CONVERSION_SHARE
    try:
        for item in event["Records"]:
            key = unquote_plus(item["s3"]["object"]["key"])
            _, user, record_id, file_name = key.split("/")
            logger.info("arrived", extra={"record": record_id, "bytes": item["s3"]["object"].get("size")})
            convert_uploaded(int(user), record_id, file_name.removesuffix(".wav"), key, deadline)
    finally:
        if metrics.metric_set:
            metrics.flush_metrics()


aws.warm(Recording)
