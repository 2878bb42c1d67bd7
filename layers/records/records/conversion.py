"""The two roads from a WAV to a recording that is ready. Both go through the same `wav` and `mp3`."""

from __future__ import annotations

import hashlib
import shutil
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from records import storage
from records.audio import mp3
from records.audio.wav import BytesSource, Wav, inspect
from records.errors import (
    AudioRejected,
    AudioTooLarge,
    ConversionError,
    ConversionTimeout,
    IdempotencyConflict,
    OurFault,
    RecordNotFound,
    Unavailable,
)
from records.recordings import FAILED, READY, Audio, Recording
from records.settings import MAX_DIRECT_BYTES, settings
from records.users import User

_DIRECTORY = "records-conversion-"
_LONGEST_SECONDS = 900  # no attempt lives longer than Lambda lets it

logger = Logger(child=True)
metrics = Metrics()


def convert_sent(user: User, name: str, key: str | None, body: bytes, deadline: float) -> tuple[Recording, bool]:
    """The direct road: a recording in the request. Gives it ready, and whether this call made it so.

    `deadline` is a time of `time.monotonic()`. Raises AudioRejected, IdempotencyConflict, OurFault. After OurFault the
    row stays pending, and the same request with the same key takes it over.
    """
    wav = inspect(BytesSource(body))
    try:
        # The row is reserved beside the conversion. Only a key may name a recording that is there already, which then
        # is not converted again.
        with ThreadPoolExecutor(1) as beside:
            reservation = beside.submit(_reserve, user, name, key, body)
            if key is not None:
                row, _ = reservation.result()
                if row.status == READY:
                    return row, False
                if row.final:
                    raise row.error
            row, made = _convert_body(wav, body, reservation, deadline)
            # Without a key the record can be nobody else's, even where a lost answer hid that it was made here.
            return row, made or key is None
    except ConversionTimeout:
        raise AudioTooLarge(
            MAX_DIRECT_BYTES,
            "The recording takes too long to convert in one request. Send it through POST /uploads.",
        ) from None
    except RecordNotFound:  # the row went while we worked: nothing was promised yet
        raise Unavailable from None


def _reserve(user: User, name: str, key: str | None, body: bytes) -> tuple[Recording, Audio]:
    audio = Audio(len(body), hashlib.sha256(body).hexdigest())
    return Recording.reserve(user, name, key, audio), audio


def _convert_body(
    wav: Wav, body: bytes, reservation: Future[tuple[Recording, Audio]], deadline: float
) -> tuple[Recording, bool]:
    """Convert, and commit the reserved row. Gives it, and whether this call turned it ready."""
    data = memoryview(body)[wav.data_offset : wav.data_offset + wav.data_bytes]
    try:
        with _converted(wav, [data], deadline) as conversion:
            row, audio = reservation.result()
            return row, _store(row, wav, audio, conversion)
    except AudioRejected as error:
        row, audio = reservation.result()
        row.fail(error, audio)
        raise


def convert_uploaded(user: int, record_id: str, generation: str, key: str, deadline: float) -> None:
    """The long road: a WAV has arrived at `key`. It is gone when its recording is ready, or can never be.

    Events come twice, late and out of order: whatever is already done is left as it is. Raises OurFault, so that the
    event is delivered again; the row says `failed` meanwhile, and `ready` when a later attempt succeeds.
    """
    try:
        row = Recording.find(user, record_id)
        if row.generation != generation:
            raise RecordNotFound
        if not row.final:
            row.begin()
        if not row.final and not _attempt(row, key, deadline):
            return
    except RecordNotFound:
        # `remove_audio` may have been here before the MP3 of an attempt that was killed then.
        storage.delete_prefix(Recording(user, record_id, generation=generation).mp3_prefix)
    storage.delete(key)


def _attempt(row: Recording, key: str, deadline: float) -> bool:
    """One attempt at the WAV of a row. Gives whether it is there and of no more use."""
    try:
        _convert_object(row, key, deadline)
    except AudioRejected as error:
        row.fail(error)
    except ConversionTimeout as error:
        row.fail(error)  # another attempt would end the same: the WAV stays for an operator, until the row goes
        logger.error("conversion_timeout", extra={"record": row.id})
        return False
    except storage.Missing:
        return False  # another attempt is done with it; what may arrive there now has an event of its own
    except IdempotencyConflict:
        pass  # the key's audio came by the direct road, and it is not this
    except RecordNotFound:
        raise
    except Exception as error:
        row.fail(ConversionError())
        if isinstance(error, OurFault):
            raise
        _log_why(error)
        raise ConversionError from error
    return True


def _convert_object(row: Recording, key: str, deadline: float) -> None:
    source = storage.S3Source(key)
    wav = inspect(source)
    digest = hashlib.sha256()
    with _converted(wav, _data(source, wav, digest), deadline) as conversion:
        _store(row, wav, Audio(source.size, digest.hexdigest()), conversion)


def _data(source: storage.S3Source, wav: Wav, digest: hashlib._Hash) -> Iterator[memoryview]:
    """The bytes of the data chunk, as the whole file passes through the digest."""
    position = 0
    for piece in source.stream():
        digest.update(piece)
        first = max(wav.data_offset - position, 0)
        last = min(wav.data_offset + wav.data_bytes - position, len(piece))
        position += len(piece)
        if first < last:
            yield memoryview(piece)[first:last]


@contextmanager
def _converted(wav: Wav, data: Iterator[memoryview] | list[memoryview], deadline: float) -> Iterator[mp3.Conversion]:
    """The MP3, in a directory of its own that is gone afterwards, whatever happens."""
    _clear_up_after_the_killed()
    with TemporaryDirectory(prefix=_DIRECTORY) as directory:
        started = time.monotonic()
        try:
            conversion = mp3.convert(wav, data, Path(directory), bitrate=settings().bitrate, deadline=deadline)
        except ConversionError as error:
            _log_why(error)
            raise
        metrics.add_metric("ConversionTime", MetricUnit.Milliseconds, (time.monotonic() - started) * 1000)
        yield conversion


def _log_why(error: Exception) -> None:
    """What ffmpeg or the system said, and where it was noticed, are for the operator alone."""
    noticed = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(noticed.filename).name}:{noticed.lineno} {noticed.name}"
    logger.error("conversion failed", extra={"where": where, "why": str(error.__cause__ or type(error).__name__)})


def _clear_up_after_the_killed() -> None:
    """Remove what processes left that were killed while they converted: Lambda keeps /tmp for those that follow."""
    for path in Path(gettempdir()).glob(f"{_DIRECTORY}*"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _LONGEST_SECONDS:
                shutil.rmtree(path)


def _store(row: Recording, wav: Wav, audio: Audio, conversion: mp3.Conversion) -> bool:
    """Store the MP3, then commit the row. Gives whether this call turned it ready.

    Raises IdempotencyConflict, OurFault, RecordNotFound, or what a failed row says was wrong.
    """
    key = row.mp3_key(conversion.sha256)
    storage.put_mp3(key, conversion.path, conversion.sha256)
    try:
        made = row.complete(wav, audio, conversion)
    except RecordNotFound:
        storage.delete(key)
        raise
    if row.status == READY and row.mp3_sha256 == conversion.sha256:
        if made:
            metrics.add_metric("RecordsMade", MetricUnit.Count, 1)
            metrics.add_metric("AudioSeconds", MetricUnit.Seconds, conversion.duration)
        return made
    storage.delete(key)  # another attempt was first, with other bytes: its MP3 is the recording
    if row.status == FAILED:
        raise row.error
    if row.wav_sha256 != audio.sha256:
        raise IdempotencyConflict
    if row.status == READY:
        return False
    raise Unavailable
