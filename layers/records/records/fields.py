"""The fields of request bodies, as pydantic types."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from records.users import MAX_USER_ID

# Control characters, unpaired surrogates, and the two separators that some programs take for a line's end.
_REFUSED_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")


def _printable(text: str) -> str:
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in text):
        raise ValueError("must have no control characters")
    return text


def _trimmed(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _base_name(value: Any) -> Any:
    """A file's name without the folders that some browsers and tools send with it."""
    return value.replace("\\", "/").rsplit("/", 1)[-1].strip() if isinstance(value, str) else value


def _token(value: Any) -> str:
    """A token of any wrong form is a wrong token (401), not a wrong field (422)."""
    return value if isinstance(value, str) else ""


PersonName = Annotated[str, BeforeValidator(_trimmed), AfterValidator(_printable), Field(min_length=1, max_length=200)]
FileName = Annotated[str, BeforeValidator(_base_name), AfterValidator(_printable), Field(min_length=1, max_length=255)]
UserId = Annotated[int, Field(strict=True, ge=1, le=MAX_USER_ID)]
Token = Annotated[str, BeforeValidator(_token)]
