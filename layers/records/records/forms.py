"""The two bodies that POST /records takes: a multipart form, or the WAV's own bytes."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from pydantic import ValidationError

from records.errors import AudioTooLarge, MalformedRequest, ValidationFailed
from records.fields import SentTexts, problems
from records.requests import MAX_TEXT, Event, body_bytes, media_type
from records.settings import MAX_DIRECT_BYTES

MULTIPART = "multipart/form-data"
WAV_TYPES = frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"})

MAX_PARTS = 32  # a recording's form has three; some clients add a few of their own


@dataclass(frozen=True, slots=True)
class SentRecording:
    """What a request to POST /records holds. `token` is the one in the form, if any."""

    user_id: int
    name: str
    token: str | None
    audio: bytes


def read_recording(event: Event) -> SentRecording:
    """The recording in a request to POST /records. Raises MalformedRequest, ValidationFailed, AudioTooLarge."""
    body = body_bytes(event)
    if media_type(event) == MULTIPART:
        texts, audio = _read_form(event["headers"]["content-type"], body)
        token = texts.pop("token", None)
    else:
        # No token is read from the address, which logs and histories would keep.
        texts, audio, token = dict(event.get("queryStringParameters") or {}), body, None
    if not audio:
        raise MalformedRequest("The audio is empty. Send the bytes of a WAV file.")
    if len(audio) > MAX_DIRECT_BYTES:
        raise AudioTooLarge(MAX_DIRECT_BYTES)
    try:
        fields = SentTexts.model_validate(texts)
    except ValidationError as error:
        raise ValidationFailed(*problems(error.errors())) from None
    return SentRecording(fields.user_id, fields.name, token, audio)


def _read_form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """The texts and the audio of a multipart form; the audio's file name is among the texts as `name`."""
    boundary = parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise MalformedRequest("The Content-Type of the form has no boundary. Let your HTTP client set it.")
    texts: dict[str, str] = {}
    audio: bytes | None = None
    try:
        for part, content in _parts(boundary, _without_epilogue(boundary, body)):
            if part.name in ("user_id", "token"):
                _once(part.name, part.name in texts)
                # Bytes that are not text fail later, as a wrong token (401) or a wrong user id (422).
                texts[part.name] = content[:MAX_TEXT].decode(errors="replace").strip()
            elif part.name == "audio":
                _once("audio", audio is not None)
                audio = content
                if name := _file_name(part):
                    texts["name"] = name
    except (MultipartError, UnicodeError):
        raise MalformedRequest("The multipart form is cut short or broken. Send it again in full.") from None
    if audio is None:
        raise MalformedRequest("The form has no part called 'audio'. Send the WAV file as 'audio'.")
    return texts, audio


def _without_epilogue(boundary: str, body: bytes) -> bytes:
    """The form without what follows its end, which must be ignored (RFC 2046, 5.1.1).

    Raises MalformedRequest where the boundary occurs again after the end: then that end was inside the audio, which
    would be cut there.
    """
    delimiter = b"\r\n--" + boundary.encode()
    end = body.find(delimiter + b"--")
    if end < 0:
        return body
    end += len(delimiter) + 2
    if delimiter[2:] in body[end:]:
        raise MalformedRequest("The form goes on after its end. Choose a boundary that the audio does not contain.")
    return body[:end]


def _parts(boundary: str, body: bytes) -> list[tuple[MultipartSegment, bytes]]:
    parts: list[tuple[MultipartSegment, list[bytes]]] = []
    # Latin-1 keeps every byte of a header; `_decoded` then guesses the encoding of each file name.
    with PushMultipartParser(boundary, max_segment_count=MAX_PARTS, header_charset="latin-1", strict=True) as parser:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                parts.append((event, []))
            elif event is not None:
                parts[-1][1].append(bytes(event))
    return [(part, pieces[0] if len(pieces) == 1 else b"".join(pieces)) for part, pieces in parts]


def _file_name(part: MultipartSegment) -> str | None:
    """The name of a part's file: `filename*` (RFC 8187), which is UTF-8, before `filename`.

    A form should not have the former (RFC 7578), but .NET's clients send it beside a worse `filename`.
    """
    unquoted = re.sub(r'"[^"]*"', '""', part.header("Content-Disposition"))
    extended = re.search(r";\s*filename\*=utf-8'[^']*'([^;\s]+)", unquoted, re.IGNORECASE)
    if extended:
        with suppress(UnicodeDecodeError):
            return unquote(extended[1], errors="strict")
    return _decoded(part.filename) if part.filename else None


def _decoded(name: str) -> str:
    """A file name whose bytes are the characters of `name`: UTF-8, as RFC 7578 requires, else a guess.

    Old programs write the system's 8-bit code page. In cp1251 a Russian name has mostly letters above 0xC0; in
    Latin-1 (cp1252) accented letters are single ones among ASCII.
    """
    raw = name.encode("latin-1", "replace")
    with suppress(UnicodeDecodeError):
        return raw.decode("utf-8")
    cyrillic = re.search(rb"[\xc0-\xff\xa8\xb8]{2}", raw) is not None
    text = raw.decode("cp1251" if cyrillic else "cp1252", "replace")
    return "".join(character if character.isprintable() else "_" for character in text)


def _once(field: str, seen: bool) -> None:
    if seen:
        raise ValidationFailed((field, "is given more than once"))
