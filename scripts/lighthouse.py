"""Lighthouse's four scores of `/` and of a recording's page: `python -m scripts.lighthouse http://127.0.0.1:8000`.

Needs Debian's chromium, and npx, which fetches Lighthouse. Exit status 1 where a score is below what the page promises.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from local.sample import write_sample

LIGHTHOUSE = "lighthouse@12"
LEAST = {"performance": 95, "accessibility": 100, "best-practices": 100, "seo": 100}
# A link is for who has it, so search engines are told to leave its page alone, which Lighthouse counts as a fault.
LEAST_BEHIND_A_LINK = {**LEAST, "seo": 0}


def call(url: str, body: bytes, **headers: str) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 the caller's own address
        url, body, {name.replace("_", "-"): value for name, value in headers.items()}, method="POST"
    )
    with urllib.request.urlopen(request) as reply:  # noqa: S310
        found: dict[str, Any] = json.load(reply)
    return found


def recording(api: str, folder: Path) -> str:
    """Makes a recording; returns the address of its page."""
    write_sample(folder / "sample.wav")
    user = call(f"{api}/users", b'{"name": "Lighthouse"}', content_type="application/json")
    made = call(
        f"{api}/records?user_id={user['id']}&name=sample.wav",
        (folder / "sample.wav").read_bytes(),
        content_type="audio/wav",
        authorization=f"Bearer {user['token']}",
    )
    page: str = made["page"]
    return page


def scores(url: str, folder: Path) -> dict[str, int]:
    """The score of each category, 0 to 100, as on a telephone."""
    report = folder / "report.json"
    flags = "--chrome-flags=--headless=new --no-sandbox"
    command = ["npx", "--yes", LIGHTHOUSE, url, "--quiet", flags, "--output=json", f"--output-path={report}"]
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""
    subprocess.run(command, check=True, env={**os.environ, "CHROME_PATH": chromium})
    found = json.loads(report.read_text())["categories"]
    return {name: round(found[name]["score"] * 100) for name in LEAST}


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    api = sys.argv[1].rstrip("/")
    low = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for page, url, least in (
            ("/", f"{api}/", LEAST),
            ("/listen", recording(api, folder), LEAST_BEHIND_A_LINK),
        ):
            found = scores(url, folder)
            print(page, *(f"{category} {score}" for category, score in found.items()), sep="  ", flush=True)
            low = low or any(found[category] < score for category, score in least.items())
    return int(low)


if __name__ == "__main__":
    sys.exit(main())
