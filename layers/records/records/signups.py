"""Who may sign up: a limited number from one address in an hour and, if the operator wants that, only by invitation.

A row `signups#<SHA-256 of the address and the hour>` of the users table counts the attempts of an hour (UTC).
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
import uuid

from pynamodb.attributes import NumberAttribute

from records.counters import Counter
from records.errors import InviteRequired, TooManySignUps
from records.settings import settings

HOUR = 3600


class SignUps(Counter):
    """The row `signups#...`: attempts of an hour."""

    attempts = NumberAttribute(null=True)

    def add(self, most: int, expires_at: int) -> bool:
        """Count an attempt, unless there were `most`. Returns whether it is counted. Raises Unavailable."""
        few = SignUps.attempts.does_not_exist() | (SignUps.attempts < most)
        return self.change(str(uuid.uuid4()), [SignUps.attempts.add(1), SignUps.expires_at.set(expires_at)], few)


def restricted() -> bool:
    """Whether signing up is limited in any way."""
    return settings().sign_ups_per_hour is not None or bool(settings().invite_hashes)


def admit(address: str, invite: str | None) -> None:
    """Let somebody at that address sign up, with that invitation or without one.

    Raises InviteRequired, TooManySignUps, Unavailable. A wrong invitation counts as an attempt, so that nobody
    guesses one.
    """
    hashes, most = settings().invite_hashes, settings().sign_ups_per_hour
    if hashes and not invite:
        raise InviteRequired
    if most is not None:
        now = time.time()
        hour = int(now // HOUR)
        name = hashlib.sha256(f"{network(address)} {hour}".encode()).hexdigest()
        if not SignUps(f"signups#{name}").add(most, (hour + 2) * HOUR):
            raise TooManySignUps(math.ceil(HOUR - now % HOUR))
    if hashes and _hash(invite or "") not in hashes:
        raise InviteRequired


def _hash(invite: str) -> str:
    return hashlib.sha256(invite.encode("utf-8", "surrogatepass")).hexdigest()


def network(address: str) -> str:
    """The address, or of an IPv6 address the /64, which is one subscriber's (RFC 6177)."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), 64), strict=False))
