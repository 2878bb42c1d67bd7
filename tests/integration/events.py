"""What is in the tables and in the bucket, the events that AWS makes of it, and what time does to it.

It is read from moto's own memory: thousands of looks at it through a client would take minutes.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models.dynamo_type import DynamoType

from records.recordings import Recording
from records.users import User
from tests.integration.conftest import BUCKET
from tests.support.client import Context, function

_numbers = itertools.count(1)
_sizes: dict[str, int] = {}  # of the last upload under each key


def _table(model: type[Recording | User]) -> Any:
    return get_backend("dynamodb")[DEFAULT_ACCOUNT_ID]["eu-central-1"].tables[model.Meta.table_name]


def _bucket() -> Any:
    return get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].buckets[BUCKET]


def raw_rows(model: type[Recording | User] = Recording) -> list[dict[str, Any]]:
    """Every row of a table, as it goes over the wire and as a stream's event has it."""
    return [item.to_json()["Attributes"] for item in _table(model).all_items()]


def rows() -> list[Recording]:
    """Every row of the records table."""
    return [Recording.from_raw_data(image) for image in raw_rows()]


def objects() -> list[str]:
    """The key of every object."""
    return sorted(_bucket().keys)


def content(key: str) -> bytes:
    """The bytes of an object. Raises KeyError where there is none."""
    held: bytes = _bucket().keys[key].value
    return held


def parts() -> list[str]:
    """The keys of multipart uploads that were begun and neither completed nor aborted."""
    return [upload.key_name for upload in _bucket().multiparts.values()]


def received(upload_id: str) -> list[int]:
    """The numbers of the parts that have arrived of an unfinished upload. Raises KeyError where there is none."""
    return sorted(_bucket().multiparts[upload_id].parts)


def ready_without_object() -> list[str]:
    """The ids of rows that are ready without their object."""
    held = set(objects())
    return [row.id for row in rows() if row.status == "ready" and row.mp3_key() not in held]


def orphans() -> list[str]:
    """The keys of objects that belong to no row."""
    keys = {key for row in rows() for key in (row.upload_key, row.mp3_key())}
    return [key for key in objects() if key not in keys]


def keep_cloud() -> Callable[[], None]:
    """Remember every row, every object and every part; returns what brings just these back."""
    kept_rows = {model: copy.deepcopy(_table(model).items) for model in (Recording, User)}
    kept_objects = {key: content(key) for key in objects()}
    kept_parts = copy.deepcopy(_bucket().multiparts)

    def bring_back() -> None:
        empty_cloud()
        for model, items in kept_rows.items():
            _table(model).items.update(copy.deepcopy(items))
        for key, body in kept_objects.items():
            upload(key, body)
        _bucket().multiparts.update(copy.deepcopy(kept_parts))

    return bring_back


def empty_cloud() -> None:
    """Remove every row, every object and every part."""
    for model in (Recording, User):
        _table(model).items.clear()
    _bucket().keys.clear()
    _bucket().multiparts.clear()


def object_created(key: str, size: int = 0) -> dict[str, Any]:
    """S3's event for an object that a presigned POST stored."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "eu-central-1",
                "eventTime": "2026-11-23T10:00:00.000Z",
                "eventName": "ObjectCreated:Post",
                "userIdentity": {"principalId": "AWS:AROAEXAMPLE:create_record"},
                "requestParameters": {"sourceIPAddress": "127.0.0.1"},
                "responseElements": {"x-amz-request-id": "0A49CE4060975EAC", "x-amz-id-2": "example"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "Uploaded",
                    "bucket": {
                        "name": BUCKET,
                        "ownerIdentity": {"principalId": "A1EXAMPLE"},
                        "arn": f"arn:aws:s3:::{BUCKET}",
                    },
                    "object": {
                        "key": quote_plus(key, safe="/"),
                        "size": size,
                        "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                        "sequencer": f"{next(_numbers):018X}",
                    },
                },
            }
        ]
    }


def queued(event: dict[str, Any]) -> dict[str, Any]:
    """A queue's message with an event of S3, as its event source mapping delivers it."""
    return {
        "Records": [
            {
                "messageId": f"19dd0b57-b21e-4ac1-bd88-{next(_numbers):012x}",
                "receiptHandle": "MessageReceiptHandle",
                "body": json.dumps(event),
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1795428000000"},
                "messageAttributes": {},
                "md5OfBody": "7b270e59b47ff90a553787216d55d91d",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:uploads",
                "awsRegion": "eu-central-1",
            }
        ]
    }


def arrived(key: str) -> None:
    """Give the event of an upload to `convert_upload`; raises why it is to be delivered again."""
    event = object_created(key, _sizes.get(key, 0))
    function("convert_upload").lambda_handler(event, Context(seconds=900))


def removed(*images: dict[str, Any]) -> dict[str, Any]:
    """The event of a table's stream for rows that DynamoDB removed because their time was over."""
    return {"Records": [_removal(image) for image in images]}


def _removal(image: dict[str, Any]) -> dict[str, Any]:
    number = next(_numbers)
    return {
        "eventID": f"{number:032x}",
        "eventName": "REMOVE",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1795428000,
            "Keys": {"user": image["user"], "id": image["id"]},
            "OldImage": image,
            "SequenceNumber": f"{number:021d}",
            "SizeBytes": 500,
            "StreamViewType": "OLD_IMAGE",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/records/stream/2026-11-23T10:00:00.000",
        "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
    }


def remove_rows(images: list[dict[str, Any]]) -> dict[str, Any]:
    """Remove rows from the table as its time to live does; returns the event that the stream makes of it."""
    for image in images:
        assert _table(Recording).delete_item(DynamoType(image["user"]), DynamoType(image["id"]))
    return removed(*images)


def clean_up() -> None:
    """All that time does: each row that has a time goes, and `remove_audio` is told; S3 aborts old uploads of parts."""
    past = [image for image in raw_rows() if "N" in image.get("expires_at", {})]
    if past:
        answer = function("remove_audio").lambda_handler(remove_rows(past), Context(seconds=60))
        assert answer == {"batchItemFailures": []}
    _bucket().multiparts.clear()  # the bucket's lifecycle rule


def expire_uploads() -> None:
    """The bucket's other lifecycle rule: what is still under uploads/ after 15 days goes."""
    for key in objects():
        if key.startswith("uploads/"):
            del _bucket().keys[key]


def upload(key: str, body: bytes) -> None:
    """Store an object as a client's form does."""
    _sizes[key] = len(body)
    get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].put_object(BUCKET, key, body)
