"""The contract, over real HTTP, with requests that really happen at once."""

from tests.support.contract import *  # noqa: F403
