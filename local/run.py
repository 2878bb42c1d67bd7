"""`make run`: the whole stack on this machine, in the foreground until Ctrl-C.

Each port has its own stack, whose data stays in .local/<port>/ for the next run. All of them share what SAM built, in
.local/build/.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Iterator

from local.cloud import Cloud
from local.process import Stop, stop_on_signals
from local.sam import ARCHITECTURE, ROOT, CloudError, build
from local.sample import write_sample


def curl_lines(cloud: Cloud) -> Iterator[str]:
    """Three commands that pass results on in files, so that each can be pasted on its own."""
    user, record, sample = (cloud.folder / name for name in ("user.json", "record.json", "sample.wav"))
    write_sample(sample)
    field = r"""sed -E 's/.*"{}": *"?([^",}}]+).*/\1/' '{}'""".format
    yield f"""curl -sS {cloud.url}/users -H 'Content-Type: application/json' -d '{{"name": "Ann"}}' | tee '{user}'"""
    yield (
        f'curl -sS {cloud.url}/records -F "user_id=$({field("id", user)})" -F "token=$({field("token", user)})"'
        f" -F 'audio=@{sample}' | tee '{record}'"
    )
    yield f'curl -sSL "$({field("url", record)})" -o sample.mp3'


def main() -> int:
    parser = argparse.ArgumentParser(prog="make run", description="Run the whole stack on this machine.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--build", action="store_true", help="only build, with an ffmpeg of our own")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # each step is seen as it goes, in a pipe too
    port: int = arguments.port
    if ARCHITECTURE is None:
        print(f"There are no layers for this machine's processor ({platform.machine()}).", file=sys.stderr)
        return 1
    if not 0 < port < 65536:
        print(f"{port} is not a port; choose one from 1024 to 65535: make run PORT=8123", file=sys.stderr)
        return 1

    stop_on_signals()
    cloud = Cloud(port, ROOT / ".local" / str(port))
    try:
        if arguments.build:
            build(print, thorough=True)
            return 0
        with cloud:
            print(f"\nAPI: {cloud.url}\n\nSign up, send a recording, download the MP3:\n")
            print("\n".join(curl_lines(cloud)))
            print("\nCtrl-C stops it. The data are kept for the next time.", flush=True)
            while cloud.running():
                time.sleep(0.5)
            raise CloudError(f"{cloud.log_tail()}\n\nThe emulator ended by itself; the end of its log is above.")
    except CloudError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except Stop:
        print("Stopped.")
        return 0


if __name__ == "__main__":
    sys.exit(main())
