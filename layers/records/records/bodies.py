"""The two bodies that POST /records takes: a multipart form, or the WAV's own bytes."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from pydantic import BaseModel, BeforeValidator, ValidationError

from records import api
from records.errors import AudioTooLarge, MalformedRequest, ValidationFailed
from records.fields import FileName, UserId
from records.settings import MAX_DIRECT_BYTES

MULTIPART = "multipart/form-data"
WAV_TYPES = frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"})
DEFAULT_NAME = "recording.wav"

# A form has three parts; some clients add a few of their own.
MAX_PARTS = 32


def _digits(value: Any) -> Any:
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,16}", value) else value


class Fields(BaseModel):
    """The texts beside the audio."""

    user_id: Annotated[UserId, BeforeValidator(_digits)]
    name: FileName = DEFAULT_NAME


@dataclass(frozen=True, slots=True)
class SentRecording:
    """What a request to POST /records holds. `token` is the one in the form, if any."""

    user_id: int
    name: str
    token: str | None
    audio: bytes


def read_recording(event: dict[str, Any]) -> SentRecording:
    """The recording of a request.

    Raises MalformedRequest, ValidationFailed, AudioTooLarge.
    """
    body = api.body_bytes(event)
    if api.media_type(event) == MULTIPART:
        texts, audio = _read_form(event["headers"]["content-type"], body)
    else:
        texts, audio = dict(event.get("queryStringParameters") or {}), body
    if not audio:
        raise MalformedRequest("The audio is empty. Send the bytes of a WAV file.")
    if len(audio) > MAX_DIRECT_BYTES:
        raise AudioTooLarge(MAX_DIRECT_BYTES)
    token = texts.pop("token", None)
    try:
        fields = Fields.model_validate(texts)
    except ValidationError as error:
        raise ValidationFailed(*api.problems(error.errors())) from None
    return SentRecording(fields.user_id, fields.name, token, audio)


def _read_form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """The texts and the audio of a multipart form; the audio's file name is among the texts as `name`."""
    boundary = parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise MalformedRequest("The Content-Type of the form has no boundary. Let your HTTP client set it.")
    texts: dict[str, str] = {}
    audio: bytes | None = None
    try:
        _check_end(boundary, body)
        for part, content in _parts(boundary, body):
            if part.name in ("user_id", "token"):
                _once(part.name, part.name in texts)
                # What is no text is a wrong token (401), and no user's id (422).
                texts[part.name] = content.decode(errors="replace").strip()
            elif part.name == "audio":
                _once("audio", audio is not None)
                audio = content
                if name := _file_name(part):
                    texts["name"] = name
    except (MultipartError, UnicodeError):
        raise MalformedRequest("The multipart form is cut short or broken. Send it again whole.") from None
    if audio is None:
        raise MalformedRequest("The form has no part called 'audio'. Send the WAV file as 'audio'.")
    return texts, audio


def _check_end(boundary: str, body: bytes) -> None:
    """Raise MalformedRequest where more follows the form's end: a boundary within the audio would have cut it."""
    end = f"\r\n--{boundary}--".encode()
    found = body.find(end)
    if found >= 0 and body[found + len(end) :].strip():
        raise MalformedRequest("The form goes on after its end. Choose a boundary that the audio does not contain.")


def _parts(boundary: str, body: bytes) -> list[tuple[MultipartSegment, bytes]]:
    parts: list[tuple[MultipartSegment, list[bytes]]] = []
    with PushMultipartParser(boundary, max_segment_count=MAX_PARTS, strict=True) as parser:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                parts.append((event, []))
            elif event is not None:
                parts[-1][1].append(bytes(event))
    return [(part, pieces[0] if len(pieces) == 1 else b"".join(pieces)) for part, pieces in parts]


def _file_name(part: MultipartSegment) -> str | None:
    """The name of a part's file: `filename*` (RFC 8187), which says it in UTF-8, before `filename`.

    A form is not to have the former (RFC 7578), but .NET's clients send it, and beside it no more than a shadow."""
    unquoted = re.sub(r'"[^"]*"', '""', part.header("Content-Disposition"))
    extended = re.search(r";\s*filename\*=utf-8'[^']*'([^;\s]+)", unquoted, re.IGNORECASE)
    if extended:
        with suppress(UnicodeDecodeError):
            return unquote(extended[1], errors="strict")
    plain: str | None = part.filename
    return plain


def _once(field: str, seen: bool) -> None:
    if seen:
        raise ValidationFailed((field, "is given more than once"))
