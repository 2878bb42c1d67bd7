"""What a record is and what was measured of it, declared once: its JSON and its OpenAPI schema come from here.

The row (`recordings.Recording`) has an attribute for each; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

USER_ID = 6312894417265
RECORD_ID = "bff281a0-d6a0-49d9-8557-cd5e66828a05"
QUERY = f"id={RECORD_ID}&user={USER_ID}"
SERVICE = "https://records.example.com"
_SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_LINK = {"type": "string", "format": "uri"}

TIME: Schema = {"type": "string", "format": "date-time"}
USER_ID_SCHEMA: Schema = {"type": "integer", "minimum": 1, "maximum": 2**53 - 1}
RECORD_ID_SCHEMA: Schema = {"type": "string", "format": "uuid"}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record. name: in the JSON; `levels.silent` is `silent` in the object `levels`.

    attribute: the row's; empty for the addresses, which are made from the request. schema: as JSON Schema. example:
    for the documentation.
    """

    name: str
    attribute: str
    schema: Schema
    example: Any


# Of every record, whatever its status.
ALWAYS = (
    Field("url", "", _LINK | {"description": "The link, final from the start."}, f"{SERVICE}/record?{QUERY}"),
    Field("page", "", _LINK | {"description": "The page that plays it."}, f"{SERVICE}/listen?{QUERY}"),
    Field("id", "id", RECORD_ID_SCHEMA, RECORD_ID),
    Field("user", "user", USER_ID_SCHEMA, USER_ID),
    Field("name", "name", {"type": "string", "minLength": 1, "maxLength": 255}, "Запись 1.wav"),
    Field("status", "status", {"type": "string", "enum": ["pending", "ready", "failed"]}, "ready"),
    Field("created_at", "created_at", TIME, "2026-11-23T10:00:00Z"),
)

# Of a record that is ready.
MEASURED = (
    Field(
        "duration",
        "duration",
        {"type": "number", "minimum": 0, "description": "Seconds that the MP3 plays."},
        12.345,
    ),
    Field(
        "sample_rate",
        "sample_rate",
        {"type": "integer", "minimum": 1000, "maximum": 384000, "description": "Of the WAV, in Hz."},
        44100,
    ),
    Field("channels", "channels", {"type": "integer", "minimum": 1, "maximum": 8, "description": "Of the WAV."}, 2),
    Field(
        "truncated",
        "truncated",
        {"type": "boolean", "description": "The WAV declared more audio than it held."},
        False,
    ),
    Field("wav.bytes", "wav_bytes", {"type": "integer", "minimum": 1}, 2177622),
    Field("wav.sha256", "wav_sha256", _SHA256, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    Field("mp3.bytes", "mp3_bytes", {"type": "integer", "minimum": 1}, 197799),
    Field("mp3.sha256", "mp3_sha256", _SHA256, "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"),
    Field("levels.peak_dbfs", "peak_dbfs", {"type": "number", "maximum": 0}, -1.2),
    Field("levels.mean_dbfs", "mean_dbfs", {"type": "number", "maximum": 0}, -19.8),
    Field("levels.silent", "silent", {"type": "boolean"}, False),
    Field(
        "waveform",
        "waveform",
        {
            "type": "array",
            "minItems": 200,
            "maxItems": 200,
            "items": {"type": "integer", "minimum": 0, "maximum": 255},
            "description": "200 peaks over the whole length.",
        },
        [0, 12, 255, 97] * 50,
    ),
)
WITHOUT_WAVEFORM = tuple(field for field in MEASURED if field.name != "waveform")


def measured(row: Any, fields: tuple[Field, ...]) -> dict[str, Any]:
    """The JSON of these fields of a row."""
    found = {}
    for field in fields:
        value = getattr(row, field.attribute)
        found[field.name] = list(value) if isinstance(value, bytes) else value
    return _nested(found)


def schema(*fields: Field, optional: dict[str, Schema] | None = None, **more: Schema) -> Schema:
    """The JSON Schema of an object with these fields and `more`, all required, and with the `optional` ones."""
    properties = _nested({field.name: field.schema for field in fields})
    for name in {field.name.partition(".")[0] for field in fields if "." in field.name}:
        properties[name] = {"type": "object", "required": [*properties[name]], "properties": properties[name]}
    properties |= more
    return {"type": "object", "required": [*properties], "properties": properties | (optional or {})}


def example(*fields: Field, **more: Any) -> dict[str, Any]:
    """An example of an object with these fields."""
    return _nested({field.name: field.example for field in fields}) | more


def _nested(found: dict[str, Any]) -> dict[str, Any]:
    """`{"levels.silent": x}` as `{"levels": {"silent": x}}`."""
    nested: dict[str, Any] = {}
    for name, value in found.items():
        group, _, inner = name.rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[inner] = value
    return nested
