"""Delete all data of users who asked to be erased, pass by pass until nothing is left."""

from __future__ import annotations

import time
from typing import Any

from aws_lambda_powertools import Logger

from records import aws, erasure
from records.recordings import Recording

logger = Logger()


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Messages of the queue in; out the ones to be delivered again."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
    failures = []
    for item in event["Records"]:
        try:
            erasure.work(item["body"], deadline)
        except Exception as error:
            logger.error(
                "an erasure was not finished", extra={"error": type(error).__name__, "item": item["messageId"]}
            )
            failures.append({"itemIdentifier": item["messageId"]})
    return {"batchItemFailures": failures}


aws.warm(Recording)
