"""What the tests of the page do as a person: look, press, choose, wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, Request, Response, expect

from tests.e2e.browser import CHROMIUM, Visit
from tests.support.client import HttpClient

NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")
HERTZ = 440
TIMEOUT = 60_000  # ms that the slowest step of a short recording may take on a busy machine
expect.set_options(timeout=TIMEOUT)
LIGHT: dict[str, Any] = {"viewport": {"width": 1000, "height": 836}, "color_scheme": "light"}
DARK: dict[str, Any] = {**LIGHT, "color_scheme": "dark"}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "color_scheme": "dark",
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}

Open = Callable[..., Visit]


def sign_up(visit: Visit, name: str = "Anna") -> Visit:
    """Makes the browser somebody's, as if it had been asked for a name before."""
    visit.page.evaluate(
        """async (name) => {
          const headers = { 'content-type': 'application/json' };
          const answer = await fetch('/users', { method: 'POST', headers, body: JSON.stringify({ name }) });
          localStorage.setItem('records.identity', JSON.stringify({ ...(await answer.json()), name }));
        }""",
        name,
    )
    with visit.page.expect_response(listed):
        visit.page.reload()
    expect(visit.page.locator("#my-name")).to_have_text(name)
    return visit


def listed(about: Response | Request) -> bool:
    """Whether it is about the list of what the account has."""
    request = about.request if isinstance(about, Response) else about
    return request.url.partition("?")[0].endswith("/records") and request.method == "GET"


def items(visit: Visit) -> Locator:
    """The list's visible entries, newest first."""
    return visit.page.locator("#list article:visible")


def become(item: Locator, what: str, timeout: float = TIMEOUT) -> None:
    """Waits until an entry offers an action: 'copy' and 'download' of one that is ready, 'send', 'retry', 'cancel'."""
    expect(item.locator(f".{what}")).to_be_visible(timeout=timeout)


def ready(item: Locator, timeout: float = TIMEOUT) -> None:
    become(item, "download", timeout)


def recorded(page: Page, seconds: int) -> None:
    """Waits until the timer of a recording shows so many seconds, or more."""
    page.wait_for_function(
        """seconds => {
          const [m, s] = document.querySelector('#timer').textContent.split(':').map(Number);
          return m * 60 + s >= seconds;
        }""",
        arg=seconds,
    )


def record(visit: Visit, seconds: int) -> Locator:
    """Records from the microphone; returns the new entry."""
    button = visit.page.locator("#record")
    button.click()
    expect(visit.page.locator("#booth")).to_have_attribute("data-state", "on")
    recorded(visit.page, seconds)
    button.click()
    item = items(visit).first
    become(item, "send")
    return item


def put(visit: Visit, *files: Path | dict[str, Any]) -> None:
    """Chooses files; they stay where they are until they are sent."""
    visit.page.locator("#files").set_input_files(list(files))  # type: ignore[arg-type]


def choose(visit: Visit, *files: Path | dict[str, Any]) -> None:
    """Chooses WAV files and sends them."""
    waiting = items(visit).locator(".send:visible")
    before = waiting.count()
    put(visit, *files)
    expect(waiting).to_have_count(before + len(files))
    visit.page.wait_for_timeout(600)  # what has just appeared is not pressed by a double-click
    if before + len(files) > 1:
        visit.page.locator("#send-all").click()
    else:
        waiting.click()
    expect(waiting).to_have_count(0)


def named(visit: Visit, name: str) -> Locator:
    """The list's entry of that name."""
    return items(visit).filter(has=visit.page.get_by_role("heading", name=name, exact=True))


def record_of(item: Locator, base_url: str) -> dict[str, Any]:
    """What the service says of an entry's record."""
    address = item.locator(".download").get_attribute("href")
    assert address
    reply = HttpClient(base_url).request("GET", address, {"Accept": "application/json"})
    assert reply.status == 200, reply
    found: dict[str, Any] = reply.json
    return found


def seconds_shown(item: Locator) -> float:
    """Where the player stands."""
    return float(item.locator(".seek").input_value())


def parts_sent(*visits: Visit) -> list[int]:
    """The numbers of the parts that the storage took, as often as it took them."""
    taken = [r.url for visit in visits for r in visit.responses if r.request.method == "PUT" and r.status == 200]
    return sorted(int(parse_qs(urlsplit(url).query)["partNumber"][0]) for url in taken)


def wait_until(page: Page, what: Callable[[], bool], seconds: float = TIMEOUT / 1000) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it did not happen"
        page.wait_for_timeout(50)
