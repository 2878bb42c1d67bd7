"""Access to AWS: one session, clients made at first use, short waits, and faults turned into `Unavailable`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

import botocore.session
import pynamodb.connection.base
from aws_lambda_powertools import Logger
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError
from pynamodb.exceptions import DoesNotExist, PynamoDBException

from records.errors import Unavailable
from records.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from pynamodb.models import Model

# s. A call that hangs must not use up the 29 s of a request: it takes at most 3 x (1 + 5) s and the pauses between.
CONNECT_TIMEOUT, READ_TIMEOUT, ATTEMPTS = 1, 5, 3
REQUEST_SECONDS = 29

logger = Logger(child=True)


@cache
def session() -> botocore.session.Session:
    """The one botocore session of the process: a second one costs 0.16 s of a cold start."""
    made = botocore.session.get_session()
    register: Any = made.register  # its stubs do not allow a handler that returns a value
    budget = _WaitBudget()
    register("request-created", budget.begin)
    register("needs-retry", budget.check)
    register("needs-retry.dynamodb", _check_whole)
    return made


class _WaitBudget:
    """Limits how long one request waits in all, where call after call hangs.

    A process serves one request at a time. When the calls of the last 29 s have waited for missing responses as long
    as a single hanging call may, no further call is repeated. Failures that come at once, such as a connection that
    was closed meanwhile, do not count.
    """

    def __init__(self) -> None:
        self._silences: list[tuple[float, float]] = []  # from, to: s of time.monotonic()

    def begin(self, **attempt: Any) -> None:
        attempt["request"].context["begun"] = time.monotonic()

    def check(self, **attempt: Any) -> None:
        """Asked by botocore before it repeats a call; raising ends the call."""
        error = attempt["caught_exception"]
        if isinstance(error, NoConnection | HTTPClientError):
            now = time.monotonic()
            begun = attempt["request_dict"]["context"].get("begun", now)
            recent = [silence for silence in self._silences if silence[1] > now - REQUEST_SECONDS]
            self._silences = [*recent, (begun, now)]
            if sum(end - start for start, end in self._silences) >= ATTEMPTS * READ_TIMEOUT:
                raise error


class _Unreadable(BotoCoreError):
    fmt = "The response to {operation} was damaged on the way."


def _check_whole(**attempt: Any) -> float | None:
    """Repeat a call to DynamoDB whose response is damaged: botocore would take it for "there is no such row"."""
    answer, _ = attempt["response"] or (None, None)
    if answer is None or answer.status_code != 200 or _whole(answer):
        return None
    if attempt["attempts"] < ATTEMPTS:
        return 0.1  # s to wait before the next
    raise _Unreadable(operation=attempt["operation"].name)


def _whole(answer: Any) -> bool:
    """Whether DynamoDB's response is intact: by its CRC-32 or, where that cannot be checked, whether it is JSON."""
    declared = answer.headers.get("x-amz-crc32")
    if declared is not None and "content-encoding" not in answer.headers:
        return bool(declared == str(crc32(answer.content)))
    try:
        return isinstance(json.loads(answer.content), dict)
    except ValueError:
        return False


# PynamoDB has no setting for this, and would make a session of its own for every thread.
vars(pynamodb.connection.base)["get_session"] = session


class TableMeta:
    """What every PynamoDB model's Meta shares."""

    connect_timeout_seconds = CONNECT_TIMEOUT
    read_timeout_seconds = READ_TIMEOUT
    max_retry_attempts = ATTEMPTS - 1  # after the first; a model takes no `retry_configuration`


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
    address = settings().storage_url
    return _s3_client(address) if address else s3()


@cache
def sqs() -> SQSClient:
    """The client for the queues of uploads and erasures."""
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
    )
    client: Any = session().create_client("sqs", config=config)
    return client  # type: ignore[no-any-return]


def warm(*models: type[Model], storage: bool = True) -> None:
    """Make the clients of these tables, and of the storage, while a function starts.

    On Lambda only, where a function has a whole processor while it starts, and afterwards the share that its memory
    buys: for most functions a quarter. Elsewhere clients are made at first use, so that importing a function needs no
    environment.
    """
    if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
        for model in models:
            _ = model._get_connection().connection.client
        if storage:
            s3()


@contextmanager
def faults() -> Iterator[None]:
    """Turn whatever AWS's clients raise into `Unavailable`."""
    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError, PynamoDBException) as error:
        log_fault(error)
        raise Unavailable from error


Row = TypeVar("Row", bound="Model")


def get_row(model: type[Row], hash_key: Any, range_key: Any = None) -> Row | None:
    """The row as it is in the table, or None where there is none. Raises Unavailable."""
    with faults():
        try:
            return model.get(hash_key, range_key, consistent_read=True)
        except DoesNotExist:
            return None


def log_fault(error: BaseException) -> None:
    """Log the class and AWS's own code, no more: a message may quote the request, and so an e-mail."""
    logger.error("AWS call failed", extra={"error": type(error).__name__, "aws_code": aws_code(error)})


def aws_code(error: BaseException) -> str:
    """AWS's code for an error ("ThrottlingException"), or the name of the exception where there was no response."""
    cause = getattr(error, "cause", None) or error
    response = getattr(cause, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(cause).__name__)


def condition_failed(error: PynamoDBException) -> bool:
    """Whether a conditional write was refused by its condition, rather than by a fault.

    PynamoDB's own `cause_response_code` raises where the cause is a timeout.
    """
    return aws_code(error) == "ConditionalCheckFailedException"
