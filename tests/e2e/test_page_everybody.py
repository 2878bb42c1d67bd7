"""The page for everybody, the page behind a link, the documentation, and the pictures in it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, expect

from tests.e2e.browser import Line
from tests.e2e.page import (
    DARK,
    LIGHT,
    NEEDS_CHROMIUM,
    PHONE,
    Open,
    become,
    choose,
    items,
    named,
    put,
    ready,
    record_of,
    recorded,
    seconds_shown,
    sign_up,
    wait_until,
)
from tests.support.client import HttpClient

pytestmark = NEEDS_CHROMIUM

DOCS = Path(__file__).parents[2] / "docs"


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
