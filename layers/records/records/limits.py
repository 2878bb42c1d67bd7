"""How much audio one user may have converted in a day, and may have stored.

A row `day#<user>#<date>` of the users table counts the seconds of a UTC day. One conditional write both checks and
counts, before a recording is converted: no number of concurrent requests gets past the limit.

What a user has stored is the sum of what remains of earlier days, which is on the user's row, and what came today,
which the day's row counts. The sum is computed again once a day, and before anything is refused.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from pynamodb.attributes import NumberAttribute
from pynamodb.exceptions import UpdateError

from records.aws import condition_failed, faults, get_row, log_fault
from records.counters import Counter
from records.errors import DailyLimit, LimitReached, StorageFull, Unavailable
from records.recordings import DAY, MAX_LIFETIME, PENDING, READY, Recording, utc_date
from records.settings import settings
from records.users import User

# An upload's bytes are converted to seconds as if it were 192 kHz stereo in 32 bits: hardly any recording has more
# bytes a second, so hardly any is refused although it would fit.
BYTES_PER_SECOND = 192_000 * 2 * 4
HEADER_BYTES = 1024 * 1024  # of metadata around the sound

KEPT_DAYS = 8  # an expired row may still be there for that long: DynamoDB removes it within a few days


class Day(Counter):
    """The row `day#<user>#<date>`. seconds: of audio that was accepted on that day. kept: those of them that were
    not deleted since."""

    seconds = NumberAttribute(default=0)
    kept = NumberAttribute(default=0)

    @classmethod
    def read(cls, user: int, date: str) -> Day:
        """The row as it is in the table, or one that has counted nothing. Raises Unavailable."""
        return get_row(cls, _key(user, date)) or cls(_key(user, date))

    def add(self, seconds: float, change: str, *, most: float | None, most_kept: float | None) -> bool:
        """Count `seconds`, unless the day's count would then pass `most`, or what is kept of it `most_kept`.

        Returns whether it is counted; either way this row then holds what the table holds. `change` identifies this
        count. Raises Unavailable.
        """
        condition = None
        for attribute, limit in ((Day.seconds, most), (Day.kept, most_kept)):
            if limit is not None:
                fits = attribute <= round(limit - seconds, 3)
                fits = (attribute.does_not_exist() | fits) if seconds <= limit else fits
                condition = fits if condition is None else condition & fits
        end = datetime.fromisoformat(self.pk.rpartition("#")[2]).replace(tzinfo=UTC) + timedelta(days=2)
        expiry = Day.expires_at.set(int(end.timestamp()))
        return self.change(change, [Day.seconds.add(seconds), Day.kept.add(seconds), expiry], condition)

    def release(self, seconds: float, change: str) -> None:
        """Take off `kept` what was counted here and is deleted. Raises Unavailable."""
        self.change(change, [Day.kept.add(-seconds)], Day.kept.exists())


def _key(user: int, date: str) -> str:
    return f"day#{user}#{date}"


def check(user: User, key: str | None, seconds: float = 0) -> float | None:
    """How many seconds a user may still send; None where there is no limit.

    Raises Unavailable; and DailyLimit or StorageFull where nothing is left, or less than `seconds`, unless the
    Idempotency-Key names a recording that is counted already or needs no conversion.
    """
    if not settings().limited:
        return None
    try:
        return _left(user, seconds)
    except LimitReached:
        row = Recording.read(int(user.id), user.record_id(key)) if key is not None else None
        if row is not None and row.needs_no_count:
            return None
        raise


def _left(user: User, seconds: float) -> float:
    owner, limits, seconds = int(user.id), settings(), round(seconds, 3)
    day = Day.read(owner, utc_date())
    left = float("inf")
    if limits.daily_seconds is not None:
        left = round(limits.daily_seconds - day.seconds, 3)
        if left <= 0 or seconds > left:
            raise _daily_limit(day)
    if limits.stored_seconds is not None:
        room = round(limits.stored_seconds - _earlier(user) - day.kept, 3)
        if room <= 0 or seconds > room:
            _sum(user)
            day = Day.read(owner, utc_date())
            room = round(limits.stored_seconds - _earlier(user) - day.kept, 3)
            if room <= 0 or seconds > room:
                raise _storage_full(user, day)
        left = min(left, room)
    return left


def max_bytes(left: float | None) -> int:
    """The most bytes that an upload may have when `left` seconds are left."""
    most = settings().max_upload_bytes
    return most if left is None else min(most, HEADER_BYTES + int(left * BYTES_PER_SECOND))


def least_seconds(size: int) -> float:
    """The shortest that an upload of `size` bytes can be, in seconds."""
    return max(0, size - HEADER_BYTES) / BYTES_PER_SECOND


def count(row: Recording, seconds: float, user: User | None = None) -> None:
    """Count a recording that is about to be converted, once for all attempts.

    Raises DailyLimit, StorageFull, Unavailable.
    """
    if not row.counts:
        return
    owner, limits = int(row.user), settings()
    user = user or User.read(owner)
    if user is None or user.secret is None:
        return  # erased meanwhile
    seconds = round(seconds, 3)
    day = Day(_key(owner, row.counted_on))
    for summed in (False, True):
        room = None
        if limits.stored_seconds is not None and row.counted_on == utc_date():  # else midnight has just passed
            room = limits.stored_seconds - _earlier(user)
        if day.add(seconds, row.generation, most=limits.daily_seconds, most_kept=room):
            return
        if limits.daily_seconds is not None and round(day.seconds + seconds, 3) > limits.daily_seconds:
            raise _daily_limit(day)
        if not summed:
            _sum(user, but=row.id)
    raise _storage_full(user, day)


def correct(row: Recording, counted: float, seconds: float) -> None:
    """Correct the count of a recording whose header did not tell its exact length. Raises Unavailable."""
    more = round(round(seconds, 3) - round(counted, 3), 3)
    if row.counts and more:
        day = Day(_key(int(row.user), row.counted_on))
        day.add(more, f"{row.generation} corrected", most=None, most_kept=None)


def release(row: Recording) -> None:
    """Free what a deleted recording of today took. Raises Unavailable.

    That of earlier days is free when the sum is computed again, as it is before anything is refused.
    """
    if row.status == READY and row.counted_on == utc_date():
        Day(_key(int(row.user), row.counted_on)).release(float(row.duration), f"{row.generation} deleted")


def forget(user: int) -> None:
    """Delete a user's counts. Raises Unavailable."""
    for days in range(KEPT_DAYS):
        with faults():
            Day(_key(user, utc_date(-days))).delete()


def _daily_limit(day: Day) -> DailyLimit:
    return DailyLimit(settings().daily_seconds or 0, _number(day.seconds), math.ceil(DAY - time.time() % DAY))


def _storage_full(user: User, day: Day) -> StorageFull:
    return StorageFull(settings().stored_seconds or 0, _number(_earlier(user) + day.kept))


def _number(seconds: float) -> float:
    seconds = round(float(seconds), 3)
    return int(seconds) if seconds.is_integer() else seconds


def _earlier(user: User) -> float:
    """The seconds that are stored of days before today. Raises Unavailable.

    The sum is computed at the first recording of a day, and once more as soon as every conversion that was counted
    the day before must have ended.
    """
    now = time.time()
    midnight = now - now % DAY
    settled = midnight + MAX_LIFETIME
    if user.summed_at is None or user.summed_at < (settled if now >= settled else midnight):
        _sum(user)
    return float(user.stored_seconds)


def _sum(user: User, but: str | None = None) -> None:
    """Add up what a user has stored, without the recording `but`, and store the sum. Raises Unavailable.

    The count of today is corrected as well, unless a conversion is under way.
    """
    owner, today = int(user.id), utc_date()
    day = Day.read(owner, today)
    earlier, since, under_way = 0.0, 0.0, False
    columns = ["id", "status", "duration", "expires_at", "counted_on"]
    with faults():
        for row in Recording.query(owner, consistent_read=True, attributes_to_get=columns):
            if row.expired or row.id == but:
                continue
            if row.status == READY and row.counted_on == today:
                since += float(row.duration)
            elif row.status == READY:
                earlier += float(row.duration)
            elif row.status == PENDING and row.counted_on == today:
                under_way = True
    user.stored_seconds, user.summed_at = round(earlier, 3), int(time.time())
    sums = [User.stored_seconds.set(user.stored_seconds), User.summed_at.set(user.summed_at)]
    _write_sum(User(user.pk), sums, User.token_sha256.exists())  # not on what is left of an erased user
    if day.last is not None and not under_way and abs(day.kept - since) > 0.001:
        unchanged = (Day.seconds == day.seconds) & (Day.kept == day.kept)
        _write_sum(day, [Day.kept.set(round(since, 3))], unchanged)


def _write_sum(row: User | Day, actions: list[Any], condition: Any) -> None:
    try:
        row.update(actions=actions, condition=condition)
    except UpdateError as error:
        if not condition_failed(error):
            log_fault(error)
            raise Unavailable from error
