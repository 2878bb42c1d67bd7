"""Every call that a function makes to AWS, failing in every way: the answer, the time, and what is left."""

from __future__ import annotations

import base64
import os
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from records import parts, storage
from records.users import User
from tests.integration import scenarios
from tests.integration.conftest import moto_cloud
from tests.integration.events import orphans, ready_without_object
from tests.integration.faults import (
    CONFLICT,
    CUTS,
    KINDS,
    SECRET,
    UNFORESEEN,
    WRONG,
    Call,
    Fault,
    Injector,
    replaying,
    tally,
    watched_clients,
)
from tests.integration.scenarios import Scenario, cache, prepared

SCENARIOS: list[type[Scenario]] = [
    scenarios.SignUp,
    scenarios.SignUpWithEmail,
    scenarios.SignUpWithKey,
    scenarios.ReplaceToken,
    scenarios.Send,
    scenarios.SendWithKey,
    scenarios.Ticket,
    scenarios.TicketWithKey,
    scenarios.BeginParts,
    scenarios.JoinParts,
    scenarios.Get,
    scenarios.GetPart,
    scenarios.GetJson,
    scenarios.GetLarge,
    scenarios.Head,
    scenarios.ListRecords,
    scenarios.GetAccount,
    scenarios.Rename,
    scenarios.Delete,
    scenarios.Upload,
    scenarios.Removal,
    scenarios.Multipart,
]
# A damaged answer that botocore does not ask for again: those of the functions whose event AWS delivers again.
READ_ONCE = ("HeadObject", "DeleteObject")
# Many of these end in the same few ways: SOAK=1 tries them all.
OUTAGES = KINDS if os.environ.get("SOAK") else ("timeout", "lost")
AT_THE_READ_BACK = KINDS if os.environ.get("SOAK") else ("timeout", "http_500", "denied", "garbled")
TITLE = "faults at AWS's calls"


@pytest.fixture(scope="module", autouse=True)
def cloud(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[None]:
    """One cloud for all: each run begins with an empty one."""
    tally.print_with(pytestconfig)
    with moto_cloud(replaying(ffmpeg, tmp_path_factory.mktemp("ffmpeg"))), watched_clients():
        yield


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that an MP3 of 256 kB is stored in three, and a WAV of 4 kB comes in five."""
    monkeypatch.setattr(parts, "PART_BYTES", 1000)
    monkeypatch.setattr(storage, "PART_BYTES", 100_000)
    monkeypatch.setattr("s3transfer.utils.MIN_UPLOAD_CHUNKSIZE", 100_000)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)


@pytest.fixture
def threshold(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.callspec.params["scenario"] is scenarios.Multipart:
        monkeypatch.setattr(storage, "MULTIPART_BYTES", 1000)


@cache
def calls_of(scenario: type[Scenario]) -> tuple[Call, ...]:
    """The calls of a run in which nothing goes wrong."""
    run = prepared(scenario)
    with Injector().active() as injector:
        run.act()
    assert run.succeeded
    run.promised()
    run.settled()
    return tuple(injector.calls)


def run_with(run: Scenario, *faults: Fault) -> Injector:
    """A run with faults, its client's second attempt without, and what time does: all that must be true is."""
    run.faults = faults
    with Injector(*faults).active() as injector:
        run.act()
    assert injector.injected > 0
    assert injector.waited < run.seconds
    assert max(Counter(call for call, _ in injector.requests).values()) <= 3
    run.promised()
    run.saved = run.succeeded
    run.again()
    run.settled()
    tally.add(
        TITLE,
        runs=1,
        tries_failed=injector.injected,
        saved_by_a_retry_inside=run.saved,
        refused_with_503=run.answers and not run.saved,
        delivered_again=not run.answers and not run.saved,
        rows_ready_without_their_object=len(ready_without_object()),
        objects_without_a_row=len(orphans()),
        documented_gaps=run.gap,
    )
    tally.most(TITLE, s_waited_at_most=injector.waited if run.answers else 0)
    return injector


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Every line of the log, with the fields beside its message."""
    return "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)


@pytest.mark.usefixtures("threshold")
@pytest.mark.parametrize(
    ("kind", "scope"),
    [
        *[(kind, scope) for scope in ("once", "always") for kind in KINDS],
        *[(kind, "outage") for kind in OUTAGES],
    ],
)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_fault(scenario: type[Scenario], kind: str, scope: str, caplog: pytest.LogCaptureFixture) -> None:
    run: Scenario | None = None
    for call in calls_of(scenario):
        if run is None or not scenario.only_reads:
            run = prepared(scenario)
        run_with(run, Fault(kind, call, scope))
        if scope == "once" and kind != "denied" and not (kind == "garbled" and call.operation in READ_ONCE):
            assert run.saved, call
        assert "unexpected fault" not in caplog.messages
        assert SECRET not in logged(caplog)


@pytest.mark.usefixtures("threshold")
@pytest.mark.parametrize("kind", ["connect", "http_500", "throttled", "timeout"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_call_fails_once(scenario: type[Scenario], kind: str) -> None:
    """As when each client's connection was closed meanwhile: every call is saved, as long as there is time for it."""
    calls = calls_of(scenario)
    run = prepared(scenario)
    injector = run_with(run, *[Fault(kind, call) for call in calls])
    if kind != "timeout" or len(calls) < 3:
        assert injector.injected == len(calls)
        assert run.saved


WRITERS = [scenarios.SignUp, scenarios.SignUpWithEmail, scenarios.Send, scenarios.SendWithKey]
WRITERS += [scenarios.Ticket, scenarios.TicketWithKey, scenarios.Upload]
WRITERS += [scenarios.SignUpWithKey, scenarios.ReplaceToken, scenarios.Rename]
WRITES = ("PutItem", "UpdateItem", "TransactWriteItems")


@pytest.mark.parametrize("scope", ["once", "always"])
@pytest.mark.parametrize("kind", AT_THE_READ_BACK)
@pytest.mark.parametrize("scenario", WRITERS)
def test_fault_at_the_read_back(scenario: type[Scenario], kind: str, scope: str) -> None:
    """The answer to a write is lost, and what asks what became of it meets a fault of its own."""
    for call in calls_of(scenario):
        if call.operation in WRITES:
            lost = Fault("lost", call, "always")
            read_back = next(c for c in calls_after(scenario, lost) if c.operation == "GetItem")
            run = prepared(scenario)
            run_with(run, lost, Fault(kind, read_back, scope))
            # Three calls without an answer are as many as one request waits for.
            if scope == "once" and kind in ("http_500", "http_503", "throttled", "garbled"):
                assert run.saved


@cache
def calls_after(scenario: type[Scenario], fault: Fault) -> tuple[Call, ...]:
    """The calls that a run makes once a fault has come."""
    run = prepared(scenario)
    with Injector(fault).active() as injector:
        run.act()
    return tuple(injector.calls[injector.calls.index(fault.call) + 1 :])


@pytest.mark.parametrize("scope", ["once", "always"])
@pytest.mark.parametrize("kind", CUTS)
@pytest.mark.parametrize("scenario", [scenarios.Get, scenarios.GetPart, scenarios.Upload])
def test_body_stops_midway(scenario: type[Scenario], kind: str, scope: str) -> None:
    for call in calls_of(scenario):
        if call.operation == "GetObject":
            run = prepared(scenario)
            injector = run_with(run, Fault(kind, call, scope))
            assert run.saved == (scope == "once")
            if scope == "once":
                first, second = asked_ranges(injector)[call.nth - 1 : call.nth + 1]
                got = (first[1] - first[0] + 1) // 2 if kind == "cut" else 0
                assert second == (first[0] + got, first[1])


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("scenario", [scenarios.Get, scenarios.GetPart, scenarios.Upload])
def test_body_is_another(scenario: type[Scenario], kind: str) -> None:
    """It is never taken for what was asked for: the next attempt of whoever asked gets that."""
    for call in calls_of(scenario):
        if call.operation == "GetObject":
            run = prepared(scenario)
            run_with(run, Fault(kind, call))
            assert not run.saved


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.answers])
def test_fault_that_nobody_foresaw(scenario: type[Scenario], caplog: pytest.LogCaptureFixture) -> None:
    """A mistake in the code is told as any fault of ours is, and logged by where it was, not by what it says."""
    for call in calls_of(scenario):
        run = prepared(scenario)
        caplog.clear()
        run_with(run, Fault(UNFORESEEN, call))
        assert not run.saved
        [logged] = [record for record in caplog.records if record.message == "unexpected fault"]
        assert vars(logged)["error"] == "RuntimeError"
        assert all(re.fullmatch(r".+:\d+ [\w<>]+", line) for line in vars(logged)["where"])
        assert SECRET not in str(vars(logged)["where"])


@pytest.mark.parametrize("scope", ["once", "always"])
def test_another_sign_up_is_being_written(scope: str) -> None:
    """DynamoDB refuses a transaction that meets another at the same row, before it is known how that one ends."""
    run = prepared(scenarios.SignUpWithEmail)
    run_with(run, Fault(CONFLICT, Call("dynamodb", "TransactWriteItems", 1), scope))
    assert run.saved == (scope == "once")


def test_another_sign_up_was_being_written() -> None:
    """... and that one has won."""
    run = prepared(scenarios.SignUpWithEmail)
    with Injector(Fault(CONFLICT, Call("dynamodb", "TransactWriteItems", 1))).active() as injector:
        injector.upon(Call("dynamodb", "GetItem", 1), lambda: User.register("other", "ann@mail.ru") and None)
        run.act()
    assert (run.said.status, run.said.json["code"]) == (409, "email_taken")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_read_is_consistent(scenario: type[Scenario]) -> None:
    """moto knows no other; DynamoDB's default may give what was there a second ago."""
    call = next((call for call in calls_of(scenario) if call.operation in WRITES), None)
    run = prepared(scenario)
    with Injector(*([Fault("lost", call, "always")] if call else [])).active() as injector:
        run.act()
    reads = [asked for call, asked in injector.asked if call.operation in ("GetItem", "Query")]
    assert all(asked["ConsistentRead"] is True for asked in reads)
    assert reads or scenario in (scenarios.Removal, scenarios.Multipart)


def test_s3_is_told_the_sha256() -> None:
    """So that S3 itself refuses an MP3 that was damaged on its way there."""
    run = prepared(scenarios.Send)
    with Injector().active() as injector:
        run.act()
    [headers] = [headers for call, headers in injector.requests if call.operation == "PutObject"]
    digest = bytes.fromhex(run.said.json["mp3"]["sha256"])
    assert headers["x-amz-checksum-sha256"] in (base64.b64encode(digest), base64.b64encode(digest).decode())


def asked_ranges(injector: Injector) -> list[tuple[int, int]]:
    """The first and last byte that each GetObject asked for."""
    headers = [headers for call, headers in injector.requests if call.operation == "GetObject"]
    found = [re.fullmatch(r"b?'?bytes=(\d+)-(\d+)'?", str(header["Range"])) for header in headers]
    return [(int(match[1]), int(match[2])) for match in found if match]
