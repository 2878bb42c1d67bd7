"""The environment of a function, read once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

# 4.4 MiB: the most audio that fits, as base64 and with the rest of the event, into the 6 MiB of a Lambda request.
MAX_DIRECT_BYTES = 4_613_734
# The most MP3 that fits, as base64, into the 6 MiB of a Lambda response.
MAX_INLINE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can change, and the names that the template sets.

    bitrate: kbit/s a channel of the MP3. public_url: the API's address where it is not the one a request came to.
    storage_url: the address of S3 in signed links, where it is not AWS's own. ffmpeg: the path of the binary.
    daily_seconds, stored_seconds: of audio that a user may have converted in a day, and may have stored; None: no
    limit. keep_seconds: how long a recording is kept; None: for ever. sign_ups_per_hour: from one address; None: no
    limit. invite_hashes: the SHA-256 (hex) of each invitation; if there is none, sign-up is open.
    """

    users_table: str
    records_table: str
    bucket: str
    public_url: str
    storage_url: str
    bitrate: int
    max_upload_bytes: int
    ffmpeg: str
    daily_seconds: int | None
    stored_seconds: int | None
    keep_seconds: int | None
    sign_ups_per_hour: int | None
    invite_hashes: frozenset[str]
    erasures_queue: str
    uploads_queue: str
    cdn_secret: str
    log_retention_days: int

    @property
    def limited(self) -> bool:
        """Whether the seconds of audio that users send are counted."""
        return self.daily_seconds is not None or self.stored_seconds is not None


@cache
def settings() -> Settings:
    """The settings of this process. Tests that change the environment call `settings.cache_clear()`."""
    env = os.environ
    return Settings(
        users_table=env.get("USERS_TABLE", ""),
        records_table=env.get("RECORDS_TABLE", ""),
        bucket=env.get("BUCKET", ""),
        public_url=env.get("PUBLIC_URL", "").rstrip("/"),
        storage_url=env.get("STORAGE_URL", "").rstrip("/"),
        bitrate=int(env.get("BITRATE", "64")),
        max_upload_bytes=int(env.get("MAX_UPLOAD_BYTES", str(4 * 1024**3))),
        ffmpeg=env.get("FFMPEG", "/opt/bin/ffmpeg"),
        daily_seconds=_hours(env.get("USER_DAILY_HOURS", "0")),
        erasures_queue=env.get("ERASURES_QUEUE", ""),
        uploads_queue=env.get("UPLOADS_QUEUE", ""),
        cdn_secret=env.get("CDN_SECRET", ""),
        log_retention_days=int(env.get("LOG_RETENTION_DAYS", "30")),
        stored_seconds=_hours(env.get("USER_STORED_HOURS", "0")),
        keep_seconds=int(env.get("KEEP_DAYS", "0")) * 24 * 3600 or None,
        sign_ups_per_hour=int(env.get("SIGN_UPS_PER_HOUR", "0")) or None,
        invite_hashes=frozenset(env.get("INVITE_HASHES", "").lower().replace(",", " ").split()),
    )


def _hours(text: str) -> int | None:
    """Seconds of a number of hours; 0 means that there is no limit."""
    return int(float(text) * 3600) or None


def origin(address: str) -> str:
    """`scheme://host:port` of an address: all that a Content-Security-Policy needs of it."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def storage_origins() -> list[str]:
    """The origins that a page reads long MP3s from and sends long recordings to."""
    here = settings()
    if here.storage_url:
        return [origin(here.storage_url)]
    region = os.environ.get("AWS_REGION", "us-east-1")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    # In us-east-1 botocore signs for the name without a region; both names are this bucket's.
    return [f"https://{here.bucket}.s3.{region}.{suffix}", f"https://{here.bucket}.s3.{suffix}"]


def processors() -> int:
    """How many processors this process may use.

    Lambda may show two but provide the time of one: a function has one for each 1769 MB of its memory
    (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
    """
    shown = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") or 0)  # MB
    return min(shown, -(-memory // 1769)) if memory else shown
