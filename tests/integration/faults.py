"""Faults at the calls to AWS: which calls a run makes, and what happens when one of them goes wrong.

An `Injector` stands between botocore and moto. It writes down every call, so that the list of a run's calls is found
and not written by hand, and makes one call, all calls of its kind, or all calls from it on, fail in a given way. Time
does not pass: what a real call would have waited for is counted in `waited`, and botocore's pauses with it.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import types
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import botocore.endpoint
import botocore.retries.quota
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.retries.quota import RetryQuota
from moto.core.models import botocore_stubber
from urllib3.exceptions import ReadTimeoutError as Urllib3ReadTimeoutError

from records import aws
from records.recordings import Recording
from records.users import User
from tests.conftest import MEASURED

# What may go wrong. `garbled` and `lost` calls were carried out.
KINDS = ("connect", "timeout", "http_500", "http_503", "throttled", "denied", "garbled", "lost")
APPLIED = ("garbled", "lost")
# What may become of a body on its way: half of it comes; nothing of it comes, and the connection stays open.
CUTS = ("cut", "stalled")
# Answers that hold something else: fewer bytes than were asked for, others, or the right ones and a fault behind them.
WRONG = ("short", "shifted", "late")
# Two transactions meet at one row: DynamoDB refuses the one that comes later.
CONFLICT = "conflict"
# Nothing that AWS does: a mistake of ours, or of a library.
UNFORESEEN = "unforeseen"
# Where: the first try of one call; one call and every later one of its operation; it and every later call of any kind.
SCOPES = ("once", "always", "outage")

# In the text of every fault, and never to be seen by anyone.
SECRET = "arn:aws:secret-4711"

_hours = itertools.count(1)


class Killed(BaseException):
    """The process is killed here. Nothing may catch it: a killed process does no more."""


@dataclass(frozen=True, slots=True)
class Call:
    """The nth call of an operation in a run."""

    service: str
    operation: str
    nth: int

    def __str__(self) -> str:
        return f"{self.service}.{self.operation}#{self.nth}"


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    call: Call
    scope: str = "once"

    def __str__(self) -> str:
        return f"{self.kind} at {self.call}, {self.scope}"


class Injector:
    """Counts the calls to AWS and makes some of them fail.

    calls: what was called, in order; requests: the headers of every try; asked: what DynamoDB was asked; waited:
    simulated seconds; injected: how many tries were made to fail.
    """

    def __init__(self, *faults: Fault, kill: tuple[str, Call] | None = None):
        self.calls: list[Call] = []
        self.requests: list[tuple[Call, dict[str, Any]]] = []
        self.asked: list[tuple[Call, dict[str, Any]]] = []
        self.waited = 0.0
        self.injected = 0
        self._faults = faults
        self._kill = kill  # ("before" it is sent, "during" the reading of its body or "after" it, the call)
        self._upon: dict[Call, Callable[[], object]] = {}
        self._struck: set[Fault] = set()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._by_invocation: dict[str, Call] = {}
        self._began = next(_hours) * 3600.0
        self._lock = threading.Lock()  # moto is no database: its conditional writes hold for one thread at a time

    @contextmanager
    def active(self) -> Iterator[Injector]:
        """Every call of ours comes by here. Needs `watched_clients`."""
        clock = types.SimpleNamespace(monotonic=lambda: self._began + self.waited)
        pauses = types.SimpleNamespace(sleep=self._pause)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(botocore.endpoint, "time", pauses)
            patch.setattr(aws, "time", clock)
            _active.append(self)
            try:
                yield self
            finally:
                _active.remove(self)

    def upon(self, call: Call, happening: Callable[[], object]) -> None:
        """Let something happen elsewhere just before a call is sent."""
        self._upon[call] = happening

    def _pause(self, seconds: float) -> None:
        self.waited += seconds

    def meet(self, client: Any, event_name: str, request: Any) -> Any:
        """What becomes of one try of a call: an answer, or an exception."""
        _, service, operation = event_name.split(".")
        with self._lock:
            call, attempt = self._identify(service, operation, request)
            self.requests.append((call, {**request.headers}))
            if service == "dynamodb":
                self.asked.append((call, json.loads(request.body)))
        self._upon.pop(call, lambda: None)()
        if self._kill == ("before", call):
            raise Killed
        with self._lock:
            for fault in self._faults:
                if self._strikes(fault, call, attempt):
                    self.injected += 1
                    return self._strike(fault.kind, client, event_name, request)
            answer = carry_out(event_name, request)
        if self._kill == ("after", call):
            raise Killed
        return _fatal(request, answer) if self._kill == ("during", call) else answer

    def _identify(self, service: str, operation: str, request: Any) -> tuple[Call, int]:
        """The call that a try belongs to, and the number of the try, by the headers that botocore sends."""
        invocation = _text(request.headers["amz-sdk-invocation-id"])
        attempt = re.search(r"attempt=(\d+)", _text(request.headers["amz-sdk-request"]))
        assert attempt
        if invocation not in self._by_invocation:
            self._counts[service, operation] += 1
            call = Call(service, operation, self._counts[service, operation])
            self._by_invocation[invocation] = call
            self.calls.append(call)
        return self._by_invocation[invocation], int(attempt[1])

    def _strikes(self, fault: Fault, call: Call, attempt: int) -> bool:
        if call == fault.call:
            self._struck.add(fault)
            return fault.scope != "once" or attempt == 1
        if fault not in self._struck or fault.scope == "once":
            return False
        same = (call.service, call.operation) == (fault.call.service, fault.call.operation)
        return same or fault.scope == "outage"

    def _strike(self, kind: str, client: Any, event_name: str, request: Any) -> Any:
        config = client.meta.config
        if kind == "connect":
            self.waited += config.connect_timeout
            raise ConnectTimeoutError(endpoint_url=SECRET)
        if kind == "timeout":
            self.waited += config.read_timeout
            raise ReadTimeoutError(endpoint_url=SECRET)
        if kind == "lost":
            carry_out(event_name, request)
            self.waited += config.read_timeout
            raise ReadTimeoutError(endpoint_url=SECRET)
        if kind == "garbled":
            return garbled(request, carry_out(event_name, request))
        if kind == UNFORESEEN:
            raise RuntimeError(SECRET)
        if kind in CUTS + WRONG:
            return self._cut(kind, config.read_timeout, request, carry_out(event_name, request))
        if kind == CONFLICT:
            reasons = '[{"Code": "None"}, {"Code": "TransactionConflict"}]'
            text = f'{{"__type": "x#TransactionCanceledException", "CancellationReasons": {reasons}}}'
            return response(request, 400, {}, text.encode())
        return refusal(request, client.meta.service_model.service_name, kind)

    def _cut(self, kind: str, seconds: float, request: Any, answer: Any) -> AWSResponse:
        def stall() -> None:
            self.waited += seconds
            raise Urllib3ReadTimeoutError(None, SECRET, SECRET)  # type: ignore[arg-type]

        body: bytes = answer.content
        headers: Any = dict(answer.headers.items())
        half = body[: len(body) // 2]
        if kind == "short":
            headers["content-length"] = str(len(half))
        if kind == "shifted":
            headers["content-range"] = re.sub(r"\d+-", "1-", headers["content-range"], count=1)
        raw: Any = {
            "cut": lambda: _Raw(half),
            "stalled": lambda: _Raw(b"", stall),
            "short": lambda: _Raw(half),
            "shifted": lambda: _Raw(body),
            "late": lambda: _Raw(body, stall),
        }[kind]()
        return AWSResponse(request.url, answer.status_code, headers, raw)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


_active: list[Injector] = []


@contextmanager
def watched_clients() -> Iterator[None]:
    """New clients for every way of ours to AWS, whose calls pass the injector that is active."""
    with pytest.MonkeyPatch.context() as patch:
        # A client that met a hundred faults may repeat no more calls, for a while: each run is to be the first.
        patch.setattr(botocore.retries.quota, "RetryQuota", partial(RetryQuota, 10**9))
        aws.s3.cache_clear()
        clients: list[Any] = [aws.s3()]
        for model in (User, Recording):
            model._connection = None
            clients.append(model._get_connection().connection.client)
    for client in clients:
        name = client.meta.service_model.service_id.hyphenize()
        client.meta.events.unregister("before-send", botocore_stubber)  # which would carry out what we refuse
        client.meta.events.register_first(f"before-send.{name}.*", _handler(client))
    yield


def _handler(client: Any) -> Callable[..., Any]:
    def before_send(request: Any, event_name: str, **_: Any) -> Any:
        if _active:
            return _active[-1].meet(client, event_name, request)
        return carry_out(event_name, request)

    return before_send


def carry_out(event_name: str, request: Any) -> Any:
    """What the service does with a request."""
    answer = botocore_stubber(event_name=event_name, request=request)
    assert answer is not None
    return answer


class _Raw(BytesIO):
    """A body as urllib3 gives it. at_end: what happens instead of its end."""

    def __init__(self, body: bytes, at_end: Callable[[], None] = lambda: None) -> None:
        super().__init__(body)
        self._at_end = at_end

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if not piece:
            self._at_end()
        return piece

    def stream(self, **_: Any) -> Iterator[bytes]:
        while piece := self.read(65536):
            yield piece


def _fatal(request: Any, answer: Any) -> AWSResponse:
    """An answer in the middle of whose body the process is killed."""

    def kill() -> None:
        raise Killed

    body = answer.content
    raw: Any = _Raw(body[: len(body) // 2], kill)
    return AWSResponse(request.url, answer.status_code, answer.headers, raw)


def response(request: Any, status: int, headers: Any, body: bytes) -> AWSResponse:
    raw: Any = _Raw(body)
    return AWSResponse(request.url, status, headers, raw)


def garbled(request: Any, answer: Any) -> AWSResponse:
    """An answer that was damaged on its way: half of its body is there, of a HEAD's headers nothing."""
    if request.method == "HEAD":
        return response(request, answer.status_code, {}, b"")
    body: bytes = answer.content
    headers: Any = dict(answer.headers.items())
    return response(request, answer.status_code, headers, body[: len(body) // 2] if body else b"\xff<{")


_DYNAMODB = {
    "http_500": (500, "InternalServerError"),
    "http_503": (503, "ServiceUnavailable"),
    "throttled": (400, "ThrottlingException"),
    "denied": (400, "AccessDeniedException"),
}
_S3 = {
    "http_500": (500, "InternalError"),
    "http_503": (503, "ServiceUnavailable"),
    "throttled": (503, "SlowDown"),
    "denied": (403, "AccessDenied"),
}


def refusal(request: Any, service: str, kind: str) -> AWSResponse:
    """An error as the service says it."""
    if service == "dynamodb":
        status, code = _DYNAMODB[kind]
        body = f'{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"{SECRET}"}}'
        return response(request, status, {"content-type": "application/x-amz-json-1.0"}, body.encode())
    status, code = _S3[kind]
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{SECRET}</Message></Error>'
    return response(
        request, status, {"content-type": "application/xml"}, b"" if request.method == "HEAD" else body.encode()
    )


class Tally:
    """What was tried and what came of it, by title; printed at the end of the run."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}

    def add(self, title: str, **counts: int) -> None:
        self.counts.setdefault(title, Counter()).update(counts)

    def most(self, title: str, **values: float) -> None:
        """Keep the largest of each."""
        kept = self.counts.setdefault(title, Counter())
        for name, value in values.items():
            kept[name] = max(kept[name], round(value))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        for title, counts in self.counts.items():
            texts = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items()]
            session.config.stash.setdefault(MEASURED, []).append(f"{title}: {', '.join(texts)}")

    def print_with(self, config: pytest.Config) -> None:
        if not config.pluginmanager.is_registered(self):
            config.pluginmanager.register(self)


tally = Tally()


REPLAY = """#!/bin/sh
for word; do case "$word" in file:*) mp3="${word#file:}" ;; esac; done
if [ -e "$0.whole" ]; then
    cmp -s - "$0.in" && cp "$0.mp3" "$mp3" && exec cat "$0.pcm"
    exit 1
fi
cat > "$0.in"
FFMPEG "$@" < "$0.in" > "$0.pcm" && cp "$mp3" "$0.mp3" && : > "$0.whole" && exec cat "$0.pcm"
"""


def replaying(ffmpeg: str, folder: Path) -> str:
    """An ffmpeg that works once, and then gives the same again for the same sound: hundreds of runs share it."""
    script = folder / "ffmpeg"
    script.write_text(REPLAY.replace("FFMPEG", ffmpeg))
    script.chmod(0o755)
    return str(script)
