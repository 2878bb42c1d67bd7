"""The emulator process: MiniStack on one port, the API and the storage for people on another.

MiniStack answers for every AWS service on GATEWAY_PORT; the functions and `sam deploy` talk to that one. People get
PUBLIC_PORT, where nothing has to be known but http://127.0.0.1:<port>: /<bucket>/... is the storage (signed addresses),
the rest is the API.

local/cloud.py runs this as `python -m local.emulator`, with the settings in the environment; it ends when its standard
input does.
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
from ministack.core.persistence import save_state
from ministack.services import dynamodb

from local.emulator import large_bodies, patches

# How many requests to the API run at once; more wait here, as a laptop cannot start fifty Pythons at once.
CONCURRENCY = int(os.environ.get("CONCURRENCY", "") or max(4, 2 * (os.cpu_count() or 2)))

SAVE_SECONDS = 5


class Gateway:
    """ASGI application over MiniStack's own, for both ports."""

    def __init__(self, public_port: int, api_id_file: Path, bucket: str) -> None:
        self.public_port = public_port
        self.api_id_file = api_id_file
        self.storage = f"/{bucket}"
        self.slots = asyncio.Semaphore(CONCURRENCY)
        self.used = False

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.used = True
        # Nobody listens in on loopback: it counts as TLS, which is all that the bucket's policy lets through.
        scope = {**scope, "scheme": "https"}
        public = scope["type"] == "http" and scope["server"][1] == self.public_port
        if not public or f"{scope['path']}/".startswith(f"{self.storage}/"):
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


async def save_now_and_then(gateway: Gateway, save_all: asyncio.Event) -> None:
    """Write MiniStack's memory down: all of it when asked to, the tables within seconds of a request. By itself it does
    so only at its end, and a killed process would leave the audio on disk without the rows."""
    while True:
        try:
            await asyncio.wait_for(save_all.wait(), SAVE_SECONDS)
        except TimeoutError:
            if gateway.used:
                gateway.used = False
                save_state("dynamodb", dynamodb.get_state())
        else:
            save_all.clear()
            ministack.save_all(ministack._build_persistence_save_dict())


async def main() -> None:
    public_port, gateway_port = int(os.environ["PUBLIC_PORT"]), os.environ["GATEWAY_PORT"]
    large_bodies.install(Path(os.environ["TMPDIR"]))
    patches.install()
    gateway = Gateway(public_port, Path(os.environ["API_ID_FILE"]), os.environ["PUBLIC_BUCKET"])
    config = Config()
    addresses = ["127.0.0.1", *os.environ["GATEWAY_ALSO_ON"].split()]
    config.bind = [f"127.0.0.1:{public_port}", *(f"{address}:{gateway_port}" for address in addresses)]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"

    stop, save_all = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, save_all.set)
    # The end of the standard input is the end of the process that started this one, even if it was killed.
    loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 4096) else stop.set())
    saving = asyncio.create_task(save_now_and_then(gateway, save_all))
    await serve(gateway, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
    saving.cancel()


if __name__ == "__main__":
    asyncio.run(main())
