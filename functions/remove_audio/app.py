"""A row of the records table was removed (its time to live ended, or somebody deleted it): its audio goes too."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from records import aws, storage
from records.recordings import Recording

logger = Logger()


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Items of a DynamoDB stream in; out the ones to be sent again, so that one bad item holds nothing up."""
    failures = []
    for item in event["Records"]:
        number = item["dynamodb"]["SequenceNumber"]
        try:
            if item["eventName"] == "REMOVE":
                _remove_audio(item["dynamodb"]["OldImage"])
        except Exception as error:
            logger.error("audio of a removed row is still there", extra={"error": type(error).__name__, "item": number})
            failures.append({"itemIdentifier": number})
    return {"batchItemFailures": failures}


def _remove_audio(image: dict[str, Any]) -> None:
    row = Recording.from_raw_data(image)
    storage.delete_prefix(row.mp3_prefix)
    storage.delete(row.upload_key)


aws.warm()
