"""The stack that the end-to-end tests talk to: a private local cloud, or what is deployed at $E2E_URL."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import Cloud
from local.sam import ROOT, build
from tests.support.client import HttpClient


@pytest.fixture(scope="session")
def deployed() -> str:
    """The address of a deployed stack to test; empty where the tests bring their own cloud."""
    return os.environ.get("E2E_URL", "").rstrip("/")


@pytest.fixture(scope="session")
def own_cloud(deployed: str) -> Iterator[Cloud | None]:
    if deployed:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="records e2e ") as folder:
        build(print, thorough=True)
        with Cloud(0, Path(folder)) as cloud:
            yield cloud
        (ROOT / ".local/e2e.log").write_bytes(cloud.log.read_bytes())


@pytest.fixture(scope="session")
def cloud(own_cloud: Cloud | None) -> Cloud:
    """The local cloud, with the account's own rights: for tests that look behind the API."""
    if own_cloud is None:
        pytest.skip("looks behind the API, which it can in a cloud of its own only")
    return own_cloud


@pytest.fixture(scope="session")
def base_url(deployed: str, own_cloud: Cloud | None) -> str:
    """Where the API is."""
    return own_cloud.url if own_cloud else deployed


@pytest.fixture(scope="session")
def client(base_url: str) -> HttpClient:
    return HttpClient(base_url)
