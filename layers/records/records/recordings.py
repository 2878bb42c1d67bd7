"""Recordings: the row is the truth. pending -> ready | failed, the same for both paths.

A row is written `pending` first, with a time to live; the MP3 is stored; then one conditional write turns the row
`ready`, and removes its time to live or, where recordings are kept for some days only, sets it to those. That write is
the commit point: no row says `ready` without its MP3. `ready` and `failed` are final: the condition of every later
write refuses to change them.

Objects belong to a row's `generation`, a UUID made with the row, and every attempt at a conversion stores its MP3 under
a UUID of its own, which the row names when it turns ready. So no attempt can overwrite or delete what another stored,
and cleaning up after a removed row never touches what a later row of the same id holds.
"""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from pynamodb.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import DeleteError, PutError, PynamoDBException, UpdateError
from pynamodb.indexes import AllProjection, LocalSecondaryIndex
from pynamodb.models import Model

from records.aws import FromSettings, TableMeta, condition_failed, faults, get_row, log_fault
from records.errors import (
    AudioRejected,
    ConversionError,
    ConversionTimeout,
    DailyLimit,
    IdempotencyConflict,
    LimitReached,
    RecordNotFound,
    RecordsError,
    ServerError,
    StorageFull,
    Unavailable,
    UnplayableAudio,
    UnsupportedAudio,
    UploadDamaged,
)
from records.settings import settings

if TYPE_CHECKING:
    from records.audio.mp3 import Conversion
    from records.audio.wav import Wav
    from records.users import User

PENDING, READY, FAILED = "pending", "ready", "failed"

DAY = 24 * 3600
PENDING_SECONDS = DAY
# An upload's row lives for as long as its event can wait to be converted, or replayed: 14 days in the queues, from when
# the file arrived, which is at most a day after it was last asked for.
UPLOAD_SECONDS = 15 * DAY
MAX_ATTEMPTS = 3  # at the conversion of an upload
MAX_LIFETIME = 900  # s: Lambda ends every attempt by then
_RESERVE_ROUNDS = 5
_OUR_FAULTS = (ConversionError.code, ConversionTimeout.code)
# A record that failed with one of these is replaced by another request with the same key.
_TRY_AGAIN = (*_OUR_FAULTS, UploadDamaged.code, DailyLimit.code, StorageFull.code)

logger = Logger(child=True)
metrics = Metrics()


@dataclass(frozen=True, slots=True)
class Audio:
    """What was sent: its size and SHA-256 (hex)."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Announced:
    """An upload in parts that is to come: its size and, where the client knows it, its SHA-256 (hex)."""

    bytes: int
    sha256: str | None


class ByPosition(LocalSecondaryIndex["Recording"]):  # type: ignore[no-untyped-call]
    """A user's recordings in the order in which they were made. A local index, since only that reads consistently."""

    class Meta:
        index_name = "by_time"
        projection = AllProjection()

    user = NumberAttribute(hash_key=True)
    position = UnicodeAttribute(range_key=True)


class Recording(Model):
    """A recording of a user. Times: `created_at` as RFC 3339, `expires_at` in seconds since 1970.

    counted_on: the UTC date of the day's count that it is in, or is about to be (see `limits`).
    attempts: how often the conversion of its upload was begun. mp3_attempt: the UUID of the attempt whose MP3 it is;
    a row without it names its MP3 by the SHA-256. rejected_upload: an upload held other audio than an earlier request
    with the row's key, and was dropped. announced_*, upload_id: of an upload in parts.
    """

    class Meta(TableMeta):
        table_name = FromSettings("records_table")

    user = NumberAttribute(hash_key=True)
    id = UnicodeAttribute(range_key=True)
    position = UnicodeAttribute(null=True)  # in the user's list: when it was made, to the microsecond, and its id
    by_position = ByPosition()
    generation = UnicodeAttribute()
    status = UnicodeAttribute()
    name = UnicodeAttribute()
    created_at = UnicodeAttribute()
    expires_at = NumberAttribute(null=True)
    attempts = NumberAttribute(null=True)
    counted_on = UnicodeAttribute(null=True)

    wav_bytes = NumberAttribute(null=True)
    wav_sha256 = UnicodeAttribute(null=True)
    mp3_bytes = NumberAttribute(null=True)
    mp3_sha256 = UnicodeAttribute(null=True)
    mp3_attempt = UnicodeAttribute(null=True)
    rejected_upload = BooleanAttribute(null=True)
    announced_bytes = NumberAttribute(null=True)
    announced_sha256 = UnicodeAttribute(null=True)
    upload_id = UnicodeAttribute(null=True)
    duration = NumberAttribute(null=True)
    sample_rate = NumberAttribute(null=True)
    channels = NumberAttribute(null=True)
    truncated = BooleanAttribute(null=True)
    peak_dbfs = NumberAttribute(null=True)
    mean_dbfs = NumberAttribute(null=True)
    silent = BooleanAttribute(null=True)
    waveform = BinaryAttribute(null=True, legacy_encoding=False)

    error_code = UnicodeAttribute(null=True)
    error_message = UnicodeAttribute(null=True)
    error_reason = UnicodeAttribute(null=True)
    error_details = JSONAttribute(null=True)

    fresh = False  # whether this call wrote the row, rather than found it
    counts = False  # whether this attempt is the one that counts its seconds

    @property
    def upload_key(self) -> str:
        """Where a long recording's WAV arrives."""
        return f"uploads/{int(self.user)}/{self.id}/{self.generation}.wav"

    @property
    def mp3_prefix(self) -> str:
        """The prefix of every MP3 that an attempt at this row may store."""
        return f"records/{int(self.user)}/{self.id}/{self.generation}/"

    def mp3_key(self, attempt: str | None = None) -> str:
        """Where that attempt stores its MP3; without one, where the row's own is."""
        return f"{self.mp3_prefix}{attempt or self.mp3_attempt or self.mp3_sha256}.mp3"

    @property
    def expired(self) -> bool:
        """Whether its time to live has ended: it counts as gone, though DynamoDB may take days to remove the row."""
        return self.expires_at is not None and self.expires_at <= time.time()

    @property
    def needs_no_count(self) -> bool:
        """Whether a request with this row's key needs no conversion, or one that is counted already."""
        if self.expired or (self.status == FAILED and self.error_code in _TRY_AGAIN):
            return False
        return self.status != PENDING or self.counted_on is not None

    @classmethod
    def read(cls, user: int, record_id: str) -> Recording | None:
        """The row as it is in the table, even if it has expired. Raises Unavailable."""
        return get_row(cls, user, record_id)

    @classmethod
    def find(cls, user: int, record_id: str) -> Recording:
        """The recording. Raises RecordNotFound, Unavailable."""
        row = cls.read(user, record_id)
        if row is None or row.expired:
            raise RecordNotFound
        return row

    @classmethod
    def reserve(
        cls, user: User, name: str, key: str | None, audio: Audio | None, announced: Announced | None = None
    ) -> Recording:
        """The row for a new recording, or the one that the same Idempotency-Key named before.

        `audio` is None for an upload that is still to come; `announced` is what is known of it. The row may be in any
        state: the caller converts a pending one, even if another request began it. Raises IdempotencyConflict,
        Unavailable.
        """
        record_id = user.record_id(key)
        for _ in range(_RESERVE_ROUNDS):
            now = datetime.now(UTC)
            fresh = cls(
                int(user.id),
                record_id,
                position=f"{now:%Y-%m-%dT%H:%M:%S.%fZ} {record_id}",
                generation=str(uuid.uuid4()),
                status=PENDING,
                name=name,
                created_at=f"{now:%Y-%m-%dT%H:%M:%SZ}",
                expires_at=_in(PENDING_SECONDS if audio else UPLOAD_SECONDS),
                wav_bytes=audio.bytes if audio else None,
                wav_sha256=audio.sha256 if audio else None,
                announced_bytes=announced.bytes if announced else None,
                announced_sha256=announced.sha256 if announced else None,
                counted_on=utc_date() if audio and settings().limited else None,
            )
            fresh.counts = fresh.counted_on is not None
            try:
                fresh.save(condition=Recording.id.does_not_exist())
                fresh.fresh = True
                return fresh
            except PutError as error:
                found = cls._read_back(fresh, error)
            if found is None:
                continue
            if found.generation == fresh.generation:
                found.fresh = True  # our own write, whose response was lost
                found.counts = fresh.counts
                return found
            if found.expired:
                # The condition names its expiry, since an attempt that began in time may turn it ready at this moment.
                found._remove(Recording.expires_at <= int(time.time()))
                continue
            if found.status == FAILED and found.error_code in _TRY_AGAIN:
                found._remove(Recording.error_code.is_in(*_TRY_AGAIN))
                continue
            try:
                if found._adopt(audio, announced):
                    return found
            except RecordNotFound:
                continue  # it was removed at this moment
        raise Unavailable

    @classmethod
    def page(cls, user: int, limit: int, status: str | None, after: str | None) -> tuple[list[Recording], str | None]:
        """A user's recordings, newest first, that follow the position `after`; and the position of the last row read,
        or None where there are no more.

        At most `limit` rows are read, and those that have expired or have another status are left out. Raises
        Unavailable.
        """
        start = None
        if after is not None:
            start = {"user": {"N": str(user)}, "id": {"S": after.rpartition(" ")[2]}, "position": {"S": after}}
        with faults():
            found = list(
                cls.by_position.query(
                    user, scan_index_forward=False, consistent_read=True, limit=limit + 1, last_evaluated_key=start
                )
            )
        rows = found[:limit]
        shown = [row for row in rows if not row.expired and status in (None, row.status)]
        return shown, rows[-1].position if len(found) > limit else None

    @classmethod
    def usage(cls, user: int) -> dict[str, float]:
        """How many recordings of a user are ready, their seconds, and the bytes of their MP3s. Raises Unavailable."""
        recordings, seconds, size = 0, 0.0, 0
        with faults():
            for row in cls.query(
                user, consistent_read=True, attributes_to_get=["status", "duration", "mp3_bytes", "expires_at"]
            ):
                if row.status == READY and not row.expired:
                    recordings += 1
                    seconds += float(row.duration)
                    size += int(row.mp3_bytes)
        return {"recordings": recordings, "seconds": round(seconds, 3), "mp3_bytes": size}

    @classmethod
    def discard(cls, user: int, record_id: str) -> Recording | None:
        """Delete a recording, if it is there; returns the row if this call is known to have deleted it.

        A new row that replaces it meanwhile stays. Raises Unavailable.
        """
        row = cls.read(user, record_id)
        return row if row is not None and row._remove(Recording.id.exists()) else None

    def rename(self, name: str) -> None:
        """Raises RecordNotFound, Unavailable."""
        self._write(Recording.id.exists(), name=name)

    def _adopt(self, audio: Audio | None, announced: Announced | None = None) -> bool:
        """Use this row for another request with its key, whose audio must be the same.

        Returns False where the row has changed since it was read. Raises IdempotencyConflict, RecordNotFound,
        Unavailable.
        """
        claim = audio is not None and self.wav_sha256 is None
        if audio is not None and not self._may_be(Announced(audio.bytes, audio.sha256)):
            raise IdempotencyConflict
        if audio is not None and self.wav_sha256 != audio.sha256 and not (claim and self.status == PENDING):
            raise IdempotencyConflict  # also where the row has no SHA-256: an upload that was refused
        if announced is not None and not self._may_be(announced):
            raise IdempotencyConflict
        if self.status != PENDING:
            return True
        changes: dict[str, Any] = {}
        condition = Recording.status == PENDING
        if audio is not None and claim:
            changes |= {"wav_sha256": audio.sha256, "wav_bytes": audio.bytes}
            condition &= Recording.wav_sha256.does_not_exist()
        if announced is not None and self.announced_bytes is None:
            changes |= {"announced_bytes": announced.bytes, "announced_sha256": announced.sha256}
            condition &= Recording.announced_bytes.does_not_exist()
            if self.wav_sha256 is None:
                condition &= Recording.wav_sha256.does_not_exist()
        elif announced is not None and announced.sha256 is not None and self.announced_sha256 is None:
            changes["announced_sha256"] = announced.sha256
            condition &= Recording.announced_sha256.does_not_exist()
        counts = audio is not None and self.counted_on is None and settings().limited
        if counts:
            changes["counted_on"] = utc_date()
            condition &= Recording.counted_on.does_not_exist()
        # What `begin` set is longer, and tells when it did.
        until = _in(PENDING_SECONDS if audio or self.attempts else UPLOAD_SECONDS)
        if self.expires_at < until:
            changes["expires_at"] = until
            condition &= Recording.expires_at < until
        if changes and not self._write(condition, **changes):
            return False
        self.counts = counts
        return True

    def withdraw(self) -> None:
        """Undo the reservation of a pending row whose audio was refused before it was counted. Raises Unavailable.

        A row that waits for an upload as well stays: its time to live is that of an upload.
        """
        if self.fresh and self._remove((Recording.status == PENDING) & (Recording.expires_at == self.expires_at)):
            return
        with suppress(RecordNotFound):
            self._write(Recording.status == PENDING, counted_on=None, wav_sha256=None, wav_bytes=None)

    def _may_be(self, announced: Announced) -> bool:
        """Whether an announced upload may be this row's audio: the sizes and hashes that are known are the same."""
        sizes = {announced.bytes, self.announced_bytes, self.wav_bytes} - {None}
        hashes = {announced.sha256, self.announced_sha256, self.wav_sha256} - {None}
        return len(sizes) == 1 and len(hashes) <= 1

    def set_upload(self, upload_id: str) -> bool:
        """Name an upload in parts in this row, in place of the one that was read. Returns whether this call did.

        It does not where a conversion has begun since the row was read. Raises RecordNotFound, Unavailable.
        """
        unchanged = _is(Recording.upload_id, self.upload_id) & _is(Recording.attempts, self.attempts)
        return self._write((Recording.status == PENDING) & unchanged, upload_id=upload_id)

    def _remove(self, condition: Any) -> bool:
        """Remove this row, if the condition still holds; the table's stream makes `remove_audio` delete its objects.

        Returns whether this call is known to have removed it.
        """
        try:
            self.delete(condition=(Recording.generation == self.generation) & condition)
            return True
        except DeleteError as error:
            if not condition_failed(error):
                log_fault(error)
                raise Unavailable from error
            return False

    @classmethod
    def _read_back(cls, row: Recording, error: PynamoDBException) -> Recording | None:
        """What the table holds after a write that may or may not have been applied."""
        if not condition_failed(error):
            log_fault(error)
        found = get_row(cls, row.user, row.id)
        if found is None and not condition_failed(error):
            raise Unavailable from error  # it was a fault, and nothing was written
        return found

    def _write(self, condition: Any, **changes: Any) -> bool:
        """Set (or, where None, remove) attributes under a condition; then this row holds what the table holds.

        Returns whether the write was applied. A refused condition is not an error: the caller looks at the state it
        finds. Raises RecordNotFound where the row is gone or another of its id has taken its place, Unavailable.
        """
        attributes = {name: getattr(Recording, name) for name in changes}
        actions = [
            attributes[name].remove() if value is None else attributes[name].set(value)
            for name, value in changes.items()
        ]
        try:
            self.update(actions=actions, condition=(Recording.generation == self.generation) & condition)
            return True
        except UpdateError as error:
            found = self._read_back(self, error)
            if found is None or found.generation != self.generation:
                raise RecordNotFound from None
            self.deserialize(found.serialize())
            if condition_failed(error):
                return False
            if any(getattr(self, name) != value for name, value in changes.items()):
                raise Unavailable from error
            return True  # applied, though the response was lost

    def begin(self) -> None:
        """Count one more attempt at the conversion of an upload, unless the row is final.

        The row then lives for as long as the upload's event may wait to be replayed: an attempt that is killed writes
        nothing more. Where the attempts are used up and the last cannot be alive, the row turns `failed`. Raises
        RecordNotFound, Unavailable.
        """
        for _ in range(MAX_ATTEMPTS + 1):
            if self.status != PENDING:
                return
            begun = int(self.attempts or 0)
            if begun >= MAX_ATTEMPTS:
                last_begun = self.expires_at - UPLOAD_SECONDS
                if time.time() <= last_begun + MAX_LIFETIME:
                    raise Unavailable
                self.fail(ConversionError())
                return
            unchanged = _is(Recording.attempts, self.attempts)
            changes: dict[str, Any] = {"attempts": begun + 1, "expires_at": max(self.expires_at, _in(UPLOAD_SECONDS))}
            counts = self.counted_on is None and settings().limited
            if counts:
                changes["counted_on"] = utc_date()
                unchanged &= Recording.counted_on.does_not_exist()
            if self._write((Recording.status == PENDING) & unchanged, **changes):
                self.counts = counts
                return
        raise Unavailable

    def complete(self, wav: Wav, audio: Audio, conversion: Conversion, attempt: str) -> bool:
        """Turn the row `ready` with the MP3 of an attempt: the commit point. Returns whether this call did.

        Where another was first, this row holds what that one wrote. Raises RecordNotFound where it is gone,
        Unavailable.
        """
        same_audio = Recording.wav_sha256.does_not_exist() | (Recording.wav_sha256 == audio.sha256)
        written = self._write(
            (Recording.status == PENDING) & same_audio,
            status=READY,
            wav_bytes=audio.bytes,
            wav_sha256=audio.sha256,
            mp3_bytes=conversion.bytes,
            mp3_sha256=conversion.sha256,
            mp3_attempt=attempt,
            duration=round(conversion.duration, 3),
            sample_rate=wav.sample_rate,
            channels=wav.channels,
            truncated=wav.truncated,
            peak_dbfs=conversion.levels.peak_dbfs,
            mean_dbfs=conversion.levels.mean_dbfs,
            silent=conversion.levels.silent,
            waveform=bytes(conversion.waveform),
            expires_at=_in(keep) if (keep := settings().keep_seconds) is not None else None,
        )
        return written or self.mp3_attempt == attempt  # a repeated write fails on what its first try wrote

    def fail(self, error: RecordsError, audio: Audio | None = None) -> None:
        """Turn the row `failed`, unless it is final or gone. Raises Unavailable.

        `audio` is what the error is about, since other audio must never get its verdict; None where that is larger
        than any request with the same key could hold.
        """
        ours, verdict = isinstance(error, ServerError), isinstance(error, AudioRejected)
        condition = Recording.status == PENDING
        changes: dict[str, Any] = {
            "status": FAILED,
            "error_code": error.code,
            "error_message": error.message,
            "error_reason": error.details.get("reason") if isinstance(error, UnplayableAudio) else None,
            "error_details": error.details if isinstance(error, LimitReached) else None,
            "expires_at": _in(UPLOAD_SECONDS if ours else PENDING_SECONDS),
        }
        if audio:
            condition &= Recording.wav_sha256.does_not_exist() | (Recording.wav_sha256 == audio.sha256)
            changes |= {"wav_sha256": audio.sha256, "wav_bytes": audio.bytes}
        elif verdict:
            condition &= Recording.wav_sha256.does_not_exist()
        with suppress(RecordNotFound):
            self._write(condition, **changes)

    def reject_upload(self) -> None:
        """Note that an upload was dropped, for its sender to see. Raises Unavailable."""
        logger.warning("dropped an upload with other audio than its key had before", extra={"record": self.id})
        if not self.rejected_upload:
            with suppress(RecordNotFound):
                self._write(Recording.id.exists(), rejected_upload=True)

    def object_missing(self) -> RecordsError:
        """What to raise when this ready row's MP3 is missing: RecordNotFound where the row was just removed as well,
        else Unavailable, with a metric that raises an alarm. Raises Unavailable."""
        found = Recording.read(int(self.user), self.id)
        if found is None or found.generation != self.generation:
            return RecordNotFound()
        logger.error("a ready record without its MP3", extra={"record": self.id})
        metrics.add_metric("ReadyWithoutObject", MetricUnit.Count, 1)
        return Unavailable()

    @property
    def failed_on_our_side(self) -> bool:
        """Whether it failed for another reason than its audio."""
        return self.status == FAILED and self.error_code in _OUR_FAULTS

    @property
    def error(self) -> RecordsError:
        """What a failed row says was wrong."""
        message = str(self.error_message)
        if self.error_code == UnplayableAudio.code:
            return UnplayableAudio(str(self.error_reason), message)
        for limit in (DailyLimit, StorageFull):
            if self.error_code == limit.code:
                return limit(**self.error_details)
        for error in (UnsupportedAudio, UploadDamaged, ConversionTimeout):
            if self.error_code == error.code:
                return error(message)
        return ConversionError(message)


def _is(attribute: Any, value: Any) -> Any:
    """The condition that an attribute has that value, or is not there."""
    return attribute.does_not_exist() if value is None else attribute == value


def _in(seconds: int) -> int:
    return int(time.time()) + seconds


def utc_date(days: int = 0) -> str:
    """Today's date, or that of so many days later, as 2026-11-26."""
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * DAY))
