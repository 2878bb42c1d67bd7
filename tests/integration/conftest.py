"""The functions as they are, over moto's DynamoDB and S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto import mock_aws

from records import aws, settings
from records.erasure import Erasure
from records.recordings import Recording
from records.users import User
from tests.support.client import EventClient

BUCKET = "records-test"
ERASURES = "erasures"


def forget_connections() -> None:
    """Drop every client of the process: the next call makes new ones."""
    settings.settings.cache_clear()
    for cached in (aws.session, aws.s3, aws.s3_public, aws.sqs):
        cached.cache_clear()
    for model in (User, Recording, Erasure):
        model._connection = None


@contextmanager
def moto_cloud(ffmpeg: str) -> Iterator[None]:
    """Empty tables and an empty bucket."""
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_REGION": "eu-central-1",
        "USERS_TABLE": "users",
        "RECORDS_TABLE": "records",
        "BUCKET": BUCKET,
        "ERASURES_QUEUE": f"https://sqs.eu-central-1.amazonaws.com/123456789012/{ERASURES}",
        "FFMPEG": ffmpeg,
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "POWERTOOLS_SERVICE_NAME": "records",
        "POWERTOOLS_METRICS_NAMESPACE": "Records",
    }
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        forget_connections()
        User.create_table(billing_mode="PAY_PER_REQUEST")
        Recording.create_table(billing_mode="PAY_PER_REQUEST")
        aws.s3().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        aws.sqs().create_queue(QueueName=ERASURES)
        yield
    forget_connections()


@pytest.fixture
def cloud(ffmpeg: str) -> Iterator[None]:
    with moto_cloud(ffmpeg):
        yield


@pytest.fixture
def client(cloud: None) -> EventClient:
    return EventClient()


def rows() -> list[Recording]:
    """Every row of the records table."""
    return list(Recording.scan(consistent_read=True))


def objects(prefix: str = "") -> list[str]:
    """The key of every object in the bucket, or of those that begin so."""
    found = aws.s3().list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return sorted(item["Key"] for item in found.get("Contents", []))
