"""The fields of request bodies as pydantic types. Each text's length is checked before anything else looks at it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from records.users import MAX_USER_ID

DEFAULT_NAME = "recording.wav"
_MAX_SENT = 4096  # characters: a longer text is refused before it is trimmed

# Control characters, unpaired surrogates, and the two separators that some programs take for the end of a line.
_REFUSED_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
# They reverse the text around them, so that a name is shown otherwise than it is (UAX #9: embeddings and isolates).
_BIDI_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")
# Letters by category, but invisible: Hangul fillers and the blank Braille pattern.
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800"


def _printable(text: str) -> str:
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in text):
        raise ValueError("must have no control characters")
    if _BIDI_CONTROLS.search(text):
        raise ValueError("must have no characters that change the direction of the text (U+202A to U+202E)")
    if not any(unicodedata.category(character)[0] in "LNPS" and character not in _BLANK_LETTERS for character in text):
        raise ValueError("must have a character that can be seen")
    return text


def _trimmed(value: Any) -> Any:
    return value.strip() if isinstance(value, str) and len(value) <= _MAX_SENT else value


def _base_name(value: Any) -> Any:
    """A file's name without the folders that some browsers send with it, and without the invisible marks that Windows
    adds to a copied path."""
    if not isinstance(value, str) or len(value) > _MAX_SENT:
        return value
    return _BIDI_CONTROLS.sub("", value.replace("\\", "/").rsplit("/", 1)[-1]).strip()


def _token(value: Any) -> str:
    """A token of the wrong type is a wrong token (401), not a wrong field (422)."""
    return value if isinstance(value, str) else ""


def _digits(value: Any) -> Any:
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,16}", value) else value


PersonName = Annotated[str, BeforeValidator(_trimmed), Field(min_length=1, max_length=200), AfterValidator(_printable)]
FileName = Annotated[str, BeforeValidator(_base_name), Field(min_length=1, max_length=255), AfterValidator(_printable)]
RecordName = Annotated[str, BeforeValidator(_trimmed), Field(min_length=1, max_length=255), AfterValidator(_printable)]
Invite = Annotated[str, BeforeValidator(_trimmed), Field(max_length=200)]
UserId = Annotated[int, Field(strict=True, ge=1, le=MAX_USER_ID)]
UserIdText = Annotated[UserId, BeforeValidator(_digits)]
Token = Annotated[str, BeforeValidator(_token)]


class SentTexts(BaseModel):
    """What comes beside the audio of POST /records, in the form or in the query."""

    user_id: UserIdText
    name: FileName = DEFAULT_NAME


def problems(found: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """pydantic's findings as pairs of a field and what is wrong with it, without the value that was sent."""
    pairs = []
    for error in found:
        field = ".".join(str(part) for part in error["loc"] if part != "body")
        problem = str(error["msg"]).removeprefix("Value error, ")
        pairs.append((field or "body", problem[:1].lower() + problem[1:]))
    return pairs
