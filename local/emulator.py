"""The emulator process: MiniStack on one port, the API and the storage for people on another.

MiniStack answers every AWS service on GATEWAY_PORT; the functions and `sam deploy` talk to that one. People get PUBLIC_PORT,
where nothing is to be known but http://127.0.0.1:<port>: /<bucket>/... is the storage (signed addresses), the rest the API.

Run by local/cloud.py as `python -m local.emulator`, with its settings in the environment; ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack import app as ministack

from local import large_bodies

# How many requests to the API run at once; more wait here, as a laptop cannot start fifty Pythons at once.
CONCURRENCY = int(os.environ.get("CONCURRENCY", "") or max(4, 2 * (os.cpu_count() or 2)))


class Gateway:
    """ASGI application over MiniStack's own, for both ports."""

    def __init__(self, public_port: int, api_id_file: Path, bucket: str) -> None:
        self.public_port = public_port
        self.api_id_file = api_id_file
        self.storage = f"/{bucket}"
        self.slots = asyncio.Semaphore(CONCURRENCY)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["server"][1] != self.public_port:
            await ministack.app(scope, receive, send)
        elif scope["path"] == self.storage or scope["path"].startswith(self.storage + "/"):
            await ministack.app(scope, receive, send)
        else:
            # The data plane of an HTTP API by path: MiniStack's own paths, such as /health, cannot get in the way.
            prefix = f"/_aws/execute-api/{self.api_id_file.read_text()}/$default"
            scope = {
                **scope,
                "path": prefix + scope["path"],
                "raw_path": prefix.encode() + (scope.get("raw_path") or scope["path"].encode()),
            }
            async with self.slots:
                await ministack.app(scope, receive, send)


async def main() -> None:
    public_port = int(os.environ["PUBLIC_PORT"])
    large_bodies.install(Path(os.environ["TMPDIR"]))
    gateway = Gateway(public_port, Path(os.environ["API_ID_FILE"]), os.environ["PUBLIC_BUCKET"])
    config = Config()
    config.bind = [f"127.0.0.1:{os.environ['GATEWAY_PORT']}", f"127.0.0.1:{public_port}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # The end of the standard input is the end of the process that started this one, even if it was killed.
    loop.add_reader(sys.stdin.fileno(), lambda: stop.set() if not os.read(sys.stdin.fileno(), 4096) else None)
    await serve(gateway, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]


if __name__ == "__main__":
    asyncio.run(main())
