"""A real browser for the tests of the page: Debian's Chromium, with a WAV file for a microphone."""

from __future__ import annotations

import array
import math
import os
import random
import shutil
import socket
import struct
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")

# Playwright's own list, which a second one replaces, and after it what Chromium puts beside every page, though nobody
# sees it here: the pages of its address bar, each with a process of its own, and a process for the next page.
DISABLED = (
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades", "LensOverlay"),
    *("HttpsFirstBalancedModeAutoEnable", "MediaRouter", "PaintHolding", "ThirdPartyStoragePartitioning"),
    *("AvoidCorsURLLoaderRestartOnRedirect", "TcpPortRandomizationWin", "OptimizationHints", "AimEnabled"),
    *("NetworkTimeServiceQuerying", "PreconnectToSearch", "WebUIOmniboxPopup", "WebUIOmniboxAimPopup"),
    *("WebUIOmniboxFullPopup", "SpareRendererForSitePerProcess"),
)

# Nothing but the page: no sandbox, since CI runs as root; none of the browser's own calls to its maker.
FLAGS = (
    f"--disable-features={','.join(DISABLED)}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


@contextmanager
def chromium(microphone: Path) -> Iterator[Browser]:
    """A browser whose microphone plays a WAV file, over and over."""
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            yield browser
        finally:
            browser.close()


def tone(path: Path, hertz: float, seconds: int, rate: int = 16000) -> Path:
    """A mono 16-bit WAV with a tone that swells and fades every second; written second by second."""
    second = array.array(
        "h",
        (round(20000 * math.sin(math.pi * i / rate) * math.sin(2 * math.pi * hertz * i / rate)) for i in range(rate)),
    ).tobytes()
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        for _ in range(seconds):
            out.writeframesraw(second)
    return path


def speech(path: Path, hertz: float, *, seconds: int, rate: int = 16000) -> Path:
    """A mono 16-bit WAV with a tone whose loudness is that of sentences: syllables in words, and pauses."""
    chance = random.Random(7)
    samples = array.array("h")
    while len(samples) < seconds * rate:
        for _ in range(chance.randint(3, 8)):
            length = round(chance.uniform(0.08, 0.3) * rate)
            peak = chance.uniform(1500, 26000)
            samples.extend(
                round(peak * math.sin(math.pi * i / length) * math.sin(2 * math.pi * hertz * i / rate))
                for i in range(length)
            )
        samples.extend([0] * round(chance.choice([0.1, 0.2, 0.7]) * rate))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples[: seconds * rate].tobytes())
    return path


@dataclass
class Visit:
    """A person's visit: a page, what it asked for, and what its console said."""

    page: Page
    responses: list[Response] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("response", lambda response: self.responses.append(response))  # noqa: PLW0108 (Playwright marks it)
        self.page.on("request", self._asked)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.console.append(message.text)

    def _asked(self, request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https"):
            self.hosts.add(address.netloc)

    def answers(self, method: str, path: str) -> list[int]:
        """The statuses of the answers to a request so far, the page's own origin or not."""
        found = []
        for response in self.responses:
            if response.request.method == method and urlsplit(response.url).path == path:
                found.append(response.status)
        return found

    @property
    def unexpected(self) -> list[str]:
        """Errors of the console that no failed request explains. The browser itself writes a line for each of those."""
        return [line for line in self.console if not line.startswith("Failed to load resource: ")]


class Line:
    """The way to the network, which a test can make slow, or cut: a SOCKS5 proxy on this machine (RFC 1928).

    What is cut is real: connections are reset in the middle of what they carry, and new ones are refused.
    """

    BLOCK = 32 * 1024

    def __init__(self) -> None:
        self.rate: float | None = None  # bytes a second, upwards
        self.is_cut = False
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        # The buffers of a loopback connection would swallow megabytes at once, and nothing would be seen to move.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.BLOCK)
        self.proxy = {"server": f"socks5://127.0.0.1:{self._listener.getsockname()[1]}"}
        self._run(self._accept)

    def slow(self, rate: float) -> None:
        """At most so many bytes a second upwards."""
        self.rate = rate

    def cut(self) -> None:
        """No network: what is under way fails."""
        self.is_cut = True
        with self._lock:
            for side in self._open:
                self._reset(side)

    def restore(self) -> None:
        """As fast as it goes."""
        self.rate, self.is_cut = None, False

    def close(self) -> None:
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _run(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    @staticmethod
    def _reset(side: socket.socket) -> None:
        with suppress(OSError):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST, not FIN
            side.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _read(side: socket.socket, length: int) -> bytes:
        """So many bytes. Raises OSError where the other side closes before."""
        read = b""
        while len(read) < length:
            more = side.recv(length - len(read))
            if not more:
                raise ConnectionError
            read += more
        return read

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return  # closed
            self._run(self._serve, near)

    def _serve(self, near: socket.socket) -> None:
        with near, suppress(OSError):
            if self.is_cut:
                self._reset(near)
                return
            _, ways = self._read(near, 2)
            self._read(near, ways)  # the ways to authenticate that it knows
            near.sendall(b"\x05\x00")  # none is needed
            kind = self._read(near, 4)[3]
            if kind == 1:
                host = socket.inet_ntoa(self._read(near, 4))
            else:
                assert kind == 3, "neither IPv4 nor a name"
                host = self._read(near, self._read(near, 1)[0]).decode()
            port = int.from_bytes(self._read(near, 2), "big")
            with socket.create_connection((host, port)) as far:
                near.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
                with self._lock:
                    self._open |= {near, far}
                try:
                    down = threading.Thread(target=self._pass, args=(far, near, False), daemon=True)
                    down.start()
                    self._pass(near, far, True)
                    down.join()
                finally:
                    with self._lock:
                        self._open -= {near, far}

    def _pass(self, source: socket.socket, target: socket.socket, upwards: bool) -> None:
        with suppress(OSError):
            while block := source.recv(self.BLOCK):
                if upwards and self.rate:
                    time.sleep(len(block) / self.rate)
                target.sendall(block)
            target.shutdown(socket.SHUT_WR)
