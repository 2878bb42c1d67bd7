"""Headers about content: Accept, Accept-Encoding, entity tags, ranges and file names (RFC 9110, RFC 6266)."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import quote

# Any web page may call the API: it never uses cookies, so there is nothing to protect. On AWS the API itself adds these
# headers, also to responses of its own (`CorsConfiguration` in template.yaml, which also answers OPTIONS).
CROSS_ORIGIN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Allow, Content-Disposition, Content-Range, ETag, Link, Location, "
    "Preference-Applied, Retry-After, WWW-Authenticate, x-request-id",
}


def _weights(header: str) -> dict[str, float]:
    """The weight of each member of a list such as Accept's, 0 to 1 (RFC 9110, 12.4.2); 0 where it cannot be read."""
    weights = {}
    for member in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in member.split(";"))
        weight = next((p[2:].strip() for p in parameters if p.startswith("q=")), "1")
        weights[name] = float(weight) if re.fullmatch(r"[01](\.[0-9]{0,3})?", weight) else 0.0
    return weights


def prefers_json(accept: str) -> bool:
    """Whether JSON is asked for by name, and weighs at least as much as audio."""
    weights = _weights(accept)
    json = weights.get("application/json", 0.0)
    return json > 0 and json >= max(weights.get("audio/mpeg", 0.0), weights.get("audio/*", 0.0))


def prefers_html(accept: str) -> bool:
    """Whether HTML is asked for by name, and weighs more than audio and JSON: a browser that navigates."""
    weights = _weights(accept)
    html = weights.get("text/html", 0.0)
    return html > max(weights.get(name, 0.0) for name in ("audio/mpeg", "audio/*", "application/json"))


def preferred_language(accept_language: str, offered: tuple[str, ...]) -> str:
    """The one of the offered languages ("en", "ru") that an Accept-Language weighs most; else the first."""
    found: dict[str, float] = {}
    for tag, weight in _weights(accept_language).items():
        language = tag.partition("-")[0]
        if language in offered and weight > found.get(language, 0.0):
            found[language] = weight
    return max(found, key=lambda language: found[language], default=offered[0])


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether `gzip`, or any coding, is accepted."""
    weights = _weights(accept_encoding)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def preferred_wait(prefer: str) -> int | None:
    """The seconds of a Prefer header's `wait` (RFC 7240, 4.3); None where there is none that can be read."""
    found = re.search(r'(?:^|[,;])\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:$|[,;])', prefer, re.IGNORECASE)
    return int(found[1]) if found else None


def matches(if_none_match: str, etags: Collection[str]) -> bool:
    """Whether an If-None-Match names one of these entity tags, by the weak comparison (RFC 9110, 13.1.2)."""
    named = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in named or not named.isdisjoint(etags)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """The first and last byte that a Range header asks for (RFC 9110, 14.1.2).

    None for the whole file: no header, several ranges, or a header that is not understood. Where the range cannot be
    satisfied, the first byte is greater than the last one.
    """
    match = re.fullmatch(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", header, re.IGNORECASE)
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return max(size - _number(last), 0), size - 1 if _number(last) else -1
    if last and _number(last) < _number(first):
        return None
    return _number(first), min(_number(last), size - 1) if last else size - 1


def _number(digits: str) -> int:
    """A position of any number of digits: with more than 19 it is beyond every file."""
    return int(digits.lstrip("0")[:19] or "0")


def content_disposition(name: str) -> str:
    """`attachment` with the recording's name, `.wav` turned into `.mp3`, in any script (RFC 6266, RFC 8187)."""
    stem = name[:-4] if name.lower().endswith(".wav") else name
    file_name = f"{stem}.mp3"
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%/' else "_" for c in file_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"
