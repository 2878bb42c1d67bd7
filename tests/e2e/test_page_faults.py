"""What goes wrong: lines that are cut, answers that are lost, pages that are closed, browsers that are full."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.e2e.browser import Line
from tests.e2e.page import (
    NEEDS_CHROMIUM,
    Open,
    become,
    choose,
    items,
    named,
    parts_sent,
    ready,
    record,
    record_of,
    recorded,
    seconds_shown,
    sign_up,
    wait_until,
)
from tests.support.wavs import sample

pytestmark = NEEDS_CHROMIUM


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
