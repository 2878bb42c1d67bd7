"""A stand-in for DynamoDB and S3 in memory, hundreds of times as fast as moto: what the explorer runs over.

It takes the place of botocore's `_make_api_call`, so everything above that is the real code. It knows only the calls
and the expressions that the service uses, and refuses any other. `test_interleavings.py` compares it with moto.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError

Item = dict[str, dict[str, Any]]  # in DynamoDB's own form: {"status": {"S": "ready"}}
Condition = Callable[[Item, dict[str, str], Item], bool]  # of an item, and of an expression's names and values

EPOCH = datetime.fromtimestamp(0, UTC)
KEYS = {"records": ("user", "id"), "users": ("pk",)}


class StandIn:
    """Tables and a bucket. before: called with each call before it is carried out; removed: rows that were deleted."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[tuple[str, ...], Item]] = {name: {} for name in KEYS}
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, tuple[str, dict[int, bytes]]] = {}  # in parts, unfinished: the key, the parts
        self._begun = 0
        self.removed: list[Item] = []
        self.before: Callable[[str, dict[str, Any]], None] = lambda _operation, _arguments: None

    @contextmanager
    def active(self) -> Iterator[StandIn]:
        """Every call of botocore comes here."""

        def make_api_call(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
            self.before(operation, arguments)
            return self.call(operation, arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(botocore.client.BaseClient, "_make_api_call", make_api_call)
            yield self

    def call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self, f"_{operation}")(**arguments)
        return answer

    # ------------------------------------------------------------ DynamoDB

    def remove(self, key: tuple[str, ...]) -> None:
        """Remove a row of the records table; the table's stream has it then."""
        self.removed.append(self.tables["records"].pop(key))

    def _place(self, table: str, item: Item) -> tuple[str, ...]:
        return tuple(next(iter(item[name].values())) for name in KEYS[table])

    def _check(self, operation: str, held: Item | None, arguments: dict[str, Any]) -> None:
        expression = arguments.get("ConditionExpression")
        if expression is not None:
            names, values = _named(arguments)
            if not condition(expression)(held or {}, names, values):
                raise _error("ConditionalCheckFailedException", operation)

    def _GetItem(self, TableName: str, Key: Item, ConsistentRead: bool = False, **_: Any) -> dict[str, Any]:  # noqa: N802, N803
        assert ConsistentRead is True
        held = self.tables[TableName].get(self._place(TableName, Key))
        return {} if held is None else {"Item": {**held}}

    def _PutItem(self, TableName: str, Item: Item, **arguments: Any) -> dict[str, Any]:  # noqa: N802, N803
        place = self._place(TableName, Item)
        self._check("PutItem", self.tables[TableName].get(place), arguments)
        self.tables[TableName][place] = {**Item}
        return {}

    def _UpdateItem(self, TableName: str, Key: Item, UpdateExpression: str, **arguments: Any) -> dict[str, Any]:  # noqa: N802, N803
        place = self._place(TableName, Key)
        held = self.tables[TableName].get(place)
        self._check("UpdateItem", held, arguments)
        names, values = _named(arguments)
        updated = {**(held or Key)}
        for action, name, value in changes(UpdateExpression):
            if action == "REMOVE":
                updated.pop(names[name], None)
            else:
                updated[names[name]] = values[value]
        self.tables[TableName][place] = updated
        return {"Attributes": {**updated}} if arguments.get("ReturnValues") == "ALL_NEW" else {}

    def _DeleteItem(self, TableName: str, Key: Item, **arguments: Any) -> dict[str, Any]:  # noqa: N802, N803
        place = self._place(TableName, Key)
        held = self.tables[TableName].get(place)
        self._check("DeleteItem", held, arguments)
        if held is not None:
            self.remove(place)
        return {}

    # ------------------------------------------------------------ S3

    def _PutObject(self, Key: str, Body: Any, **_: Any) -> dict[str, Any]:  # noqa: N802, N803
        self.objects[Key] = Body if isinstance(Body, bytes) else Body.read()
        return {}

    def _HeadObject(self, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N802, N803
        if Key not in self.objects:
            raise _error("404", "HeadObject")
        return {"ContentLength": len(self.objects[Key]), "ETag": self._etag(Key)}

    def _GetObject(self, Key: str, Range: str, IfMatch: str | None = None, **_: Any) -> dict[str, Any]:  # noqa: N802, N803
        if Key not in self.objects:
            raise _error("NoSuchKey", "GetObject")
        if IfMatch not in (None, self._etag(Key)):
            raise _error("PreconditionFailed", "GetObject")
        body = self.objects[Key]
        first, last = (int(number) for number in Range.removeprefix("bytes=").split("-"))
        piece = body[first : last + 1]
        content_range = f"bytes {first}-{first + len(piece) - 1}/{len(body)}"
        about = {"ContentRange": content_range, "ContentLength": len(piece), "ETag": self._etag(Key)}
        return {"Body": BytesIO(piece), **about}

    def _etag(self, key: str) -> str:
        return _etag(self.objects[key])

    def _DeleteObject(self, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N802, N803
        self.objects.pop(Key, None)
        return {}

    def _CreateMultipartUpload(self, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N802, N803
        self._begun += 1
        self.uploads[f"upload-{self._begun}"] = (Key, {})
        return {"UploadId": f"upload-{self._begun}"}

    def _parts(self, upload_id: str, operation: str) -> dict[int, bytes]:
        if upload_id not in self.uploads:
            raise _error("NoSuchUpload", operation)
        return self.uploads[upload_id][1]

    def upload_part(self, upload_id: str, number: int, body: bytes) -> bool:
        """What a client does itself, with a signed address. Returns whether there is such an upload."""
        if upload_id in self.uploads:
            self.uploads[upload_id][1][number] = body
        return upload_id in self.uploads

    def _ListParts(self, UploadId: str, **_: Any) -> dict[str, Any]:  # noqa: N802, N803
        found = sorted(self._parts(UploadId, "ListParts").items())
        parts = [{"PartNumber": number, "Size": len(body), "ETag": _etag(body)} for number, body in found]
        return {"IsTruncated": False, "Parts": parts}

    def _CompleteMultipartUpload(self, Key: str, UploadId: str, MultipartUpload: Any, **_: Any) -> dict[str, Any]:  # noqa: N802, N803
        held, asked = self._parts(UploadId, "CompleteMultipartUpload"), MultipartUpload["Parts"]
        if any(_etag(held.get(part["PartNumber"], b"")) != part["ETag"] for part in asked):
            raise _error("InvalidPart", "CompleteMultipartUpload")
        self.objects[Key] = b"".join(held[part["PartNumber"]] for part in asked)
        del self.uploads[UploadId]
        return {}

    def _AbortMultipartUpload(self, UploadId: str, **_: Any) -> dict[str, Any]:  # noqa: N802, N803
        self._parts(UploadId, "AbortMultipartUpload")
        del self.uploads[UploadId]
        return {}

    def _ListObjectsV2(self, Prefix: str, **_: Any) -> dict[str, Any]:  # noqa: N802, N803
        found = sorted(key for key in self.objects if key.startswith(Prefix))
        listed = [{"Key": key, "Size": len(self.objects[key]), "LastModified": EPOCH} for key in found]
        return {"IsTruncated": False, "Contents": listed} if found else {"IsTruncated": False}


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "of the stand-in"}}, operation)


def _named(arguments: dict[str, Any]) -> tuple[dict[str, str], Item]:
    return arguments.get("ExpressionAttributeNames", {}), arguments.get("ExpressionAttributeValues", {})


# ---------------------------------------------------------------- expressions

_TOKEN = re.compile(r"\s*([#:]\w+|\w+|<>|<=|>=|[=<>(),])")


@lru_cache(None)
def changes(expression: str) -> tuple[tuple[str, str, str], ...]:
    """The actions of an update expression: (SET, name, value) or (REMOVE, name, "")."""
    found = []
    for action, text in re.findall(r"(SET|REMOVE) ((?:(?! SET | REMOVE ).)*)", expression):
        for part in text.split(","):
            name, _, value = (piece.strip() for piece in part.partition("="))
            assert re.fullmatch(r"#\w+", name), expression
            assert bool(re.fullmatch(r":\w+", value)) == (action == "SET"), expression
            found.append((action, name, value))
    return tuple(found)


@lru_cache(None)
def condition(expression: str) -> Condition:
    """A condition expression (DynamoDB's developer guide, "Condition and filter expressions"), as far as it is used."""
    tokens = _TOKEN.findall(expression)
    assert "".join(tokens) == re.sub(r"\s", "", expression), expression
    parsed = _either(tokens)
    assert not tokens, expression
    return parsed


def _either(tokens: list[str]) -> Condition:
    parts = [_all(tokens)]
    while tokens[:1] == ["OR"]:
        tokens.pop(0)
        parts.append(_all(tokens))
    return lambda item, names, values: any(part(item, names, values) for part in parts)


def _all(tokens: list[str]) -> Condition:
    parts = [_one(tokens)]
    while tokens[:1] == ["AND"]:
        tokens.pop(0)
        parts.append(_one(tokens))
    return lambda item, names, values: all(part(item, names, values) for part in parts)


def _one(tokens: list[str]) -> Condition:
    token = tokens.pop(0)
    if token == "NOT":
        negated = _one(tokens)
        return lambda item, names, values: not negated(item, names, values)
    if token == "(":
        inner = _either(tokens)
        assert tokens.pop(0) == ")"
        return inner
    if token in ("attribute_exists", "attribute_not_exists"):
        opening, name, closing = (tokens.pop(0) for _ in range(3))
        assert (opening, closing) == ("(", ")")
        return lambda item, names, _: (names[name] in item) == (token == "attribute_exists")
    operator = tokens.pop(0)
    if operator == "IN":
        assert tokens.pop(0) == "("
        wanted: list[str] = []
        while not wanted or tokens.pop(0) == ",":
            wanted.append(tokens.pop(0))
        return lambda item, names, values: any(item.get(names[token]) == values[value] for value in wanted)
    value = tokens.pop(0)
    return lambda item, names, values: _compare(operator, item.get(names[token]), values[value])


def _compare(operator: str, held: dict[str, Any] | None, value: dict[str, Any]) -> bool:
    if held is None or held.keys() != value.keys():
        return operator == "<>"
    [(kind, left)], [right] = held.items(), value.values()
    if kind == "N":
        left, right = float(left), float(right)
    outcome: bool = {
        "=": left == right,
        "<>": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[operator]
    return outcome
