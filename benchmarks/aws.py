"""AWS in this process's memory: what a handler costs without the network, and without the servers at its other end.

It stands where botocore would begin to make a request, so that none of botocore's own work is counted either: what is
measured is the service's. It knows the calls that the functions make, and no conditions.
"""

from __future__ import annotations

import io
import os
from typing import Any

import botocore.client
from botocore.response import StreamingBody

Row = dict[str, Any]

KEPT_BYTES = 1024 * 1024


class Memory:
    """Rows by table and key, objects by key."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, ...], Row] = {}
        self.objects: dict[str, bytes | str] = {}

    @staticmethod
    def _key(table: str, item: Row) -> tuple[str, ...]:
        names = ("pk",) if "pk" in item else ("user", "id")
        return table, *(str(item[name]) for name in names)

    # DynamoDB

    def PutItem(self, TableName: str, Item: Row, **_: Any) -> Row:  # noqa: N802, N803
        self.rows[self._key(TableName, Item)] = Item
        return {}

    def TransactWriteItems(self, TransactItems: list[Row], **_: Any) -> Row:  # noqa: N802, N803
        for item in TransactItems:
            self.PutItem(**item["Put"])
        return {}

    def GetItem(self, TableName: str, Key: Row, **_: Any) -> Row:  # noqa: N802, N803
        row = self.rows.get(self._key(TableName, Key))
        return {"Item": row} if row else {}

    def UpdateItem(  # noqa: N802
        self,
        TableName: str,  # noqa: N803
        Key: Row,  # noqa: N803
        UpdateExpression: str,  # noqa: N803
        ExpressionAttributeNames: dict[str, str],  # noqa: N803
        ExpressionAttributeValues: Row,  # noqa: N803
        **_: Any,
    ) -> Row:
        row = self.rows[self._key(TableName, Key)]
        for action in ("SET", "REMOVE"):
            _before, found, rest = UpdateExpression.partition(action + " ")
            for term in rest.split("REMOVE")[0].split(",") if found else []:
                name, _equals, value = term.strip().partition(" = ")
                if value:
                    row[ExpressionAttributeNames[name]] = ExpressionAttributeValues[value]
                else:
                    row.pop(ExpressionAttributeNames[name], None)
        return {"Attributes": row}

    # S3. An object may be the path of a file, which is then read as it is asked for.

    def PutObject(self, Key: str, Body: Any, **_: Any) -> Row:  # noqa: N802, N803
        """As over the network: in blocks. What is kept is the beginning, which is all of a short one."""
        self.objects[Key] = Body.read(KEPT_BYTES)
        while Body.read(64 * 1024):
            pass
        return {}

    def HeadObject(self, Key: str, **_: Any) -> Row:  # noqa: N802, N803
        found = self.objects[Key]
        return {"ContentLength": os.path.getsize(found) if isinstance(found, str) else len(found), "ETag": '"1"'}

    def GetObject(self, Key: str, Range: str, **_: Any) -> Row:  # noqa: N802, N803
        first, last = (int(part) for part in Range.removeprefix("bytes=").split("-"))
        found = self.objects[Key]
        stream: Any = open(found, "rb") if isinstance(found, str) else io.BytesIO(found)  # noqa: SIM115
        stream.seek(first)
        size = self.HeadObject(Key)["ContentLength"]
        length = last - first + 1
        limited: Any = _Limited(stream, length)
        body = StreamingBody(limited, length)
        return {"Body": body, "ContentLength": length, "ContentRange": f"bytes {first}-{last}/{size}", "ETag": '"1"'}

    def ListObjectsV2(self, Prefix: str, **_: Any) -> Row:  # noqa: N802, N803
        return {"Contents": [{"Key": key} for key in self.objects if key.startswith(Prefix)]}

    def DeleteObject(self, Key: str, **_: Any) -> Row:  # noqa: N802, N803
        self.objects.pop(Key, None)
        return {}


class _Limited(io.RawIOBase):
    """The first `length` bytes of a stream, as urllib3's answers give them."""

    def __init__(self, stream: Any, length: int) -> None:
        self._stream = stream
        self._left = length

    def read(self, size: int | None = -1) -> bytes:
        piece: bytes = self._stream.read(self._left if size is None or size < 0 else min(size, self._left))
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._stream.close()
        super().close()


def install() -> Memory:
    """Answer every AWS call of this process from memory."""
    memory = Memory()

    def call(_client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        return getattr(memory, operation)(**arguments)

    vars(botocore.client)["BaseClient"]._make_api_call = call
    return memory
