"""Pictures of every view, into docs/screenshots: `python -m scripts.screenshots http://127.0.0.1:8000`.

Each in light, dark, on a phone and in Russian. Needs Debian's chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from tests.e2e.browser import chromium, speech

FOLDER = Path(__file__).parents[1] / "docs/screenshots"
DESKTOP: dict[str, Any] = {"viewport": {"width": 900, "height": 800}, "locale": "en-US"}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 800}, "is_mobile": True, "has_touch": True}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {**DESKTOP, "color_scheme": "light"},
    "dark": {**DESKTOP, "color_scheme": "dark"},
    "phone": {**DESKTOP, **PHONE, "color_scheme": "light"},
    "russian": {**DESKTOP, "color_scheme": "light", "locale": "ru-RU"},
}


def take(browser: Browser, api: str, look: str, wav: bytes) -> None:
    context = browser.new_context(base_url=api, permissions=["microphone"], service_workers="block", **LOOKS[look])
    context.set_default_timeout(120_000)  # a machine may be busy
    page = context.new_page()

    def picture(view: str) -> None:
        page.screenshot(path=FOLDER / f"{view}-{look}.png")

    def add(*names: str) -> None:
        files: Any = [{"name": f"{name}.wav", "mimeType": "audio/wav", "buffer": wav} for name in names]
        page.locator("#files").set_input_files(files)
        page.locator("#list .send:visible").nth(len(names) - 1).wait_for()
        page.wait_for_timeout(700)
        page.locator("#send-all" if len(names) > 1 else "#list .send:visible").click()

    page.goto("/")
    page.locator("#booth").wait_for()
    picture("welcome")
    page.locator("#record").click()
    page.wait_for_timeout(5000)
    picture("recording")
    page.locator("#record").click()
    page.locator("#list .send:visible").wait_for()
    page.wait_for_timeout(700)
    page.locator("#list .send:visible").click()
    page.locator("#name").fill("Анна" if look == "russian" else "Anna Bell")
    page.locator("#name").press("Enter")
    page.locator("#list .download:visible").wait_for()
    picture("sent")
    word = "Лекция" if look == "russian" else "Lecture"
    add(*(f"{word} {n}" for n in range(1, 30)))
    expect(page.locator("#list .download:visible")).to_have_count(30, timeout=120_000)
    page.locator("#sent").evaluate("sent => sent.scrollIntoView()")
    picture("list")
    page.goto(page.locator("#list .open").first.get_attribute("href") or "")
    page.locator("#player").wait_for()
    picture("listen")
    context.close()


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        microphone = speech(Path(name) / "microphone.wav", 440, seconds=20, rate=48000)
        wav = speech(Path(name) / "lecture.wav", 200, seconds=8).read_bytes()
        with chromium(microphone) as browser:
            for look in LOOKS:
                take(browser, sys.argv[1], look, wav)
    return 0


if __name__ == "__main__":
    sys.exit(main())
