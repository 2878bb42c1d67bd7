"""README's clients of an upload in parts, taken out of it and run as they stand; killed, they go on where they were.

They are sent through a proxy, by the environment variable that `curl` and Python know, which counts what passes.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from mutagen.mp3 import MP3

from local.sam import ROOT
from tests.e2e.test_long_recordings import MIB, music, riff
from tests.support.client import Account, HttpClient, sign_up

SECONDS = 3600 if os.environ.get("SOAK") else 450  # of stereo: 635 MB, or 79 MB
KILLS = 10
PART_BYTES = 8 * MIB


class Proxy(ThreadingHTTPServer):
    """Passes requests on, and counts the parts of uploads.

    begun, arrived: how often each part was begun, and how often the storage took it. At each of the positions of the
    file in `kill_at` the `client` is killed, once.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.begun: Counter[int] = Counter()
        self.arrived: Counter[int] = Counter()
        self.kill_at: list[int] = []
        self.client: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.server_port}"
        return {**os.environ, "http_proxy": address, "no_proxy": "", "NO_PROXY": ""}

    def killed(self, position: int) -> bool:
        """Whether the client was killed now. What it sent and has not passed yet is lost, as on a real line."""
        if not self.kill_at or position < self.kill_at[0]:
            return False
        del self.kill_at[0]
        assert self.client
        os.kill(self.client.pid, signal.SIGKILL)
        return True


class Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self._pass_on()

    do_POST = do_PUT = do_GET  # noqa: N815

    def _pass_on(self) -> None:
        address = urlsplit(self.path)
        upstream = http.client.HTTPConnection(address.netloc, timeout=60)
        try:
            upstream.putrequest(
                self.command, f"{address.path}?{address.query}", skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders()
            if self.command == "PUT":
                number = int(parse_qs(address.query)["partNumber"][0])
                self.server.begun[number] += 1
                whole = self._send_body(upstream, (number - 1) * PART_BYTES)
            else:
                number, whole = 0, self._send_body(upstream, None)
            if not whole:
                return
            response = upstream.getresponse()
            if number and response.status == 200:
                self.server.arrived[number] += 1
            with suppress(OSError):  # the client was killed
                self.send_response_only(response.status)
                for name, value in response.getheaders():
                    self.send_header(name, value)
                self.end_headers()
                shutil.copyfileobj(response, self.wfile)
        finally:
            upstream.close()
            self.close_connection = True

    def _send_body(self, upstream: http.client.HTTPConnection, offset: int | None) -> bool:
        """Returns whether all of it came."""
        left = int(self.headers.get("Content-Length", 0))
        while left:
            with suppress(OSError):
                piece = self.rfile.read(min(left, 65536))
            if not piece:
                return False
            left -= len(piece)
            if offset is not None:
                offset += len(piece)
                if self.server.killed(offset):
                    return False
            upstream.send(piece)
        return True

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def account(client: HttpClient, tmp_path: Path) -> Account:
    """A user whose id and token are in user.json, as README's first example leaves them."""
    found = sign_up(client)
    (tmp_path / "user.json").write_text(json.dumps({"id": found.id, "token": found.token}))
    return found


def block(language: str) -> str:
    """The client in README, in that language: the last such block of the section."""
    section = (ROOT / "README.md").read_text().partition("## Use it")[2].partition("\n## ")[0]
    return section.rpartition(f"```{language}\n")[2].partition("```")[0]


def command(language: str, base_url: str) -> list[str]:
    program = block(language).replace("http://127.0.0.1:8000", base_url)
    return [sys.executable, "-W", "ignore", "-c", program] if language == "python" else ["bash", "-uc", program]


def write_lecture(path: Path, seconds: int) -> int:
    """Write a WAV, no two parts of which are the same. Returns its size in bytes."""
    wav = riff(44100, 2, 16, seconds, music())
    with path.open("wb") as file:
        for number, piece in enumerate(wav):
            file.write(piece if number == 0 or len(piece) < 4 else struct.pack("<I", number) + piece[4:])
    return wav.size


@pytest.mark.parametrize("language", ["python", "sh"])
def test_client_as_it_stands(base_url: str, account: Account, tmp_path: Path, language: str) -> None:
    write_lecture(tmp_path / "lecture.wav", 100)
    for _ in range(2):  # the second time the recording is there
        subprocess.run(command(language, base_url), cwd=tmp_path, check=True)
        info: Any = MP3(tmp_path / "lecture.mp3").info  # type: ignore[no-untyped-call]
        assert info.length == pytest.approx(100, abs=0.1)
        (tmp_path / "lecture.mp3").unlink()


@pytest.mark.parametrize("language", ["python", "sh"])
@pytest.mark.parametrize("code", ["unsupported_audio", "invalid_credentials"])
def test_client_says_what_is_wrong(base_url: str, account: Account, tmp_path: Path, language: str, code: str) -> None:
    (tmp_path / "lecture.wav").write_text("This is a text.")
    if code == "invalid_credentials":
        (tmp_path / "user.json").write_text(json.dumps({"id": account.id, "token": str(uuid.uuid4())}))
    done = subprocess.run(command(language, base_url), cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (done.returncode, code in done.stdout + done.stderr) == (1, True), done
    assert not (tmp_path / "lecture.mp3").exists()


def test_client_killed_after_each_tenth(
    base_url: str, account: Account, proxy: Proxy, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    size = write_lecture(tmp_path / "lecture.wav", SECONDS)
    kill_at = [size * tenth // KILLS for tenth in range(1, KILLS + 1)]
    proxy.kill_at = kill_at.copy()
    killed = 0
    for _ in range(KILLS + 1):
        with subprocess.Popen(
            command("python", base_url), cwd=tmp_path, env=proxy.environment, stdout=subprocess.DEVNULL, text=True
        ) as proxy.client:
            status = proxy.client.wait()
        if status == 0:
            break
        assert status == -signal.SIGKILL
        killed += 1
    parts = -(-size // PART_BYTES)
    cut = {(position - 1) // PART_BYTES + 1 for position in kill_at}
    measured(
        f"README's client, {size / 1e6:.0f} MB in {parts} parts, killed {killed} times: {sum(proxy.begun.values())} "
        f"parts begun, {sum(proxy.arrived.values())} arrived; the ones that were cut: {sorted(cut)}"
    )
    assert killed == KILLS
    assert proxy.arrived == dict.fromkeys(range(1, parts + 1), 1)
    assert proxy.begun == {number: 1 + (number in cut) for number in range(1, parts + 1)}
    info: Any = MP3(tmp_path / "lecture.mp3").info  # type: ignore[no-untyped-call]
    assert info.length == pytest.approx(SECONDS, abs=0.1)
