"""Users: who may add recordings. A token is shown once and kept only as a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import unicodedata
import uuid
from datetime import UTC, datetime

from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import TransactWriteError
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from records.aws import ATTEMPTS, FromSettings, TableMeta, faults, log_fault
from records.errors import EmailTaken, InvalidCredentials, Unavailable

MAX_USER_ID = 2**53 - 1  # the largest integer that JSON carries exactly everywhere
CONFLICT_SECONDS = 0.1


class User(Model):
    """A row `user#<id>`; beside it a row `email#<case-folded>` holds the place of an e-mail.

    idempotency_secret: 32 random bytes that turn a client's Idempotency-Key into a record's id, so that nobody who
    guesses the key can guess the link.
    """

    class Meta(TableMeta):
        table_name = FromSettings("users_table")

    pk = UnicodeAttribute(hash_key=True)
    id = NumberAttribute()
    name = UnicodeAttribute(null=True)
    email = UnicodeAttribute(null=True)
    token_sha256 = UnicodeAttribute(null=True)
    idempotency_secret = BinaryAttribute(null=True, legacy_encoding=False)
    created_at = UnicodeAttribute(null=True)

    @classmethod
    def register(cls, name: str, email: str | None) -> tuple[int, str]:
        """Make a user; gives the id and the token.

        Raises EmailTaken, Unavailable. Both rows are written in one transaction, each on condition that it is new: of
        two sign-ups with one e-mail exactly one wins, and no id is given twice.
        """
        token = str(uuid.uuid4())
        user_id = secrets.randbelow(MAX_USER_ID) + 1
        created_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        user = cls(
            f"user#{user_id}",
            id=user_id,
            name=name,
            email=email,
            token_sha256=_hash(token),
            idempotency_secret=secrets.token_bytes(32),
            created_at=created_at,
        )
        place = cls(_email_key(email), id=user_id, created_at=created_at) if email else None
        for attempt in range(ATTEMPTS):
            try:
                cls._write(user, place)
                break
            except TransactWriteError as error:
                # A timeout is not a failure, and a retry inside the SDK can meet its own first attempt.
                stored = cls._find(user.pk)
                if stored is not None and stored.token_sha256 == user.token_sha256:
                    break
                holder = cls._find(place.pk) if place else None
                if holder and holder.id != user_id:
                    raise EmailTaken from None
                # Another sign-up with this e-mail is being written: soon it holds the place, or has failed itself.
                if not _in_conflict(error) or attempt == ATTEMPTS - 1:
                    log_fault(error)
                    raise Unavailable from error
                time.sleep(CONFLICT_SECONDS)
        return user_id, token

    @classmethod
    def _write(cls, user: User, place: User | None) -> None:
        connection = cls._get_connection().connection
        with TransactWrite(connection=connection, client_request_token=str(uuid.uuid4())) as transaction:
            transaction.save(user, condition=User.pk.does_not_exist())
            if place:
                transaction.save(place, condition=User.pk.does_not_exist())

    @classmethod
    def _find(cls, pk: str) -> User | None:
        with faults():
            try:
                return cls.get(pk, consistent_read=True)
            except cls.DoesNotExist:
                return None

    @classmethod
    def authenticate(cls, user_id: int, token: str) -> User:
        """The user whose id and token these are. Raises InvalidCredentials, Unavailable."""
        try:
            canonical = str(uuid.UUID(token))
        except ValueError:
            raise InvalidCredentials from None
        if canonical != token.lower() or uuid.UUID(token).version != 4:
            raise InvalidCredentials
        user = cls._find(f"user#{user_id}")
        if user is None or not hmac.compare_digest(user.token_sha256 or "", _hash(canonical)):
            raise InvalidCredentials
        return user

    def record_id(self, idempotency_key: str | None) -> str:
        """The id for a new record: random, or always the same for the same key of this user."""
        if idempotency_key is None:
            return str(uuid.uuid4())
        digest = hmac.digest(self.idempotency_secret, idempotency_key.encode(), "sha256")
        return str(uuid.UUID(bytes=digest[:16], version=4))


def _in_conflict(error: TransactWriteError) -> bool:
    """Whether a transaction was refused since another one was at work on the same row."""
    return any(reason and reason.code == "TransactionConflict" for reason in error.cancellation_reasons)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _email_key(email: str) -> str:
    """The key of an e-mail, the same whatever its letter case: NFKC and full case folding (Unicode 3.13, D147).

    Folding can undo the normalization, so it is normalized twice.
    """
    folded = unicodedata.normalize("NFKC", email).casefold()
    return f"email#{unicodedata.normalize('NFKC', folded)}"
