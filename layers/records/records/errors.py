"""What can go wrong, in terms of the domain. `responses` has the table of HTTP statuses.

RecordsError
├── MalformedRequest          what was sent cannot be read at all
├── UnsupportedMediaType      the body is of a media type that is not accepted here
├── ValidationFailed          a field is missing or not valid
├── InvalidCredentials        unknown user, malformed token or wrong token: which one is never said
├── EmailTaken
├── RecordNotFound
├── ErasureNotFound
├── IdempotencyConflict       the same key was sent with other audio
├── InviteRequired            the operator lets only those sign up who have an invitation
├── TooManySignUps            from one address within an hour
├── LimitReached
│   ├── DailyLimit            this user's audio of the day is used up
│   └── StorageFull           this user has stored as much as is allowed
├── AudioRejected
│   ├── AudioTooLarge         more than the in-request path can take
│   ├── UploadDamaged         what arrived is not what was announced
│   ├── UnsupportedAudio      not a WAV file, or a codec that is not accepted
│   └── UnplayableAudio       a WAV file with nothing to play, or that cannot be converted right
└── ServerError               a retry is safe and may succeed
    ├── Unavailable           AWS is failing or throttling
    ├── ConversionError       ffmpeg is missing, was killed, or wrote less than it must
    └── ConversionTimeout     the conversion took too long

`code` is stable and is what a program tests; `message` is a sentence that a person can act on.
"""

from __future__ import annotations

from typing import Any


class RecordsError(Exception):
    """The root of the tree. A class whose message is always the same has it as an attribute."""

    code: str = "unavailable"
    message: str
    retry_after: int | None = None  # s

    def __init__(self, message: str | None = None, details: Any = None) -> None:
        self.message = self.message if message is None else message
        self.details = details
        super().__init__(self.message)


class MalformedRequest(RecordsError):
    code = "malformed_request"


class UnsupportedMediaType(RecordsError):
    code = "unsupported_media_type"


class ValidationFailed(RecordsError):
    """`problems`: pairs of a field's name and what is wrong with it."""

    code = "validation_failed"

    def __init__(self, *problems: tuple[str, str]) -> None:
        # A field can be a name that a client made up, of any length.
        details = [{"field": field[:100], "problem": problem[:200]} for field, problem in problems]
        super().__init__("Some fields are not valid. See details, fix them and try again.", details)


class InvalidCredentials(RecordsError):
    code = "invalid_credentials"
    message = (
        "The user id and the token do not match. Send the token that POST /users returned, "
        "as 'Authorization: Bearer <token>'."
    )


class EmailTaken(RecordsError):
    code = "email_taken"
    message = "A user with this e-mail exists already. Use that user's token, or another e-mail."


class RecordNotFound(RecordsError):
    code = "record_not_found"
    message = "There is no such recording. Check that the link was copied whole."


class ErasureNotFound(RecordsError):
    code = "erasure_not_found"
    message = "There is no such receipt. Check the address; receipts are kept for 400 days."


class IdempotencyConflict(RecordsError):
    code = "idempotency_conflict"
    message = "This Idempotency-Key was used for other audio. Send this audio under a key of its own."


class InviteRequired(RecordsError):
    code = "invite_required"
    message = "Signing up here needs an invitation. Ask whoever runs this service for one, and send it as 'invite'."


class TooManySignUps(RecordsError):
    """retry_after: s until the hour ends."""

    code = "too_many_signups"

    def __init__(self, retry_after: int | None = None) -> None:
        super().__init__("Too many users signed up from this network within an hour. Sign up in the next hour.")
        self.retry_after = retry_after


class LimitReached(RecordsError):
    """The user has used as much as is allowed."""


class DailyLimit(LimitReached):
    """Seconds of audio: that a user may have converted in a day, and that were. retry_after: s until the day ends."""

    code = "daily_limit"

    def __init__(self, limit_seconds: int, used_seconds: float, retry_after: int | None = None) -> None:
        super().__init__(
            f"At most {limit_seconds} seconds of audio may be sent in a day (UTC); {used_seconds} were sent today. "
            "Send this recording again tomorrow, or a shorter one now.",
            {"limit_seconds": limit_seconds, "used_seconds": used_seconds},
        )
        self.retry_after = retry_after


class StorageFull(LimitReached):
    """Seconds of audio: that a user may have stored, and that are."""

    code = "storage_full"

    def __init__(self, limit_seconds: int, stored_seconds: float) -> None:
        super().__init__(
            f"At most {limit_seconds} seconds of audio may be stored; {stored_seconds} are stored already. "
            "Delete a recording and send this one again.",
            {"limit_seconds": limit_seconds, "stored_seconds": stored_seconds},
        )


class AudioRejected(RecordsError):
    """The audio itself is at fault: the same bytes will never be accepted."""


class AudioTooLarge(AudioRejected):
    code = "audio_too_large"

    def __init__(self, limit_bytes: int, message: str | None = None, use: str | None = "POST /uploads") -> None:
        super().__init__(
            message or f"The audio is larger than {limit_bytes} bytes. Send it through POST /uploads.",
            {"limit_bytes": limit_bytes} | ({"use": use} if use else {}),
        )


class UploadDamaged(AudioRejected):
    code = "upload_damaged"
    message = "The file that arrived is not the one that was announced. Send it again under the same key."


class UnsupportedAudio(AudioRejected):
    code = "unsupported_audio"


class UnplayableAudio(AudioRejected):
    """`reason` is stable and short, for a program; `message` is for a person."""

    code = "unplayable_audio"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message, {"reason": reason})


class ServerError(RecordsError):
    """A fault on our side. The message never quotes the cause, which only the log may hold."""


class Unavailable(ServerError):
    code = "unavailable"
    message = "The service is busy or a part of it is failing. Send the same request again in a moment."


class ConversionError(ServerError):
    code = "conversion_error"
    message = "The conversion failed on our side. Send the recording again."


class ConversionTimeout(ServerError):
    code = "conversion_timeout"
    message = "The recording takes longer to convert than there is time for."
