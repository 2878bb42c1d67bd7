"""Uploads in parts: which parts are missing, and joining them once none is.

The row names the storage's upload, by a conditional write. When that upload is gone, its parts were either joined, and
the file is there or its conversion has begun, or the bucket's rule has removed them: then the client sends them again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from records import storage
from records.errors import RecordNotFound, Unavailable
from records.recordings import PENDING, Recording

PART_BYTES = 8 * 1024 * 1024
_MAX_LISTED = 32  # parts in one response
_ROUNDS = 4


def next_parts(row: Recording) -> dict[str, Any] | None:
    """The parts of a pending row's announced upload that are to be sent: {"received", "of", "expires_at", "parts"}.

    None where nothing is missing: the parts are joined then, and the conversion starts by itself. Raises Unavailable.
    """
    try:
        for _ in range(_ROUNDS):
            if row.status != PENDING:
                return None
            if row.upload_id is None:
                _begin(row)
                continue
            try:
                received = storage.parts(row.upload_key, row.upload_id)
                missing = _missing(row, received)
                if missing["parts"]:
                    return missing
                etags = {number: etag for number, (_, etag) in received.items()}
                if storage.join_parts(row.upload_key, row.upload_id, etags):
                    return None
            except storage.ObjectNotFound:
                if any(storage.stored(row.upload_key)):
                    return None
                _begin(row)  # unless the file came and went since the row was read
    except RecordNotFound:  # the row was removed meanwhile, and its parts with it
        raise Unavailable from None
    raise Unavailable


def _begin(row: Recording) -> None:
    """Begin an upload for a row. If another request was first, the row holds that one's, and ours is aborted."""
    upload_id = storage.begin_parts(row.upload_key)
    try:
        if row.set_upload(upload_id):
            return
    except (RecordNotFound, Unavailable):
        # If the row names it after all, the next request begins another.
        with suppress(Unavailable):
            storage.abort(row.upload_key, upload_id)
        raise
    if row.upload_id != upload_id:
        storage.abort(row.upload_key, upload_id)


def _missing(row: Recording, received: dict[int, tuple[int, str]]) -> dict[str, Any]:
    total = int(row.announced_bytes)
    sizes = {
        number: min(PART_BYTES, total - (number - 1) * PART_BYTES) for number in range(1, -(-total // PART_BYTES) + 1)
    }
    missing = [number for number, size in sizes.items() if received.get(number, (None, ""))[0] != size]
    return {
        "received": len(sizes) - len(missing),
        "of": len(sizes),
        "expires_at": storage.signed_until(),
        "parts": [
            {
                "number": number,
                "offset": (number - 1) * PART_BYTES,
                "bytes": sizes[number],
                "url": storage.signed_part(row.upload_key, row.upload_id, number, sizes[number]),
            }
            for number in missing[:_MAX_LISTED]
        ],
    }
