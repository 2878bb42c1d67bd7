"""The emulator process: MiniStack, with one port for the clients of the service and one for AWS's.

The functions and `sam deploy` talk to AWS on GATEWAY_PORT. Clients get PUBLIC_PORT, where nothing has to be known but
http://127.0.0.1:<port>: /<bucket>/... is the storage (signed addresses), the rest is the API.

local/cloud.py runs this as `python -m local.emulator`, with the settings in the environment; it ends when its standard
input does.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

from hypercorn.asyncio import serve
from hypercorn.config import Config

from local.emulator import large_bodies, patches
from local.emulator.gateway import Gateway
from local.emulator.state import Journal, deliver_uploads

CONCURRENCY = int(os.environ.get("CONCURRENCY", "") or max(4, 2 * (os.cpu_count() or 2)))
MOST_FILES = 65_536


def raise_file_limit() -> None:
    """As many open files and connections as the system lets a process have; the usual limit is 1024, on macOS 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def main() -> None:
    public_port, gateway_port = int(os.environ["PUBLIC_PORT"]), os.environ["GATEWAY_PORT"]
    bucket, also_on = os.environ["PUBLIC_BUCKET"], os.environ["GATEWAY_ALSO_ON"].split()
    raise_file_limit()
    large_bodies.install(Path(os.environ["TMPDIR"]))
    patches.install(os.environ["FUNCTION_KEYS"])
    journal = Journal(Path(os.environ["JOURNAL"]))
    journal.install()
    containers = ["host.docker.internal", *also_on] if also_on else ["host.docker.internal"]
    gateway = Gateway(
        public_port=public_port,
        aws_hosts=[f"{name}:{gateway_port}" for name in ("127.0.0.1", "localhost", *containers)],
        bucket=bucket,
        api_id_file=Path(os.environ["API_ID_FILE"]),
        concurrency=CONCURRENCY,
        on_start=journal.replay,
    )
    config = Config()
    config.bind = [
        f"{address}:{port}"
        for address, port in (
            ("127.0.0.1", public_port),
            *((address, gateway_port) for address in ("127.0.0.1", *also_on)),
        )
    ]
    config.keep_alive_timeout = 5
    config.loglevel = "WARNING"

    uploads_delivered = False

    def deployed() -> None:
        nonlocal uploads_delivered
        journal.compact()
        if not uploads_delivered:  # now there is a function to take them
            uploads_delivered = True
            deliver_uploads(bucket)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, deployed)
    # The end of the standard input is the end of the process that started this one, even if it was killed.
    loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 4096) else stop.set())
    await serve(gateway, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
    journal.compact()


if __name__ == "__main__":
    asyncio.run(main())
