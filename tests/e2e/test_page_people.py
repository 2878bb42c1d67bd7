"""Who is here: signing up, two tabs, another device, another key, signing out, erasing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.e2e.browser import Line
from tests.e2e.page import (
    NEEDS_CHROMIUM,
    Open,
    become,
    choose,
    items,
    listed,
    parts_sent,
    put,
    ready,
    record,
    record_of,
    seconds_shown,
    sign_up,
    wait_until,
)
from tests.support.client import HttpClient

pytestmark = NEEDS_CHROMIUM


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
    line.slow(1_500_000)
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
    # The six seconds are ten times as long: the other tab may take some to open.
    page.evaluate(
        "() => { const after = setTimeout; window.setTimeout = (work, ms) => after(work, ms === 6000 ? 60000 : ms); }"
    )
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
    """Only the arrived file shows it: what the service has is given up, and sent again tomorrow, or if asked to."""
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
