"""A warm GET /record, the first and the others: python -m benchmarks.warm_get [--quick]

The handler with AWS in memory: what it costs beside waiting for DynamoDB and S3.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import quiet, table, wav
from benchmarks.service import Service

CASES: tuple[tuple[str, str, dict[str, str], str, int], ...] = (
    ("GET, MP3 of 160 kB", "GET", {}, "short", 200),
    ("GET, MP3 of 4 MB", "GET", {}, "long", 200),
    ("GET, a larger MP3 (signed redirect)", "GET", {}, "larger", 302),
    ("GET, one range of 100 bytes", "GET", {"range": "bytes=0-99"}, "long", 206),
    ("GET as JSON", "GET", {"accept": "application/json"}, "short", 200),
    ("GET, unchanged (If-None-Match)", "GET", {"if-none-match": "*"}, "short", 304),
    ("HEAD", "HEAD", {}, "short", 200),
)


def run(short: bool) -> None:
    with quiet():
        service = Service()
        ids = records(service)
    rows = []
    for title, method, headers, name, status in CASES:
        with quiet():
            costs = []
            for _ in range(50 if short else 500):
                found, answered = service.get(ids[name], headers, method)
                assert answered == status, answered
                costs.append(found)
        walls = sorted(one.wall for one in costs)
        rows.append(
            [
                title,
                *(
                    f"{1000 * seconds:.2f}"
                    for seconds in (
                        statistics.fmean(one.cpu for one in costs),
                        statistics.median(walls),
                        walls[-len(walls) // 20],
                    )
                ),
            ]
        )
    table("Warm GET /record, ms", ("request", "CPU, mean", "median", "95 %"), rows)


def records(service: Service) -> dict[str, str]:
    """The ids of three ready records: a short one, one of 4 MB, one that is too large to be sent inline."""
    from records.recordings import READY, Recording

    with tempfile.TemporaryDirectory() as folder:
        service.direct(wav(Path(folder), 10))
    row: Any = next(row for row in service.memory.rows.values() if row.get("status", {}).get("S") == READY)
    ids = {"short": row["id"]["S"]}
    for name, size in (("long", 4_194_304), ("larger", 60_000_000)):
        copy = Recording.from_raw_data(dict(row))
        copy.id, copy.mp3_bytes = f"{ids['short'][:-4]}{len(ids):04}", size
        copy.save()
        service.memory.objects[copy.mp3_key()] = bytes(min(size, 4_194_304))
        ids[name] = copy.id
    return ids


if __name__ == "__main__":
    run("--quick" in sys.argv)
