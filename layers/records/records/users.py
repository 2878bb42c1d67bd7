"""Users: who may add recordings. A token is shown once and kept only as a hash."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
import unicodedata
import uuid
from datetime import UTC, datetime

from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import TransactWriteError, UpdateError
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from records.aws import ATTEMPTS, FromSettings, TableMeta, condition_failed, get_row, log_fault
from records.errors import EmailTaken, IdempotencyConflict, InvalidCredentials, Unavailable

MAX_USER_ID = 2**53 - 1  # the largest integer that every JSON parser reads exactly
CONFLICT_SECONDS = 0.1
REPEAT_SECONDS = 24 * 3600  # for how long a sign-up, or a replacement of a token, may be repeated with its key
SIGNUP_CONFLICT = (
    "This Idempotency-Key was used for another sign-up, or the token that it made was replaced. Use a new key."
)


class User(Model):
    """A row `user#<id>`. Besides, a row `email#<case-folded>` reserves an e-mail, and `signup#<SHA-256 of a key>`
    remembers for a day which user an Idempotency-Key made.

    secret: 32 random bytes. With it a client's Idempotency-Key becomes a record's id or a token, so that nobody who
    guesses a key can guess those. replaced_sha256, replaced_by: the hash of the token before this one, and of the key
    that replaced it; until `repeatable_until` it may repeat that request. stored_seconds: the sum of what was
    stored at summed_at (s since 1970), without that day's (see `limits`). erased_by, erasure: all that is left of an
    erased user, the hash of the token that asked for it and the receipt's id.
    """

    class Meta(TableMeta):
        table_name = FromSettings("users_table")

    pk = UnicodeAttribute(hash_key=True)
    id = NumberAttribute()
    name = UnicodeAttribute(null=True)
    email = UnicodeAttribute(null=True)
    token_sha256 = UnicodeAttribute(null=True)
    secret = BinaryAttribute(null=True, legacy_encoding=False, attr_name="idempotency_secret")
    created_at = UnicodeAttribute(null=True)
    replaced_sha256 = UnicodeAttribute(null=True)
    replaced_by = UnicodeAttribute(null=True)
    repeatable_until = NumberAttribute(null=True)
    erased_by = UnicodeAttribute(null=True)
    erasure = UnicodeAttribute(null=True)
    stored_seconds = NumberAttribute(null=True)
    summed_at = NumberAttribute(null=True)
    body_sha256 = UnicodeAttribute(null=True)  # of a sign-up: the name and the e-mail
    expires_at = NumberAttribute(null=True)  # s since 1970; the table's time to live

    @classmethod
    def register(cls, name: str, email: str | None, key: str | None = None) -> tuple[int, str, bool]:
        """Make a user. Returns the id, the token, and whether this call made it: False where the same `key` did.

        Raises EmailTaken, IdempotencyConflict, Unavailable. All rows are written in one transaction, each on condition
        that it is new: of two sign-ups with one e-mail or one key exactly one wins, and every id is unique.
        """
        user_id = secrets.randbelow(MAX_USER_ID) + 1
        created_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        user = cls(
            f"user#{user_id}",
            id=user_id,
            name=name,
            email=email,
            secret=secrets.token_bytes(32),
            created_at=created_at,
        )
        token = str(uuid.uuid4()) if key is None else user._derived("sign-up", key)
        user.token_sha256 = _hash(token)
        place = cls(email_key(email), id=user_id, created_at=created_at) if email else None
        signup = None
        if key is not None:
            signup = cls._signup(name, email, key, user_id)
        for attempt in range(ATTEMPTS):
            try:
                cls._write(user, place, signup)
                break
            except TransactWriteError as error:
                # A timeout is not a failure, and a retry inside the SDK can meet its own first attempt.
                stored = cls._read(user.pk)
                if stored is not None and stored.token_sha256 == user.token_sha256:
                    break
                if key is not None and signup is not None and (earlier := cls._read(signup.pk)) is not None:
                    return earlier._repeated(key, signup)
                holder = cls._read(place.pk) if place else None
                if holder and holder.id != user_id:
                    raise EmailTaken from None
                # Another sign-up with this e-mail or key is being written: it will soon have succeeded or failed.
                if not _in_conflict(error) or attempt == ATTEMPTS - 1:
                    log_fault(error)
                    raise Unavailable from error
                time.sleep(CONFLICT_SECONDS)
        return user_id, token, True

    @classmethod
    def repeat(cls, name: str, email: str | None, key: str) -> tuple[int, str, bool] | None:
        """What `register` returns where it made a user with this key before, else None.

        Raises IdempotencyConflict, Unavailable.
        """
        signup = cls._signup(name, email, key, 0)
        earlier = cls._read(signup.pk)
        return earlier._repeated(key, signup) if earlier else None

    @classmethod
    def _signup(cls, name: str, email: str | None, key: str, user_id: int) -> User:
        body = _hash(json.dumps([name, email]))
        return cls(f"signup#{_hash(key)}", id=user_id, body_sha256=body, expires_at=_now() + REPEAT_SECONDS)

    def _repeated(self, key: str, signup: User) -> tuple[int, str, bool]:
        """The answer to a sign-up that repeats the one of this row. Raises IdempotencyConflict, Unavailable."""
        user = self.read(int(self.id))
        if user is None or user.secret is None or self.body_sha256 != signup.body_sha256:
            raise IdempotencyConflict(SIGNUP_CONFLICT)
        token = user._derived("sign-up", key)
        if user.token_sha256 != _hash(token):
            raise IdempotencyConflict(SIGNUP_CONFLICT)
        return int(user.id), token, False

    @classmethod
    def _write(cls, user: User, place: User | None, signup: User | None) -> None:
        connection = cls._get_connection().connection
        new = User.pk.does_not_exist()
        with TransactWrite(connection=connection, client_request_token=str(uuid.uuid4())) as transaction:
            transaction.save(user, condition=new)
            if place:
                transaction.save(place, condition=new)
            if signup:  # an expired row may still be there
                transaction.save(signup, condition=new | (User.expires_at <= _now()))

    @classmethod
    def read(cls, user_id: int) -> User | None:
        """The row of a user, or the tombstone of one who was erased. Raises Unavailable."""
        return cls._read(f"user#{user_id}")

    @classmethod
    def _read(cls, pk: str) -> User | None:
        found = get_row(cls, pk)
        return None if found and found.expires_at is not None and found.expires_at <= _now() else found

    @classmethod
    def authenticate(cls, user_id: int, token: str) -> User:
        """The user whose id and token these are. Raises InvalidCredentials, Unavailable."""
        hashed = token_hash(token)
        user = cls.read(user_id)
        if user is None or not hmac.compare_digest(user.token_sha256 or "", hashed):
            raise InvalidCredentials
        return user

    @classmethod
    def replace_token(cls, user_id: int, token: str, key: str) -> str:
        """A new token in place of `token`, which is then refused, except to repeat this call with the same key.

        Both are derived from the old token's hash and the key, so a repeated request gets the same token. Raises
        InvalidCredentials, Unavailable.
        """
        old, by = token_hash(token), _hash(key)
        for _ in range(2):
            user = cls.read(user_id)
            if user is None or user.secret is None:
                raise InvalidCredentials
            new = user._derived("token", f"{old}/{key}")
            if hmac.compare_digest(user.token_sha256 or "", old):
                try:
                    user.update(
                        actions=[
                            User.token_sha256.set(_hash(new)),
                            User.replaced_sha256.set(old),
                            User.replaced_by.set(by),
                            User.repeatable_until.set(_now() + REPEAT_SECONDS),
                        ],
                        condition=User.token_sha256 == old,
                    )
                    return new
                except UpdateError as error:
                    if not condition_failed(error):
                        log_fault(error)
                    continue  # look whether it was applied, by this call or by another
            repeats = hmac.compare_digest(user.replaced_sha256 or "", old) and user.replaced_by == by
            if repeats and (user.repeatable_until or 0) > _now() and user.token_sha256 == _hash(new):
                return new
            raise InvalidCredentials
        raise Unavailable

    def record_id(self, idempotency_key: str | None) -> str:
        """The id for a new record: random, or always the same for the same key of this user."""
        return str(uuid.uuid4()) if idempotency_key is None else self._uuid(idempotency_key)

    def cursor(self, position: str) -> str:
        """A position in this user's list, signed, so that it cannot be forged or used for another user's list."""
        mac = hmac.digest(self.secret, f"cursor {position}".encode(), "sha256")[:16]
        return base64.urlsafe_b64encode(mac + position.encode()).decode().rstrip("=")

    def position(self, cursor: str) -> str | None:
        """The position of a cursor that `cursor` made for this user, else None."""
        try:
            position = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[16:].decode()
        except ValueError:
            return None
        return position if hmac.compare_digest(self.cursor(position), cursor) else None

    def _derived(self, purpose: str, text: str) -> str:
        return self._uuid(f"{purpose} {text}")  # no key of a record has a space in it

    def _uuid(self, text: str) -> str:
        digest = hmac.digest(self.secret, text.encode(), "sha256")
        return str(uuid.UUID(bytes=digest[:16], version=4))


def _now() -> int:
    return int(time.time())


def _in_conflict(error: TransactWriteError) -> bool:
    """Whether a transaction was refused because another one was writing the same row."""
    return any(reason and reason.code == "TransactionConflict" for reason in error.cancellation_reasons)


def token_hash(token: str) -> str:
    """The hash of a token. Raises InvalidCredentials where it is not a UUID4 at all."""
    try:
        parsed = uuid.UUID(token)
    except ValueError:
        raise InvalidCredentials from None
    if str(parsed) != token.lower() or parsed.version != 4:
        raise InvalidCredentials
    return _hash(str(parsed))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def email_key(email: str) -> str:
    """The key of an e-mail, the same whatever its letter case: NFKC and full case folding (Unicode 3.13, D147).

    Folding can undo the normalization, so it is normalized twice.
    """
    folded = unicodedata.normalize("NFKC", email).casefold()
    return f"email#{unicodedata.normalize('NFKC', folded)}"
