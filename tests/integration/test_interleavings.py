"""Attempts at recordings that coincide, in every order of their calls to AWS: nothing is lost, and nothing mixed up.

What is run is the real code over a stand-in for AWS (explorer.py, standin.py); ffmpeg's work is done once and repeated.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import random
import re
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from records import aws, conversion, recordings
from records.errors import AudioRejected, IdempotencyConflict, RecordsError, ServerError, UnplayableAudio
from records.recordings import UPLOAD_SECONDS, Recording
from records.users import User
from tests.integration import events
from tests.integration.conftest import BUCKET, moto_cloud
from tests.integration.explorer import EVERYTHING, Actor, Counts, Touched, World, every_run, random_runs
from tests.integration.faults import tally
from tests.integration.scenarios import tiny_wav
from tests.integration.standin import StandIn
from tests.support.client import Context, function

SOAK = bool(os.environ.get("SOAK"))
TITLE = "interleavings"
SAMPLE = 5000 if SOAK else 150
USER = 7


def with_list_chunk(wav: bytes) -> bytes:
    """Other bytes, the same samples: and so the same MP3."""
    longer = wav + b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.76.100\0"
    return longer[:4] + struct.pack("<I", len(longer) - 8) + longer[8:]


AUDIO = {
    "speech": tiny_wav(0.1),
    "speech with other chunks": with_list_chunk(tiny_wav(0.1)),
    "music": tiny_wav(0.2),
    "no WAV": b"RIFF\x00\x00\x00\x00 this is no sound at all",
    "undecodable": tiny_wav(0.3),
}
REFUSED = {"no WAV": "unsupported_audio", "undecodable": "unplayable_audio"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """Audio that is sent, under a key: in the request, or with the ticket of that key."""

    path: str
    audio: str
    key: str = "k"

    @property
    def body(self) -> bytes:
        return AUDIO[self.audio]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


def samples_of(audio: str) -> bytes:
    body = AUDIO[audio]
    return body[44 : 44 + int.from_bytes(body[40:44], "little")]


_converted: dict[bytes, tuple[Any, bytes]] = {}


@pytest.fixture(scope="module", autouse=True)
def replayed_conversions(
    ffmpeg: str, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[None]:
    """ffmpeg works once for the same samples; its MP3 is repeated."""
    tally.print_with(pytestconfig)
    convert = conversion.mp3.convert

    def repeated(wav: Any, data: Any, directory: Path, **options: Any) -> Any:
        samples = b"".join(data)
        if samples == samples_of("undecodable"):
            raise UnplayableAudio("undecodable", "It cannot be decoded.")
        if samples not in _converted:
            made = convert(wav, [samples], directory, **options)
            _converted[samples] = (made, made.path.read_bytes())
        made, mp3 = _converted[samples]
        path = directory / "audio.mp3"
        path.write_bytes(mp3)
        return replace(made, path=path)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"RECORDS_TABLE": "records", "USERS_TABLE": "users", "BUCKET": "bucket"}.items():
            patch.setenv(name, value)
        patch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
        patch.setattr(conversion.mp3, "convert", repeated)
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("tmp")))
        with moto_cloud(ffmpeg):
            yield


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def clean_cloud() -> None:
    events.empty_cloud()


class Service(World):
    """Attempts at recordings of one user, and what else may happen to them meanwhile: "expiry" or "deletion".

    findings: what must not be.
    """

    def __init__(self, attempts: tuple[Attempt, ...], meanwhile: str | None = None) -> None:
        super().__init__()
        self.attempts = attempts
        self.meanwhile = meanwhile
        self.findings: list[str] = []
        self.now = 1_800_000_000.0
        self.user = User(f"user#{USER}", id=USER, secret=bytes(32))
        self.tickets: dict[str, Recording] = {}
        self.events: dict[int, dict[str, Any]] = {}  # of the uploads that have arrived, by the number of the attempt

    def set_up(self) -> None:
        _clock.now = lambda: self.now
        for key in sorted({attempt.key for attempt in self.attempts if attempt.path == "upload"}):
            self.tickets[key] = Recording.reserve(self.user, "a.wav", key, None)
        for number, attempt in enumerate(self.attempts):
            work = partial(self.upload if attempt.path == "upload" else self.send, number)
            self.actors.append(Actor(f"{number} {attempt.path} {attempt.audio}", work))
        if self.meanwhile:
            self.actors.append(Actor(self.meanwhile, getattr(self, self.meanwhile)))

    # ---------------------------------------------------------------- actors

    def send(self, number: int) -> Any:
        attempt = self.attempts[number]
        return conversion.convert_sent(self.user, "a.wav", attempt.key, attempt.body, time.monotonic() + 60)

    def upload(self, number: int) -> Any:
        attempt = self.attempts[number]
        key = self.tickets[attempt.key].upload_key
        self.pause(Touched("object", key))
        self.cloud.objects[key] = attempt.body
        self.events[number] = events.queued(events.object_created(key, len(attempt.body)))
        return self.deliver(number)

    def deliver(self, number: int) -> bool:
        """Whether the queue is done with the event."""
        answer = function("convert_upload").lambda_handler(self.events[number], Context(900))
        return bool(answer == {"batchItemFailures": []})

    def expiry(self) -> None:
        """More than a row's time passes; DynamoDB removes each whose time is over, and the stream tells of it."""
        self.pause(EVERYTHING)
        self.now += UPLOAD_SECONDS + 3600
        for place in [*self.rows]:
            self.pause(Touched("row", "/".join(place)))
            self.remove_if_past(place)
        self.tell_of_removals()

    def deletion(self) -> None:
        """The owner deletes each record; the stream tells of it."""
        for record_id in sorted({self.user.record_id(attempt.key) for attempt in self.attempts}):
            Recording.discard(USER, record_id)
        self.tell_of_removals()

    def remove_if_past(self, place: tuple[str, ...]) -> None:
        row = self.rows.get(place)
        if row and "expires_at" in row and float(row["expires_at"]["N"]) <= self.now:
            self.cloud.remove(place)

    def tell_of_removals(self) -> None:
        if self.cloud.removed:
            event = events.removed(*self.cloud.removed)
            assert function("remove_audio").lambda_handler(event, Context(60)) == {"batchItemFailures": []}

    # ---------------------------------------------------------------- what must be

    @property
    def rows(self) -> dict[tuple[str, ...], Any]:
        return self.cloud.tables["records"]

    def row_of(self, key: str) -> Recording | None:
        image = self.rows.get((str(USER), self.user.record_id(key)))
        return Recording.from_raw_data(image) if image else None

    def found(self, what: str) -> None:
        self.findings.append(what)

    def check(self) -> None:
        for image in self.rows.values():
            if image["status"]["S"] == "ready":
                row = Recording.from_raw_data(image)
                if row.mp3_key() not in self.cloud.objects:
                    self.found("a row is ready without its object")

    def settle(self, *, again: bool) -> None:
        """What comes after: the queue delivers what failed; clients send again what failed, or give up; time passes."""
        self.tell_of_removals()
        outcomes = [actor.outcome for actor in self.actors]
        for number, attempt in enumerate(self.attempts):
            if attempt.path == "upload" and number in self.events:
                for _ in range(5):
                    if outcomes[number] is True:
                        break
                    self.now += 1000
                    outcomes[number] = self.deliver(number)
            for _ in range(3):
                if attempt.path == "request" and again and self.failed(outcomes[number]):
                    try:
                        outcomes[number] = self.send(number)
                    except RecordsError as error:
                        outcomes[number] = error
        self.tell_of_removals()
        for attempt, outcome in zip(self.attempts, outcomes, strict=False):
            self.judge(attempt, outcome, again)
        self.pass_time()

    def pass_time(self) -> None:
        """Every row that has a time goes; every MP3 is looked at once more; then there is what rows name, no more."""
        self.now += UPLOAD_SECONDS
        for place in [*self.rows]:
            self.remove_if_past(place)
        self.tell_of_removals()
        for key in [*self.cloud.objects]:
            if key.startswith("records/"):
                event = events.queued(events.object_created(key))
                assert function("remove_audio").lambda_handler(event, Context(60)) == {"batchItemFailures": []}
        self.check()
        named = {Recording.from_raw_data(image).mp3_key() for image in self.rows.values()}
        for stray in set(self.cloud.objects) - named:
            if self.meanwhile == "expiry" and stray.startswith("uploads/"):
                continue  # its row was past its time when it was looked at, and was turned ready then: S3's rule has it
            self.found(f"object without a row: {stray}")

    def failed(self, outcome: Any) -> bool:
        return isinstance(outcome, ServerError) or (
            isinstance(outcome, BaseException) and not isinstance(outcome, RecordsError)
        )

    def judge(self, attempt: Attempt, outcome: Any, again: bool) -> None:
        others = {other.audio for other in self.attempts if other.key == attempt.key} - {attempt.audio}
        row = self.row_of(attempt.key)
        if attempt.path == "upload":
            if row and row.generation != self.tickets[attempt.key].generation:
                row = None  # its record was removed; this is another's
            if outcome is True:
                self.judge_upload(attempt, row, others)
        elif isinstance(outcome, conversion.Sent):
            if not self.holds(outcome.recording, attempt):
                self.found("what was answered is not what was sent")
            if self.meanwhile != "deletion" and not (row and self.holds(row, attempt)):
                self.found("a recording that was answered is lost")
        elif isinstance(outcome, AudioRejected):
            if REFUSED.get(attempt.audio) != outcome.code:
                self.found(f"a request was answered with the verdict of other audio: {outcome.code}")
        elif isinstance(outcome, IdempotencyConflict):
            if not others:
                self.found("a conflict with itself")
        elif again and self.failed(outcome):
            self.found(f"a request is never answered: {outcome!r}")
        elif not again and isinstance(outcome, ServerError) and not self.meanwhile:
            self.found(f"a fault without a cause: {outcome!r}")

    def judge_upload(self, attempt: Attempt, row: Recording | None, others: set[str]) -> None:
        if row is None or row.expired:
            if not self.meanwhile:
                self.found("the record of an upload is lost")
        elif row.status == "ready":
            same = [other for other in self.attempts if other.key == attempt.key and self.holds(row, other)]
            if not same:
                self.found("a record is not what anybody sent")
            elif attempt not in same and not (row.rejected_upload or self.may_be_unnoticed(attempt)):
                self.found("an upload was dropped without a word")
        elif row.status == "failed":
            if row.error_code not in {REFUSED.get(audio) for audio in (attempt.audio, *others)}:
                self.found(f"a record has the verdict of nobody's audio: {row.error_code}")
            if row.wav_sha256 and REFUSED.get(self.audio_of(row.wav_sha256)) != row.error_code:
                self.found("a record has the verdict of other audio")
        elif not row.rejected_upload or (row.wav_sha256 == attempt.sha256 and not self.uploaded_besides(attempt)):
            # Pending is right where a request that was given up had brought other audio: the upload was dropped.
            self.found("an upload is pending for ever")

    def may_be_unnoticed(self, attempt: Attempt) -> bool:
        """Whether an upload may go without a word: another took its place, or its row was past its time."""
        return self.uploaded_besides(attempt) or self.meanwhile == "expiry"

    def uploaded_besides(self, attempt: Attempt) -> bool:
        """Whether another upload came with the same ticket, and so to the same place."""
        return any(
            other.path == "upload" and other.key == attempt.key for other in self.attempts if other is not attempt
        )

    def audio_of(self, sha256: str) -> str:
        return next(attempt.audio for attempt in self.attempts if attempt.sha256 == sha256)

    def holds(self, row: Recording, attempt: Attempt) -> bool:
        """Whether a record is ready and plays what was sent."""
        if row.status != "ready" or attempt.audio in REFUSED:
            return False
        if samples_of(attempt.audio) not in _converted:
            return False  # no attempt has got so far
        mp3 = _converted[samples_of(attempt.audio)][1]
        right = (row.wav_sha256, row.wav_bytes, row.mp3_sha256) == (
            attempt.sha256,
            len(attempt.body),
            hashlib.sha256(mp3).hexdigest(),
        )
        return right and (self.meanwhile == "deletion" or self.cloud.objects.get(row.mp3_key()) == mp3)


class _Clock:
    """The time of the world that is running."""

    def __init__(self) -> None:
        self.now = time.time

    def time(self) -> float:
        return self.now()


_clock = _Clock()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "time", _clock)


def judge(world: Service) -> None:
    """Both ends of a run: its clients try again, and they give up."""
    held = (dict(world.rows), dict(world.cloud.objects), list(world.cloud.removed), world.now)
    for again in (True, False):
        rows, objects, removed, world.now = held
        world.cloud.tables["records"], world.cloud.objects = dict(rows), dict(objects)
        world.cloud.removed = list(removed)
        world.settle(again=again)
    for actor in world.actors:
        if (
            isinstance(actor.outcome, BaseException)
            and not actor.killed
            and not isinstance(actor.outcome, RecordsError)
        ):
            world.found(f"{actor.name} ended with {actor.outcome!r}")
    assert not world.findings, f"{world.findings}\nafter:\n  {world.told()}"


def one_key() -> list[Attempt]:
    """An attempt of every path and audio."""
    return [Attempt(path, audio) for path in ("request", "upload") for audio in AUDIO]


def pairs() -> list[tuple[Attempt, ...]]:
    """Two attempts, of every path and audio, under one key; and under two."""
    found: list[tuple[Attempt, ...]] = [*itertools.combinations_with_replacement(one_key(), 2)]
    for one, other in itertools.combinations_with_replacement(("request", "upload"), 2):
        found.append((Attempt(one, "speech"), Attempt(other, "speech", key="l")))
    return found


def tell(counts: Counts) -> None:
    tally.add(
        TITLE,
        explored=counts.runs,
        left_out_since_they_come_to_the_same=counts.left_out,
        of_these_with_a_kill=counts.killed,
        steps=counts.steps,
    )


def named(attempts: tuple[Attempt, ...]) -> str:
    return " & ".join(f"{attempt.path} of {attempt.audio}" for attempt in attempts)


@pytest.mark.parametrize("attempts", pairs(), ids=named)
def test_two_attempts(attempts: tuple[Attempt, ...]) -> None:
    """Every interleaving, with every kill; without SOAK=1 some of them."""
    counts = Counts()
    make = partial(Service, attempts)
    for world in every_run(make, counts) if SOAK else random_runs(make, counts, number=6, seed=named(attempts)):
        judge(world)
    tell(counts)


@pytest.mark.parametrize("meanwhile", ["expiry", "deletion"])
@pytest.mark.parametrize("attempt", one_key(), ids=lambda attempt: named((attempt,)))
def test_an_attempt_whose_row_goes(attempt: Attempt, meanwhile: str) -> None:
    """Its time ends, or somebody deletes it, between any two steps."""
    counts = Counts()
    make = partial(Service, (attempt,), meanwhile)
    for world in every_run(make, counts) if SOAK else random_runs(make, counts, number=6, seed=named((attempt,))):
        judge(world)
    tell(counts)


def test_three_at_once() -> None:
    """Three attempts, or two and what may happen meanwhile: a sample."""
    counts = Counts()
    for number in range(SAMPLE):
        chance = random.Random(number)
        attempts = tuple(
            Attempt(chance.choice(("request", "upload")), chance.choice([*AUDIO]), chance.choice("kkkl"))
            for _ in range(3)
        )
        meanwhile = chance.choice((None, "expiry", "deletion"))
        make = partial(Service, attempts[: 2 if meanwhile else 3], meanwhile)
        for world in random_runs(make, counts, number=1, seed=str(number)):
            judge(world)
    tell(counts)


# ---------------------------------------------------------------- the stand-in

NAMES = {"#a": "status", "#b": "error_code", "#c": "expires_at", "#d": "attempts", "#s": "id", "#n": "user"}
VALUES = {":s": {"S": "ready"}, ":t": {"S": "failed"}, ":m": {"N": "1"}, ":n": {"N": "12"}, ":f": {"N": "3.5"}}
OF_TYPE = {"a": (":s", ":t"), "b": (":s", ":t"), "c": (":m", ":n", ":f"), "d": (":m", ":n", ":f")}


def some_condition(chance: random.Random, depth: int = 0) -> str:
    name = chance.choice("abcd")
    value, other = chance.choice(OF_TYPE[name]), chance.choice(OF_TYPE[name])
    if depth < 3 and chance.random() < 0.5:
        parts = [some_condition(chance, depth + 1) for _ in range(2)]
        return chance.choice(("({} AND {})", "({} OR {})", "(NOT {})")).format(*parts)
    if chance.random() < 0.4:
        return f"{chance.choice(('attribute_exists', 'attribute_not_exists'))} (#{name})"
    if chance.random() < 0.3:
        return f"#{name} IN ({value}, {other})"
    return f"#{name} {chance.choice(('=', '<>', '<', '<=', '>', '>='))} {value}"


def some_call(chance: random.Random) -> tuple[str, dict[str, Any]]:
    """A call of DynamoDB as the service makes them; its names and values are just those that it uses."""
    key = {"user": {"N": "7"}, "id": {"S": chance.choice("xy")}}
    parts = {"ConditionExpression": some_condition(chance)} if chance.random() < 0.8 else {}
    operation = chance.choice(("PutItem", "PutItem", "UpdateItem", "UpdateItem", "DeleteItem", "GetItem"))
    attributes = [name for name in "abcd" if chance.random() < 0.6]
    if operation == "GetItem":
        return operation, {"TableName": "records", "Key": key, "ConsistentRead": True}
    if operation == "PutItem":
        item = key | {NAMES[f"#{name}"]: VALUES[chance.choice(OF_TYPE[name])] for name in attributes}
        arguments: dict[str, Any] = {"TableName": "records", "Item": item, **parts}
    else:
        arguments = {"TableName": "records", "Key": key, **parts}
    if operation == "UpdateItem":
        cut = chance.randrange(len(attributes) + 1)
        sets = ", ".join(f"#{name} = {chance.choice(OF_TYPE[name])}" for name in attributes[:cut])
        removes = ", ".join(f"#{name}" for name in attributes[cut:])
        text = " ".join([*([f"SET {sets}"] if sets else []), *([f"REMOVE {removes}"] if removes else [])])
        arguments |= {"UpdateExpression": text or "SET #a = :s", "ReturnValues": "ALL_NEW"}
    text = " ".join(str(value) for name, value in arguments.items() if name.endswith("Expression"))
    for kind, known, sign in (("Names", NAMES, "#"), ("Values", VALUES, ":")):
        used = {word: known[word] for word in re.findall(rf"{sign}\w", text)}
        arguments |= {f"ExpressionAttribute{kind}": used} if used else {}
    return operation, arguments


def outcome(call: Callable[[], dict[str, Any]]) -> Any:
    try:
        answer = call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    body = answer.get("Body")
    about = {
        name: answer[name] for name in ("Item", "Attributes", "ContentRange", "ContentLength", "ETag") if name in answer
    }
    keys = [item["Key"] for item in answer.get("Contents", [])]
    return about, keys, body.read() if body else None


def test_the_stand_in_does_as_moto(clean_cloud: None) -> None:
    """2,000 random conditional writes and reads, each at both: the same answer, or the same error."""
    dynamodb = Recording._get_connection().connection.client
    standin = StandIn()
    seen: Counter[str] = Counter()
    for number in range(2000):
        operation, arguments = some_call(random.Random(number))
        theirs = outcome(partial(dynamodb._make_api_call, operation, {**arguments}))
        ours = outcome(partial(standin.call, operation, arguments))
        assert ours == theirs, (operation, arguments)
        seen[f"{operation} {theirs if isinstance(theirs, str) else 'done'}"] += 1
    assert len(seen) == 7
    assert min(seen.values()) > 50, seen


def test_the_stand_in_stores_as_moto(clean_cloud: None) -> None:
    """Random calls of S3."""
    s3 = aws.s3()
    standin = StandIn()
    for number in range(500):
        chance = random.Random(number)
        key = chance.choice(("a/1", "a/2", "b/1"))
        etag = f'"{hashlib.md5(chance.choice((b"one", b"three")), usedforsecurity=False).hexdigest()}"'
        operation, arguments = chance.choice(
            (
                ("PutObject", {"Key": key, "Body": chance.choice((b"one", b"three"))}),
                ("HeadObject", {"Key": key}),
                ("GetObject", {"Key": key, "Range": f"bytes={chance.randrange(2)}-{chance.randrange(2, 9)}"}),
                ("GetObject", {"Key": key, "Range": "bytes=0-1", "IfMatch": etag}),
                ("DeleteObject", {"Key": key}),
                ("ListObjectsV2", {"Prefix": chance.choice(("a/", "a/1", "c"))}),
            )
        )
        arguments = {"Bucket": BUCKET, **arguments}
        theirs = outcome(partial(s3._make_api_call, operation, {**arguments}))  # type: ignore[attr-defined]
        ours = outcome(partial(standin.call, operation, arguments))
        if operation == "PutObject":
            theirs[0].pop("ETag")
        assert ours == theirs, (operation, arguments)
