"""The way to AWS: one session, clients made at first use, short waits, and faults turned into `Unavailable`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
import pynamodb.connection.base
from aws_lambda_powertools import Logger
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from pynamodb.exceptions import PynamoDBException

from records.errors import Unavailable
from records.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# So that a call that hangs never uses up the 29 s of a request: at worst 3 x (1 + 5) s and the pauses between.
CONNECT_TIMEOUT, READ_TIMEOUT, ATTEMPTS = 1, 5, 3

logger = Logger(child=True)


@cache
def session() -> botocore.session.Session:
    """The one botocore session of the process: a second one costs 0.16 s of a cold start."""
    return botocore.session.get_session()


# PynamoDB offers no setting for this: it would make a session of its own, for every thread.
vars(pynamodb.connection.base)["get_session"] = session


class TableMeta:
    """What every PynamoDB model's Meta shares."""

    connect_timeout_seconds = CONNECT_TIMEOUT
    read_timeout_seconds = READ_TIMEOUT
    retry_configuration = {"total_max_attempts": ATTEMPTS, "mode": "standard"}  # noqa: RUF012 (PynamoDB's own form)


class FromSettings:
    """A class attribute that reads a setting when asked, so that importing a model needs no environment."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type | None = None) -> str:
        return str(getattr(settings(), self.name))


def _s3_client(endpoint_url: str | None, read_timeout: float = READ_TIMEOUT) -> S3Client:
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=read_timeout,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        signature_version="s3v4",
        # "virtual" also makes signed addresses regional: the global name redirects for a day after a bucket is made.
        s3={"addressing_style": "path" if settings().storage_url else "virtual"},
    )
    client: Any = session().create_client("s3", endpoint_url=endpoint_url, config=config)
    return client  # type: ignore[no-any-return]


@cache
def s3() -> S3Client:
    """The client for our own calls to S3."""
    return _s3_client(None)


@cache
def s3_public() -> S3Client:
    """The client that signs addresses for others: a signature covers the host, so it is the host that they see."""
    return _s3_client(settings().storage_url or None)


@contextmanager
def faults() -> Iterator[None]:
    """Turn whatever AWS's clients raise into `Unavailable`."""
    try:
        yield
    except (BotoCoreError, ClientError, HTTPClientError, PynamoDBException) as error:
        log_fault(error)
        raise Unavailable from error


def log_fault(error: BaseException) -> None:
    """Log the class and AWS's own code, no more: a message may quote the request, and so an e-mail."""
    logger.error("AWS call failed", extra={"error": type(error).__name__, "aws_code": aws_code(error)})


def aws_code(error: BaseException) -> str:
    """AWS's code for an error ("ThrottlingException"), or the name of the exception where no answer came."""
    cause = getattr(error, "cause", None) or error
    response = getattr(cause, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(cause).__name__)


def condition_failed(error: PynamoDBException) -> bool:
    """Whether a conditional write was refused by its condition, rather than by a fault."""
    return error.cause_response_code == "ConditionalCheckFailedException"
