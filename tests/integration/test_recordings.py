"""The state machine: every step from every state a row can be in, and what the row holds then."""

from __future__ import annotations

import io
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from records import recordings
from records.audio.levels import Levels
from records.audio.mp3 import Conversion
from records.audio.wav import Wav, inspect
from records.errors import (
    ConversionError,
    ConversionTimeout,
    IdempotencyConflict,
    RecordNotFound,
    RecordsError,
    Unavailable,
    UnplayableAudio,
    UnsupportedAudio,
)
from records.recordings import DAY, FAILED, PENDING, READY, Audio, Recording
from records.users import User
from tests.integration.conftest import moto_cloud
from tests.integration.events import empty_cloud, raw_rows
from tests.integration.scenarios import tiny_wav

A, B = Audio(1000, "a" * 64), Audio(2000, "b" * 64)
MP3 = Conversion(Path("audio.mp3"), 300, "c" * 64, 0.1234, Levels(-3.0, -9.5, False), bytes(range(200)))
OTHER_MP3 = replace(MP3, bytes=301, sha256="d" * 64)
BAD = UnplayableAudio("no_samples", "There is no sound in it.")
UPLOAD = 15 * DAY  # what a row lives for that waits for an upload or its replay


@pytest.fixture(scope="module", autouse=True)
def cloud(ffmpeg: str) -> Iterator[None]:
    with moto_cloud(ffmpeg):
        yield


@pytest.fixture(autouse=True)
def empty() -> None:
    empty_cloud()


@pytest.fixture
def user() -> User:
    return User.authenticate(*User.register("user1", None)[:2])


@pytest.fixture(scope="module")
def wav() -> Wav:
    return inspect(io.BytesIO(tiny_wav()))


def held() -> dict[str, Any]:
    """The one row of the table, in DynamoDB's own form."""
    [image] = raw_rows()
    return image


def seconds_left(image: dict[str, Any]) -> float:
    return float(image["expires_at"]["N"]) - time.time()


STATES: dict[str, dict[str, Any]] = {
    "a ticket": {},
    "pending with A": {"wav_bytes": 1000, "wav_sha256": A.sha256},
    "pending with B": {"wav_bytes": 2000, "wav_sha256": B.sha256},
    "failed by us": {"status": FAILED, "error_code": "conversion_error", "error_message": "m"},
    "too long": {"status": FAILED, "error_code": "conversion_timeout", "error_message": "m"},
    "bad audio": {"status": FAILED, "error_code": "unsupported_audio", "error_message": "m"},
    "bad audio A": {"status": FAILED, "error_code": "unplayable_audio", "error_message": "m", "wav_sha256": A.sha256},
    "ready with A": {"status": READY, "wav_bytes": 1000, "wav_sha256": A.sha256, "mp3_sha256": "e" * 64},
}


def row_in(state: str, user: User) -> Recording:
    row = Recording.reserve(user, "a.wav", "k", None)
    changes: dict[str, Any] = {"expires_at": None if state.startswith("ready") else int(time.time()) + 100}
    row._write(Recording.id.exists(), **(STATES[state] | changes))
    return row


# ---------------------------------------------------------------- reserve


def test_fresh_row(user: User) -> None:
    for audio in (None, A):
        row = Recording.reserve(user, "a.wav", None, audio)
        image = held()
        assert image == {
            "user": {"N": str(int(user.id))},
            "id": {"S": row.id},
            "generation": {"S": row.generation},
            "status": {"S": "pending"},
            "name": {"S": "a.wav"},
            "created_at": {"S": row.created_at},
            "position": {"S": row.position},
            "expires_at": {"N": str(row.expires_at)},
        } | ({"wav_bytes": {"N": "1000"}, "wav_sha256": {"S": A.sha256}} if audio else {})
        assert re.fullmatch(rf"{row.created_at[:-1]}\.\d{{6}}Z {row.id}", row.position)
        assert row.fresh
        assert uuid.UUID(row.id).version == uuid.UUID(row.generation).version == 4
        assert seconds_left(image) == pytest.approx(DAY if audio else UPLOAD, abs=60)
        empty_cloud()


def test_id_of_a_key(user: User) -> None:
    """Always the same for one user, another for another, and nothing that the key gives away."""
    other = User.authenticate(*User.register("user2", None)[:2])
    ids = {user.record_id("k"), user.record_id("k"), other.record_id("k"), user.record_id("l")}
    assert len(ids) == 3
    assert all(uuid.UUID(id).version == 4 for id in ids)
    assert len({user.record_id(None) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("state", "audio", "outcome", "left"),
    [
        ("a ticket", None, PENDING, UPLOAD),
        ("a ticket", A, PENDING, DAY),
        ("pending with A", None, PENDING, UPLOAD),
        ("pending with A", A, PENDING, DAY),
        ("pending with A", B, IdempotencyConflict, 100),
        ("bad audio", None, FAILED, 100),
        ("bad audio", A, IdempotencyConflict, 100),
        ("bad audio A", None, FAILED, 100),
        ("bad audio A", A, FAILED, 100),
        ("bad audio A", B, IdempotencyConflict, 100),
        ("ready with A", None, READY, None),
        ("ready with A", A, READY, None),
        ("ready with A", B, IdempotencyConflict, None),
    ],
)
def test_reserve_what_is_there(
    user: User, state: str, audio: Audio | None, outcome: str | type[RecordsError], left: float | None
) -> None:
    row = row_in(state, user)
    before = held()
    if isinstance(outcome, str):
        found = Recording.reserve(user, "another name.wav", "k", audio)
        assert (found.id, found.generation, found.status, found.fresh) == (row.id, row.generation, outcome, False)
        assert found.serialize() == Recording.from_raw_data(held()).serialize()
    else:
        with pytest.raises(outcome):
            Recording.reserve(user, "another name.wav", "k", audio)
    after = held()
    claimed = audio is not None and "wav_sha256" not in before and state != "bad audio"
    if claimed:
        assert (after.pop("wav_sha256"), after.pop("wav_bytes")) == ({"S": A.sha256}, {"N": "1000"})
    if left is not None:
        assert seconds_left(after) == pytest.approx(left, abs=60)
    before.pop("expires_at", None)
    after.pop("expires_at", None)
    assert after == before


@pytest.mark.parametrize("audio", [None, A, B])
@pytest.mark.parametrize("state", ["failed by us", "too long"])
def test_reserve_what_failed_on_our_side(user: User, state: str, audio: Audio | None) -> None:
    """It makes way: the key is good for another try."""
    old = row_in(state, user)
    new = Recording.reserve(user, "b.wav", "k", audio)
    assert (new.id, new.generation != old.generation, new.status, new.fresh) == (old.id, True, PENDING, True)
    assert new.serialize() == Recording.from_raw_data(held()).serialize()


def test_reserve_never_shortens_a_life(user: User) -> None:
    row = Recording.reserve(user, "a.wav", "k", None)
    row.begin()
    assert seconds_left(held()) == pytest.approx(UPLOAD, abs=60)
    for audio in (None, A):
        Recording.reserve(user, "a.wav", "k", audio)
        assert seconds_left(held()) == pytest.approx(UPLOAD, abs=60)


# ---------------------------------------------------------------- begin, complete, fail


@pytest.mark.parametrize("state", STATES)
def test_begin(user: User, state: str) -> None:
    row = row_in(state, user)
    before = held()
    row.begin()
    after = held()
    if row.status != PENDING:
        assert after == before
    else:
        assert seconds_left(after) == pytest.approx(UPLOAD, abs=60)
        assert after == before | {"expires_at": after["expires_at"], "attempts": {"N": "1"}}


def test_attempts_are_used_up(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three, and no more; the row fails when the last of them cannot be alive any more."""
    row = row_in("a ticket", user)
    for number in (1, 2, 3):
        row.begin()
        assert (row.status, row.attempts) == (PENDING, number)
    late = Recording.find(int(user.id), row.id)
    before = held()
    with pytest.raises(Unavailable):
        late.begin()
    assert held() == before
    now = time.time()
    monkeypatch.setattr(recordings, "time", SimpleNamespace(time=lambda: now + 905))
    late.begin()
    assert (late.status, late.error_code, late.attempts) == (FAILED, "conversion_error", 3)


def test_two_attempts_begin_at_once(user: User) -> None:
    """Each is counted, whatever each had read."""
    row = row_in("a ticket", user)
    others = [Recording.find(int(user.id), row.id) for _ in range(3)]
    row.begin()
    for other in others[:2]:
        other.begin()
    assert held()["attempts"] == {"N": "3"}
    with pytest.raises(Unavailable):
        others[2].begin()


@pytest.mark.parametrize(
    ("state", "made"),
    [
        ("a ticket", True),
        ("pending with A", True),
        ("pending with B", False),
        ("failed by us", False),
        ("too long", False),
        ("bad audio", False),
        ("ready with A", False),
    ],
)
def test_complete(user: User, wav: Wav, state: str, made: bool) -> None:
    row = row_in(state, user)
    before = held()
    assert row.complete(wav, A, MP3, "attempt-1") is made
    assert row.serialize() == Recording.from_raw_data(held()).serialize()
    if not made:
        assert held() == before
        return
    kept = {name: before[name] for name in ("user", "id", "generation", "name", "created_at", "position")}
    image = held()
    assert Recording.from_raw_data(image).duration == 0.123
    assert image == kept | {
        "status": {"S": "ready"},
        "wav_bytes": {"N": "1000"},
        "wav_sha256": {"S": A.sha256},
        "mp3_bytes": {"N": "300"},
        "mp3_sha256": {"S": MP3.sha256},
        "mp3_attempt": {"S": "attempt-1"},
        "duration": {"N": "0.123"},
        "sample_rate": {"N": "22050"},
        "channels": {"N": "1"},
        "truncated": {"BOOL": False},
        "peak_dbfs": image["peak_dbfs"],
        "mean_dbfs": {"N": "-9.5"},
        "silent": {"BOOL": False},
        "waveform": image["waveform"],
    }
    assert float(image["peak_dbfs"]["N"]) == -3.0


def test_complete_twice(user: User, wav: Wav) -> None:
    """The second finds what the first wrote, and changes nothing: not even where its MP3 is another."""
    row = row_in("a ticket", user)
    late = Recording.find(int(user.id), row.id)
    assert row.complete(wav, A, MP3, "attempt-1") is True
    before = held()
    assert late.complete(wav, A, OTHER_MP3, "attempt-2") is False
    assert (late.status, late.mp3_sha256) == (READY, MP3.sha256)
    assert held() == before


@pytest.mark.parametrize(
    ("error", "left", "code", "reason"),
    [
        (BAD, DAY, "unplayable_audio", "no_samples"),
        (UnsupportedAudio("Not a WAV file."), DAY, "unsupported_audio", None),
        (ConversionError(), UPLOAD, "conversion_error", None),
        (ConversionTimeout(), UPLOAD, "conversion_timeout", None),
    ],
)
def test_fail(user: User, error: RecordsError, left: float, code: str, reason: str | None) -> None:
    row = row_in("a ticket", user)
    before = held()
    row.fail(error)
    after = held()
    assert seconds_left(after) == pytest.approx(left, abs=60)
    told = {"status": {"S": "failed"}, "error_code": {"S": code}, "error_message": {"S": error.message}}
    told |= {"error_reason": {"S": reason}} if reason else {}
    assert after == before | told | {"expires_at": after["expires_at"]}
    again = Recording.find(int(user.id), row.id).error
    assert (type(again), again.message, again.details) == (type(error), error.message, error.details)


@pytest.mark.parametrize(
    ("state", "error", "audio", "fails"),
    [
        ("a ticket", BAD, None, True),
        ("a ticket", BAD, A, True),
        ("failed by us", BAD, None, False),
        ("too long", BAD, None, False),
        # What is wrong with an upload is nothing against the audio that the key brought in a request.
        ("pending with A", BAD, None, False),
        ("pending with A", BAD, A, True),
        ("pending with A", BAD, B, False),
        ("pending with A", ConversionError(), None, True),
        ("bad audio", ConversionError(), None, False),
        ("ready with A", BAD, None, False),
        ("ready with A", BAD, A, False),
        ("ready with A", ConversionError(), None, False),
        ("ready with A", ConversionTimeout(), None, False),
    ],
)
def test_fail_from_every_state(user: User, state: str, error: RecordsError, audio: Audio | None, fails: bool) -> None:
    row = row_in(state, user)
    before = held()
    row.fail(error, audio)
    if fails:
        assert (held()["status"], held()["error_code"]) == ({"S": "failed"}, {"S": error.code})
        if audio:
            assert (held()["wav_sha256"], held()["wav_bytes"]) == ({"S": audio.sha256}, {"N": str(audio.bytes)})
    else:
        assert held() == before
    assert row.serialize() == Recording.from_raw_data(held()).serialize()


# ---------------------------------------------------------------- rows that are gone


@pytest.mark.parametrize("step", ["begin", "complete", "fail"])
@pytest.mark.parametrize("how", ["removed", "removed and made again"])
def test_row_is_gone(user: User, wav: Wav, step: str, how: str) -> None:
    """No step makes a row, and none touches the row that has taken the place."""
    row = Recording.reserve(user, "a.wav", "k", None)
    empty = raw_rows()
    Recording.get(row.user, row.id).delete()
    if how == "removed and made again":
        Recording.reserve(user, "a.wav", "k", None)
    before = raw_rows()
    assert before != empty
    steps: dict[str, Any] = {
        "begin": row.begin,
        "complete": lambda: row.complete(wav, A, MP3, "attempt-1"),
        "fail": lambda: row.fail(BAD),
    }
    with nullcontext() if step == "fail" else pytest.raises(RecordNotFound):
        steps[step]()
    assert raw_rows() == before


def test_find(user: User) -> None:
    row = Recording.reserve(user, "a.wav", None, None)
    assert Recording.find(int(user.id), row.id).serialize() == row.serialize()
    for user_id, record_id in ((int(user.id) + 1, row.id), (int(user.id), str(uuid.uuid4()))):
        with pytest.raises(RecordNotFound):
            Recording.find(user_id, record_id)
    row.update(actions=[Recording.expires_at.set(int(time.time()))])
    with pytest.raises(RecordNotFound):
        Recording.find(int(user.id), row.id)


def test_reserve_a_row_past_its_time(user: User) -> None:
    old = row_in("pending with A", user)
    old.update(actions=[Recording.expires_at.set(int(time.time()) - 1)])
    new = Recording.reserve(user, "b.wav", "k", B)
    assert (new.id, new.fresh, new.generation != old.generation) == (old.id, True, True)
    assert (held()["generation"], held()["wav_sha256"]) == ({"S": new.generation}, {"S": B.sha256})
    assert seconds_left(held()) == pytest.approx(DAY, abs=60)


def test_mp3_key_of_a_row_made_before_attempts_had_keys(user: User) -> None:
    """An older deployment stored the MP3 under its own SHA-256."""
    row = row_in("ready with A", user)
    assert row.mp3_key() == f"records/{int(user.id)}/{row.id}/{row.generation}/{'e' * 64}.mp3"


def test_the_repeated_commit_of_one_attempt(user: User, wav: Wav) -> None:
    """botocore repeats a call whose response was lost; its first try was carried out, so the condition fails."""
    row = row_in("a ticket", user)
    late = Recording.find(int(user.id), row.id)
    assert row.complete(wav, A, MP3, "attempt-1") is True
    assert late.complete(wav, A, MP3, "attempt-1") is True


def test_the_first_audio_claims_the_row(user: User) -> None:
    """Two requests with different audio find the row of an upload that was only asked for."""
    row = Recording.reserve(user, "a.wav", "k", None)  # its time need not be changed, so that alone refuses nothing
    first, second = (Recording.find(int(user.id), row.id) for _ in range(2))
    assert first._adopt(A) is True
    before = held()
    assert second._adopt(B) is False
    assert (held(), second.wav_sha256) == (before, A.sha256)


def test_a_row_that_has_just_failed_is_not_claimed(user: User) -> None:
    """It failed between the look at it and the claim: the verdict is on audio that nobody compared."""
    row = row_in("a ticket", user)
    late = Recording.find(int(user.id), row.id)
    row.fail(BAD)
    row.update(actions=[Recording.expires_at.set(int(time.time()) + 50)])  # so that this alone refuses nothing
    before = held()
    assert late._adopt(A) is False
    assert held() == before
