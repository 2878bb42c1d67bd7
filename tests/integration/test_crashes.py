"""The process is killed between every two steps; then comes the client's second attempt, AWS's, or nothing at all.

A killed process runs no more of its code. Here it is an exception that nothing but `BaseException` catches, raised at
a call to AWS: before it is sent, in the middle of its answer, or when it was carried out.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from records import parts as upload_parts
from tests.integration import events, scenarios
from tests.integration.conftest import moto_cloud
from tests.integration.events import objects, orphans, ready_without_object, rows
from tests.integration.faults import Call, Injector, Killed, replaying, tally, watched_clients
from tests.integration.scenarios import Scenario, assert_holds, assert_sound, cache, prepared, tiny_wav
from tests.support.client import Context, function

# The step of each that turns its row ready: its last UpdateItem.
COMMIT: dict[type[Scenario], Call | None] = {
    scenarios.Send: Call("dynamodb", "UpdateItem", 1),
    scenarios.SendWithKey: Call("dynamodb", "UpdateItem", 1),
    scenarios.Ticket: None,
    scenarios.TicketWithKey: None,
    scenarios.Upload: Call("dynamodb", "UpdateItem", 2),
}
REPEATABLE = (
    *(scenarios.SignUpWithKey, scenarios.ReplaceToken, scenarios.Rename, scenarios.Delete),
    *(scenarios.BeginParts, scenarios.JoinParts),
)
TITLE = "processes killed between two steps"


@pytest.fixture(scope="module", autouse=True)
def cloud(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[None]:
    tally.print_with(pytestconfig)
    with moto_cloud(replaying(ffmpeg, tmp_path_factory.mktemp("ffmpeg"))), watched_clients():
        yield


@pytest.fixture(autouse=True)
def nothing_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a /tmp of our own: other processes of this machine may be converting, too."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert set(tmp_path.glob("records-conversion-*")) == set()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 takes no part of less than 5 MiB but the last."""
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
    monkeypatch.setattr(upload_parts, "PART_BYTES", 1000)


@cache
def points(scenario: type[Scenario]) -> tuple[tuple[str, Call], ...]:
    """Where a run can be killed."""
    run = prepared(scenario)
    with Injector().active() as injector:
        run.act()
    assert run.succeeded
    found = []
    for call in injector.calls:
        moments = ("before", "during", "after") if call.operation == "GetObject" else ("before", "after")
        found += [(moment, call) for moment in moments]
    return tuple(found)


def killed(scenario: type[Scenario], point: tuple[str, Call]) -> tuple[Scenario, list[str]]:
    """A run that was killed, and the ids of the records that are ready in spite of it. Nothing was answered."""
    run = prepared(scenario)
    with Injector(kill=point).active(), pytest.raises(Killed):
        run.act()
    assert_sound()
    tally.add(TITLE, killed=1)
    ready = [row.id for row in rows() if row.status == "ready"]
    commit = COMMIT.get(scenario)
    at_or_after = commit and points(scenario).index(point) >= points(scenario).index(("after", commit))
    assert len(ready) == (1 if at_or_after else 0)
    return run, ready


def count_what_is_left() -> None:
    tally.add(TITLE, rows_ready_without_their_object=len(ready_without_object()), objects_without_a_row=len(orphans()))


@pytest.mark.parametrize("scenario", [*COMMIT, scenarios.Removal])
def test_killed_and_tried_again(scenario: type[Scenario]) -> None:
    for point in points(scenario):
        run, ready = killed(scenario, point)
        run.act()
        assert run.succeeded, point
        if scenario is scenarios.Send and ready:
            # Without a key nobody can know of the record that is there: the second attempt makes another.
            events.clean_up()
            assert_holds(*ready, run.said.json["id"])
            tally.add(TITLE, documented_gaps=1)
        else:
            run.promised()
            run.settled()
        count_what_is_left()


@pytest.mark.parametrize("scenario", REPEATABLE)
def test_killed_and_asked_again(scenario: type[Scenario]) -> None:
    """What may be repeated ends, when it is repeated, as if nothing had happened: with one account, and its token."""
    for point in points(scenario):
        run = prepared(scenario)
        with Injector(kill=point).active(), pytest.raises(Killed):
            run.act()
        assert_sound()
        tally.add(TITLE, killed=1)
        run.act()
        assert run.succeeded, point
        run.promised()
        run.settled()
        count_what_is_left()


@pytest.mark.parametrize("scenario", COMMIT)
def test_killed_and_given_up(scenario: type[Scenario]) -> None:
    """Nobody tries again: a whole record is left, or nothing."""
    for point in points(scenario):
        _, ready = killed(scenario, point)
        events.clean_up()
        events.expire_uploads()
        assert_holds(*ready)
        count_what_is_left()


def test_killed_again_and_again() -> None:
    """Two attempts at one upload are killed, each at any of its steps; the third, which is the last, ends it."""
    steps = points(scenarios.Upload)
    for number, first in enumerate(steps):
        for second in steps if os.environ.get("SOAK") else steps[number : number + 2]:
            run = prepared(scenarios.Upload)
            for point in (first, second):
                with Injector(kill=point).active(), suppress(Killed):
                    run.act()
                    assert rows()[0].status == "ready"
                tally.add(TITLE, killed=1)
                assert_sound()
            run.act()
            run.promised()
            run.settled()


def test_killed_when_the_row_was_gone() -> None:
    """A row is removed while its upload is converted, and the attempt is killed once its MP3 is stored."""
    run = prepared(scenarios.Upload)
    point = ("after", Call("s3", "PutObject", 1))
    with Injector(kill=point).active() as injector:
        injector.upon(Call("s3", "PutObject", 1), remove_row_and_audio)
        with pytest.raises(Killed):
            run.act()
    assert rows() == []
    assert [key.split("/")[0] for key in objects()] == ["records"]
    run.act()
    assert run.succeeded
    assert_holds()


def remove_row_and_audio() -> None:
    """A row's removal, all the way through."""
    event = events.remove_rows(events.raw_rows())
    assert function("remove_audio").lambda_handler(event, Context()) == {"batchItemFailures": []}


# A conversion that is killed as Lambda kills: by a signal that cannot be caught, when half of its audio has passed.
VICTIM = """
import io, os, signal, sys, time
from records import conversion
from records.audio.wav import inspect

wav = open(sys.argv[1], "rb").read()

def half():
    yield memoryview(wav)[44 : len(wav) // 2]
    os.kill(os.getpid(), signal.SIGKILL)

with conversion._converted(inspect(io.BytesIO(wav)), half(), time.monotonic() + 60):
    pass
"""


def test_what_a_killed_process_leaves(ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ffmpeg ends by itself, since its pipes are closed; the directory goes when no attempt can be alive in it."""
    temp = tmp_path / "tmp"
    temp.mkdir()
    wav = tmp_path / "a.wav"
    wav.write_bytes(tiny_wav(5))
    victim = subprocess.run(
        [sys.executable, "-c", VICTIM, wav],
        env={**os.environ, "TMPDIR": str(temp), "FFMPEG": ffmpeg, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
    )
    assert (victim.returncode, victim.stderr) == (-signal.SIGKILL, b"")
    [left] = temp.iterdir()
    for _ in range(100):
        if not living_in(left):
            break
        time.sleep(0.05)
    assert living_in(left) == []

    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    run = prepared(scenarios.Send)
    run.act()
    assert list(temp.iterdir()) == [left]  # it may be that of an attempt elsewhere on this machine
    hour_ago = time.time() - 3600
    os.utime(left, (hour_ago, hour_ago))
    run.act()
    assert list(temp.iterdir()) == []


def living_in(folder: Path) -> list[int]:
    """The processes whose working directory a folder is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append(int(process.name))
        except OSError:
            continue
    return found
