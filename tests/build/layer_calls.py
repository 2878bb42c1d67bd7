"""Every call that the functions make to AWS, through the functions. tests/build/test_layer.py runs this as a program,
with the packages of the built layer and no others.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import wave
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from records import aws, storage
from records.recordings import Recording
from records.settings import settings
from records.users import User
from tests.support import client as support
from tests.support.client import Account, Context, EventClient, HttpClient, Reply, form, function, send, sign_up


def tone() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        target.writeframes(bytes(range(256)) * 64)
    return file.getvalue()


def fetch(client: EventClient, url: str, **headers: str) -> Reply:
    parts = urlsplit(url)
    return client.request("GET", f"{parts.path}?{parts.query}", headers)


def make_cloud() -> None:
    User.create_table(billing_mode="PAY_PER_REQUEST")
    Recording.create_table(billing_mode="PAY_PER_REQUEST")
    aws.s3().create_bucket(Bucket=settings().bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})


def direct(client: EventClient, account: Account) -> Recording:
    made = send(client, account, tone(), key="one")
    assert (made.status, made.json["status"]) == (201, "ready"), made
    assert send(client, account, tone(), key="one").status == 200
    got = fetch(client, made.json["url"])
    assert (got.status, hashlib.sha256(got.body).hexdigest()) == (200, made.json["mp3"]["sha256"])
    part = fetch(client, made.json["url"], Range="bytes=10-19")
    assert (part.status, part.body) == (206, got.body[10:20])
    row = Recording.find(account.id, made.json["id"])
    assert HttpClient("").request("GET", storage.signed_get(row.mp3_key(), "attachment")).body == got.body
    unplayable = send(client, account, tone()[:44])
    assert (unplayable.status, unplayable.json["code"]) == (422, "unplayable_audio")
    return row


def uploaded(client: EventClient, account: Account) -> None:
    asked = {"user_id": account.id, "name": "lecture.wav"}
    headers = {"Content-Type": "application/json", **account.bearer}
    ticket = client.request("POST", "/uploads", headers, json.dumps(asked))
    assert ticket.status == 201, ticket
    upload = ticket.json["upload"]
    fields = [(name, None, value.encode()) for name, value in upload["fields"].items()]
    form_headers, body = form(*fields, ("file", "lecture.wav", tone()))
    assert HttpClient("").request("POST", upload["url"], form_headers, body).status == 204
    event = {"Records": [{"s3": {"object": {"key": upload["fields"]["key"], "size": len(tone())}}}]}
    function("convert_upload").lambda_handler(event, Context(seconds=60.0))
    assert fetch(client, ticket.json["url"]).status == 200


def large(row: Recording, folder: Path) -> None:
    """An MP3 that is stored in parts; those of 64 MiB are no different."""
    storage.MULTIPART_BYTES = storage.PART_BYTES
    path, size = folder / "large.mp3", storage.PART_BYTES + 10
    with path.open("wb") as file:
        file.truncate(size)
    storage.put_mp3(row.mp3_key("f" * 64), path, "")
    assert storage.get(row.mp3_key("f" * 64), size - 1, size - 1) == b"\0"


def remove(row: Recording) -> None:
    event = {"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "1", "OldImage": row.serialize()}}
    assert function("remove_audio").lambda_handler({"Records": [event]}, Context()) == {"batchItemFailures": []}
    left = aws.s3().list_objects_v2(Bucket=settings().bucket, Prefix=row.mp3_prefix)
    assert left["KeyCount"] == 0


@cache
def routes() -> dict[tuple[str, str], str]:
    """The template's routes, read by another process: what reads YAML is no part of the layer."""
    code = (
        "import json, tests.support.client as c; print(json.dumps([[*key, name] for key, name in c.routes().items()]))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return {(method, path): name for method, path, name in json.loads(found)}


def main() -> None:
    vars(support)["routes"] = routes
    make_cloud()
    client = EventClient()
    account = sign_up(client, email="user1@mail.ru")
    taken = json.dumps({"name": "user2", "email": "User1@mail.ru"})
    assert client.request("POST", "/users", {"Content-Type": "application/json"}, taken).status == 409
    row = direct(client, account)
    uploaded(client, account)
    with TemporaryDirectory() as folder:
        large(row, Path(folder))
    remove(row)
    assert client.request("GET", "/docs").status == 200
    assert client.request("GET", "/assets/-/swagger-ui-bundle.min.js").status == 200
    foreign = [
        name for name, module in sys.modules.items() if "site-packages" in (getattr(module, "__file__", "") or "")
    ]
    assert not foreign, foreign


if __name__ == "__main__":
    main()
