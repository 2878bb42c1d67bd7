"""What each function is for, as a scenario that can be run with something going wrong, and what must be true after it.

prepare   everything that comes before, with nothing going wrong
act       the one request or event, at which something goes wrong
promised  what the answer promised is so
again     what a client, or AWS, does about an answer that was no success; with nothing going wrong
settled   once time has cleared up, there is exactly what was promised to somebody, and nothing else
"""

from __future__ import annotations

import copy
import functools
import hashlib
import io
import json
import math
import struct
import uuid
import wave
from collections.abc import Callable
from typing import Any, TypeVar, cast
from urllib.parse import parse_qs, urlsplit

from records import aws, storage
from records.errors import InvalidCredentials, ServerError
from records.recordings import Recording
from records.users import User
from tests.integration import events
from tests.integration.conftest import BUCKET
from tests.integration.events import objects, parts, rows
from tests.integration.faults import APPLIED, SECRET, Fault
from tests.support.client import Account, Context, EventClient, Reply, function, send, sign_up

F = TypeVar("F", bound=Callable[..., Any])

BUSY = {
    "code": "unavailable",
    "message": "The service is busy or a part of it is failing. Send the same request again in a moment.",
}


def tiny_wav(seconds: float = 0.1, rate: int = 22050) -> bytes:
    """A mono tone, 16 bit."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(rate)
        count = int(seconds * rate)
        wav.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(i / 7))) for i in range(count)))
    return file.getvalue()


WAV = tiny_wav()


def assert_busy(reply: Reply) -> None:
    """The contract's answer for a fault on our side, to the last header; and nothing of what was really wrong."""
    assert (reply.status, reply.json) == (503, BUSY)
    assert reply.headers["access-control-allow-origin"] == "*"
    every = ("x-request-id", "access-control-allow-origin", "access-control-expose-headers")  # of any response
    assert {name: value for name, value in reply.headers.items() if name not in every} == {
        "content-type": "application/json; charset=utf-8",
        "cache-control": "no-store",
        "retry-after": "5",
    }
    assert all(reply.headers[name] for name in every)


def stored(row: Recording) -> bytes:
    """The MP3 that a ready row names; its bytes are the ones that the row says."""
    mp3 = events.content(row.mp3_key())
    assert (len(mp3), hashlib.sha256(mp3).hexdigest()) == (row.mp3_bytes, row.mp3_sha256)
    return mp3


def assert_sound() -> None:
    """At any moment: no row is ready without its object."""
    for row in rows():
        if row.status == "ready":
            stored(row)


def assert_holds(*record_ids: str) -> None:
    """These records are there, ready, each with its one object; and nothing else is."""
    found = rows()
    assert sorted(row.id for row in found) == sorted(record_ids)
    assert [row.status for row in found] == ["ready"] * len(record_ids)
    assert [row.expires_at for row in found] == [None] * len(record_ids)
    for row in found:
        stored(row)
    assert objects() == sorted(row.mp3_key() for row in found)
    assert parts() == []


def cache(function: F) -> F:
    """functools.cache, which loses the types of the arguments and takes no class for hashable."""
    return cast(F, functools.cache(function))


@cache
def _preparation(scenario: type[Scenario], cloud: object) -> tuple[Scenario, Callable[[], None]]:
    events.empty_cloud()
    run = scenario()
    run.prepare()
    return run, events.keep_cloud()


def prepared(scenario: type[Scenario]) -> Scenario:
    """A run in a cloud that holds what comes before it, and nothing else. The same is prepared once for many runs."""
    run, bring_back = _preparation(scenario, aws.session())
    bring_back()
    return copy.copy(run)


class Scenario:
    """One run. `reply`: the answer to the request, where it is one."""

    faults: tuple[Fault, ...] = ()
    gap = False  # whether what is documented as impossible came about
    saved = False  # whether the first answer was the one that was wanted
    only_reads = False
    answers = True  # to a client, who waits; or else to an event, which AWS delivers again
    seconds = 29  # what an answer of the API may take

    def __init__(self) -> None:
        self.client = EventClient()
        self.reply: Reply | None = None

    @property
    def doubtful(self) -> bool:
        """Whether a write was carried out, its answer was lost, and so was every answer to "was it?" after it.

        Nobody can tell the client the truth then: what was stored may be said to have failed.
        """
        return len(self.faults) > 1 or any(f.scope == "outage" and f.kind in APPLIED for f in self.faults)

    @property
    def said(self) -> Reply:
        assert self.reply
        return self.reply

    @property
    def succeeded(self) -> bool:
        return self.said.status in (200, 201, 204)

    def prepare(self) -> None:
        """Nothing by default."""

    def act(self) -> None:
        raise NotImplementedError

    def promised(self) -> None:
        """Nothing was promised but an answer."""
        assert_sound()
        assert SECRET.encode() not in self.said.body
        if not self.succeeded:
            assert_busy(self.said)

    def again(self) -> None:
        """Ask again, unless the answer was the one that was wanted."""
        if self.reply is None or not self.succeeded:
            self.act()
            assert self.succeeded, self.said

    def settled(self) -> None:
        events.clean_up()


class SignUp(Scenario):
    def prepare(self) -> None:
        self.body: dict[str, str] = {"name": "user1"}

    def act(self) -> None:
        self.reply = None
        headers = {"Content-Type": "application/json"}
        self.reply = self.client.request("POST", "/users", headers, json.dumps(self.body))

    def promised(self) -> None:
        super().promised()
        users = events.raw_rows(User)
        if self.succeeded:
            assert User.authenticate(self.said.json["id"], self.said.json["token"]).name == "user1"
        else:
            self.gap = users != []
            assert self.doubtful or not self.gap

    def settled(self) -> None:
        found = {row["pk"]["S"]: int(row["id"]["N"]) for row in events.raw_rows(User)}
        user_id = self.said.json["id"]
        expected = {f"user#{user_id}": user_id}
        if "email" in self.body:
            expected[f"email#{self.body['email'].lower()}"] = user_id
        assert expected.items() <= found.items() if self.doubtful else expected == found


class SignUpWithEmail(SignUp):
    def prepare(self) -> None:
        super().prepare()
        self.body["email"] = "Ann@mail.ru"

    def again(self) -> None:
        """The gap that hurts: the e-mail of somebody who was told of no account is taken by that account."""
        first = self.said
        if self.gap:
            self.act()
            assert (self.said.status, self.said.json["code"]) == (409, "email_taken")
            self.reply = first
        else:
            super().again()

    def settled(self) -> None:
        if not self.gap:
            super().settled()
        else:
            held = {row["pk"]["S"]: int(row["id"]["N"]) for row in events.raw_rows(User)}
            user_id = held.pop("email#ann@mail.ru")
            assert held == {f"user#{user_id}": user_id}


class SignUpWithKey(SignUp):
    """With a key there is never a doubt: the same request ends with one account and the token that opens it."""

    key = "16fd2706-8baf-433b-82eb-8c7fada847da"

    def prepare(self) -> None:
        super().prepare()
        self.body["email"] = "Ann@mail.ru"

    def act(self) -> None:
        self.reply = None
        headers = {"Content-Type": "application/json", "Idempotency-Key": self.key}
        self.reply = self.client.request("POST", "/users", headers, json.dumps(self.body))

    def promised(self) -> None:
        super().promised()
        self.gap = False

    def settled(self) -> None:
        user_id, token = self.said.json["id"], self.said.json["token"]
        held = {row["pk"]["S"]: int(row["id"]["N"]) for row in events.raw_rows(User)}
        signup = f"signup#{hashlib.sha256(self.key.encode()).hexdigest()}"
        assert held == dict.fromkeys([f"user#{user_id}", "email#ann@mail.ru", signup], user_id)
        assert User.authenticate(user_id, token).email == "Ann@mail.ru"
        self.act()
        assert (self.said.status, self.said.json) == (200, {"id": user_id, "token": token})


class ReplaceToken(Scenario):
    """A new token: whatever is lost, the old one can ask again, and ends with the one that works."""

    def prepare(self) -> None:
        self.account = sign_up(self.client)

    def act(self) -> None:
        self.reply = None
        headers = {"Content-Type": "application/json", **self.account.bearer, "Idempotency-Key": "key-1"}
        self.reply = self.client.request("POST", "/users/token", headers, json.dumps({"user_id": self.account.id}))

    def works(self, token: str) -> bool:
        try:
            User.authenticate(self.account.id, token)
        except InvalidCredentials:
            return False
        return True

    def promised(self) -> None:
        super().promised()
        if self.succeeded:
            assert (self.works(self.account.token), self.works(self.said.json["token"])) == (False, True)
        elif not self.doubtful:
            assert self.works(self.account.token)

    def settled(self) -> None:
        token = self.said.json["token"]
        assert (self.works(self.account.token), self.works(token)) == (False, True)
        self.act()
        assert (self.said.status, self.said.json) == (200, {"id": self.account.id, "token": token})


class Send(Scenario):
    """A recording in the request."""

    key: str | None = None

    def prepare(self) -> None:
        self.account = sign_up(self.client)

    def act(self) -> None:
        self.reply = None
        self.reply = send(self.client, self.account, WAV, name="a.wav", key=self.key)

    def promised(self) -> None:
        super().promised()
        ready = [row for row in rows() if row.status == "ready"]
        if self.succeeded:
            body = self.said.json
            assert self.said.status == 201 or self.key is not None
            assert [row.id for row in ready] == [body["id"]]
            address = urlsplit(body["url"])
            mp3 = self.client.request("GET", f"{address.path}?{address.query}")
            assert (mp3.status, hashlib.sha256(mp3.body).hexdigest()) == (200, body["mp3"]["sha256"])
        elif self.doubtful:
            self.gap = ready != [] and self.key is None  # with a key the next attempt tells
        else:
            assert ready == []

    def settled(self) -> None:
        super().settled()
        if not self.doubtful:
            assert_holds(self.said.json["id"])
        else:
            assert_holds(*[row.id for row in rows()])
            assert self.said.json["id"] in [row.id for row in rows()]


class SendWithKey(Send):
    key = "key-1"

    def settled(self) -> None:
        """With a key there is never a doubt."""
        events.clean_up()
        assert_holds(self.said.json["id"])


class Ticket(Scenario):
    """A ticket for an upload, which nobody uses."""

    key: str | None = None

    def prepare(self) -> None:
        self.account = sign_up(self.client)

    def act(self) -> None:
        self.reply = None
        headers = {"Content-Type": "application/json", **self.account.bearer}
        headers |= {"Idempotency-Key": self.key} if self.key else {}
        body = {"user_id": self.account.id, "name": "a.wav"}
        self.reply = self.client.request("POST", "/uploads", headers, json.dumps(body))

    def promised(self) -> None:
        super().promised()
        if self.succeeded:
            [row] = [row for row in rows() if row.id == self.said.json["id"]]
            assert row.status == "pending"
            assert self.said.json["upload"]["fields"]["key"] == row.upload_key

    def settled(self) -> None:
        super().settled()
        assert_holds()


class TicketWithKey(Ticket):
    key = "key-1"


class BeginParts(Scenario):
    """An upload in parts is asked for, of which nothing has arrived yet."""

    def prepare(self) -> None:
        self.account = sign_up(self.client)

    def act(self) -> None:
        self.reply = None
        self.reply = self.ask()

    def ask(self) -> Reply:
        headers = {"Content-Type": "application/json", **self.account.bearer, "Idempotency-Key": "key-1"}
        sha256 = hashlib.sha256(WAV).hexdigest()
        body = {"user_id": self.account.id, "name": "a.wav", "bytes": len(WAV), "sha256": sha256}
        return self.client.request("POST", "/uploads", headers, json.dumps(body))

    def send(self, reply: Reply) -> None:
        """What the storage does with the parts that a client sends."""
        for part in reply.json["upload"]["parts"]:
            address = urlsplit(part["url"])
            aws.s3().upload_part(
                Bucket=BUCKET,
                Key=address.path.lstrip("/"),
                UploadId=parse_qs(address.query)["uploadId"][0],
                PartNumber=part["number"],
                Body=WAV[part["offset"] : part["offset"] + part["bytes"]],
            )

    def promised(self) -> None:
        super().promised()
        if self.succeeded:
            [row] = rows()
            assert (row.id, row.status) == (self.said.json["id"], "pending")
            if "upload" in self.said.json:
                assert len(events.received(str(row.upload_id))) == self.said.json["upload"]["received"]
            else:
                assert events.content(row.upload_key) == WAV

    def settled(self) -> None:
        """The client goes on, until the parts are joined and converted."""
        for _ in range(3):
            asked = self.ask()
            if "upload" not in asked.json:
                break
            self.send(asked)
        [row] = rows()
        if row.status == "pending":
            events.arrived(row.upload_key)
        super().settled()
        assert_holds(asked.json["id"])
        [row] = rows()
        assert (row.wav_bytes, row.wav_sha256) == (len(WAV), hashlib.sha256(WAV).hexdigest())


class JoinParts(BeginParts):
    """All parts have arrived: they are joined."""

    def prepare(self) -> None:
        super().prepare()
        self.send(self.ask())

    def promised(self) -> None:
        super().promised()
        if self.succeeded:
            assert "upload" not in self.said.json
            assert parts() == []


class Get(Scenario):
    """A recording that is there."""

    only_reads = True
    headers: dict[str, str] = {}  # noqa: RUF012
    method = "GET"

    def prepare(self) -> None:
        self.account = sign_up(self.client)
        self.record = send(self.client, self.account, WAV).json
        [row] = rows()
        self.mp3 = stored(row)

    def act(self) -> None:
        self.reply = None
        address = urlsplit(self.record["url"])
        self.reply = self.client.request(self.method, f"{address.path}?{address.query}", self.headers)

    @property
    def succeeded(self) -> bool:
        return self.said.status < 500

    def promised(self) -> None:
        super().promised()
        if self.succeeded:
            self.right()

    def right(self) -> None:
        assert (self.said.status, self.said.body) == (200, self.mp3)

    def settled(self) -> None:
        super().settled()
        self.right()
        assert_holds(self.record["id"])


class GetPart(Get):
    headers = {"Range": "bytes=100-299"}  # noqa: RUF012

    def right(self) -> None:
        assert (self.said.status, self.said.body) == (206, self.mp3[100:300])


class GetJson(Get):
    headers = {"Accept": "application/json"}  # noqa: RUF012

    def right(self) -> None:
        assert (self.said.status, self.said.json) == (200, self.record)


class Head(Get):
    method = "HEAD"

    def right(self) -> None:
        assert (self.said.status, self.said.headers["content-length"]) == (200, str(len(self.mp3)))

    def promised(self) -> None:
        if self.succeeded:
            self.right()


class GetLarge(Get):
    """An MP3 that does not fit into an answer; the row alone says so."""

    def prepare(self) -> None:
        super().prepare()
        [row] = rows()
        row.update(actions=[Recording.mp3_bytes.set(5_000_000)])

    def right(self) -> None:
        assert (self.said.status, self.said.headers["cache-control"]) == (302, "no-store")
        [row] = rows()
        assert urlsplit(self.said.headers["location"]).path == f"/{row.mp3_key()}"

    def promised(self) -> None:
        if self.succeeded:
            self.right()
        else:
            assert_busy(self.said)

    def settled(self) -> None:
        self.right()


class Owned(Scenario):
    """Two recordings of one user, the later of which is looked at."""

    only_reads = True

    def prepare(self) -> None:
        self.account = sign_up(self.client)
        self.kept = send(self.client, self.account, WAV, name="kept.wav").json
        self.record = send(self.client, self.account, WAV, name="a.wav").json
        self.image = next(image for image in events.raw_rows() if image["id"]["S"] == self.record["id"])

    def ask(self, method: str, target: str, headers: dict[str, str], body: str | None = None) -> None:
        self.reply = None
        self.reply = self.client.request(method, target, {**self.account.bearer, **headers}, body)

    @property
    def path(self) -> str:
        address = urlsplit(self.record["url"])
        return f"{address.path}?{address.query}"

    def promised(self) -> None:
        super().promised()
        if self.succeeded:
            self.right()

    def right(self) -> None:
        """What a success says is so."""

    def settled(self) -> None:
        super().settled()
        self.right()
        assert_holds(self.record["id"], self.kept["id"])


class ListRecords(Owned):
    def act(self) -> None:
        self.ask("GET", f"/records?user_id={self.account.id}&limit=1", {})

    def right(self) -> None:
        expected = {name: value for name, value in self.record.items() if name != "waveform"}
        assert (self.said.status, self.said.json["records"]) == (200, [expected])
        assert self.said.headers["link"] == f'<{self.said.json["next"]}>; rel="next"'


class GetAccount(Owned):
    def act(self) -> None:
        self.ask("GET", f"/users?user_id={self.account.id}", {})

    def right(self) -> None:
        size = self.record["mp3"]["bytes"] + self.kept["mp3"]["bytes"]
        seconds = round(self.record["duration"] + self.kept["duration"], 3)
        assert self.said.json["usage"] == {"recordings": 2, "seconds": seconds, "mp3_bytes": size}


class Rename(Owned):
    only_reads = False

    def act(self) -> None:
        self.ask("PATCH", self.path, {"Content-Type": "application/json"}, '{"name": "b.wav"}')

    def right(self) -> None:
        assert (self.said.status, self.said.json) == (200, {**self.record, "name": "b.wav"})
        assert {row.id: row.name for row in rows()} == {self.record["id"]: "b.wav", self.kept["id"]: "kept.wav"}


class Delete(Owned):
    only_reads = False

    def act(self) -> None:
        self.ask("DELETE", self.path, {})

    def right(self) -> None:
        assert (self.said.status, self.said.body) == (204, b"")
        for method in ("GET", "HEAD"):
            assert self.client.request(method, self.path).status == 404
        assert [row.id for row in rows()] == [self.kept["id"]]

    def settled(self) -> None:
        """The table's stream tells `remove_audio` of the row that went."""
        self.right()
        event = events.removed(self.image)
        assert function("remove_audio").lambda_handler(event, Context(seconds=60)) == {"batchItemFailures": []}
        assert_holds(self.kept["id"])


class Upload(Scenario):
    """A long recording has arrived. AWS delivers the event again where the function raised."""

    wav = WAV
    event_failed = False
    answers = False
    seconds = 60  # of its fifteen minutes: nobody waits

    def prepare(self) -> None:
        self.account: Account = sign_up(self.client)
        headers = {"Content-Type": "application/json", **self.account.bearer}
        body = {"user_id": self.account.id, "name": "a.wav"}
        self.ticket = self.client.request("POST", "/uploads", headers, json.dumps(body)).json
        self.key = self.ticket["upload"]["fields"]["key"]
        events.upload(self.key, self.wav)

    def act(self) -> None:
        self.event_failed = True
        try:
            events.arrived(self.key)
            self.event_failed = False
        except ServerError as error:
            assert SECRET not in str(error)  # noqa: PT017

    @property
    def succeeded(self) -> bool:
        return not self.event_failed

    def get(self) -> Reply:
        """What whoever has the link is told."""
        address = urlsplit(self.ticket["url"])
        return self.client.request("GET", f"{address.path}?{address.query}")

    def promised(self) -> None:
        assert_sound()
        told = self.get()
        if self.succeeded:
            assert told.status == 200
            assert_holds(self.ticket["id"])
        else:
            assert told.status in (200, 202)  # no failure is final while another attempt is to come
            if told.status != 200:
                assert self.key in objects()

    def again(self) -> None:
        if not self.succeeded:
            self.act()
            assert self.succeeded

    def settled(self) -> None:
        super().settled()
        assert self.get().status == 200
        assert_holds(self.ticket["id"])
        [row] = rows()
        assert (row.wav_bytes, row.wav_sha256) == (len(self.wav), hashlib.sha256(self.wav).hexdigest())


class Removal(Scenario):
    """Two rows are gone: one had an MP3, the other an upload and an MP3 that never became its own."""

    answers = False

    def prepare(self) -> None:
        self.account = sign_up(self.client)
        send(self.client, self.account, WAV)
        [ready] = rows()
        user = User.authenticate(self.account.id, self.account.token)
        pending = Recording.reserve(user, "b.wav", None, None)
        events.upload(pending.upload_key, WAV)
        events.upload(pending.mp3_key("0" * 64), b"half an attempt")
        kept = Recording.reserve(user, "c.wav", None, None)
        events.upload(kept.upload_key, WAV)
        self.kept = kept.upload_key
        gone = [image for image in events.raw_rows() if image["id"]["S"] != kept.id]
        assert {image["id"]["S"] for image in gone} == {ready.id, pending.id}
        self.event = events.remove_rows(gone)
        self.numbers = [item["dynamodb"]["SequenceNumber"] for item in self.event["Records"]]
        changes = [item["dynamodb"] for item in self.event["Records"]]
        self.ids = {change["SequenceNumber"]: change["Keys"]["id"]["S"] for change in changes}
        self.failed = self.numbers

    def act(self) -> None:
        """Lambda sends again everything from the first item that failed."""
        first = self.numbers.index(min(self.failed))
        again = {"Records": self.event["Records"][first:]}
        answer = function("remove_audio").lambda_handler(again, Context(seconds=60))
        assert set(answer) == {"batchItemFailures"}
        self.failed = [item["itemIdentifier"] for item in answer["batchItemFailures"]]
        assert set(self.failed) <= set(self.numbers)

    @property
    def succeeded(self) -> bool:
        return not self.failed

    def promised(self) -> None:
        """What was not reported is gone, so that nothing of it is left when it is not sent again."""
        for number in set(self.numbers) - set(self.failed):
            assert [key for key in objects() if self.ids[number] in key] == []

    def again(self) -> None:
        if not self.succeeded:
            self.act()
            assert self.succeeded

    def settled(self) -> None:
        assert objects() == [self.kept]
        super().settled()
        assert_holds()


class Multipart(Scenario):
    """An MP3 that is stored in parts."""

    answers = False
    mp3 = bytes(range(256)) * 1000

    def prepare(self) -> None:
        digest = hashlib.sha256(self.mp3).hexdigest()
        self.key = f"records/1/{uuid.uuid4()}/{uuid.uuid4()}/{digest}.mp3"
        self.digest = digest
        self.done = False

    def act(self) -> None:
        from pathlib import Path
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as folder:
            path = Path(folder, "audio.mp3")
            path.write_bytes(self.mp3)
            try:
                storage.put_mp3(self.key, path, self.digest)
                self.done = True
            except ServerError:
                self.done = False

    @property
    def succeeded(self) -> bool:
        return self.done

    def promised(self) -> None:
        if self.succeeded:
            assert objects() == [self.key]
        # Where the answer to "begin" is lost, nobody knows what to abort: the bucket's rule does it, a day later.
        if not any(f.scope == "outage" or f.call.operation == "CreateMultipartUpload" for f in self.faults):
            assert parts() == []

    def again(self) -> None:
        if not self.succeeded:
            self.act()
            assert self.succeeded

    def settled(self) -> None:
        super().settled()
        assert objects() == [self.key]
        assert events.content(self.key) == self.mp3
        assert parts() == []
        events.empty_cloud()  # the object is of no row
