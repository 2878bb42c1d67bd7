"""The page and the documentation, as a person meets them in a browser, against the deployed stack."""

from __future__ import annotations

import itertools
import json
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import numpy
import pytest
import soundfile

pytest.importorskip("playwright", reason="playwright is not installed")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Dialog, Error, Locator, Page, Request, Response, Route, expect

from tests.e2e.browser import CHROMIUM, Line, Visit, chromium, speech, tone
from tests.support.client import HttpClient
from tests.support.decoding import decoded
from tests.support.wavs import fmt, sample, wav

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")

DOCS = Path(__file__).parents[2] / "docs"
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


@pytest.fixture(scope="module")
def wavs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with WAV files: what the microphone hears, a short one, one for the upload path, half an hour, and one
    that is as large as half an hour but soon converted: 96 kHz, 8 channels of 32 bits."""
    folder = tmp_path_factory.mktemp("wavs")
    speech(folder / "microphone.wav", HERTZ, seconds=20, rate=48000)
    speech(folder / "speech.wav", 200, seconds=40)
    tone(folder / "short.wav", 300, 3)
    tone(folder / "long.wav", 300, 240)
    tone(folder / "lecture.wav", 300, 1800)
    sound = numpy.sin(numpy.arange(1_800_000) / 50) * 2**30
    data = numpy.repeat(sound.astype("<i4"), 8).tobytes()
    (folder / "wide.wav").write_bytes(wav(fmt(channels=8, rate=96_000, bits=32), data))
    return folder


@pytest.fixture(scope="module")
def browser(wavs: Path) -> Iterator[Browser]:
    with chromium(wavs / "microphone.wav") as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser, base_url: str) -> Iterator[Open]:
    """Opens the page for a person who is new here; checks at the end that nothing went wrong behind the scenes."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def open_page(path: str = "/", *, same: Visit | None = None, locale: str = "en-US", **options: Any) -> Visit:
        if same:
            context = same.page.context
        else:
            context = browser.new_context(
                base_url=base_url,
                locale=locale,
                permissions=["microphone", "clipboard-read", "clipboard-write"],
                # What a service worker asks for is not seen by page.route.
                **{**LIGHT, "service_workers": "block", **options},
            )
            context.set_default_timeout(TIMEOUT)
            contexts.append(context)
        visit = Visit(context.new_page())
        visits.append(visit)
        for attempt in range(3):
            # When a network interface of the machine comes or goes (a container's, say), Chromium fails what it loads.
            try:
                visit.page.goto(path)
                # Twice the same address with a fragment is not loaded twice: its scripts have run once this has gone.
                visit.page.locator("#loading").wait_for(state="detached", timeout=TIMEOUT / 3)
            except Error as error:
                if attempt == 2 or not ("ERR_NETWORK_CHANGED" in error.message or "Timeout" in error.message):
                    raise
            else:
                break
        return visit

    yield open_page
    for context in contexts:
        context.close()
    for visit in visits:
        assert visit.unexpected == []
        # The storage is the stack's own, at its own address or another port of this machine.
        assert {host.partition(":")[0] for host in visit.hosts} == {base_url.split("/")[2].partition(":")[0]}


@pytest.fixture
def line() -> Iterator[Line]:
    """A way to the network for `open_page(proxy=line.proxy)`, to be slowed and cut."""
    line = Line()
    yield line
    line.close()


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


# ---- who is here


def test_the_name_is_asked_for_at_the_first_send(open_page: Open, base_url: str) -> None:
    visit = open_page()
    page = visit.page
    expect(page.get_by_role("heading", name="Say it once. Share it as a link.")).to_be_visible()
    item = record(visit, 1)
    expect(page.locator("#hero")).to_be_hidden()
    page.wait_for_timeout(600)
    item.get_by_role("button", name="Send").click()
    dialog = page.get_by_role("dialog", name="What is your name?")
    dialog.get_by_role("button", name="Cancel").click()
    become(item, "send")
    assert visit.answers("POST", "/users") == []
    item.get_by_role("button", name="Send").click()
    page.locator("#name").fill("  ")
    dialog.get_by_role("button", name="Continue").click()
    expect(page.locator("#sign-up-problem")).to_have_text("Enter a name.")
    page.locator("#name").fill("Anna <i>B</i>")
    page.locator("#name").press("Enter")
    ready(item)
    expect(page.locator("#my-name")).to_have_text("Anna <i>B</i>")
    number = record_of(item, base_url)["user"]
    assert 1 <= number < 2**53
    page.reload()
    expect(page.locator("#my-name")).to_have_text("Anna <i>B</i>")
    page.locator("#me").click()
    expect(page.locator("#my-id")).to_have_text(str(number))
    expect(page.locator("#my-usage")).to_have_text(re.compile(r"^1 recording · 0:0\d · \d+ kB$"))
    assert visit.answers("POST", "/users") == [201]


def test_a_sign_up_whose_answer_was_lost_makes_one_user(open_page: Open) -> None:
    visit = open_page()
    page = visit.page
    ids: list[int] = []

    def lose(route: Route) -> None:
        ids.append(route.fetch().json()["id"])
        route.abort("connectionreset")

    page.route("**/users", lose, times=1)
    item = record(visit, 1)
    page.wait_for_timeout(600)
    item.get_by_role("button", name="Send").click()
    page.locator("#name").fill("Anna")
    page.locator("#name").press("Enter")
    expect(page.locator("#sign-up-problem")).to_have_text("The connection was lost.")
    page.locator("#name").press("Enter")
    ready(item)
    assert page.evaluate("JSON.parse(localStorage.getItem('records.identity')).id") == ids[0]
    assert visit.answers("POST", "/users") == [200]


def test_two_tabs_are_one_identity(open_page: Open, wavs: Path) -> None:
    first = open_page()
    second = open_page(same=first)
    for visit in (first, second):
        item = record(visit, 1)
        visit.page.wait_for_timeout(600)
        item.get_by_role("button", name="Send").click()
        visit.page.locator("#name").fill("Anna")
    for visit in (first, second):
        if visit.page.locator("#name").is_visible():
            visit.page.locator("#name").press("Enter")
    for visit in (first, second):
        expect(visit.page.locator("#my-name")).to_have_text("Anna")
        expect(visit.page.locator("#sign-up")).to_be_hidden()
    assert first.answers("POST", "/users") + second.answers("POST", "/users") == [201]


WARNINGS = {
    "en-US": (
        *("Show them to nobody but your own device.", "You are signed in as Anna.", "The key was replaced."),
        "This link no longer works",
    ),
    "ru-RU": ("Не показывайте их никому", "Вы вошли как Anna.", "Ключ сменён.", "Эта ссылка больше не действует"),
}


@pytest.mark.parametrize("locale", WARNINGS)
def test_the_account_moves_to_another_device_and_is_erased(
    open_page: Open, wavs: Path, base_url: str, *, locale: str
) -> None:
    warning, welcome, replaced, dead = WARNINGS[locale]
    first = sign_up(open_page(locale=locale))
    choose(first, wavs / "short.wav")
    ready(items(first).first)
    record = record_of(items(first).first, base_url)

    # The link that signs another device in is shown after a warning only.
    first.page.locator("#me").click()
    expect(first.page.locator("#my-id")).to_have_text(str(record["user"]))
    first.page.locator("#move").click()
    expect(first.page.locator("#question")).to_contain_text(warning)
    first.page.locator("#ask [value=no]").click()
    expect(first.page.locator("#moving")).to_be_hidden()
    first.page.locator("#move").click()
    first.page.locator("#yes").click()
    expect(first.page.locator("#moving .qr svg")).to_be_visible()
    link = first.page.locator("#moving .address").input_value()
    token = first.page.evaluate("JSON.parse(localStorage.getItem('records.identity')).token")
    assert token not in link.partition("#")[0]

    second = open_page(link, locale=locale)
    expect(second.page.locator("#question")).to_contain_text("Anna")
    assert "#" not in second.page.url
    second.page.locator("#yes").click()
    expect(second.page.locator(".toast")).to_contain_text(welcome)
    item = items(second).first
    expect(item.get_by_role("heading")).to_have_text("short")
    item.locator(".play").click()
    wait_until(second.page, lambda: seconds_shown(item) > 0.3)
    item.locator(".edit").click()
    item.locator(".rename").fill("Renamed")
    item.locator(".rename").press("Enter")
    wait_until(second.page, lambda: record_of(item, base_url)["name"] == "Renamed.wav")
    first.page.reload()
    expect(items(first).first.get_by_role("heading")).to_have_text("Renamed")

    # A new key shuts the first device out, also where the answer with it is lost.
    second.page.route("**/users/token", lambda route: (route.fetch(), route.abort())[1], times=1)
    second.page.locator("#me").click()
    second.page.locator("#rotate").click()
    second.page.locator("#yes").click()
    expect(second.page.locator("#account-problem")).not_to_be_empty()
    second.page.reload()
    choose(second, wavs / "short.wav")  # the old key is refused, so the lost answer is asked for again
    ready(items(second).first)
    assert second.answers("POST", "/users/token") == [200]
    second.page.locator("#me").click()
    second.page.locator("#rotate").click()
    second.page.locator("#yes").click()
    expect(second.page.locator(".toast")).to_contain_text(replaced)
    choose(first, wavs / "short.wav")
    expect(first.page.locator("#sign-up-problem")).not_to_be_empty()
    expect(first.page.locator("#me")).to_be_hidden()

    # The old link, opened once more, does not take the place of the new key.
    second.page.evaluate("link => { location.hash = link.slice(link.indexOf('#')); }", link)
    expect(second.page.locator(".toast").last).to_contain_text(dead)
    second.page.reload()

    second.page.locator("#me").click()
    second.page.locator("#erase").click()
    second.page.locator("#yes").click()
    expect(second.page.locator("#me")).to_be_hidden()
    expect(items(second)).to_have_count(0)
    receipt = second.page.locator(".toast a").get_attribute("href")
    assert receipt
    reply = HttpClient(base_url).request("GET", f"/erasure?{urlsplit(receipt).query}")
    assert (reply.status, reply.json["status"]) == (202, "erasing")
    wait_until(second.page, lambda: HttpClient(base_url).request("GET", record["url"]).status == 404)


def test_sent_again_while_its_refusal_is_still_being_stored(open_page: Open, wavs: Path) -> None:
    """The new key is there before the browser's database has noted that the old one was refused."""
    visit = sign_up(open_page())
    page = visit.page
    page.route("**/users/token", lambda route: (route.fetch(), route.abort())[1], times=1)
    page.locator("#me").click()
    page.locator("#rotate").click()
    page.locator("#yes").click()
    expect(page.locator("#account-problem")).not_to_be_empty()
    page.reload()
    page.evaluate(
        """() => {
          const put = IDBObjectStore.prototype.put;
          IDBObjectStore.prototype.put = function (item, key) {
            for (let n = 0; n < 200 && item.state === 'unsent'; n++) {
              put.call(this, { id: 'large', content: new Uint8Array(1e6) });
              this.delete('large');
            }
            return put.call(this, item, key);
          };
        }"""
    )
    choose(visit, wavs / "short.wav")
    ready(items(visit).first)
    assert visit.answers("POST", "/records") == [401, 201]


def test_the_key_is_replaced_while_something_is_sent(open_page: Open, line: Line, wavs: Path, base_url: str) -> None:
    """What the old key is refused for says nothing of the new one, of which there is no other copy."""
    visit = sign_up(open_page(proxy=line.proxy))
    page = visit.page
    line.slow(6_000_000)
    choose(visit, wavs / "wide.wav")
    wait_until(page, lambda: len(parts_sent(visit)) >= 1)
    page.locator("#me").click()
    page.locator("#rotate").click()
    page.locator("#yes").click()
    expect(page.locator(".toast")).to_contain_text("The key was replaced.")
    line.restore()
    ready(items(visit).first, timeout=120_000)
    assert 401 in visit.answers("POST", "/uploads")
    assert visit.answers("POST", "/users/token") == [200]
    expect(page.locator("#sign-up")).to_be_hidden()
    assert record_of(items(visit).first, base_url)["duration"] == pytest.approx(18.75, abs=0.1)


def test_signed_out_with_recordings_that_were_not_sent(open_page: Open, line: Line, wavs: Path) -> None:
    """They wait for somebody to sign in; nothing goes on without anybody."""
    visit = sign_up(open_page(proxy=line.proxy))
    page = visit.page
    line.cut()
    choose(visit, wavs / "short.wav", wavs / "speech.wav")
    for item in items(visit).all():
        become(item, "retry")
    page.evaluate(
        """() => {
          window.puts = 0;
          const put = IDBObjectStore.prototype.put;
          IDBObjectStore.prototype.put = function (...given) { window.puts += 1; return put.apply(this, given); };
        }"""
    )
    page.locator("#me").click()
    page.locator("#sign-out").click()
    page.locator("#yes").click()
    expect(page.locator("#me")).to_be_hidden()
    line.restore()
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_timeout(4000)
    expect(page.locator("#sign-up")).to_be_hidden()
    assert page.evaluate("window.puts") < 10
    items(visit).first.get_by_role("button", name="Try again").click()
    page.locator("#name").fill("Berta")
    page.locator("#name").press("Enter")
    for item in items(visit).all():
        ready(item)


def test_a_deletion_holds_though_the_network_comes_back(open_page: Open, line: Line, wavs: Path) -> None:
    visit = sign_up(open_page(proxy=line.proxy))
    page = visit.page
    line.cut()
    choose(visit, wavs / "short.wav")
    become(items(visit).first, "retry")
    page.wait_for_timeout(600)
    items(visit).first.get_by_role("button", name="Delete").click()
    expect(items(visit)).to_have_count(0)
    line.restore()
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_timeout(7000)
    with page.expect_response(listed):
        page.reload()
    expect(items(visit)).to_have_count(0)
    assert 201 not in visit.answers("POST", "/records")


def test_another_tab_is_opened_while_a_deletion_can_be_undone(open_page: Open, wavs: Path) -> None:
    visit = sign_up(open_page())
    page = visit.page
    put(visit, wavs / "short.wav")
    become(items(visit).first, "send")
    page.wait_for_timeout(600)
    items(visit).first.get_by_role("button", name="Delete").click()
    expect(items(visit)).to_have_count(0)
    other = open_page(same=visit)
    expect(items(other)).to_have_count(0)
    page.locator(".toast").get_by_role("button", name="Undo").click()
    for tab in (visit, other):
        expect(items(tab)).to_have_count(1)
    page.wait_for_timeout(600)
    items(visit).first.get_by_role("button", name="Send").click()
    ready(items(visit).first)


def test_an_upload_that_is_too_long_for_today(open_page: Open, wavs: Path) -> None:
    """Only the arrived file shows it: what the service has is given up, and sent anew tomorrow, or if asked to."""
    visit = sign_up(open_page())
    page = visit.page
    refusal = {
        "code": "daily_limit",
        "message": "Come tomorrow.",
        "status": "failed",
        "details": {"limit_seconds": 3, "used_seconds": 3},
    }
    page.route(
        re.compile(r"/record\?"),
        lambda route: route.fulfill(status=410, content_type="application/json", body=json.dumps(refusal)),
        times=1,
    )
    choose(visit, wavs / "long.wav")
    item = items(visit).first
    become(item, "retry")
    expect(item.locator(".note")).to_contain_text("You have reached today’s limit. It will be sent tomorrow.")
    page.wait_for_timeout(5000)
    expect(item.locator(".note")).to_contain_text("It will be sent tomorrow.")
    item.get_by_role("button", name="Try again").click()
    ready(item)
    assert visit.answers("POST", "/uploads") == [201, 201]


def test_storage_that_is_switched_off(open_page: Open, browser: Browser, base_url: str, wavs: Path) -> None:
    """As browsers do where a person blocks the data of sites: channels between tabs, locks and databases refuse."""
    visit = open_page()
    page = visit.page
    page.add_init_script(
        """(() => {
          const refuse = () => { throw new DOMException('denied', 'SecurityError'); };
          window.BroadcastChannel = class { constructor() { refuse(); } };
          navigator.locks.request = async () => refuse();
          Object.defineProperty(window, 'localStorage', { get: refuse });
          indexedDB.open = refuse;
        })()"""
    )
    page.reload()
    expect(page.locator("#booth")).to_be_visible()
    put(visit, wavs / "short.wav")
    page.wait_for_timeout(600)
    items(visit).first.get_by_role("button", name="Send").click()
    page.locator("#name").fill("Anna")
    page.locator("#name").press("Enter")
    ready(items(visit).first)


def test_signed_out(open_page: Open, wavs: Path) -> None:
    visit = sign_up(open_page())
    page = visit.page
    other = open_page(same=visit)
    expect(other.page.locator("#me")).to_be_visible()
    page.locator("#me").click()
    page.locator("#sign-out").click()
    expect(page.locator("#question")).to_contain_text("nobody can open this account again")
    page.locator("#yes").click()
    for tab in (visit, other):
        expect(tab.page.locator("#me")).to_be_hidden()
    assert page.evaluate("localStorage.getItem('records.identity')") is None


def test_what_was_deleted_is_gone_for_the_service_too(open_page: Open, wavs: Path, base_url: str) -> None:
    visit = sign_up(open_page())
    page = visit.page
    choose(visit, wavs / "short.wav")
    item = items(visit).first
    ready(item)
    link = record_of(item, base_url)["url"]
    page.wait_for_timeout(600)
    item.get_by_role("button", name="Delete").click()
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(items(visit)).to_have_count(1)
    page.wait_for_timeout(600)
    item.get_by_role("button", name="Delete").click()
    page.wait_for_timeout(1000)
    assert HttpClient(base_url).request("GET", link).status == 200, "it can be undone still"
    wait_until(page, lambda: HttpClient(base_url).request("GET", link).status == 404)


def test_signed_out_in_another_tab_before_a_deletion_is_final(open_page: Open, wavs: Path) -> None:
    """The service still has it: it is back in the list, and a sentence says why."""
    visit = sign_up(open_page())
    choose(visit, wavs / "short.wav")
    item = items(visit).first
    ready(item)
    other = open_page(same=visit)
    visit.page.wait_for_timeout(600)
    item.get_by_role("button", name="Delete").click()
    expect(items(visit)).to_have_count(0)
    other.page.evaluate("localStorage.removeItem('records.identity')")
    expect(items(visit)).to_have_count(1)
    expect(visit.page.locator(".toast").last).to_contain_text("The service no longer recognizes this browser.")


def test_an_invitation_is_asked_for_where_one_is_needed(open_page: Open) -> None:
    visit = open_page()
    page = visit.page
    bodies: list[Any] = []

    def closed(route: Route) -> None:
        bodies.append(route.request.post_data_json)
        if "invite" in bodies[-1]:
            return route.fulfill(
                status=201,
                content_type="application/json",
                body='{"id": 7, "token": "00000000-0000-4000-8000-000000000000"}',
            )
        body = json.dumps({"code": "invite_required", "message": "An invitation is needed."})
        return route.fulfill(status=403, content_type="application/json", body=body)

    page.route("**/users", closed)
    page.route("**/records?*", lambda route: route.abort())
    item = record(visit, 1)
    page.wait_for_timeout(600)
    item.get_by_role("button", name="Send").click()
    page.locator("#name").fill("Anna")
    page.locator("#name").press("Enter")
    expect(page.locator("#sign-up-problem")).to_have_text("Sign-up is by invitation. Enter your invitation code.")
    expect(page.get_by_label("Invitation code")).to_be_focused()
    page.get_by_label("Invitation code").fill("let-me-in")
    page.get_by_label("Invitation code").press("Enter")
    expect(page.locator("#my-name")).to_have_text("Anna")
    assert bodies == [{"name": "Anna"}, {"name": "Anna", "invite": "let-me-in"}]


def test_a_page_whose_scripts_do_not_arrive_says_so(open_page: Open) -> None:
    visit = open_page()
    page = visit.page
    expect(page.locator("#booth")).to_be_visible()
    expect(page.locator("#loading")).to_have_count(0)
    page.route("**/strings.js", lambda route: route.abort())
    page.reload()
    expect(page.locator("#loading")).to_be_visible()
    expect(page.locator("#loading")).to_contain_text("If nothing changes, load it again.")
    page.unroute("**/strings.js")
    page.get_by_role("link", name="load it again").click()
    expect(page.locator("#booth")).to_be_visible()


def test_it_opens_without_a_network(open_page: Open) -> None:
    visit = open_page(service_workers="allow")
    page = visit.page
    page.evaluate("navigator.serviceWorker.ready")
    page.reload()  # now the worker sees every file
    expect(page.locator("#booth")).to_be_visible()
    page.context.set_offline(True)
    page.reload()
    expect(page.locator("#booth")).to_be_visible()
    expect(page.locator("#loading")).to_have_count(0)
    kept = page.evaluate(
        "caches.keys().then(names => Promise.all(names.map(name => caches.open(name).then(c => c.keys()))))"
    )
    assert len(kept) == 1
    page.context.set_offline(False)


# ---- recording


def test_a_recording_becomes_a_link_that_plays(
    open_page: Open, base_url: str, ffmpeg: str, tmp_path: Path, wavs: Path
) -> None:
    visit = sign_up(open_page(reduced_motion="reduce"))
    page = visit.page
    tape = page.locator("#tape")
    idle = tape.screenshot()
    page.locator("#record").click()
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    recorded(page, 1)
    first = tape.screenshot()
    recorded(page, 3)
    assert len({idle, first, tape.screenshot()}) == 3, "the waveform does not move"
    assert re.fullmatch(r"● 0:\d\d · Records", page.title())
    page.get_by_role("button", name="Stop").click()

    item = items(visit).first
    expect(item.get_by_role("button", name="Send")).to_be_focused()
    expect(item.locator(".note")).to_have_text("Not sent yet. Saved in this browser.")
    expect(page).to_have_title("Records")
    # It can be heard before it is sent.
    item.get_by_role("button", name="Play").click()
    wait_until(page, lambda: seconds_shown(item) > 0.3)
    item.get_by_role("button", name="Pause").click()
    assert visit.answers("GET", "/record") == []
    item.get_by_label("Name of the recording").fill("")
    item.get_by_label("Name of the recording").press("Enter")
    expect(item.get_by_label("Name of the recording")).to_have_value(re.compile("^Recording "))
    item.get_by_label("Name of the recording").fill("Голос <b>1</b>")
    item.get_by_role("button", name="Send").click()
    ready(item)

    expect(item.get_by_role("heading")).to_have_text("Голос <b>1</b>")
    expect(item.get_by_role("button", name="Copy link")).to_be_focused()
    assert visit.answers("POST", "/records") == [201]
    assert visit.answers("POST", "/uploads") == []
    found = record_of(item, base_url)
    assert found["name"] == "Голос <b>1<-b>.wav", "a slash would be taken for a folder's"
    assert 3 <= found["duration"] < 6
    assert (found["channels"], found["truncated"], found["levels"]["silent"]) == (1, False, False)

    item.get_by_role("button", name="Copy link").click()
    expect(item.locator(".copy")).to_have_text("Copied")
    link = found["url"]
    assert page.evaluate("navigator.clipboard.readText()") == found["page"]
    expect(page.locator("#live")).to_have_text("The link to Голос <b>1</b> is copied.")
    # What it plays is what the microphone heard.
    mp3 = tmp_path / "heard.mp3"
    mp3.write_bytes(HttpClient(base_url).request("GET", link).body)
    played = decoded(mp3.read_bytes(), ffmpeg)
    samples = played.rows[0]
    # From well below zero to well above: in the pauses the encoder's noise goes up and down, too.
    swings = [(i, sample > 0) for i, sample in enumerate(samples) if abs(sample) > 300]
    upwards = [i for (_, before), (i, after) in itertools.pairwise(swings) if after and not before]
    period = statistics.median(b - a for a, b in itertools.pairwise(upwards))
    peaks = [max(map(abs, samples[i : i + 2205])) for i in range(0, len(samples), 2205)]
    assert played.rate / period == pytest.approx(HERTZ, rel=0.03), peaks

    with page.expect_download() as download:
        item.get_by_role("link", name="Download MP3").click()
    assert re.fullmatch(r"Голос .b.1.-b.\.mp3", download.value.suggested_filename)
    assert download.value.path().read_bytes() == mp3.read_bytes()


def test_a_recording_can_be_thrown_away(open_page: Open) -> None:
    visit = sign_up(open_page())
    page = visit.page
    page.locator("#record").click()
    recorded(page, 1)
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("#booth")).to_have_attribute("data-state", "on")
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(page.locator("#record")).to_be_focused()
    expect(items(visit)).to_have_count(0)
    page.reload()
    expect(page.locator("#booth")).to_be_visible()
    expect(items(visit)).to_have_count(0)


def test_a_closed_page_loses_no_recording(open_page: Open, base_url: str) -> None:
    first = sign_up(open_page())
    first.page.locator("#record").click()
    recorded(first.page, 3)
    # Another tab sees that this one is still recording, and leaves it alone.
    second = open_page(same=first)
    expect(second.page.locator("#booth")).to_be_visible()
    expect(items(second)).to_have_count(0)
    first.page.close()  # no "stop", no question: as when the browser is killed
    item = items(second).first
    become(item, "send")
    expect(item.locator(".note")).to_have_text(
        "The page was closed during this recording. Everything up to that moment is here."
    )
    second.page.wait_for_timeout(600)
    item.get_by_role("button", name="Send").click()
    ready(item)
    assert record_of(item, base_url)["duration"] >= 2


def test_leaving_while_recording_is_asked_about(open_page: Open) -> None:
    visit = sign_up(open_page())
    page = visit.page
    page.locator("#record").click()
    recorded(page, 1)
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    page.reload()
    assert asked == ["beforeunload"]
    become(items(visit).first, "send")


def test_no_permission_for_the_microphone_is_explained(open_page: Open) -> None:
    visit = sign_up(open_page())
    page = visit.page
    # Chromium's fake device always says yes; a page that may not ask at all gets the same refusal from the browser.
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError') } }"
    )
    page.locator("#record").click()
    expect(page.locator("#booth-problem")).to_contain_text("The browser may not use the microphone.")
    expect(page.locator("#record")).to_be_focused()
    expect(items(visit)).to_have_count(0)


def fake_microphone(page: Page, gain: float) -> None:
    """A microphone that hears a tone of that strength; 0 is silence."""
    page.evaluate(
        """gain => {
          navigator.mediaDevices.getUserMedia = async () => {
            const context = new AudioContext();
            const tone = new OscillatorNode(context);
            const volume = new GainNode(context, { gain });
            const end = context.createMediaStreamDestination();
            tone.connect(volume).connect(end);
            tone.start();
            return end.stream;
          };
        }""",
        gain,
    )


@pytest.mark.parametrize(
    ("gain", "hint"),
    [
        (0, "No sound. Is the microphone muted, or is another one selected?"),
        (3, "Too loud: the sound is distorted. Move away from the microphone."),
    ],
)
def test_silence_and_distortion_are_said(open_page: Open, *, gain: float, hint: str) -> None:
    page = open_page().page
    fake_microphone(page, gain)
    page.locator("#record").click()
    expect(page.locator("#booth-hint")).to_have_text(hint)
    page.locator("#record").click()


def test_a_pause_is_no_part_of_the_recording(open_page: Open, base_url: str) -> None:
    visit = sign_up(open_page())
    page = visit.page
    page.locator("#record").click()
    recorded(page, 1)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#booth-hint")).to_have_text("Paused.")
    paused = page.locator("#timer").inner_text()
    page.wait_for_timeout(6000)
    expect(page.locator("#timer")).to_have_text(paused)
    page.get_by_role("button", name="Resume").click()
    recorded(page, 2)
    page.get_by_role("button", name="Stop").click()
    page.wait_for_timeout(600)
    items(visit).first.get_by_role("button", name="Send").click()
    ready(items(visit).first)
    assert 2 <= record_of(items(visit).first, base_url)["duration"] < 6


def test_another_microphone_is_chosen(open_page: Open) -> None:
    page = open_page().page
    page.evaluate(
        """() => {
          const { getUserMedia } = navigator.mediaDevices;
          navigator.mediaDevices.getUserMedia = function (asked) {
            window.asked = asked.audio.deviceId?.exact ?? '';
            return getUserMedia.call(this, asked);
          };
        }"""
    )
    microphones = page.get_by_label("Microphone")
    expect(microphones).to_be_visible()
    last = microphones.locator("option").last.get_attribute("value")
    assert last
    microphones.select_option(last)
    page.locator("#record").click()
    recorded(page, 1)
    assert page.evaluate("asked") == last
    expect(microphones).to_be_disabled()
    page.locator("#record").click()
    expect(microphones).to_have_value(last)
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => { throw new OverconstrainedError('deviceId') } }"
    )
    page.locator("#record").click()
    expect(page.locator("#booth-problem")).to_have_text("The selected microphone is not connected. Choose another one.")


def test_audio_that_never_starts(open_page: Open) -> None:
    """As in a browser without an output device."""
    visit = open_page()
    page = visit.page
    page.evaluate("() => { AudioContext.prototype.resume = () => new Promise(() => {}) }")
    page.locator("#record").click()
    expect(page.locator("#booth-problem")).to_contain_text("The browser’s audio does not start.")
    expect(page.locator("#booth")).to_have_attribute("data-state", "idle")
    # One that keeps the person waiting for the microphone can be given up.
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => new Promise(() => {}) }")
    page.locator("#record").click()
    expect(page.locator("#booth-hint")).to_contain_text("Waiting for the microphone.")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#booth")).to_have_attribute("data-state", "idle")
    expect(items(visit)).to_have_count(0)


def test_a_database_that_never_answers(open_page: Open, base_url: str) -> None:
    visit = sign_up(open_page())
    visit.page.add_init_script("indexedDB.open = () => ({})")
    visit.page.reload()
    item = record(visit, 1)
    expect(item.locator(".note")).to_have_text(
        "The browser has no room to save it: leave this page open until it is sent."
    )
    visit.page.wait_for_timeout(600)
    item.get_by_role("button", name="Send").click()
    ready(item)
    assert record_of(item, base_url)["duration"] >= 1


def test_nothing_plays_while_recording(open_page: Open, wavs: Path) -> None:
    visit = sign_up(open_page())
    page = visit.page
    choose(visit, wavs / "long.wav")
    item = items(visit).first
    ready(item)
    item.locator(".play").click()
    wait_until(page, lambda: seconds_shown(item) > 0.3)
    page.locator("#record").click()
    recorded(page, 1)
    now = seconds_shown(item)
    item.locator(".play").click()
    recorded(page, 2)
    assert seconds_shown(item) == now
    page.locator("#record").click()


@pytest.mark.parametrize("look", [LIGHT, PHONE], ids=["desktop", "phone"])
def test_nothing_jumps(open_page: Open, wavs: Path, look: dict[str, Any]) -> None:
    visit = sign_up(open_page(**look))
    page = visit.page
    choose(visit, wavs / "long.wav")
    item = items(visit).first
    ready(item)

    def places() -> list[Any]:
        page.evaluate("scrollTo(0, 0)")
        return [each.bounding_box() for each in (page.locator(".deck"), page.locator("#choose"), item)]

    before = places()
    item.locator(".play").click()
    wait_until(page, lambda: seconds_shown(item) > 0.3)
    assert places() == before
    item.locator(".play").click()
    page.locator("#record").click()
    recorded(page, 1)
    assert places() == before
    page.locator("#pause").click()
    assert places() == before


# ---- files


def test_other_audio_is_decoded_and_sent_as_wav(open_page: Open, wavs: Path, base_url: str, tmp_path: Path) -> None:
    visit = sign_up(open_page())
    sound, rate = soundfile.read(wavs / "short.wav", dtype="int16")
    soundfile.write(tmp_path / "a.flac", sound, rate)
    soundfile.write(tmp_path / "b.ogg", sound, rate)
    soundfile.write(tmp_path / "c.mp3", sound, rate)
    webm = visit.page.evaluate(
        """async () => {
          const context = new AudioContext();
          const tone = new OscillatorNode(context);
          const end = context.createMediaStreamDestination();
          tone.connect(end);
          tone.start();
          const recorder = new MediaRecorder(end.stream);
          const data = new Promise(resolve => { recorder.ondataavailable = resolve; });
          recorder.start();
          await new Promise(resolve => setTimeout(resolve, 3000));
          recorder.stop();
          return [...new Uint8Array(await (await data).data.arrayBuffer())];
        }"""
    )
    (tmp_path / "d.webm").write_bytes(bytes(webm))
    choose(visit, *(tmp_path / name for name in ("a.flac", "b.ogg", "c.mp3", "d.webm")))
    for name in "abcd":
        ready(named(visit, name))
        found = record_of(named(visit, name), base_url)
        assert (found["name"], found["sample_rate"]) == (f"{name}.wav", 44100)
        assert found["duration"] == pytest.approx(3, abs=0.3), name
        assert found["levels"]["peak_dbfs"] > -10, name
    soundfile.write(tmp_path / "sermon.flac", numpy.zeros(46 * 60 * 8000, "int16"), 8000)
    put(visit, tmp_path / "sermon.flac")
    expect(visit.page.get_by_role("alert")).to_contain_text(
        "“sermon” is longer than 45 minutes. Convert it to WAV first, or cut it into parts.".replace(
            "sermon", "sermon.flac"
        )
    )


def test_a_file_that_is_dropped_does_not_open_in_place_of_the_page(open_page: Open) -> None:
    page = open_page().page
    taken = page.evaluate(
        """() => ['dragover', 'drop'].map(kind => {
          const files = new DataTransfer();
          files.items.add(new File(['x'], 'x.txt'));
          const event = new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true });
          return !document.querySelector('#hero').dispatchEvent(event);
        })"""
    )
    assert taken == [True, True]


def test_leaving_while_sending_is_asked_about(open_page: Open, line: Line, wavs: Path) -> None:
    visit = sign_up(open_page(proxy=line.proxy))
    line.slow(20_000)
    choose(visit, wavs / "short.wav")
    expect(items(visit).first.locator(".amount")).to_be_visible()
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    visit.page.on("dialog", answer)
    line.restore()
    visit.page.reload()
    assert asked == ["beforeunload"]
    ready(items(visit).first)


def test_what_waits_is_sent_when_the_network_is_back(open_page: Open, wavs: Path) -> None:
    visit = sign_up(open_page())
    page = visit.page
    page.evaluate(
        "() => { const set = setTimeout; window.setTimeout = (work, time) => set(work, time > 2500 ? 1e8 : time); }"
    )
    page.context.set_offline(True)
    choose(visit, wavs / "short.wav")
    become(items(visit).first, "retry")
    page.context.set_offline(False)
    ready(items(visit).first)


# ---- the list


def test_a_link_that_the_browser_does_not_copy_is_shown(open_page: Open, wavs: Path, base_url: str) -> None:
    visit = sign_up(open_page())
    page = visit.page
    choose(visit, wavs / "short.wav")
    item = items(visit).first
    ready(item)
    page.evaluate(
        """() => {
          navigator.clipboard.writeText = async () => { throw new DOMException('', 'NotAllowedError'); };
          document.execCommand = () => false;
        }"""
    )
    page.wait_for_timeout(600)
    item.get_by_role("button", name="Share").click()  # it was open after sending
    item.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("alert").filter(has_text="did not copy")).to_be_in_viewport()
    expect(item.locator(".copy")).to_have_text("Copy link")
    address = record_of(item, base_url)["page"]
    expect(item.locator(".address")).to_have_value(address)
    assert page.evaluate("getSelection().toString() || document.activeElement.value") == address


def test_sharing(open_page: Open, wavs: Path, base_url: str) -> None:
    visit = open_page()
    page = visit.page
    page.add_init_script("navigator.share = async what => { window.shared = what; }")
    sign_up(visit)
    choose(visit, wavs / "short.wav")
    item = items(visit).first
    ready(item)
    address = record_of(item, base_url)["page"]
    # What has just been sent shows what can be done with its link.
    expect(item.locator(".address")).to_have_value(address)
    item.get_by_role("button", name="Share…").click()
    assert page.evaluate("shared") == {"title": "short", "url": address}
    item.get_by_role("button", name="QR code").click()
    expect(item.get_by_role("img", name="QR code")).to_be_visible()


def test_a_hundred_recordings(open_page: Open) -> None:
    """By day, newest first, a page at a time, and found by their names."""
    visit = open_page()
    page = visit.page
    now = datetime.now(UTC)
    user = 7

    def answer(route: Route) -> None:
        after = int(dict(parse_qsl(urlsplit(route.request.url).query)).get("after", 0))
        records = []
        for n in range(after, after + 50):
            id = f"00000000-0000-4000-8000-{n:012}"
            link = f"http://records.example/record?id={id}&user={user}"
            records.append(
                {
                    "id": id,
                    "user": user,
                    "url": link,
                    "page": link.replace("/record?", "/listen?"),
                    "name": f"Talk {n}.wav",
                    "status": "ready",
                    "created_at": (now - timedelta(hours=12 * n)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "duration": 60.0 + n,
                    "mp3": {"bytes": 480_000 + n},
                }
            )
        more = {} if after else {"next": f"http://records.example/records?user_id={user}&after=50"}
        route.fulfill(status=200, content_type="application/json", body=json.dumps({"records": records, **more}))

    page.route("**/records?*", answer)
    page.route("**/record?*", lambda route: route.fulfill(status=200, json={"waveform": [9] * 200}))
    page.evaluate('localStorage.setItem(\'records.identity\', \'{"id": 7, "token": "x", "name": "Anna"}\')')
    page.reload()
    expect(items(visit)).to_have_count(50)
    page.get_by_role("button", name="Show more").click()
    expect(items(visit)).to_have_count(100)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    assert page.locator("#list h3").all_inner_texts() == [f"Talk {n}" for n in range(100)]
    days = page.locator("#list .day").all_inner_texts()
    assert 50 <= len(days) <= 52
    assert len(set(days)) == len(days)
    page.get_by_role("searchbox", name="Search").fill("talk 42")
    expect(items(visit)).to_have_count(1)
    expect(page.locator("#list .day")).to_have_count(1)
    page.get_by_role("searchbox", name="Search").fill("nothing like it")
    expect(page.locator("#none-found")).to_have_text("No recording has this name.")


def test_a_list_that_is_older_than_what_was_sent_meanwhile(open_page: Open, wavs: Path, base_url: str) -> None:
    """What became ready while the list was on its way is not in it, and has not been deleted for that."""
    visit = sign_up(open_page())
    page = visit.page
    user = page.evaluate("JSON.parse(localStorage.getItem('records.identity'))")
    address = f"/records?user_id={user['id']}&name=other.wav"
    headers = {"Authorization": f"Bearer {user['token']}", "Content-Type": "audio/wav"}
    assert HttpClient(base_url).request("POST", address, headers, (wavs / "short.wav").read_bytes()).status == 201
    held: list[Route] = []
    page.route("**/records?*", lambda route: held.append(route) if listed(route.request) else route.continue_())
    with page.expect_request(listed):
        page.reload()
    wait_until(page, lambda: bool(held))
    older = held[0].fetch()
    choose(visit, wavs / "short.wav")
    ready(named(visit, "short"))
    held[0].fulfill(response=older)
    ready(named(visit, "other"))
    expect(items(visit)).to_have_count(2)


def test_a_list_with_what_is_still_being_sent(open_page: Open, wavs: Path) -> None:
    """The service has the recording before its answer has arrived here: it is shown once all the same."""
    visit = sign_up(open_page())
    page = visit.page
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/records?*", hold)
    with page.expect_request(listed):
        page.reload()
    choose(visit, wavs / "short.wav")
    wait_until(page, lambda: len(held) == 2)
    list_, sent = held
    answer = sent.fetch()
    list_.continue_()
    expect(items(visit)).to_have_count(2)
    sent.fulfill(response=answer)
    expect(items(visit)).to_have_count(1)
    ready(items(visit).first)
    page.unroute("**/records?*")
    with page.expect_response(listed):
        page.reload()
    ready(items(visit).first)
    expect(items(visit)).to_have_count(1)


def test_sizes_and_dates(open_page: Open) -> None:
    page = open_page(timezone_id="UTC").page
    said = page.evaluate(
        """async () => {
          const strings = document.querySelector('script').src.replace('page.js', 'strings.js');
          const { day, when, size, rough } = await import(strings);
          const old = Date.UTC(2019, 4, 3, 12);
          const days = [day(old), when(old).slice(0, 11), day(Date.now())];
          return [size(0), size(12), size(57.6e6), ...days, rough(0.2), rough(4000)];
        }"""
    )
    assert said == [
        "0 kB",
        "1 kB",
        "57.6 MB",
        "Friday, May 3, 2019",
        "May 3, 2019",
        "Today",
        "1 sec",
        "1.1 hr",
    ]


def test_a_long_name_on_a_narrow_screen(open_page: Open, wavs: Path) -> None:
    for width in (320, 360, 377):
        visit = sign_up(open_page(viewport={"width": width, "height": 640}), "Wolfeschlegelsteinhausen" * 4)
        page = visit.page
        wav = {"mimeType": "audio/wav", "buffer": (wavs / "short.wav").read_bytes()}
        choose(visit, {**wav, "name": "Donaudampfschifffahrtsgesellschaft" * 4 + ".wav"})
        fits = "document.documentElement.scrollWidth <= innerWidth"
        assert page.evaluate(fits)
        ready(items(visit).first)
        assert page.evaluate(fits)
        page.goto(items(visit).first.locator(".open").get_attribute("href") or "")
        expect(page.locator("#player")).to_be_visible()
        assert page.evaluate(fits)


def test_files_are_listed_in_the_order_chosen(open_page: Open, wavs: Path) -> None:
    visit = open_page()
    sound = (wavs / "short.wav").read_bytes()
    names = [f"Lecture {number}" for number in range(1, 13)]
    put(visit, *({"name": f"{name}.wav", "mimeType": "audio/wav", "buffer": sound} for name in names))
    headings = items(visit).get_by_role("heading")
    expect(headings).to_have_text(names)
    expect(items(visit).locator(".send:visible")).to_have_count(len(names))
    visit.page.reload()
    expect(headings).to_have_text(names)


def test_files_are_dropped(open_page: Open, wavs: Path, base_url: str) -> None:
    visit = sign_up(open_page())
    page = visit.page
    wav = list((wavs / "short.wav").read_bytes())
    files = page.evaluate_handle(
        """bytes => {
          const files = new DataTransfer();
          for (const name of ['<img src=x onerror=alert(1)>.wav', 'Запись 2.WAV']) {
            files.items.add(new File([new Uint8Array(bytes)], name, { type: 'audio/wav' }));
          }
          files.items.add(new File(['ID3 and so on'], 'song.mp3', { type: 'audio/mpeg' }));
          files.items.add(new File([], 'nothing.wav', { type: 'audio/wav' }));
          return files;
        }""",
        wav,
    )
    page.dispatch_event("main", "dragenter", {"dataTransfer": files})
    expect(page.locator("#drop")).to_be_visible()
    page.dispatch_event("main", "drop", {"dataTransfer": files})
    expect(page.locator("#drop")).to_be_hidden()
    expect(items(visit)).to_have_count(2)
    refused = page.get_by_role("alert").filter(has_text="song.mp3")
    expect(refused).to_be_in_viewport()
    expect(refused.locator("p")).to_have_text(
        re.compile("“nothing.wav” is empty.\\s+“song.mp3” is not audio that this browser can read.")
    )
    refused.get_by_role("button", name="Close").click()
    expect(refused).to_have_count(0)
    expect(items(visit).locator(".send:visible")).to_have_count(2)
    page.wait_for_timeout(600)
    page.get_by_role("button", name="Send all (2)").click()
    for n in (0, 1):
        ready(items(visit).nth(n))
    assert set(items(visit).get_by_role("heading").all_inner_texts()) == {"Запись 2", "<img src=x onerror=alert(1)>"}
    assert record_of(named(visit, "Запись 2"), base_url)["name"] == "Запись 2.wav"
    # The list is there the next time, too, and its recordings play.
    page.reload()
    expect(items(visit)).to_have_count(2)
    items(visit).first.get_by_role("button", name="Play").click()
    wait_until(page, lambda: seconds_shown(items(visit).first) > 0.3)


def test_half_an_hour_goes_in_parts(open_page: Open, line: Line, wavs: Path, base_url: str) -> None:
    visit = sign_up(open_page(proxy=line.proxy))
    page = visit.page
    line.slow(15_000_000)
    choose(visit, wavs / "lecture.wav")
    item = items(visit).first
    shares: list[float] = []
    bar = item.get_by_role("progressbar", name="Sending lecture")

    def sent() -> bool:
        value = bar.get_attribute("value") if bar.is_visible() else None
        if value and float(value) not in shares:
            shares.append(float(value))
        return len(shares) >= 5

    wait_until(page, sent)
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1
    expect(item.locator(".amount")).to_have_text(
        re.compile(r"^[\d.]+ MB of 57\.6 MB · [\d.]+ (MB|kB)/s · [\d.]+ (sec|min) left$")
    )
    expect(item.get_by_role("button", name="Cancel")).to_be_visible()
    become(item, "copy")
    expect(item.locator(".note")).to_have_text("Uploaded. Converting… The link already works.")
    assert (visit.answers("POST", "/records"), visit.answers("POST", "/uploads")) == ([], [201, 200])
    assert parts_sent(visit) == [1, 2, 3, 4, 5, 6, 7]
    ready(item, timeout=240_000)
    found = record_of(item, base_url)
    assert found["duration"] == pytest.approx(1800, abs=0.1)
    assert found["mp3"]["bytes"] > 4 * 1024 * 1024, "the link itself would serve it"

    # The player goes to the middle without loading what is before.
    item.get_by_role("button", name="Play").click()
    wait_until(page, lambda: seconds_shown(item) > 0.3)
    wave = item.locator(".wave")
    box = wave.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wait_until(page, lambda: 880 < seconds_shown(item) < 930)
    now = seconds_shown(item)
    wait_until(page, lambda: seconds_shown(item) > now)
    parts = [r for r in visit.responses if r.status == 206]
    assert parts, [(r.status, r.url) for r in visit.responses if r.request.resource_type == "media"]
    starts = [int(r.headers["content-range"].removeprefix("bytes ").partition("-")[0]) for r in parts]
    assert any(start > 1_000_000 for start in starts), starts


def test_a_short_recording_seeks(open_page: Open, wavs: Path) -> None:
    visit = sign_up(open_page())
    page = visit.page
    choose(visit, wavs / "short.wav")
    item = items(visit).first
    ready(item)
    seek = item.get_by_role("slider", name="Position in short")
    seek.press("ArrowRight")
    expect(seek).to_have_attribute("aria-valuetext", "3 seconds of 3 seconds")
    seek.press("Home")
    expect(seek).to_have_attribute("aria-valuetext", "0 seconds of 3 seconds")
    seek.press(" ")
    wait_until(page, lambda: seconds_shown(item) > 0.3)
    wait_until(page, lambda: 206 in visit.answers("GET", "/record"))
    expect(item.get_by_role("button", name="Play")).to_be_visible()  # it has come to its end


# ---- what goes wrong


def test_parts_go_on_after_a_cut(open_page: Open, line: Line, wavs: Path, base_url: str) -> None:
    visit = sign_up(open_page(proxy=line.proxy))
    page = visit.page
    page.evaluate("""() => {
      window.most = 0;
      let now = 0;
      const { open } = XMLHttpRequest.prototype;
      XMLHttpRequest.prototype.open = function (method, ...rest) {
        if (method === 'PUT') {
          window.most = Math.max(window.most, ++now);
          for (const end of ['load', 'error', 'abort']) this.addEventListener(end, () => { now -= 1; });
        }
        return open.call(this, method, ...rest);
      };
    }""")
    line.slow(4_000_000)
    choose(visit, wavs / "wide.wav")
    item = items(visit).first
    wait_until(page, lambda: len(parts_sent(visit)) >= 2)
    line.cut()
    become(item, "retry")
    expect(item.locator(".note")).to_have_text(
        re.compile(
            "^The connection was lost. Saved in this browser. It will be sent automatically as soon as possible. "
            r"Left to send: [\d.]+ MB.$"
        )
    )
    line.restore()
    ready(item, timeout=240_000)
    # The answer to a part that had arrived may have been cut off; it is not sent again all the same.
    sent = parts_sent(visit)
    assert len(sent) == len(set(sent)) > 3, sent
    assert page.evaluate("most") == 3
    assert record_of(item, base_url)["duration"] == pytest.approx(18.75, abs=0.1)


@pytest.mark.parametrize("how", ["reload", "other tab"])
def test_parts_go_on_after_the_page_was_closed(
    open_page: Open, line: Line, wavs: Path, base_url: str, *, how: str
) -> None:
    first = sign_up(open_page(proxy=line.proxy))
    second = open_page(same=first) if how == "other tab" else first
    line.slow(4_000_000)
    choose(first, wavs / "wide.wav")
    wait_until(first.page, lambda: len(parts_sent(first)) >= 2)
    before = parts_sent(first)
    if how == "reload":
        first.page.on("dialog", lambda dialog: dialog.accept())
        first.page.reload()
    else:
        first.page.close()
    item = items(second).first
    expect(item.locator(".amount")).to_have_text(re.compile("MB of 57.6 MB"))
    share = float(item.get_by_role("progressbar").get_attribute("value") or 0)
    assert share > 0.9 * len(before) / 7, "it started from the beginning"
    line.restore()
    ready(item, timeout=240_000)
    after = parts_sent(second)  # a closed page does not learn of what arrived with its end, which is not sent again
    assert len(after) == len(set(after)), "a part was sent twice"
    if second is not first:
        assert set(before).isdisjoint(after)
    assert record_of(item, base_url)["duration"] == pytest.approx(18.75, abs=0.1)


def test_a_part_whose_address_has_expired_gets_another(open_page: Open, wavs: Path) -> None:
    visit = sign_up(open_page())
    visit.page.route(re.compile("partNumber="), lambda route: route.fulfill(status=403), times=1)
    choose(visit, wavs / "wide.wav")
    ready(items(visit).first, timeout=240_000)
    assert visit.answers("POST", "/uploads") == [201, 200, 200]
    assert parts_sent(visit) == [1, 2, 3, 4, 5, 6, 7]


def test_an_upload_resumes_by_itself_after_a_cut(open_page: Open, line: Line, wavs: Path, base_url: str) -> None:
    visit = sign_up(open_page(proxy=line.proxy))
    page = visit.page
    line.slow(1_000_000)
    choose(visit, wavs / "long.wav")
    item = items(visit).first
    bar = item.get_by_role("progressbar")
    wait_until(page, lambda: 0.1 < float(bar.get_attribute("value") or 0) < 0.9)
    line.cut()
    become(item, "retry")
    expect(item.locator(".note")).to_have_text(
        "The connection was lost. Saved in this browser. It will be sent automatically as soon as possible."
    )
    line.restore()
    ready(item, timeout=90_000)
    assert record_of(item, base_url)["duration"] == pytest.approx(240, abs=0.1)
    announced = [r.json()["id"] for r in visit.responses if r.url.endswith("/uploads") and r.request.method == "POST"]
    assert len(announced) >= 2
    assert set(announced) == {record_of(item, base_url)["id"]}, "one recording became several records"


def test_what_could_not_be_sent_survives_a_reload(open_page: Open, line: Line, base_url: str) -> None:
    visit = sign_up(open_page(proxy=line.proxy))
    page = visit.page
    line.cut()
    item = record(visit, 2)  # recording itself needs no network
    page.wait_for_timeout(600)
    item.get_by_role("button", name="Send").click()
    become(item, "retry")
    expect(item.locator(".note")).to_contain_text("The connection was lost.")
    # The page comes back before the service does.
    page.route("**/records?*", lambda route: route.abort())
    line.restore()
    page.reload()
    expect(items(visit)).to_have_count(1)
    become(item, "retry")
    item.get_by_role("button", name="Play").click()
    wait_until(page, lambda: seconds_shown(item) > 0.3)
    page.unroute("**/records?*")
    item.get_by_role("button", name="Try again").click()
    ready(item)
    assert record_of(item, base_url)["duration"] >= 2


def test_a_lost_answer_makes_no_second_record(open_page: Open, wavs: Path, base_url: str) -> None:
    visit = sign_up(open_page())
    page = visit.page
    ids: list[str] = []

    def lose(route: Route) -> None:
        ids.append(route.fetch().json()["id"])  # the service has done its work
        route.abort("connectionreset")

    page.route("**/records?*", lose, times=1)
    choose(visit, wavs / "short.wav")
    item = items(visit).first
    ready(item)
    assert visit.answers("POST", "/records") == [200], "the second attempt finds what the first one made"
    assert ids == [record_of(item, base_url)["id"]]


def test_sending_is_cancelled_and_taken_up_again(open_page: Open, line: Line, wavs: Path) -> None:
    visit = sign_up(open_page(proxy=line.proxy))
    page = visit.page
    line.slow(200_000)
    choose(visit, wavs / "long.wav")
    item = items(visit).first
    wait_until(page, lambda: float(item.get_by_role("progressbar").get_attribute("value") or 0) > 0)
    item.get_by_role("button", name="Cancel").dblclick()  # the second click is not for what comes in its place
    expect(item.locator(".note")).to_have_text("Cancelled. Saved in this browser until you send or delete it.")
    expect(item.get_by_role("button", name="Send")).to_be_focused()
    page.wait_for_timeout(700)
    become(item, "send")
    line.restore()
    item.get_by_role("button", name="Send").click()
    ready(item)


def test_a_short_one_does_not_wait_behind_a_long_one(open_page: Open, line: Line, wavs: Path) -> None:
    visit = sign_up(open_page(proxy=line.proxy))
    line.slow(300_000)
    choose(visit, wavs / "long.wav")
    choose(visit, wavs / "short.wav")
    ready(named(visit, "short"))
    become(named(visit, "long"), "cancel")


def test_renamed_after_a_cancelled_upload(open_page: Open, line: Line, wavs: Path, base_url: str) -> None:
    """What was sent under the old name may have arrived: under its key the service would keep that name."""
    visit = sign_up(open_page(proxy=line.proxy))
    page = visit.page
    line.slow(200_000)
    choose(visit, wavs / "long.wav")
    item = items(visit).first
    wait_until(page, lambda: float(item.get_by_role("progressbar").get_attribute("value") or 0) > 0)
    item.get_by_role("button", name="Cancel").click()
    become(item, "send")
    line.restore()
    item.get_by_label("Name of the recording").fill("The right name")
    item.get_by_label("Name of the recording").press("Enter")
    page.wait_for_timeout(600)
    item.get_by_role("button", name="Send").click()
    ready(item)
    assert record_of(item, base_url)["name"] == "The right name.wav"


def test_a_file_that_is_refused_is_explained(open_page: Open) -> None:
    visit = sign_up(open_page())
    rifle = {"name": "odd.wav", "mimeType": "audio/wav", "buffer": b"RIFF\x04\x00\x00\x00AVI and more of it"}
    headless = {"name": "bare.wav", "mimeType": "audio/wav", "buffer": b"RIFF\x04\x00\x00\x00WAVE"}
    empty = {"name": "mute.wav", "mimeType": "audio/wav", "buffer": sample(0)}
    choose(visit, rifle, headless, empty)
    mute, bare, odd = (named(visit, name) for name in ("mute", "bare", "odd"))
    expect(odd.locator(".note")).to_contain_text("The service cannot read this WAV file")
    expect(bare.locator(".note")).to_contain_text("This WAV file is damaged or cannot be converted.")
    expect(mute.locator(".note")).to_have_text("There is no sound in this file.")
    for item in (odd, bare, mute):
        expect(item.locator(".note")).to_have_class(re.compile("problem"))
        expect(item.get_by_role("button", name="Try again")).to_be_hidden()
    assert set(visit.answers("POST", "/records")) == {415, 422}
    visit.page.wait_for_timeout(600)
    odd.get_by_role("button", name="Delete").click()
    expect(items(visit)).to_have_count(2)
    toast = visit.page.locator(".toast").filter(has_text="“odd” was deleted.")
    expect(toast).to_be_in_viewport()
    toast.get_by_role("button", name="Undo").click()
    expect(items(visit)).to_have_count(3)
    odd.get_by_role("button", name="Delete").click()
    expect(items(visit)).to_have_count(2)
    visit.page.reload()
    expect(items(visit)).to_have_count(2)


def test_a_long_file_that_is_refused_is_explained(open_page: Open) -> None:
    visit = sign_up(open_page())
    choose(
        visit, {"name": "film.wav", "mimeType": "audio/wav", "buffer": b"RIFF\xf8\x4b\x4c\x00AVI " + bytes(5_000_000)}
    )
    item = items(visit).first
    expect(item.locator(".note")).to_contain_text("The service cannot read this WAV file")
    assert visit.answers("POST", "/uploads") == [201]
    assert 410 in visit.answers("GET", "/record")
    visit.page.reload()
    expect(item.locator(".note")).to_contain_text("The service cannot read this WAV file")


def test_a_failed_conversion_is_tried_again_as_another_record(open_page: Open, wavs: Path, base_url: str) -> None:
    visit = sign_up(open_page())

    def fail(route: Route) -> None:
        body = json.dumps({"code": "conversion_error", "message": "The conversion failed on our side."})
        route.fulfill(status=410, content_type="application/json", body=body)

    visit.page.route("**/record?*", fail, times=1)
    choose(visit, wavs / "long.wav")
    item = items(visit).first
    become(item, "retry")
    expect(item.locator(".note")).to_have_text("The conversion failed on the service’s side. Try again.")
    visit.page.wait_for_timeout(600)
    item.get_by_role("button", name="Try again").click()
    ready(item)
    first, second = (r.json()["id"] for r in visit.responses if r.url.endswith("/uploads"))
    assert first != second == record_of(item, base_url)["id"]


def test_a_failed_conversion_of_what_another_browser_sent(open_page: Open) -> None:
    """It is explained; to try again takes the sound, which is not here."""
    visit = open_page()
    page = visit.page
    id = "00000000-0000-4000-8000-000000000000"
    record = {
        "id": id,
        "user": 7,
        "url": f"http://records.example/record?id={id}&user=7",
        "page": f"http://records.example/listen?id={id}&user=7",
        "name": "talk.wav",
        "status": "pending",
        "created_at": "2026-11-26T10:00:00Z",
    }
    failure = {"code": "conversion_error", "message": "The conversion failed on our side."}
    page.route("**/records?*", lambda route: route.fulfill(status=200, json={"records": [record]}))
    page.route("**/record?*", lambda route: route.fulfill(status=410, json=failure))
    page.evaluate('localStorage.setItem(\'records.identity\', \'{"id": 7, "token": "x", "name": "Anna"}\')')
    page.reload()
    item = items(visit).first
    expect(item.locator(".note")).to_contain_text("The conversion failed")
    expect(item.get_by_role("button", name="Try again")).to_be_hidden()


def test_a_busy_service_is_asked_again(open_page: Open, wavs: Path) -> None:
    visit = sign_up(open_page())
    page = visit.page

    def busy(route: Route) -> None:
        body = json.dumps({"code": "unavailable", "message": "Later."})
        route.fulfill(status=503, headers={"retry-after": "1"}, content_type="application/json", body=body)

    page.route("**/records?*", busy, times=1)
    choose(visit, wavs / "short.wav")
    item = items(visit).first
    expect(item.locator(".note")).to_have_text(
        "The service is busy. Saved in this browser. It will be sent automatically as soon as possible."
    )
    ready(item)
    assert visit.answers("POST", "/records") == [503, 201]


def test_a_forgotten_browser_signs_up_again(open_page: Open, wavs: Path) -> None:
    visit = sign_up(open_page())
    page = visit.page
    page.evaluate(
        """() => {
          const identity = JSON.parse(localStorage.getItem('records.identity'));
          identity.token = '00000000-0000-4000-8000-000000000000';
          localStorage.setItem('records.identity', JSON.stringify(identity));
        }"""
    )
    choose(visit, wavs / "short.wav")
    expect(page.locator("#sign-up-problem")).to_have_text(
        "The service no longer recognizes this browser. Enter your name again to send what is waiting."
    )
    item = items(visit).first
    expect(item.locator(".note")).to_contain_text("The service no longer recognizes this browser.")
    expect(page.locator("#name")).to_have_value("Anna")
    page.get_by_role("button", name="Continue").click()
    ready(item)
    assert visit.answers("POST", "/records") == [401, 201]


def test_two_tabs_send_one_recording_once(open_page: Open, line: Line, wavs: Path) -> None:
    first = sign_up(open_page(proxy=line.proxy))
    line.slow(50_000)
    choose(first, wavs / "short.wav")
    become(items(first).first, "cancel")
    second = open_page(same=first)
    expect(items(second)).to_have_count(1)
    ready(items(first).first)
    ready(items(second).first)
    assert first.answers("POST", "/records") == [201]
    assert second.answers("POST", "/records") == []
    second.page.wait_for_timeout(600)
    items(second).first.get_by_role("button", name="Delete").click()
    expect(items(first)).to_have_count(0)


def test_cancelled_in_another_tab(open_page: Open, line: Line, wavs: Path) -> None:
    first = sign_up(open_page(proxy=line.proxy))
    line.slow(20_000)
    choose(first, wavs / "short.wav")
    expect(items(first).first.locator(".amount")).to_be_visible()
    second = open_page(same=first)
    items(second).first.get_by_role("button", name="Cancel").click()
    for visit in (first, second):
        expect(items(visit).first.locator(".note")).to_contain_text("Cancelled.")
    line.restore()
    first.page.wait_for_timeout(3000)
    assert first.answers("POST", "/records") == []
    second.page.wait_for_timeout(600)
    items(second).first.get_by_role("button", name="Send").click()
    ready(items(first).first)
    # 200 where all of it had left the browser before it was cancelled: it is one record all the same.
    assert first.answers("POST", "/records") + second.answers("POST", "/records") in ([200], [201])


def test_discarded_beside_another_tab(open_page: Open) -> None:
    first = sign_up(open_page())
    first.page.locator("#record").click()
    recorded(first.page, 2)
    second = open_page(same=first)
    first.page.get_by_role("button", name="Discard").click()
    first.page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(first.page.locator("#live")).to_have_text("The recording was discarded.")
    first.page.reload()
    for visit in (first, second):
        expect(items(visit)).to_have_count(0)


def test_a_browser_that_is_full_and_another_tab(open_page: Open, line: Line, wavs: Path) -> None:
    first = sign_up(open_page(proxy=line.proxy))
    second = open_page(same=first)
    line.slow(50_000)
    first.page.evaluate("""() => {
      const put = IDBObjectStore.prototype.put;
      IDBObjectStore.prototype.put = function (value, key) {
        if (this.name !== 'parts') return put.call(this, value, key);
        const enough = performance.now() + 1000; // it writes for a while before there is no room left
        const write = () => {
          if (performance.now() > enough) this.transaction.abort();
          else this.get(['none', 0]).onsuccess = write;
        };
        write();
      };
    }""")
    choose(first, wavs / "short.wav")
    expect(items(first).first.locator(".note")).to_have_text(
        re.compile(
            "^(Waiting to be sent. )?The browser has no room to save it: leave this page open until it is sent.$"
        )
    )
    ready(items(first).first)
    ready(items(second).first)
    assert first.answers("POST", "/records") == [201]


def test_what_only_another_tab_has_whole(open_page: Open) -> None:
    """A recording whose end found no room in the browser is not sent without it, unless its page is gone."""
    first = sign_up(open_page())
    first.page.evaluate("""() => {
      const put = IDBObjectStore.prototype.put;
      IDBObjectStore.prototype.put = function (value, key) {
        if (this.name === 'parts' && key[1] > 0) this.transaction.abort();
        return put.call(this, value, key);
      };
    }""")
    record(first, 3)
    second = open_page(same=first)
    item = items(second).first
    second.page.wait_for_timeout(600)
    item.get_by_role("button", name="Send").click()
    expect(item.locator(".note")).to_have_text("Another tab has the rest of this recording. Send it from there.")
    first.page.close()
    second.page.wait_for_timeout(600)
    item.get_by_role("button", name="Send").click()
    expect(item.locator(".note")).to_contain_text("What there is, is here.")
    expect(item.locator(".facts")).to_contain_text(re.compile("0:01 "))
    second.page.wait_for_timeout(600)
    item.get_by_role("button", name="Send").click()
    ready(item)
    assert second.answers("POST", "/records") == [201]


def test_sound_that_cannot_be_read_just_now(open_page: Open, wavs: Path) -> None:
    """A part of the sound is not taken for all of it, nor for none."""
    visit = sign_up(open_page())
    visit.page.evaluate("""() => {
      const cursor = IDBObjectStore.prototype.openCursor;
      IDBObjectStore.prototype.openCursor = function () {
        IDBObjectStore.prototype.openCursor = cursor;
        throw new DOMException('Connection to Indexed Database server lost.', 'UnknownError');
      };
    }""")
    choose(visit, wavs / "short.wav")
    expect(items(visit).first.locator(".note")).to_contain_text("The browser cannot read this recording at the moment.")
    ready(items(visit).first)
    assert visit.answers("POST", "/records") == [201]


# ---- for everybody


def test_by_keyboard_alone(open_page: Open, wavs: Path, base_url: str) -> None:
    visit = open_page()
    page = visit.page
    page.mouse.move(-1, -1)

    def focus() -> str:
        """The name of what has the focus, which has to be seen."""
        seen = page.evaluate(
            """() => {
              const focus = document.activeElement;
              const ring = focus.matches('.seek') ? focus.parentElement : focus;
              return focus.matches(':focus-visible') && getComputedStyle(ring).outlineStyle !== 'none';
            }"""
        )
        assert seen, "nobody sees where the focus is"
        name: str = page.evaluate(
            "(({ ariaLabel, textContent, id }) => (ariaLabel || textContent || id).trim())(document.activeElement)"
        )
        return name

    def tab_to(name: str) -> None:
        for _ in range(20):
            page.keyboard.press("Tab")
            if focus() == name:
                return
        pytest.fail(f"no way to {name!r} by Tab")

    tab_to("Record")
    page.keyboard.press(" ")
    recorded(page, 2)
    assert focus() == "Stop"
    tab_to("Pause")
    page.keyboard.press(" ")
    expect(page.locator("#booth")).to_have_attribute("data-state", "paused")
    page.keyboard.press(" ")
    expect(page.locator("#booth")).to_have_attribute("data-state", "on")
    page.keyboard.press("Shift+Tab")
    assert focus() == "Stop"
    page.keyboard.press(" ")
    item = items(visit).first
    expect(item.locator(".send")).to_be_focused()
    page.wait_for_timeout(600)
    page.keyboard.press("Enter")
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type("Anna")
    page.keyboard.press("Enter")
    ready(item)
    expect(item.locator(".copy")).to_be_focused()
    page.keyboard.press("Enter")
    expect(item.locator(".copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == record_of(item, base_url)["page"]
    page.keyboard.press("Shift+Tab")
    assert focus().startswith("Play Recording")
    page.keyboard.press(" ")
    wait_until(page, lambda: seconds_shown(item) > 0.3)
    assert focus().startswith("Pause Recording")
    page.keyboard.press(" ")
    tab_to("Rename")
    page.keyboard.press("Enter")
    page.keyboard.type("By keyboard")
    page.keyboard.press("Enter")
    expect(item.get_by_role("heading")).to_have_text("By keyboard")
    assert focus() == "Rename"
    tab_to("Position in By keyboard")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    wait_until(page, lambda: seconds_shown(item) == 0)
    page.keyboard.press("Shift+Tab")
    assert focus() == "Delete"
    page.keyboard.press("Enter")
    expect(items(visit)).to_have_count(0)
    expect(page.locator("#record")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        tab_to("Upload audio files")
        page.keyboard.press("Enter")
    chooser.value.set_files(wavs / "short.wav")
    become(items(visit).first, "send")


@pytest.mark.parametrize("look", [LIGHT, DARK, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_no_violation(open_page: Open, line: Line, wavs: Path, look: dict[str, Any]) -> None:
    visit = open_page(**look, proxy=line.proxy, reduced_motion="reduce")
    page = visit.page

    def check(state: str) -> None:
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, f"{state}: {found.generate_report()}"
        width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], f"{state}: wider than the screen"

    check("welcome")
    sign_up(visit, "Anna " + "Wolfeschlegelsteinhausen" * 4)
    check("nothing yet")
    page.locator("#me").click()
    expect(page.locator("#my-usage")).to_have_text(re.compile("^0 recordings"))
    check("who I am")
    page.locator("#account .close").click()
    page.locator("#record").click()
    recorded(page, 1)
    check("recording")
    page.locator("#record").click()
    become(items(visit).first, "send")
    check("recorded")
    page.wait_for_timeout(600)
    items(visit).first.locator(".send").click()
    ready(items(visit).first)
    check("sent")
    choose(
        visit,
        {"name": "odd.wav", "mimeType": "audio/wav", "buffer": b"RIFF\x04\x00\x00\x00WAVE"},
    )
    put(visit, {"name": "song.mp3", "mimeType": "audio/mpeg", "buffer": b"ID3"})
    expect(page.get_by_role("alert").filter(has_text="song.mp3")).to_be_visible()
    expect(named(visit, "odd").locator(".note")).to_have_class(re.compile("problem"))
    check("refused")
    line.slow(300_000)
    choose(visit, wavs / "long.wav")
    long = named(visit, "long")
    wait_until(page, lambda: float(long.get_by_role("progressbar").get_attribute("value") or 0) > 0)
    check("sending")
    long.get_by_role("button", name="Cancel").click()
    line.restore()
    page.wait_for_timeout(600)
    long.get_by_role("button", name="Send").click()
    ready(long)
    long.get_by_role("button", name="Play").click()
    long.get_by_role("button", name="QR code").click()
    check("ready")
    page.wait_for_timeout(600)
    long.get_by_role("button", name="Delete").click()
    check("deleted")


def test_less_motion_for_who_wants_it(open_page: Open) -> None:
    visit = sign_up(open_page(reduced_motion="reduce"))
    visit.page.locator("#record").click()
    recorded(visit.page, 1)
    moving = "document.getAnimations().filter(animation => animation.playState === 'running').length"
    assert visit.page.evaluate(moving) == 0
    visit.page.emulate_media(reduced_motion="no-preference")
    assert visit.page.evaluate(moving) > 0


def test_in_russian(open_page: Open, wavs: Path) -> None:
    visit = open_page(locale="ru-RU")
    page = visit.page
    assert page.locator("html").get_attribute("lang") == "ru"
    expect(page.get_by_role("heading", name="Скажите один раз — и поделитесь ссылкой.")).to_be_visible()
    sign_up(visit, "Анна")
    choose(visit, wavs / "short.wav")
    put(visit, {"name": "песня.mp3", "mimeType": "audio/mpeg", "buffer": b"ID3"})
    ready(items(visit).first)
    expect(page.get_by_role("alert").filter(has_text="песня.mp3")).to_contain_text("браузер не может прочитать")
    for name in ("Скопировать ссылку", "Поделиться", "Переименовать", "Удалить"):
        expect(items(visit).first.get_by_role("button", name=name, exact=True)).to_be_visible()
    assert not re.search(r"undefined|\{\w+\}", page.locator("body").inner_text())
    # The choice of a language is kept.
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Your recordings")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Your recordings")).to_be_visible()


def test_both_languages_say_everything(open_page: Open) -> None:
    page = open_page().page
    languages = page.evaluate(
        "import(document.querySelector('script').src.replace('page.js', 'strings.js')).then(m => m.languages)"
    )
    plain = {name: {re.sub(r"\.(one|few|many|other)$", "", key) for key in words} for name, words in languages.items()}
    assert plain["en"] == plain["ru"]
    for key, sentence in languages["en"].items():
        if key in languages["ru"]:
            assert set(re.findall(r"{\w+}", sentence)) == set(re.findall(r"{\w+}", languages["ru"][key])), key
    used = set()
    for path in (Path(__file__).parents[2] / "functions/site/static").iterdir():
        if path.suffix in (".js", ".html") and path.name != "strings.js":
            used |= set(re.findall(r"""['"]([a-z]+(?:\.[A-Za-z_]+)+)['"]""", path.read_text()))
    sections = {key.partition(".")[0] for key in plain["en"]}
    missing = {key for key in used if key.partition(".")[0] in sections} - plain["en"]
    assert missing == set()


# ---- the page behind a link


def test_the_listening_page(open_page: Open, wavs: Path) -> None:
    visit = sign_up(open_page(), "Anna Bell")
    choose(visit, wavs / "long.wav")
    # The link is good before the recording is ready: the page becomes the player by itself.
    become(items(visit).first, "copy")
    link = items(visit).first.locator(".open").get_attribute("href")
    assert link
    listener = open_page(link, locale="ru-RU")
    page = listener.page
    expect(page.get_by_role("heading", name="long")).to_be_visible()
    expect(page.get_by_role("button", name="Слушать")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("Автор: Anna Bell")
    assert page.title() == "long · Records"

    def now() -> float:
        return float(page.locator("#seek").input_value())

    def speed() -> float:
        rate: float = page.evaluate("document.querySelector('audio').playbackRate")
        return rate

    page.get_by_role("button", name="Слушать").click()
    wait_until(page, lambda: now() > 0.3)
    page.get_by_label("Скорость").select_option("1.5")
    assert speed() == 1.5
    page.get_by_role("button", name="Пауза").click()
    box = page.locator(".wave").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wait_until(page, lambda: 118 < now() < 122)
    page.locator("body").press("Home")
    page.locator("body").press("ArrowRight")
    page.locator("body").press("l")
    assert now() == 15
    page.locator("body").press(" ")
    wait_until(page, lambda: now() > 15.3)
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()
    with page.expect_download() as download:
        page.get_by_role("link", name="Скачать MP3").click()
    assert download.value.suggested_filename == "long.mp3"

    # Deleted, it is gone for the listener, too.
    visit.page.wait_for_timeout(600)
    items(visit).first.get_by_role("button", name="Delete").click()
    visit.page.reload()
    expect(items(visit)).to_have_count(0)

    def gone() -> bool:
        page.reload()
        return page.get_by_role("heading", name="Такой записи нет").is_visible()

    wait_until(page, gone)


def test_the_listening_page_goes_on_where_the_sound_was_lost(open_page: Open, line: Line, wavs: Path) -> None:
    """The signed address of a long MP3 has run out, say."""
    visit = sign_up(open_page())
    choose(visit, wavs / "long.wav")
    ready(items(visit).first)
    listener = open_page(items(visit).first.locator(".open").get_attribute("href"), proxy=line.proxy)
    page = listener.page

    def now() -> float:
        return float(page.locator("#seek").input_value())

    page.get_by_role("button", name="Play").click()
    wait_until(page, lambda: now() > 0.3)
    page.locator("body").press("5")
    wait_until(page, lambda: now() > 120.3)
    line.cut()
    page.evaluate("const audio = document.querySelector('audio'); audio.src += '&again'; audio.play().catch(() => {})")
    wait_until(page, lambda: bool(page.evaluate("Boolean(document.querySelector('audio').error)")))
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    line.restore()
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    wait_until(page, lambda: page.evaluate("document.querySelector('audio').currentTime") > 120.5)


def test_the_listening_page_without_scripts(open_page: Open, wavs: Path) -> None:
    visit = sign_up(open_page())
    choose(visit, wavs / "short.wav")
    ready(items(visit).first)
    listener = open_page(items(visit).first.locator(".open").get_attribute("href"), java_script_enabled=False)
    expect(listener.page.locator("audio")).to_be_visible()
    expect(listener.page.get_by_role("img", name="Waveform of the recording")).to_be_visible()
    expect(listener.page.get_by_role("link", name="Download MP3")).to_be_visible()
    expect(listener.page.locator("#play")).to_be_hidden()


# ---- the documentation


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
def test_axe_finds_nothing_in_the_documentation(open_page: Open, look: dict[str, Any]) -> None:
    page = open_page("/docs", **look).page
    expect(page.locator(".opblock").first).to_be_visible()
    # Two faults are Swagger UI's own: a link within a button, and h3 after h1.
    rules = {"nested-interactive": {"enabled": False}, "heading-order": {"enabled": False}}
    found = Axe().run(page, options={"resultTypes": ["violations"], "rules": rules})
    assert found.violations_count == 0, found.generate_report()


def test_every_operation_can_be_tried_out(open_page: Open, wavs: Path, base_url: str) -> None:
    visit = open_page("/docs", viewport={"width": 1200, "height": 1000})
    page = visit.page

    def operation(method: str, path: str) -> Locator:
        block = page.locator(f".opblock-{method.lower()}").filter(has=page.locator(f'[data-path="{path}"]'))
        expect(block).to_have_count(1)
        if "is-open" not in (block.get_attribute("class") or ""):
            block.locator(".opblock-summary-control").click()
        return block

    def execute(block: Locator) -> tuple[int, str]:
        """Presses Execute; returns the status and the body of the answer."""
        clear = block.get_by_role("button", name="Clear")
        if clear.count():
            clear.click()  # so that the answer before is not taken for this one
        block.get_by_role("button", name="Execute").click()
        answer = block.locator(".live-responses-table .response")
        expect(answer).to_be_visible()
        body = answer.locator(".microlight")
        return int(
            answer.locator(".response-col_status").inner_text().split()[0]
        ), body.first.inner_text() if body.count() else ""

    status, text = execute(operation("POST", "/users"))
    assert status in (201, 409), text  # the example's e-mail may be taken in a stack that is not new
    block = operation("POST", "/users")
    block.locator("textarea.body-param__text").fill('{"name": "reader"}')
    status, text = execute(block)
    assert status == 201, text
    user = json.loads(text)

    page.get_by_role("button", name="Authorize", exact=True).first.click()
    page.locator(".auth-container input").fill(user["token"])
    page.locator(".auth-btn-wrapper").get_by_role("button", name=re.compile("Authorize|Apply credentials")).click()
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Close").click()

    block = operation("POST", "/records")
    block.locator(".body-param-content-type select, select.content-type").first.select_option("multipart/form-data")
    block.locator('tr[data-property-name="user_id"] input, [data-param-name="user_id"] input').last.fill(
        str(user["id"])
    )
    block.locator('input[type="file"]').set_input_files(wavs / "short.wav")
    status, text = execute(block)
    assert status == 201, text
    made = json.loads(text)
    assert made["name"] == "short.wav"

    block = operation("POST", "/uploads")
    block.locator("textarea.body-param__text").fill(json.dumps({"user_id": user["id"], "name": "lecture.wav"}))
    status, text = execute(block)
    assert (status, json.loads(text)["status"]) == (201, "pending"), text

    for method in ("GET", "HEAD"):
        block = operation(method, "/record")
        block.locator('[data-param-name="id"] input').fill(made["id"])
        block.locator('[data-param-name="user"] input').fill(str(user["id"]))
    block = operation("GET", "/record")
    media_type = block.locator('.response[data-code="200"] select.content-type')
    media_type.select_option("application/json")
    status, text = execute(block)
    assert (status, json.loads(text)) == (200, made)
    media_type.select_option("audio/mpeg")
    status, _ = execute(block)
    assert status == 200
    with page.expect_download() as download:
        block.locator(".live-responses-table").get_by_role("link", name=re.compile("Download")).click()
    mp3 = HttpClient(base_url).request("GET", made["url"]).body
    assert download.value.path().read_bytes() == mp3
    status, _ = execute(operation("HEAD", "/record"))
    assert status == 200


# ---- pictures for the documentation


@pytest.mark.parametrize(
    ("name", "look", "locale"), [("page-light", LIGHT, "en-US"), ("page-phone-dark", PHONE, "ru-RU")]
)
def test_pictures(
    open_page: Open, line: Line, wavs: Path, tmp_path: Path, *, name: str, look: dict[str, Any], locale: str
) -> None:
    """Pictures of the page at work; SCREENSHOTS=1 puts them into docs/."""
    visit = sign_up(open_page(locale=locale, proxy=line.proxy, **look), "Анна" if locale == "ru-RU" else "Anna Bell")
    page = visit.page
    names = ("Лекция 7", "Идея на утро") if locale == "ru-RU" else ("Field notes, river", "Idea for the morning")
    speech = {"mimeType": "audio/wav", "buffer": (wavs / "speech.wav").read_bytes()}
    choose(visit, {**speech, "name": f"{names[1]}.wav"})
    ready(items(visit).first)
    seek = items(visit).first.locator(".seek")
    for _ in range(3):
        seek.press("ArrowRight")
    wait_until(page, lambda: seconds_shown(items(visit).first) == 15)
    line.slow(600_000)
    (tmp_path / f"{names[0]}.wav").symlink_to(wavs / "lecture.wav")
    choose(visit, tmp_path / f"{names[0]}.wav")
    bar = items(visit).first.get_by_role("progressbar")
    page.locator("#record").click()
    wait_until(page, lambda: float(bar.get_attribute("value") or 0) > 0)
    recorded(page, 7)
    page.evaluate("scrollTo(0, 0)")
    page.mouse.move(-1, -1)
    folder = DOCS if os.environ.get("SCREENSHOTS") else tmp_path
    path = folder / f"{name}.png"
    page.screenshot(path=path)
    assert path.stat().st_size < 300_000
    page.locator("#record").click()
    become(items(visit).first, "send")
