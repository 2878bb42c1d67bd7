"""The list: sending, playing, renaming, deleting; what the account has elsewhere."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Route, expect

from tests.e2e.browser import Line
from tests.e2e.page import (
    NEEDS_CHROMIUM,
    Open,
    become,
    choose,
    items,
    listed,
    named,
    parts_sent,
    put,
    ready,
    record_of,
    seconds_shown,
    sign_up,
    wait_until,
)
from tests.support.client import HttpClient

pytestmark = NEEDS_CHROMIUM


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
