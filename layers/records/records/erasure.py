"""Erasing a user: the request, the passes that delete, and the receipt.

The request sends a message to the queue first, delayed by longer than the request itself can take, and then writes in
one transaction: the user's row becomes a tombstone that only remembers who may ask again, the e-mail's row goes, and
the receipt `erasure#<id>` is written. A message without a receipt is of a request that failed, and is dropped.

Each pass deletes what it finds and sends the next message. The receipt is final once a pass finds nothing, late enough
that no signed address, conversion or request from before the erasure can still store anything.
"""

from __future__ import annotations

import hmac
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools import Logger
from pynamodb.attributes import Attribute, NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import TransactWriteError, UpdateError
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from records import aws, limits, storage
from records.aws import FromSettings, TableMeta, condition_failed, faults, get_row, log_fault
from records.errors import ErasureNotFound, InvalidCredentials, Unavailable
from records.recordings import Recording
from records.settings import settings
from records.users import User, email_key, token_hash

FIRST_DELAY = 30  # s; a request ends after 29
# Signed addresses are valid for an hour. A conversion of up to 15 minutes that begins at the end of that hour may still
# finish its row, which a later pass finds.
SETTLED_SECONDS = 65 * 60
RETRY_SECONDS = 60  # between passes that still found something
MAX_DELAY = 900  # s, SQS's longest
KEPT_SECONDS = 400 * 24 * 3600
SPARE_SECONDS = 30  # of the function's time: a pass stops before it is killed
BACKUP_DAYS = 35  # of DynamoDB's point-in-time recovery

logger = Logger(child=True)


class Erasure(Model):
    """The row `erasure#<id>`: a request to erase a user, and in the end its receipt.

    Times as RFC 3339; recordings, objects, bytes: what there was. counted_until: what is newer has not been counted.
    step: the pass that is next; a message of an earlier one is a repetition.
    """

    class Meta(TableMeta):
        table_name = FromSettings("users_table")

    pk = UnicodeAttribute(hash_key=True)
    user = NumberAttribute()
    requested_at = UnicodeAttribute()
    verified_at = UnicodeAttribute(null=True)
    backups_until = UnicodeAttribute(null=True)
    logs_until = UnicodeAttribute(null=True)
    recordings = NumberAttribute(default=0)
    objects = NumberAttribute(default=0)
    bytes = NumberAttribute(default=0)
    counted_until = UnicodeAttribute(default="")
    step = NumberAttribute(default=0)
    expires_at = NumberAttribute()

    @classmethod
    def find(cls, erasure_id: str) -> Erasure:
        """Raises ErasureNotFound, Unavailable."""
        found = get_row(cls, f"erasure#{erasure_id}")
        if found is None or found.expires_at <= time.time():
            raise ErasureNotFound
        return found


def request(user_id: int, token: str) -> str:
    """Begin to erase a user; returns the receipt's id, the same however often it is asked for.

    Raises InvalidCredentials, Unavailable.
    """
    hashed = token_hash(token)
    user = User.read(user_id)
    if (known := _begun(user, hashed)) is not None:
        return known
    if user is None or not hmac.compare_digest(user.token_sha256 or "", hashed):
        raise InvalidCredentials
    erasure_id = str(uuid.uuid4())
    _send(user_id, erasure_id, 0, FIRST_DELAY)
    try:
        _write(user, hashed, erasure_id)
    except TransactWriteError as error:
        # Written although the response was lost, or by another request at the same moment.
        if (known := _begun(User.read(user_id), hashed)) is None:
            log_fault(error)
            raise Unavailable from error
        return known
    return erasure_id


def _begun(user: User | None, hashed: str) -> str | None:
    if user is None or user.erasure is None or not hmac.compare_digest(user.erased_by or "", hashed):
        return None
    return str(user.erasure)


def _write(user: User, hashed: str, erasure_id: str) -> None:
    expires_at = int(time.time()) + KEPT_SECONDS
    erasure = Erasure(
        f"erasure#{erasure_id}", user=int(user.id), requested_at=_text(datetime.now(UTC)), expires_at=expires_at
    )
    gone: list[Attribute[Any]] = [User.name, User.email, User.token_sha256, User.secret, User.created_at]
    gone += [User.replaced_sha256, User.replaced_by, User.repeatable_until]
    gone += [User.stored_seconds, User.summed_at]
    connection = User._get_connection().connection
    with TransactWrite(connection=connection, client_request_token=str(uuid.uuid4())) as transaction:
        transaction.update(
            user,
            actions=[
                User.erased_by.set(hashed),
                User.erasure.set(erasure_id),
                User.expires_at.set(expires_at),
                *(attribute.remove() for attribute in gone),
            ],
            condition=User.token_sha256 == hashed,
        )
        if user.email:
            transaction.delete(User(email_key(user.email)), condition=User.id == user.id)
        transaction.save(erasure, condition=Erasure.pk.does_not_exist())


def _send(user_id: int, erasure_id: str, step: int, delay: int) -> None:
    with faults():
        aws.sqs().send_message(
            QueueUrl=settings().erasures_queue,
            MessageBody=f"{user_id} {erasure_id} {step}",
            DelaySeconds=delay,
        )


def work(message: str, deadline: float) -> None:
    """One pass over a user. `deadline` is a value of `time.monotonic()`. Raises Unavailable: then it comes again."""
    user, erasure_id, step = message.split(" ")
    try:
        erasure = Erasure.find(erasure_id)
    except ErasureNotFound:
        return  # the request failed after its message was sent
    if erasure.verified_at is not None or int(step) < erasure.step:
        return
    clean = _erase(int(user), erasure, deadline - SPARE_SECONDS)
    age = datetime.now(UTC) - datetime.fromisoformat(erasure.requested_at)
    left = SETTLED_SECONDS - int(age.total_seconds())
    if clean and left <= 0:
        _verify(erasure)
        return
    # Sent before the step is counted: a kill between the two repeats a pass, and loses none.
    _send(int(user), erasure_id, int(step) + 1, min(MAX_DELAY, left + 1) if clean else RETRY_SECONDS)
    _update(erasure, Erasure.step == int(step), Erasure.step.set(int(step) + 1))


def _erase(user: int, erasure: Erasure, deadline: float) -> bool:
    """Count and delete what there is of a user. Returns whether there was nothing."""
    # More may still be made within the second that it is now, so that second is left to the next pass.
    until = _text(datetime.now(UTC) - timedelta(seconds=1))
    with faults():  # a million rows are to fit into memory
        query = Recording.query(user, consistent_read=True, attributes_to_get=["id", "created_at"])
        rows = [(row.id, row.created_at) for row in query]
    prefixes = (f"records/{user}/", f"uploads/{user}/")
    objects = [stored for prefix in prefixes for stored in storage.stored(prefix)]
    uploads = [upload for prefix in prefixes for upload in storage.multipart_uploads(prefix)]
    old_rows = [(record_id, made) for record_id, made in rows if made <= until]
    old = [stored for stored in objects if _text(stored.modified) <= until]
    recordings = sum(made > erasure.counted_until for _, made in old_rows)
    new = [stored.size for stored in old if _text(stored.modified) > erasure.counted_until]
    if recordings or new:
        # Counted before they are deleted, and under a condition: a pass that is killed is not counted twice.
        actions = [Erasure.recordings.add(recordings), Erasure.objects.add(len(new)), Erasure.bytes.add(sum(new))]
        counted = Erasure.counted_until == erasure.counted_until
        _update(erasure, counted, *actions, Erasure.counted_until.set(until))
    limits.forget(user)
    for key, upload_id in uploads:
        storage.abort(key, upload_id)
    for record_id, _ in old_rows:  # before their MP3s: no row ever says ready without one
        if time.monotonic() > deadline:
            break
        with faults():
            Recording(user, record_id).delete()
    for start in range(0, len(old), storage.MAX_DELETED):
        if time.monotonic() > deadline:
            break
        storage.delete_all([stored.key for stored in old[start : start + storage.MAX_DELETED]])
    return not (rows or objects or uploads)


def _verify(erasure: Erasure) -> None:
    now = datetime.now(UTC)
    _update(
        erasure,
        Erasure.verified_at.does_not_exist(),
        Erasure.verified_at.set(_text(now)),
        Erasure.backups_until.set(_text(now + timedelta(days=BACKUP_DAYS))),
        Erasure.logs_until.set(_text(now + timedelta(days=settings().log_retention_days))),
    )
    logger.info("a user was erased", extra={"recordings": int(erasure.recordings), "objects": int(erasure.objects)})


def _update(erasure: Erasure, condition: object, *actions: object) -> None:
    """Change the receipt, unless another delivery of the same message has. Raises Unavailable."""
    try:
        erasure.update(actions=list(actions), condition=condition)  # type: ignore[arg-type]
    except UpdateError as error:
        if not condition_failed(error):
            log_fault(error)
            raise Unavailable from error


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
