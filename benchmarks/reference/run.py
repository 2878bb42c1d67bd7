"""Start the reference server and a PostgreSQL of its own, in a folder that is gone afterwards."""

from __future__ import annotations

import contextlib
import http.client
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common import ROOT, ffmpeg


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, where Debian puts them: apt-get install postgresql."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A PostgreSQL with its defaults, on loopback; returns its address. It runs as postgres, never as root."""
    found = programs()
    if not found:
        sys.exit("There is no PostgreSQL here: apt-get install postgresql.")
    user = "postgres" if os.geteuid() == 0 else None
    folder.mkdir()
    if user:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
    data, port = folder / "data", free_port()
    initialise = [str(found / "initdb"), "-D", str(data), "-U", "records", "--auth=trust", "--no-instructions"]
    subprocess.run(initialise, check=True, user=user, stdout=subprocess.DEVNULL, cwd=folder)
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([found / "postgres", "-D", data, *options], user=user, stderr=log, cwd=folder)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        time.sleep(0.5)  # it listens a little before it answers
        yield f"postgresql://records@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def reference_server(*, blocking: bool) -> Iterator[tuple[str, int]]:
    """The server's address, and its process id."""
    folder = Path(tempfile.mkdtemp(prefix="records-reference-"))
    folder.chmod(0o755)
    try:
        with postgresql(folder / "postgresql") as database:
            (folder / "audio").mkdir()
            port = free_port()
            environment = {
                **os.environ,
                "DATABASE_URL": database,
                "AUDIO": str(folder / "audio"),
                "FFMPEG": ffmpeg(),
                "BLOCKING": str(int(blocking)),
            }
            command = [sys.executable, "-m", "uvicorn", "benchmarks.reference.app:app", "--port", str(port)]
            server = subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, env=environment)
            try:
                _wait(port, server)
                yield f"http://127.0.0.1:{port}", server.pid
            finally:
                server.terminate()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if server.poll() is not None:
            sys.exit("The reference server ended at once.")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError):
            connection.request("GET", "/openapi.json")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    sys.exit("The reference server does not answer.")
