"""The two paths from a WAV to a recording that is ready: in the request, and by upload. Both convert with `audio`."""

from __future__ import annotations

import hashlib
import io
import shutil
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import NamedTuple

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from records import limits, storage
from records.audio import mp3
from records.audio.parallel import Ranges
from records.audio.riff import WINDOW
from records.audio.wav import Wav, inspect
from records.errors import (
    AudioRejected,
    AudioTooLarge,
    ConversionError,
    ConversionTimeout,
    IdempotencyConflict,
    LimitReached,
    RecordNotFound,
    ServerError,
    Unavailable,
    UploadDamaged,
)
from records.recordings import FAILED, MAX_ATTEMPTS, MAX_LIFETIME, PENDING, READY, Audio, Recording
from records.settings import MAX_DIRECT_BYTES, processors, settings
from records.users import User

_DIRECTORY = "records-conversion-"

SLOWEST = 10  # times real time: a conversion that is slower than this hangs, whatever the audio is

logger = Logger(child=True)
metrics = Metrics()


class Sent(NamedTuple):
    """A recording that is ready, and whether the request that asks for it made it."""

    recording: Recording
    made: bool


def convert_sent(user: User, name: str, key: str | None, body: bytes, deadline: float) -> Sent:
    """The in-request path: convert the WAV of a request while its client waits.

    `deadline` is a time of `time.monotonic()`. Raises AudioRejected, IdempotencyConflict, LimitReached, ServerError.
    After ServerError the same request may be sent again: with the same key it continues with the pending row.
    """
    wav = inspect(io.BytesIO(body))
    audio = Audio(len(body), hashlib.sha256(body).hexdigest())
    limits.check(user, key, wav.expected)
    row = Recording.reserve(user, name, key, audio)
    if row.status == READY:
        return Sent(row, made=False)
    if row.status == FAILED:
        raise row.error
    data = memoryview(body)[wav.data_offset : wav.data_offset + wav.data_bytes]
    seconds = deadline - time.monotonic()
    try:
        limits.count(row, wav.expected, user)
        with _converted(wav, [data], deadline) as conversion:
            made = _store(row, wav, audio, conversion)
    except LimitReached:
        row.withdraw()
        raise
    except AudioRejected as error:
        row.fail(error, audio)
        raise
    except ConversionTimeout as error:
        if _hung(wav, seconds):
            raise ConversionError from error
        raise AudioTooLarge(
            MAX_DIRECT_BYTES,
            "The recording takes too long to convert in one request. Send it through POST /uploads.",
        ) from None
    except RecordNotFound:  # the row was removed meanwhile: nothing was promised yet
        raise Unavailable from None
    if made and not row.fresh:
        _delete_other_attempts(row)
    return Sent(row, made)


@dataclass(frozen=True, slots=True)
class Upload:
    """A WAV that has arrived in the storage: its key, `uploads/<user>/<id>/<generation>.wav`, and its size in bytes."""

    key: str
    size: int | None

    def row(self) -> Recording:
        """The row that its key names, without looking whether there is one."""
        _, user, record_id, file_name = self.key.split("/")
        return Recording(int(user), record_id, generation=file_name.removesuffix(".wav"))


def convert_uploaded(upload: Upload, deadline: float) -> None:
    """The upload path: convert a WAV that has arrived, and delete it when it is not needed any more.

    Events may come twice, late and out of order: a final row is left as it is. Raises ServerError, so that the event
    is delivered again; the row is `pending` until then, and `failed` when its attempts are used up.
    """
    removed = upload.row()
    row = Recording.read(int(removed.user), removed.id)
    if row is None or row.generation != removed.generation:
        row = removed
    elif row.expired:
        return  # an attempt that began in time may still turn it ready; if none does, `remove_audio` cleans up
    else:
        try:
            row.begin()
            if row.status == PENDING:
                _attempt(row, upload, deadline)
            elif row.status == READY and upload.size not in (None, row.wav_bytes):
                row.reject_upload()
        except RecordNotFound:
            row = removed
        except storage.ObjectNotFound:
            return  # another attempt is done with it; what may arrive there now has an event of its own
    if row.failed_on_our_side:  # the upload is kept for an operator, until the row is removed
        if row.error_code == ConversionTimeout.code:
            logger.error("conversion_timeout", extra={"record": row.id})
            return
        raise row.error
    if row.status != PENDING:
        _delete_other_attempts(row)
    storage.delete(upload.key)


def _attempt(row: Recording, upload: Upload, deadline: float) -> None:
    """One attempt at the upload of a pending row. Afterwards the row is final, or the upload is not its audio.

    Raises ServerError where another attempt may succeed, RecordNotFound, ObjectNotFound.
    """
    source = storage.S3Source(upload.key)
    try:
        _convert_object(row, source, deadline)
    except IdempotencyConflict:
        row.reject_upload()
    except (ConversionTimeout, LimitReached) as error:
        row.fail(error)
    except AudioRejected as error:
        audio = _audio_of(row, source)
        damaged = audio is not None and row.announced_sha256 not in (None, audio.sha256)
        row.fail(UploadDamaged() if damaged else error, audio)
        if row.status != FAILED:
            row.reject_upload()
    except (RecordNotFound, storage.ObjectNotFound):
        raise
    except Exception as error:
        if int(row.attempts or 0) >= MAX_ATTEMPTS:
            row.fail(ConversionError())
        if isinstance(error, ServerError):
            raise
        _log_why(error)
        raise ConversionError from error


def _convert_object(row: Recording, source: storage.S3Source, deadline: float) -> None:
    """Convert an object of the storage, and commit its row. Raises what `inspect`, `mp3.convert` and `_store` raise."""
    if row.announced_bytes not in (None, source.size):
        raise UploadDamaged
    if row.wav_bytes not in (None, source.size):
        raise IdempotencyConflict
    wav = inspect(io.BufferedReader(source, buffer_size=WINDOW))
    limits.count(row, wav.expected)
    digest = hashlib.sha256()

    def ranges(start: int, end: int) -> Iterator[bytes]:
        return source.stream(wav.data_offset + start, wav.data_offset + end)

    seconds = deadline - time.monotonic()
    try:
        with _converted(wav, _data(source, wav, digest), deadline, ranges) as conversion:
            if row.announced_sha256 not in (None, digest.hexdigest()):
                raise UploadDamaged
            _store(row, wav, Audio(source.size, digest.hexdigest()), conversion)
    except ConversionTimeout as error:
        if _hung(wav, seconds):
            raise ConversionError from error
        raise


def _hung(wav: Wav, seconds: float) -> bool:
    """Whether a conversion that took so long cannot be for the length of the audio: another attempt may succeed."""
    return wav.duration is not None and wav.duration < SLOWEST * seconds


def _audio_of(row: Recording, source: storage.S3Source) -> Audio | None:
    """The size and the SHA-256 of an object. None where nothing is compared with them: the audio is too large for a
    request, and no SHA-256 was announced. Raises ObjectNotFound, Unavailable."""
    if source.size > MAX_DIRECT_BYTES and row.announced_sha256 is None:
        return None
    digest = hashlib.sha256()
    for piece in source.stream():
        digest.update(piece)
    return Audio(source.size, digest.hexdigest())


def _data(source: storage.S3Source, wav: Wav, digest: hashlib._Hash) -> Iterator[memoryview]:
    """The bytes of the data chunk, while the digest gets the whole file."""
    position = 0
    for piece in source.stream():
        digest.update(piece)
        first = max(wav.data_offset - position, 0)
        last = min(wav.data_offset + wav.data_bytes - position, len(piece))
        position += len(piece)
        if first < last:
            yield memoryview(piece)[first:last]


@contextmanager
def _converted(
    wav: Wav, data: Iterator[memoryview] | list[memoryview], deadline: float, ranges: Ranges | None = None
) -> Iterator[mp3.Conversion]:
    """The MP3, in a directory of its own that is always removed afterwards. Raises what `mp3.convert` raises."""
    _remove_stale_workdirs()
    with TemporaryDirectory(prefix=_DIRECTORY) as directory:
        started = time.monotonic()
        try:
            conversion = mp3.convert(
                *(wav, data, Path(directory)),
                ffmpeg=settings().ffmpeg,
                bitrate=settings().bitrate,
                deadline=deadline,
                ranges=ranges,
                processes=processors(),
            )
        except ConversionError as error:
            _log_why(error)
            raise
        metrics.add_metric("ConversionTime", MetricUnit.Milliseconds, (time.monotonic() - started) * 1000)
        yield conversion


def _log_why(error: Exception) -> None:
    """Log the error of ffmpeg or of the system, and where it was raised."""
    noticed = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(noticed.filename).name}:{noticed.lineno} {noticed.name}"
    logger.error("conversion failed", extra={"where": where, "why": str(error.__cause__ or type(error).__name__)})


def _remove_stale_workdirs() -> None:
    """Remove what killed conversions left in /tmp, which Lambda keeps for later processes."""
    for path in Path(gettempdir()).glob(f"{_DIRECTORY}*"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - MAX_LIFETIME:
                shutil.rmtree(path)


def _store(row: Recording, wav: Wav, audio: Audio, conversion: mp3.Conversion) -> bool:
    """Store the MP3, then commit the row. Returns whether this call turned it ready; if not, another did before.

    Raises IdempotencyConflict, ServerError, RecordNotFound, or what a failed row says was wrong.
    """
    if wav.duration is None:
        limits.correct(row, wav.expected, conversion.duration)
    attempt = str(uuid.uuid4())
    key = row.mp3_key(attempt)
    storage.put_mp3(key, conversion.path, conversion.sha256)
    try:
        made = row.complete(wav, audio, conversion, attempt)
    except RecordNotFound:
        storage.delete(key)
        raise
    if made:
        metrics.add_metric("RecordsMade", MetricUnit.Count, 1)
        metrics.add_metric("AudioSeconds", MetricUnit.Seconds, conversion.duration)
        return True
    storage.delete(key)
    if row.status == FAILED:
        raise row.error
    if row.wav_sha256 != audio.sha256:
        raise IdempotencyConflict
    if row.status != READY:
        raise Unavailable
    return False


def _delete_other_attempts(row: Recording) -> None:
    """Delete the MP3s of attempts that were killed. The row must be final, so that it can never name another MP3."""
    storage.delete_prefix(row.mp3_prefix, keep=row.mp3_key() if row.status == READY else None)
