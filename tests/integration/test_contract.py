"""The contract, on the functions themselves."""

from collections.abc import Iterator

import pytest

from tests.integration.conftest import moto_cloud
from tests.support.client import EventClient
from tests.support.contract import *  # noqa: F403


@pytest.fixture(scope="module")
def client(ffmpeg: str) -> Iterator[EventClient]:
    """One cloud for all of them: none of these tests needs an empty one."""
    with moto_cloud(ffmpeg):
        yield EventClient()
