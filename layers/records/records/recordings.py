"""Recordings: the row is the truth. pending -> ready | failed, the same for both roads.

A row is written `pending` first, with a time to live; the MP3 is stored; then one conditional write turns the row
`ready` and takes the time to live off. That write is the commit point: no row says `ready` without its MP3, and what a
dead attempt left behind goes when its row goes (the table's stream hands every removed row to `remove_audio`).

Objects belong to a row's `generation`, a UUID made with the row, and an MP3's key ends with its own SHA-256. So a
stored MP3 never changes, and clearing up after a removed row can never touch what a later row of the same id holds.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pynamodb.attributes import BinaryAttribute, BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import DeleteError, PutError, PynamoDBException, UpdateError
from pynamodb.models import Model

from records.aws import FromSettings, TableMeta, condition_failed, faults, log_fault
from records.errors import (
    AudioRejected,
    ConversionError,
    ConversionTimeout,
    IdempotencyConflict,
    RecordNotFound,
    RecordsError,
    Unavailable,
    UnplayableAudio,
    UnsupportedAudio,
)

if TYPE_CHECKING:
    from records.audio.mp3 import Conversion
    from records.audio.wav import Wav
    from records.users import User

PENDING, READY, FAILED = "pending", "ready", "failed"

DAY = 24 * 3600
PENDING_SECONDS = DAY
# A recording that failed by our fault keeps its WAV for as long as its event can wait in the queue to be replayed.
REPLAY_SECONDS = 14 * DAY
_OUR_FAULTS = (ConversionError.code, ConversionTimeout.code)


@dataclass(frozen=True, slots=True)
class Audio:
    """What was sent: its size and SHA-256 (hex)."""

    bytes: int
    sha256: str


class Recording(Model):
    """A recording of a user. Times: `created_at` as RFC 3339, `expires_at` in seconds since 1970."""

    class Meta(TableMeta):
        table_name = FromSettings("records_table")

    user = NumberAttribute(hash_key=True)
    id = UnicodeAttribute(range_key=True)
    generation = UnicodeAttribute()
    status = UnicodeAttribute()
    name = UnicodeAttribute()
    created_at = UnicodeAttribute()
    expires_at = NumberAttribute(null=True)

    wav_bytes = NumberAttribute(null=True)
    wav_sha256 = UnicodeAttribute(null=True)
    mp3_bytes = NumberAttribute(null=True)
    mp3_sha256 = UnicodeAttribute(null=True)
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

    fresh = False  # whether this very object was written as a new row, rather than found

    @property
    def upload_key(self) -> str:
        """Where a long recording's WAV arrives."""
        return f"uploads/{int(self.user)}/{self.id}/{self.generation}.wav"

    @property
    def mp3_prefix(self) -> str:
        """Where every MP3 that an attempt at this row may store is."""
        return f"records/{int(self.user)}/{self.id}/{self.generation}/"

    def mp3_key(self, sha256: str | None = None) -> str:
        """Where the MP3 of that SHA-256 is; without one, the row's own."""
        return f"{self.mp3_prefix}{sha256 or self.mp3_sha256}.mp3"

    @property
    def expired(self) -> bool:
        """Past its time: gone for everyone, though DynamoDB may take days to remove the row."""
        return self.expires_at is not None and self.expires_at <= time.time()

    @classmethod
    def find(cls, user: int, record_id: str) -> Recording:
        """The recording. Raises RecordNotFound, Unavailable."""
        with faults():
            try:
                row = cls.get(user, record_id, consistent_read=True)
            except cls.DoesNotExist:
                row = None
        if row is None or row.expired:
            raise RecordNotFound
        return row

    @classmethod
    def reserve(cls, user: User, name: str, key: str | None, audio: Audio | None) -> Recording:
        """The row for a new recording, or the one that the same Idempotency-Key named before.

        `audio` is None for a ticket, whose audio is to come. A row that is given back may be in any state: a pending
        one is the caller's to convert, whoever began it. Raises IdempotencyConflict, Unavailable.
        """
        record_id = user.record_id(key)
        for _ in range(3):
            fresh = cls(
                int(user.id),
                record_id,
                generation=str(uuid.uuid4()),
                status=PENDING,
                name=name,
                created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                expires_at=_in(PENDING_SECONDS),
                wav_bytes=audio.bytes if audio else None,
                wav_sha256=audio.sha256 if audio else None,
            )
            try:
                fresh.save(condition=Recording.id.does_not_exist())
                fresh.fresh = True
                return fresh
            except PutError as error:
                found = cls._read_back(fresh, error)
            if found is None:
                continue
            if found.generation == fresh.generation:
                found.fresh = True  # our own write, whose answer was lost
                return found
            if found.expired:
                found._remove()
                continue
            try:
                return found._joined_by(audio)
            except RecordNotFound:
                continue  # it went at this very moment
        raise Unavailable

    def _joined_by(self, audio: Audio | None) -> Recording:
        """This row, for a second request under its key: the audio must be the same."""
        if audio is not None and self.wav_sha256 is None and not self.final:
            self._write(Recording.wav_sha256.does_not_exist(), wav_sha256=audio.sha256, wav_bytes=audio.bytes)
        if audio is not None and self.wav_sha256 != audio.sha256:  # none: an upload that was refused
            raise IdempotencyConflict
        self._outlive(PENDING_SECONDS)
        return self

    def _outlive(self, seconds: int) -> None:
        """Let this row, unless it is done with, live that much longer. Raises RecordNotFound, Unavailable."""
        until = _in(seconds)
        if not self.final and self.expires_at is not None and self.expires_at < until:
            self._write(_convertible() & (Recording.expires_at < until), expires_at=until)

    def _remove(self) -> None:
        """Remove this row, whose time is over; its stream record makes `remove_audio` clear its objects.

        Its time is in the condition, since an attempt that began in time may turn it ready at this moment.
        """
        over = (Recording.generation == self.generation) & (Recording.expires_at <= int(time.time()))
        try:
            self.delete(condition=over)
        except DeleteError as error:
            if not condition_failed(error):
                log_fault(error)
                raise Unavailable from error

    @classmethod
    def _read_back(cls, row: Recording, error: PynamoDBException) -> Recording | None:
        """After a write that may or may not have been applied: what the table really holds now."""
        if not condition_failed(error):
            log_fault(error)
        with faults():
            try:
                return cls.get(row.user, row.id, consistent_read=True)
            except cls.DoesNotExist:
                if not condition_failed(error):
                    raise Unavailable from error  # it was a fault, and nothing came of it
                return None

    def _write(self, condition: Any, **changes: Any) -> bool:
        """Set (or, where None, remove) attributes under a condition; then this row holds what the table holds.

        Gives whether the write was applied. A refused condition is not an error: the caller looks at the state it
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
            return True  # applied, though the answer was lost

    def begin(self) -> None:
        """The conversion of an upload begins: the row must outlive it, and whatever may come of its event.

        A process that is killed writes no more, and its event may wait in the queue to be replayed. Raises
        RecordNotFound, Unavailable.
        """
        self._outlive(REPLAY_SECONDS)

    def complete(self, wav: Wav, audio: Audio, conversion: Conversion) -> bool:
        """Turn the row `ready`: the commit point. Gives whether this call did.

        Where another was first, this row holds what that one wrote. Raises RecordNotFound where it is gone,
        Unavailable.
        """
        same_audio = Recording.wav_sha256.does_not_exist() | (Recording.wav_sha256 == audio.sha256)
        return self._write(
            _convertible() & same_audio,
            status=READY,
            wav_bytes=audio.bytes,
            wav_sha256=audio.sha256,
            mp3_bytes=conversion.bytes,
            mp3_sha256=conversion.sha256,
            duration=round(conversion.duration, 3),
            sample_rate=wav.sample_rate,
            channels=wav.channels,
            truncated=wav.truncated,
            peak_dbfs=conversion.levels.peak_dbfs,
            mean_dbfs=conversion.levels.mean_dbfs,
            silent=conversion.levels.silent,
            waveform=bytes(conversion.waveform),
            expires_at=None,
            error_code=None,
            error_message=None,
            error_reason=None,
        )

    def fail(self, error: RecordsError, audio: Audio | None = None) -> None:
        """Turn the row `failed`, unless it is ready. Raises RecordNotFound where it is gone, Unavailable.

        What is wrong with an upload says nothing of the audio that the same key brought on the direct road: `audio`,
        where it is that road's verdict.
        """
        ours = not isinstance(error, AudioRejected)
        reason = error.details.get("reason") if isinstance(error, UnplayableAudio) else None
        same_audio = Recording.wav_sha256 == audio.sha256 if audio else Recording.wav_sha256.does_not_exist()
        self._write(
            _convertible() if ours else _convertible() & same_audio,
            status=FAILED,
            error_code=error.code,
            error_message=error.message,
            error_reason=reason,
            expires_at=_in(REPLAY_SECONDS if ours else PENDING_SECONDS),
        )

    @property
    def final(self) -> bool:
        """Ready, or failed by what the audio is: another attempt would end the same."""
        return self.status == READY or (self.status == FAILED and self.error_code not in _OUR_FAULTS)

    @property
    def error(self) -> RecordsError:
        """What a failed row says was wrong."""
        message = str(self.error_message)
        if self.error_code == UnplayableAudio.code:
            return UnplayableAudio(str(self.error_reason), message)
        if self.error_code == UnsupportedAudio.code:
            return UnsupportedAudio(message)
        if self.error_code == ConversionTimeout.code:
            return ConversionTimeout(message)
        return ConversionError(message)


def _in(seconds: int) -> int:
    return int(time.time()) + seconds


def _convertible() -> Any:
    """The states that a conversion may end: pending, or failed by our own fault."""
    return (Recording.status == PENDING) | Recording.error_code.is_in(*_OUR_FAULTS)
