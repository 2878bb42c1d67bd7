"""Two clients that send one file in parts under one key, or one and its deletion, their calls to AWS in any order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from records import parts, recordings
from records.errors import Unavailable
from records.parts import next_parts
from records.recordings import Announced, Recording
from records.users import User
from tests.integration import events
from tests.integration.conftest import moto_cloud
from tests.integration.explorer import Actor, Counts, Touched, World, random_runs
from tests.integration.faults import tally
from tests.support.client import Context, function

SAMPLE = 5000 if os.environ.get("SOAK") else 100
WAV = b"first, second."
USER = 7


@pytest.fixture(scope="module", autouse=True)
def cloud(ffmpeg: str, pytestconfig: pytest.Config) -> Iterator[None]:
    tally.print_with(pytestconfig)
    with moto_cloud(ffmpeg), pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_BYTES", 7)
        patch.setattr(recordings, "time", SimpleNamespace(time=lambda: 1_800_000_000.0))
        yield


class Clients(World):
    """Each asks, sends what is missing, and asks again, until nothing is."""

    def __init__(self, deletion: bool) -> None:
        super().__init__()
        self.deletion = deletion
        self.user = User(f"user#{USER}", id=USER, secret=bytes(32))

    def set_up(self) -> None:
        self.actors += [Actor(f"client {number}", self.send) for number in range(1 if self.deletion else 2)]
        if self.deletion:
            self.actors.append(Actor("deletion", self.delete))

    def send(self) -> Recording:
        for _ in range(8):
            try:
                row = Recording.reserve(self.user, "a.wav", "k", None, Announced(len(WAV), None))
                missing = next_parts(row)
            except Unavailable:  # the row was removed meanwhile: the client is to ask again
                continue
            if missing is None:
                return row
            for part in missing["parts"]:
                self.pause(Touched("object", row.upload_key))
                [upload_id] = parse_qs(urlsplit(part["url"]).query)["uploadId"]
                body = WAV[part["offset"] : part["offset"] + part["bytes"]]
                self.cloud.upload_part(upload_id, part["number"], body)
        raise AssertionError("it never ends")

    def delete(self) -> None:
        Recording.discard(USER, self.user.record_id("k"))
        self.tell_of_removals()

    def tell_of_removals(self) -> None:
        if self.cloud.removed:
            event = events.removed(*self.cloud.removed)
            assert function("remove_audio").lambda_handler(event, Context(60)) == {"batchItemFailures": []}

    def check(self) -> None:
        """A file that is there is whole."""
        assert set(self.cloud.objects.values()) <= {WAV}, self.told()


def judge(world: Clients) -> None:
    """The clients that were killed come again; then there is one record with its file, and after it goes nothing."""
    for actor in world.actors:
        assert actor.killed or actor.outcome is None or isinstance(actor.outcome, Recording), world.told()
    world.tell_of_removals()
    row = world.send()
    assert list(world.cloud.tables["records"]) == [(str(USER), row.id)]
    forgotten = len(world.cloud.uploads)
    assert world.cloud.objects == {row.upload_key: WAV}, world.told()
    # Begun by who was killed before the row named it: the bucket's rule has it.
    assert forgotten <= sum(actor.killed for actor in world.actors), world.told()
    world.delete()
    world.tell_of_removals()
    assert (world.cloud.objects, len(world.cloud.uploads)) == ({}, forgotten), world.told()


@pytest.mark.parametrize("deletion", [False, True], ids=["two clients", "a client and a deletion"])
def test_any_order(deletion: bool) -> None:
    """A sample; in many of them somebody is killed."""
    counts = Counts()
    make = partial(Clients, deletion)
    for world in random_runs(make, counts, number=SAMPLE, seed=str(deletion)):
        with world.cloud.active():
            judge(world)
    tally.add(
        "interleavings of uploads in parts",
        explored=counts.runs,
        of_these_with_a_kill=counts.killed,
        steps=counts.steps,
    )
