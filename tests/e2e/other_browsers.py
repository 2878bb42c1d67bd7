"""The page in Firefox and in WebKit: record, sign up, send, listen, seek, delete. `make test-browsers`.

Firefox is driven by WebDriver BiDi, which it speaks itself, and WebKit by its WebDriver. Their microphones are
those of their makers' tests. Both need an audio device and WebKit a screen: there are some that nobody hears or sees.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy
import pytest
import soundfile
import websocket
from selenium import webdriver

from tests.support.client import HttpClient
from tests.support.contract import target

PROGRAMS = ("firefox-esr", "WebKitWebDriver", "Xvfb", "pulseaudio")
PACKAGES = "firefox-esr webkit2gtk-driver xvfb pulseaudio gstreamer1.0-pulseaudio gstreamer1.0-plugins-good"
SECONDS = 60  # that the slowest step may take on a busy machine
# Selenium warns of what it does itself with WebKitGTK.
pytestmark = pytest.mark.filterwarnings("ignore:setting remote_server_addr:DeprecationWarning")

FIREFOX = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "remote.active-protocols": 1,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.normandy.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "media.autoplay.default": 0,
}
HOME, END = "\ue011", "\ue010"  # keys, as WebDriver names them


class Browser(Protocol):
    """What the test does in either of them. CSS selectors name elements."""

    def open(self, address: str) -> None: ...

    def run(self, script: str) -> Any:
        """The value of an expression in the page, after a promise of it is kept."""

    def click(self, selector: str) -> None: ...

    def type(self, selector: str, text: str) -> None: ...

    def problems(self) -> list[str]:
        """The errors of scripts, and what was written to the console as one."""


class Firefox:
    """WebDriver BiDi (https://www.w3.org/TR/webdriver-bidi/) over its websocket."""

    def __init__(self, ends: ExitStack) -> None:
        profile = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="firefox-")))
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in FIREFOX.items()]
        (profile / "user.js").write_text("".join(lines))
        log = ends.enter_context((profile / "log").open("w+"))
        command = [
            "firefox-esr",
            "--headless",
            "--no-remote",
            "--profile",
            str(profile),
            "--remote-debugging-port",
            "0",
        ]
        started(ends, command, stdout=log, stderr=log, env={**os.environ, "HOME": str(profile)})
        found = wait_for(lambda: re.search(r"BiDi listening on (ws://\S+)", (profile / "log").read_text()))
        self._socket = websocket.create_connection(f"{found[1]}/session", timeout=SECONDS, suppress_origin=True)
        ends.callback(self._socket.close)
        self._numbers = itertools.count()
        self._problems: list[str] = []
        self._call("session.new", capabilities={})
        self._call("session.subscribe", events=["log.entryAdded"])
        self._context = self._call("browsingContext.getTree")["contexts"][0]["context"]

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert message["type"] == "success", message
                result: dict[str, Any] = message["result"]
                return result
            if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
                self._problems.append(message["params"]["text"])

    def open(self, address: str) -> None:
        self._call("browsingContext.navigate", context=self._context, url=address, wait="complete")

    def _evaluate(self, expression: str) -> dict[str, Any]:
        return self._call(
            "script.evaluate", expression=expression, target={"context": self._context}, awaitPromise=True
        )

    def run(self, script: str) -> Any:
        answer = self._evaluate(f"Promise.resolve({script}).then((value) => JSON.stringify(value ?? null))")
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def _act(self, kind: str, actions: list[dict[str, Any]]) -> None:
        source = {"type": kind, "id": kind, "actions": actions}
        self._call("input.performActions", context=self._context, actions=[source])

    def click(self, selector: str) -> None:
        element = self._evaluate(scrolled_to(selector))["result"]["sharedId"]
        origin = {"type": "element", "element": {"sharedId": element}}
        down, up = ({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))
        self._act("pointer", [{"type": "pointerMove", "x": 0, "y": 0, "origin": origin}, down, up])

    def type(self, selector: str, text: str) -> None:
        self.click(selector)
        self._act("key", [{"type": f"key{way}", "value": letter} for letter in text for way in ("Down", "Up")])

    def problems(self) -> list[str]:
        self._call("session.status")
        return self._problems


class WebKit:
    """WebKitGTK's small browser, by WebDriver."""

    def __init__(self, ends: ExitStack) -> None:
        options = webdriver.WebKitGTKOptions()
        found = sorted(Path("/usr/lib").glob("*/webkit2gtk-4*/MiniBrowser"))
        options.binary_location = str(found[-1])
        for argument in ("--automation", "--enable-mock-capture-devices=true", "--enable-media-stream=true"):
            options.add_argument(argument)
        service = webdriver.WebKitGTKService("/usr/bin/WebKitWebDriver")
        self._driver = webdriver.WebKitGTK(options=options, service=service)
        connection = self._driver.command_executor
        assert not isinstance(connection, str)
        ends.callback(connection.close)
        ends.callback(self._driver.quit)
        self._driver.set_script_timeout(SECONDS)
        self._driver.set_window_size(1000, 900)

    def open(self, address: str) -> None:
        self._driver.get(address)

    def run(self, script: str) -> Any:
        answer = f"Promise.resolve({script}).then((value) => ({{ value }}), (error) => ({{ error: String(error) }}))"
        found = self._driver.execute_async_script(f"{answer}.then(arguments[0])")
        assert "error" not in found, found
        return found.get("value")

    def _element(self, selector: str) -> Any:
        return self._driver.execute_script(f"return {scrolled_to(selector)}")

    def click(self, selector: str) -> None:
        self._element(selector).click()

    def type(self, selector: str, text: str) -> None:
        self._element(selector).send_keys(text)

    def problems(self) -> list[str]:
        return []  # its WebDriver tells none


def scrolled_to(selector: str) -> str:
    """An expression: the element, in the middle of the window."""
    find = f"document.querySelector({json.dumps(selector)})"
    return f"((found) => (found.scrollIntoView({{ block: 'center', behavior: 'instant' }}), found))({find})"


def wait_for(what: Callable[[], Any], seconds: float = SECONDS) -> Any:
    ends = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="session", autouse=True)
def desktop() -> Iterator[None]:
    """A screen that shows nothing and an audio device that is silent, for both browsers."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        pytest.exit(f"There is no {' and no '.join(missing)} here: sudo apt-get install {PACKAGES}", returncode=1)
    with ExitStack() as ends, pytest.MonkeyPatch.context() as environment:
        folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="desktop-"))
        environment.setenv("XDG_RUNTIME_DIR", folder)
        screen = started(ends, ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x1024x24"], stdout=subprocess.PIPE)
        assert screen.stdout
        with screen.stdout as answer:
            environment.setenv("DISPLAY", f":{answer.readline().decode().strip()}")
        protocol = f"module-native-protocol-unix socket={folder}/audio auth-anonymous=1"
        options = ("--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--load=module-null-sink")
        started(ends, ["pulseaudio", "-n", *options, f"--load={protocol}"])
        wait_for(Path(folder, "audio").exists)
        environment.setenv("PULSE_SERVER", f"unix:{folder}/audio")
        yield


def started(ends: ExitStack, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """A program that is killed at the end."""
    process = subprocess.Popen(command, **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options})
    ends.callback(process.wait)
    ends.callback(process.kill)
    return process


@pytest.fixture(params=[Firefox, WebKit])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with ExitStack() as ends:
        yield request.param(ends)


def text(browser: Browser, selector: str) -> str:
    found: str = browser.run(f"document.querySelector({json.dumps(selector)}).textContent")
    return found


def is_visible(browser: Browser, selector: str) -> bool:
    return bool(browser.run(f"Boolean(document.querySelector({json.dumps(selector)})?.checkVisibility())"))


def open_page(browser: Browser, address: str) -> None:
    browser.open(address)
    wait_for(lambda: not is_visible(browser, "#loading"))


def play(browser: Browser) -> None:
    """Press Play, and once more where nothing comes of it, as a busy WebKit may do."""
    for attempt in (1, 2):
        browser.click("#list .play")
        try:
            wait_for(lambda: re.match(r"0:0[1-9] / ", text(browser, "#list .clock")), SECONDS / 2)
        except AssertionError:
            if attempt == 2:
                raise
        else:
            return


def test_other_audio_than_wav(browser: Browser, base_url: str, client: HttpClient) -> None:
    """It is decoded by the browser, and made a WAV file by a worker."""
    open_page(browser, base_url)
    flac = io.BytesIO()
    soundfile.write(flac, numpy.sin(numpy.arange(2 * 44_100) / 30) / 2, 44_100, format="FLAC")
    packed = base64.b64encode(flac.getvalue()).decode()
    browser.run(
        f"""(() => {{
          const bytes = Uint8Array.from(atob('{packed}'), (letter) => letter.charCodeAt(0));
          const files = new DataTransfer();
          files.items.add(new File([bytes], 'song.flac', {{ type: 'audio/flac' }}));
          const field = document.querySelector('#files');
          field.files = files.files;
          field.dispatchEvent(new Event('change'));
        }})()"""
    )
    wait_for(lambda: is_visible(browser, "#list .send") or text(browser, "#toasts"))
    assert text(browser, "#toasts") == ""
    time.sleep(0.6)
    browser.click("#list .send")
    wait_for(lambda: is_visible(browser, "#name"))
    browser.type("#name", "Anna")
    browser.click("#sign-up [type=submit]")
    wait_for(lambda: is_visible(browser, "#list .download"))
    link = browser.run("document.querySelector('#list .download').href")
    record = client.request("GET", target(link), {"Accept": "application/json"}).json
    assert (record["name"], record["status"], record["duration"]) == ("song.wav", "ready", pytest.approx(2, abs=0.1))
    assert not record["levels"]["silent"]
    assert browser.problems() == []


def test_record_send_listen_delete(browser: Browser, base_url: str, client: HttpClient) -> None:
    open_page(browser, base_url)
    # From the second time on the page's files come from its service worker.
    browser.run("navigator.serviceWorker.ready.then(() => true)")
    open_page(browser, base_url)

    browser.click("#record")
    wait_for(lambda: text(browser, "#timer") >= "0:03")
    assert text(browser, "#booth-problem") == ""
    browser.click("#record")
    wait_for(lambda: is_visible(browser, "#list .send"))
    time.sleep(0.6)  # what has just appeared is not pressed by a double-click
    browser.click("#list .send")
    wait_for(lambda: is_visible(browser, "#name"))
    browser.type("#name", "Anna")
    browser.click("#sign-up [type=submit]")
    wait_for(lambda: is_visible(browser, "#list .download"))
    assert text(browser, "#my-name") == "Anna"

    link = browser.run("document.querySelector('#list .download').href")
    record = client.request("GET", target(link), {"Accept": "application/json"}).json
    assert record["status"] == "ready"
    assert record["duration"] >= 3
    assert not record["levels"]["silent"]
    assert browser.run("fetch(document.querySelector('#list .download').href).then(({ status }) => status)") == 200

    open_page(browser, base_url)
    wait_for(lambda: is_visible(browser, "#list .play"))
    play(browser)
    if browser.run("document.querySelector('#list .play use').getAttribute('href')") == "#i-pause":
        browser.click("#list .play")
    browser.type("#list .seek", HOME)
    wait_for(lambda: float(browser.run("document.querySelector('#list .seek').value")) == 0)
    browser.type("#list .seek", END)
    wait_for(lambda: float(browser.run("document.querySelector('#list .seek').value")) >= 3)

    browser.open(record["page"])
    wait_for(lambda: (browser.run("document.querySelector('audio').duration") or 0) >= 3)
    assert text(browser, "h1") in record["name"]

    open_page(browser, base_url)
    wait_for(lambda: is_visible(browser, "#list .remove"))
    time.sleep(0.6)
    browser.click("#list .remove")
    wait_for(lambda: not is_visible(browser, "#list article"))
    wait_for(lambda: client.request("GET", target(link), {"Accept": "application/json"}).status == 404)
    assert browser.problems() == []
