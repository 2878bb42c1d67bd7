"""A day of a million recordings, simulated, for docs/scale.md: python -m benchmarks.scale [--recordings N].

Nothing is called: arrivals come by a Poisson process whose rate follows a day, and pass the API's throttle, the limits
per user, the queue and its converters as template.yaml has them. What a conversion takes was measured (docs/
performance.md); prices are AWS's for us-east-1, arm64.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DAY = 24 * 3600
SEED = 7

# What arrives: stereo of 44.1 kHz, the most expensive common kind. Log-normal, median 2 min, 1% over an hour.
MEDIAN_SECONDS = 120.0
SIGMA = math.log(3600 / MEDIAN_SECONDS) / 2.3263  # 2.3263: the 99th percentile of the normal distribution
LONGEST = 24 * 3600.0
PEAK = 5  # times the mean rate
WAV_RATE, MP3_RATE = 176_400, 16_000  # bytes a second
IN_REQUEST_SECONDS = 4_613_734 / WAV_RATE
INLINE_BYTES = 4 * 1024**2  # of MP3 in a response; larger ones are redirected to the bucket
LISTENERS = 2  # downloads of each recording

# What a conversion takes: docs/performance.md, 60 min of stereo on one core in 50 s; on 1.7 processors (ConvertMemory
# 3008 MB) recordings from two minutes on are encoded in regions at once.
TIMES_REAL_TIME = 72
REGIONS = 1.6
AROUND_SECONDS = 1.0  # reading, storing, the row, the start of ffmpeg
HEADER_SECONDS = 0.3  # of an upload that is refused by its header

# The template's defaults.
SEND_RATE, SEND_BURST = 10, 50
CONVERT_CONCURRENCY = 20
DAILY_HOURS = 24
POLL_SECONDS = 2  # Retry-After of a pending record

# USD. Lambda, API Gateway, DynamoDB, S3, SQS, X-Ray and CloudWatch price pages of 2026, us-east-1.
GB_SECOND, INVOCATION = 0.0000133334, 0.20e-6
API_CALL, API_STEP = 1.00e-6, 512 * 1024  # the first 300 million a month; metered in steps of 512 KB
WRITE, READ = 0.625e-6, 0.125e-6  # request units on demand; a consistent read of up to 4 KB is one
PUT, GET = 5e-6, 0.40e-6
SQS_CALL = 0.40e-6
TRACE, TRACED = 5e-6, 0.05
LOG_BYTE = 0.50e-9
STORAGE = ((50_000, 0.023), (450_000, 0.022), (math.inf, 0.021))  # GB in a step, USD a month for each
EGRESS = ((10_000, 0.09), (40_000, 0.085), (100_000, 0.07), (math.inf, 0.05))
CDN_EGRESS = ((10_000, 0.085), (40_000, 0.080), (100_000, 0.060), (350_000, 0.040), (math.inf, 0.030))
CDN_REQUEST = 1.00e-6


@dataclass(frozen=True, slots=True)
class Arrival:
    """A recording that is sent: when (s of the day), how long it is (s), and by whom (0: by the many)."""

    at: float
    length: float
    user: int = 0


@dataclass(frozen=True, slots=True)
class Waits:
    """What uploads waited for a converter, in s, and the most converters that were busy at once."""

    waits: list[float]
    busy: int
    waiting: int


def concentration(peak: float) -> float:
    """The concentration of the von Mises distribution whose highest density is `peak` times its mean."""

    def ratio(kappa: float) -> float:
        bessel, term = 0.0, 1.0
        for k in range(1, 80):  # I0(kappa), by its power series
            bessel += term
            term *= (kappa / 2 / k) ** 2
        return math.exp(kappa) / bessel

    low, high = 0.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if ratio(middle) < peak else (low, middle)
    return low


def day(recordings: int) -> list[Arrival]:
    """A day of arrivals in their order; noon is the peak."""
    chance = random.Random(SEED)
    kappa = concentration(PEAK)
    return sorted(
        (
            Arrival(
                (chance.vonmisesvariate(math.pi, kappa) / math.tau) % 1 * DAY,
                min(chance.lognormvariate(math.log(MEDIAN_SECONDS), SIGMA), LONGEST),
            )
            for _ in range(recordings)
        ),
        key=lambda arrival: arrival.at,
    )


def throttled(arrivals: Iterable[Arrival], rate: float, burst: float) -> tuple[list[Arrival], list[Arrival]]:
    """Those that a token bucket lets through, and those that it refuses with 429."""
    accepted, refused = [], []
    tokens, last = burst, 0.0
    for arrival in arrivals:
        tokens, last = min(burst, tokens + (arrival.at - last) * rate), arrival.at
        if tokens >= 1:
            tokens -= 1
            accepted.append(arrival)
        else:
            refused.append(arrival)
    return accepted, refused


def conversion_seconds(length: float) -> float:
    at_once = REGIONS if length >= MEDIAN_SECONDS else 1
    return AROUND_SECONDS + length / TIMES_REAL_TIME / at_once


def queue(arrivals: Sequence[Arrival], seconds: Sequence[float], converters: int | None) -> Waits:
    """First come, first served by so many converters; None: by as many as there is work for."""
    free: list[float] = []  # when each converter that is busy is free again
    begun: list[float] = []  # when each that waits begins
    waits, busy, waiting = [], 0, 0
    for arrival, needed in zip(arrivals, seconds, strict=True):
        while free and free[0] <= arrival.at and converters is None:
            heapq.heappop(free)
        at_once = converters is None or len(free) < converters
        start = arrival.at if at_once else max(arrival.at, heapq.heappop(free))
        heapq.heappush(free, start + needed)
        waits.append(start - arrival.at)
        while begun and begun[0] <= arrival.at:
            heapq.heappop(begun)
        if start > arrival.at:
            heapq.heappush(begun, start)
        busy, waiting = max(busy, len(free)), max(waiting, len(begun))
    return Waits(waits, busy, waiting)


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def stepped(amount: float, steps: tuple[tuple[float, float], ...]) -> float:
    """What an amount costs by a list of prices: (how much at this price, USD for each)."""
    total = 0.0
    for size, price in steps:
        taken = min(amount, size)
        total, amount = total + taken * price, amount - taken
    return total


def api_units(size: float) -> int:
    return max(1, math.ceil(size / API_STEP))


def costs(arrivals: Sequence[Arrival], waits: Waits) -> list[tuple[str, str, float]]:
    """USD of a day, or of 30 days of storage after a month of such days: part, arithmetic, USD."""
    direct = [arrival for arrival in arrivals if arrival.length <= IN_REQUEST_SECONDS]
    uploads = [arrival for arrival in arrivals if arrival.length > IN_REQUEST_SECONDS]
    converting = sum(conversion_seconds(arrival.length) for arrival in uploads)
    in_request = sum(0.2 + arrival.length / TIMES_REAL_TIME for arrival in direct)
    polls = sum(
        1 + int((wait + conversion_seconds(arrival.length)) / POLL_SECONDS)
        for arrival, wait in zip(uploads, waits.waits, strict=True)
    )
    inline = [arrival for arrival in arrivals if arrival.length * MP3_RATE <= INLINE_BYTES]
    small = LISTENERS * len(arrivals) + polls + len(uploads)  # downloads, polls, tickets
    calls = (
        sum(api_units(arrival.length * WAV_RATE) for arrival in direct)
        + LISTENERS * sum(api_units(arrival.length * MP3_RATE) for arrival in inline)
        + LISTENERS * (len(arrivals) - len(inline))
        + polls
        + len(uploads)
    )
    invocations = small + 3 * len(arrivals)  # one makes it, remove_audio looks at the MP3 once more, and a margin
    gb = sum(arrival.length for arrival in arrivals) * MP3_RATE / 1e9
    monthly = gb * LISTENERS * 30
    return [
        ("Lambda, uploads", f"{converting:,.0f} s x 2.94 GB", converting * 2.94 * GB_SECOND),
        ("Lambda, in requests", f"{in_request:,.0f} s x 1.73 GB", in_request * 1.73 * GB_SECOND),
        ("Lambda, the rest", f"{small:,} x 0.05 s x 0.5 GB", small * 0.05 * 0.5 * GB_SECOND),
        ("Lambda, calls", f"{invocations:,}", invocations * INVOCATION),
        ("HTTP API", f"{calls:,} units of 512 KB, of which {polls:,} polls", calls * API_CALL),
        (
            "DynamoDB",
            f"{len(arrivals):,} x 8 writes, {small:,} reads",
            len(arrivals) * 8 * WRITE + small * READ,
        ),
        (
            "S3 calls",
            f"{len(arrivals) + len(uploads):,} PUT, {2 * len(uploads) + LISTENERS * len(arrivals):,} GET",
            (len(arrivals) + len(uploads)) * PUT + (2 * len(uploads) + LISTENERS * len(arrivals)) * GET,
        ),
        ("SQS", f"2 queues x 3 calls x {len(arrivals):,}", 6 * len(arrivals) * SQS_CALL),
        ("X-Ray", f"5% of {invocations:,}", invocations * TRACED * TRACE),
        ("logs", f"6 KB x {len(arrivals):,}", len(arrivals) * 6e3 * LOG_BYTE),
        (
            "traffic out",
            f"{gb * LISTENERS:,.0f} GB a day, {monthly / 1e3:,.0f} TB a month",
            stepped(monthly, EGRESS) / 30,
        ),
        ("the same by CloudFront", "with cdn.yaml, instead", cdn(monthly, LISTENERS * len(arrivals))),
        ("storage, a month", f"{gb * 30 / 1e3:,.0f} TB more each month", stepped(gb * 30, STORAGE)),
    ]


def cdn(monthly_gb: float, requests: int) -> float:
    return stepped(monthly_gb, CDN_EGRESS) / 30 + requests * CDN_REQUEST


def flooded(arrivals: Sequence[Arrival], hours: float, rate: float) -> list[Arrival]:
    """One user more, who sends recordings of an hour at `rate` a second, for so many hours from noon on."""
    flood = [Arrival(DAY / 2 + n / rate, 3600.0, 1) for n in range(int(hours * 3600 * rate))]
    return list(heapq.merge(arrivals, flood, key=lambda arrival: arrival.at))


def limited(arrivals: Sequence[Arrival], daily_hours: float) -> list[float]:
    """What each conversion takes where a user's audio of a day is limited: past that only the header is read."""
    used: dict[int, float] = {}
    seconds = []
    for arrival in arrivals:
        if not arrival.user:  # the many: each far below the limit
            seconds.append(conversion_seconds(arrival.length))
            continue
        used[arrival.user] = used.get(arrival.user, 0.0) + arrival.length
        over = used[arrival.user] > daily_hours * 3600
        seconds.append(HEADER_SECONDS if over else conversion_seconds(arrival.length))
    return seconds


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table as Markdown."""
    for cells in (heads, ["---", *["---:"] * (len(heads) - 1)], *rows):
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--recordings", type=int, default=1_000_000, help="a day (1000000)")
    parser.add_argument("--flood", type=float, default=5, help="uploads a second of the user who floods (5)")
    options = parser.parse_args()

    arrivals = day(options.recordings)
    uploads = [arrival for arrival in arrivals if arrival.length > IN_REQUEST_SECONDS]
    seconds = [conversion_seconds(arrival.length) for arrival in uploads]
    lengths = [arrival.length for arrival in arrivals]
    mean = len(arrivals) / DAY
    print(
        f"{len(arrivals):,} recordings in a day: {mean:.1f} a second, {PEAK * mean:.0f} at the peak; length median "
        f"{duration(quantile(lengths, 0.5))}, mean {duration(sum(lengths) / len(lengths))}, "
        f"{sum(length > 3600 for length in lengths) / len(lengths):.1%} over an hour; "
        f"{len(uploads) / len(arrivals):.0%} by upload.\n"
    )

    print("POST /uploads through the route's throttle (SendThrottleRate):\n")
    rows = []
    for rate in (SEND_RATE, 25, 50, 100):
        accepted, refused = throttled(uploads, rate, SEND_BURST)
        rows.append((f"{rate}/s", f"{len(accepted):,}", f"{len(refused):,}", f"{len(refused) / len(uploads):.1%}"))
    table(("SendThrottleRate", "accepted", "429", "share"), rows)

    free = queue(uploads, seconds, None)
    print(
        f"\nUploads converted at once, with no limit: {free.busy:,} at most, {sum(seconds) / DAY:,.0f} in the mean.\n"
    )
    rows = []
    enough = math.ceil(free.busy / 50) * 50
    for converters in (CONVERT_CONCURRENCY, enough // 6, enough // 3, enough * 2 // 3, enough):
        found = queue(uploads, seconds, converters)
        rows.append(
            (
                f"{converters:,}",
                duration(quantile(found.waits, 0.5)),
                duration(quantile(found.waits, 0.99)),
                duration(max(found.waits)),
                f"{found.waiting:,}",
            )
        )
    table(("ConvertConcurrency", "wait, median", "99%", "longest", "most waiting"), rows)

    print(
        f"\nOne user sends {options.flood:g} recordings of an hour a second, from noon to one; "
        f"ConvertConcurrency {enough:,}:\n"
    )
    attacked = flooded(uploads, 1, options.flood)
    rows = [("nobody floods", *others(uploads, seconds, enough), "")]
    for name, daily in (("without limits", math.inf), (f"UserDailyHours {DAILY_HOURS}", DAILY_HOURS)):
        taken = limited(attacked, daily)
        spent = sum(s for arrival, s in zip(attacked, taken, strict=True) if arrival.user) * 2.94 * GB_SECOND
        rows.append((name, *others(attacked, taken, enough), f"{spent:,.2f}"))
    table(("", "others wait, median", "99%", "longest", "the flood costs USD"), rows)

    print(f"\nWhat the day costs, with ConvertConcurrency {enough:,}:\n")
    parts = costs(arrivals, queue(uploads, seconds, enough))
    table(("part", "of what", "USD a day"), [(part, of, f"{usd:,.2f}") for part, of, usd in parts])
    by_part = {part: usd for part, _, usd in parts}
    without = ("the same by CloudFront", "storage, a month")
    print(f"\n{sum(usd for part, usd in by_part.items() if part not in without):,.0f} USD a day, traffic included.")
    waiting = dict(cost[::2] for cost in costs(arrivals, queue(uploads, seconds, enough * 2 // 3)))
    more = waiting["HTTP API"] - by_part["HTTP API"]
    print(f"With ConvertConcurrency {enough * 2 // 3:,} polls cost {more:,.0f} USD more at the API alone.")


def others(arrivals: Sequence[Arrival], seconds: Sequence[float], converters: int) -> tuple[str, str, str]:
    """What everybody else waits: the median, 99 %, the longest."""
    found = queue(arrivals, seconds, converters)
    waits = [wait for arrival, wait in zip(arrivals, found.waits, strict=True) if not arrival.user]
    return duration(quantile(waits, 0.5)), duration(quantile(waits, 0.99)), duration(max(waits))


if __name__ == "__main__":
    main()
