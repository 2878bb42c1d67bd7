"""What Lambda's runtime emulator reports of a first and of a second call: python -m benchmarks.rie [--quick]

The emulator (RIE, the one that SAM CLI puts into its containers) runs awslambdaric on this machine, with the layer as
built and with plain `pip install`. Its "Init Duration" is always some 0.04 ms, since it starts a function only when
the first call has come: the first call's "Duration" holds the start, by the clock. No call gets as far as AWS.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import ENVIRONMENT, table
from benchmarks.init import plain_pip, runtime
from tests.support.client import http_event
from tests.support.layers import ROOT, layer

EMULATOR = f"aws-lambda-rie-{'x86_64' if platform.machine() == 'x86_64' else 'arm64'}"
PATH = "/2015-03-31/functions/function/invocations"
REPORT = re.compile(r"REPORT .*?\bDuration: ([0-9.]+) ms\s+Billed")
EVENTS: dict[str, dict[str, Any]] = {
    "get_record": http_event("GET", "/record"),
    "create_user": http_event("POST", "/users", {"content-type": "application/json"}, "{}"),
    "create_record": http_event("POST", "/uploads", {"content-type": "application/json"}, "{}"),
    "convert_upload": {"Records": []},
    "remove_audio": {"Records": []},
    "site": http_event("GET", "/openapi.json"),
}


def durations(function: str, packages: Path, client: Path, emulator: Path) -> tuple[float, float]:
    """Milliseconds of the first and of the second call to a function that has just been deployed."""
    with socket.socket() as free, socket.socket() as api:
        for listener in (free, api):
            listener.bind(("127.0.0.1", 0))
        port, runtime_port = free.getsockname()[1], api.getsockname()[1]
    folder = ROOT / "functions" / function
    command: list[str] = [
        *(emulator, "--log-level", "error", "--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{runtime_port}"),
        *(sys.executable, "-S", "-B", "-m", "awslambdaric", "app.lambda_handler"),
    ]
    environment = {
        **ENVIRONMENT,
        "PATH": os.environ["PATH"],
        "LAMBDA_TASK_ROOT": str(folder),
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "PYTHONPATH": os.pathsep.join(map(str, (folder, packages, client))),
    }
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            for _ in range(2):
                call(port, EVENTS[function])
        finally:
            process.terminate()
            process.wait()
        log.seek(0)
        first, second = (float(found) for found in REPORT.findall(log.read()))
    return first, second


def call(port: int, event: dict[str, Any]) -> None:
    for _ in range(100):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", PATH, json.dumps(event))
            answer = connection.getresponse().read()
        except ConnectionRefusedError:
            time.sleep(0.05)
            continue
        assert b"errorType" not in answer, answer
        return
    sys.exit("The runtime emulator does not answer.")


def run(short: bool) -> None:
    found = sorted((ROOT / ".sam").glob(f"lib/python*/site-packages/samcli/local/rapid/{EMULATOR}"))
    if not found:
        sys.exit("There is no SAM CLI in .sam, and so no runtime emulator: run `make build` first.")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        emulator = Path(name) / EMULATOR
        emulator.write_bytes(found[0].read_bytes())
        emulator.chmod(0o755)
        plain, client = plain_pip(Path(name) / "plain"), runtime(Path(name) / "runtime")
        for function in EVENTS:
            kinds: list[list[tuple[float, float]]] = [[], []]
            for _ in range(2 if short else 3):
                for packages, taken in zip((layer(), plain), kinds, strict=True):
                    taken.append(durations(function, packages, client, emulator))
            (built, second), (pip, _) = ([min(each) for each in zip(*taken, strict=True)] for taken in kinds)
            rows.append([function, f"{built:.0f}", f"{pip:.0f}", f"**{built / pip:.2f}**", f"{second:.1f}"])
    table(
        "What the runtime emulator reports, ms",
        ("function", "first call, as built", "first call, plain pip", "**ratio**", "second call, as built"),
        rows,
    )


if __name__ == "__main__":
    run("--quick" in sys.argv)
