"""The contract, on the functions themselves."""

from collections.abc import Iterator

import pytest

from tests.client import EventClient
from tests.contract import *  # noqa: F403
from tests.integration.conftest import moto_cloud


@pytest.fixture(scope="module")
def client(ffmpeg: str) -> Iterator[EventClient]:
    """One cloud for all of them: none of these tests needs an empty one."""
    with moto_cloud(ffmpeg):
        yield EventClient()
