"""The one declaration of a record's fields, beside the row that holds them."""

from __future__ import annotations

import pytest

from records import record
from records.recordings import Recording


@pytest.mark.parametrize("field", [*record.ALWAYS, *record.MEASURED], ids=lambda field: field.name)
def test_every_field_is_an_attribute_of_the_row(field: record.Field) -> None:
    assert field.name in ("url", "page") or field.attribute in Recording.get_attributes()


def test_dotted_names_are_objects() -> None:
    row = Recording(wav_bytes=44, wav_sha256="ab", waveform=b"\x00\xff")
    fields = tuple(field for field in record.MEASURED if field.name.startswith("wav"))
    assert record.measured(row, fields) == {"wav": {"bytes": 44, "sha256": "ab"}, "waveform": [0, 255]}
    assert record.schema(*fields[:2]) == {
        "type": "object",
        "required": ["wav"],
        "properties": {
            "wav": {
                "type": "object",
                "required": ["bytes", "sha256"],
                "properties": {"bytes": fields[0].schema, "sha256": fields[1].schema},
            }
        },
    }
