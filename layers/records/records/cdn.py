"""CloudFront in front of the API and the bucket, where cdn.yaml is deployed: what its two sides have to agree on.

Both know a secret. CloudFront sends it to the API with every request, so that whoever calls the API's own address is
refused; and it signs the addresses of recordings, which a function at CloudFront's edge (in cdn.yaml) checks.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any
from urllib.parse import quote

from records.settings import settings

HEADER = "x-cdn-secret"  # the same in cdn.yaml


def refuses(event: dict[str, Any]) -> bool:
    """Whether a request did not come through CloudFront although it has to."""
    secret = settings().cdn_secret
    return bool(secret) and not hmac.compare_digest(event["headers"].get(HEADER, "").encode(), secret.encode())


def with_client_address(event: dict[str, Any]) -> dict[str, Any]:
    """The event with the address of CloudFront's client in place of CloudFront's own.

    CloudFront and then API Gateway each add the address of whoever called it to X-Forwarded-For; what stands before
    those two was sent by the client, which may claim anything.
    """
    if not settings().cdn_secret:
        return event
    addresses: list[str] = event["headers"].get("x-forwarded-for", "").split(",")
    client = addresses[-2] if len(addresses) > 1 else ""
    context = event["requestContext"]
    http = {**context["http"], "sourceIp": client.strip() or context["http"].get("sourceIp")}
    return {**event, "requestContext": {**context, "http": http}}


def signed_get(key: str, content_disposition: str, seconds: int) -> str:
    """An address at CloudFront that serves the object to whoever has it, for so many seconds."""
    expires = int(time.time()) + seconds
    disposition = quote(content_disposition, safe="")
    text = f"/{key}\n{expires}\n{disposition}"
    signature = hmac.new(settings().cdn_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    query = f"response-content-type=audio%2Fmpeg&response-content-disposition={disposition}"
    return f"{settings().public_url}/{key}?{query}&expires={expires}&signature={signature}"
