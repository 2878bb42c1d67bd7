"""What MiniStack loses when it is killed, kept: every write to a table, and the uploads that were not converted yet.

MiniStack writes its memory down at its end only. Objects are on disk at once; a table's write is appended to a journal
here before it is answered, and at the next start the journal is applied to what was written down before it.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import IO, Any

from ministack import app as ministack
from ministack.services import dynamodb, s3

emit_stream_event = dynamodb._emit_stream_event


class Journal:
    """A line for each item that was written or removed since MiniStack last wrote its tables down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before = path.with_suffix(".before")  # while the tables are written down
        self._lock = threading.Lock()
        self._file: IO[str] | None = None

    def install(self) -> None:
        dynamodb._emit_stream_event = self.record

    def record(
        self, table: str, event: str, old: dict[str, Any] | None, new: dict[str, Any] | None, **more: Any
    ) -> None:
        """In place of the function that MiniStack calls after every write."""
        with self._lock:
            if self._file:
                self._file.write(json.dumps([table, old if new is None else new, new is None]) + "\n")
                self._file.flush()  # to the operating system, which a killed process takes nothing from
        emit_stream_event(table, event, old, new, **more)

    def replay(self) -> None:
        """Apply what was written since the tables were last written down, and begin to record."""
        for path in (self.before, self.path):
            for line in path.read_text().splitlines() if path.exists() else []:
                try:
                    table, item, removed = json.loads(line)
                except ValueError:  # the last one, cut off
                    continue
                apply(table, item, removed)
        ministack.save_all(ministack._build_persistence_save_dict())
        self.before.unlink(missing_ok=True)
        self._file = self.path.open("w")

    def compact(self) -> None:
        """Write down all that MiniStack has in memory; what is written meanwhile is in a new journal."""
        with self._lock:
            if self._file:
                self._file.close()
                self.path.replace(self.before)
            self._file = self.path.open("a")
        ministack.save_all(ministack._build_persistence_save_dict())
        self.before.unlink(missing_ok=True)


def apply(table: str, item: dict[str, Any], removed: bool) -> None:
    if not removed:
        dynamodb._put_item({"TableName": table, "Item": item})
    elif found := dynamodb._tables.get(table):
        names = [name for name in (found["pk_name"], found["sk_name"]) if name]
        dynamodb._delete_item({"TableName": table, "Key": {name: item[name] for name in names}})


def deliver_uploads(bucket: str) -> None:
    """The event of every upload that is still there, once more: what was to convert it may have been stopped."""
    for key, stored in list(s3._buckets.get(bucket, {"objects": {}})["objects"].items()):
        if key.startswith("uploads/"):
            s3._fire_s3_event_async(bucket, key, "s3:ObjectCreated:Post", stored["size"], stored["etag"])
