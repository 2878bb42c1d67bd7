"""A model checker of the real code: attempts, removals and time as steps between every two calls to AWS.

Each actor is a function in a thread of its own. It stops before each call to AWS, and the explorer chooses who goes on,
so that a run is a list of choices. A choice is a step (one call, and the code up to the next one) or a kill (that actor
does no more). `every_run` takes every list of choices there is, by depth first search; `random_runs` takes some.

Two steps that do not touch the same thing come to the same in either order. Of the runs that differ only in that one is
enough: `every_run` leaves the others out by sleep sets (Godefroid, "Partial-Order Methods for the Verification of
Concurrent Systems", 1996, chapter 5).
"""

from __future__ import annotations

import hashlib
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from tests.integration.faults import Killed
from tests.integration.standin import StandIn

W = TypeVar("W", bound="World")
MAX_STEPS = 200  # of one run: with more the code under test does not end
_READS = frozenset(("GetItem", "HeadObject", "GetObject", "ListObjectsV2"))


@dataclass(frozen=True, slots=True)
class Touched:
    """What a step touches. kind: "row", "object", "objects" (a prefix of keys), or "all"."""

    kind: str
    key: str = ""
    changed: bool = True

    @classmethod
    def by(cls, operation: str, arguments: dict[str, Any]) -> Touched:
        changed = operation not in _READS
        if "TableName" in arguments:
            key = arguments.get("Key") or arguments["Item"]
            return cls("row", f"{key['user']['N']}/{key['id']['S']}", changed)
        if operation == "ListObjectsV2":
            return cls("objects", arguments["Prefix"], changed)
        return cls("object", arguments["Key"], changed)

    def meets(self, other: Touched) -> bool:
        """Whether the order of two such steps may make a difference."""
        if not (self.changed or other.changed):
            return False
        if "all" in (self.kind, other.kind):
            return True
        if {self.kind, other.kind} == {"object", "objects"}:
            return self.key.startswith(other.key) or other.key.startswith(self.key)
        return self.kind == other.kind and self.key == other.key


EVERYTHING = Touched("all")


@dataclass(frozen=True, slots=True)
class Choice:
    """Let an actor take its next step, or kill it, which touches nothing. The step is the same until it is taken."""

    actor: int
    kill: bool
    touched: Touched | None

    def meets(self, other: Choice) -> bool:
        if self.actor == other.actor or (self.kill and other.kill):  # one kill a run
            return True
        return bool(self.touched and other.touched and self.touched.meets(other.touched))


class Actor:
    """A function that stops before each call to AWS. outcome: what it returned, or the exception that ended it."""

    def __init__(self, name: str, work: Callable[[], Any], *, mortal: bool = True) -> None:
        self.name = name
        self.mortal = mortal
        self.outcome: Any = None
        self.next: Touched | None = None  # None once it has ended
        self._work = work
        self._killed = False
        self._turn, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._uuids = 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self._turn.acquire()
        try:
            self.outcome = self._work()
        except BaseException as error:
            self.outcome = error
        self.next = None
        self._stopped.release()

    def stop(self, touched: Touched) -> None:
        """In the actor's own thread: wait for the next turn, which is to touch that."""
        self.next = touched
        self._stopped.release()
        self._turn.acquire()
        if self._killed:
            raise Killed

    def go(self, *, kill: bool = False) -> None:
        """In the explorer's thread: let it take one step, or end it."""
        self._killed = kill
        self._turn.release()
        self._stopped.acquire()

    def uuid4(self) -> uuid.UUID:
        """The same in every run."""
        self._uuids += 1
        return _uuid(f"{self.name} {self._uuids}")

    @property
    def killed(self) -> bool:
        return isinstance(self.outcome, Killed)


def _uuid(text: str) -> uuid.UUID:
    return uuid.UUID(bytes=hashlib.md5(text.encode(), usedforsecurity=False).digest(), version=4)


class World:
    """A cloud and its actors: what a scenario sets up for each run. trace: the choices that were taken."""

    def __init__(self) -> None:
        self.cloud = StandIn()
        self.actors: list[Actor] = []
        self.trace: list[Choice] = []
        self._by_thread: dict[int, Actor] = {}
        self._uuids = 0

    def set_up(self) -> None:
        """What is there before anybody acts; makes the actors."""
        raise NotImplementedError

    def check(self) -> None:
        """What must hold after each step."""
        raise NotImplementedError

    def begin(self) -> None:
        """Set up, and let every actor come to its first step."""
        self.set_up()
        self.cloud.before = self._before_call
        for actor in self.actors:
            actor.thread.start()
            self._by_thread[actor.thread.ident or 0] = actor
            actor.go()

    def _before_call(self, operation: str, arguments: dict[str, Any]) -> None:
        self.pause(Touched.by(operation, arguments))

    def pause(self, touched: Touched) -> None:
        """A step of the actor whose thread this is."""
        actor = self._by_thread.get(threading.get_ident())
        if actor is not None:
            actor.stop(touched)

    def uuid4(self) -> uuid.UUID:
        actor = self._by_thread.get(threading.get_ident())
        if actor is not None:
            return actor.uuid4()
        self._uuids += 1
        return _uuid(str(self._uuids))

    def choices(self, *, kills: bool) -> list[Choice]:
        """What may come next: everybody's step and, if nobody was killed yet, everybody's end."""
        alive = [(number, actor) for number, actor in enumerate(self.actors) if actor.next]
        found = [Choice(number, False, actor.next) for number, actor in alive]
        if kills and not any(actor.killed for actor in self.actors):
            found += [Choice(number, True, None) for number, actor in alive if actor.mortal]
        return found

    def take(self, choice: Choice) -> None:
        self.trace.append(choice)
        actor = self.actors[choice.actor]
        assert actor.next, f"{actor.name} has ended, though it had not when the same steps were taken before"
        actor.go(kill=choice.kill)
        self.check()

    def told(self) -> str:
        """The run, to be read by whoever looks for the cause of a finding."""
        steps = []
        for choice in self.trace:
            what = "is killed" if choice.kill else f"{choice.touched}"
            steps.append(f"{self.actors[choice.actor].name}: {what}")
        return "\n  ".join(steps)

    def end(self) -> None:
        """Leave no thread behind."""
        for actor in self.actors:
            if actor.next:
                actor.go(kill=True)
            actor.thread.join()


@dataclass
class _Node:
    """A point of the search: what may come next there, up to the choice that is being tried, and what need not."""

    choices: list[Choice]
    sleep: frozenset[Choice]
    tried: int = 0

    @property
    def choice(self) -> Choice:
        return self.choices[self.tried]

    def sleep_after(self) -> frozenset[Choice]:
        """What need not be tried after the choice: it was tried before it, and the order makes no difference."""
        earlier = self.sleep.union(self.choices[: self.tried])
        return frozenset(choice for choice in earlier if not choice.meets(self.choice))


@dataclass
class Counts:
    """runs: interleavings that were run to their end; left_out: those that come to the same as one of these."""

    runs: int = 0
    left_out: int = 0
    steps: int = 0
    killed: int = 0


def every_run(make: Callable[[], W], counts: Counts) -> Iterator[W]:
    """Every interleaving of a world's actors, with at most one kill: each world at the end of its run."""
    path: list[_Node] = []
    while True:
        world = make()
        with _deterministic(world):
            world.begin()
            for node in path:
                world.take(node.choice)
            slept = _finish(world, path)
            world.end()
            counts.steps += len(path)
            if slept:
                counts.left_out += 1
            else:
                counts.runs += 1
                counts.killed += any(node.choice.kill for node in path)
                yield world
        while path and path[-1].tried + 1 == len(path[-1].choices):
            path.pop()
        if not path:
            return
        path[-1].tried += 1


def _finish(world: World, path: list[_Node]) -> bool:
    """Go on from the end of a path to the end of the run. Returns whether it was given up, as one like it was run."""
    while possible := world.choices(kills=True):
        assert len(path) < MAX_STEPS
        sleep = path[-1].sleep_after() if path else frozenset()
        choices = [choice for choice in possible if choice not in sleep]
        if not choices:
            return True
        path.append(_Node(choices, sleep))
        world.take(choices[0])
    return False


def random_runs(make: Callable[[], W], counts: Counts, *, number: int, seed: str) -> Iterator[W]:
    """A number of interleavings, drawn from a seed; in many of them somebody is killed."""
    for count in range(number):
        chance = random.Random(f"{seed} {count}")
        world = make()
        with _deterministic(world):
            world.begin()
            kill_at = chance.randrange(40)
            while possible := world.choices(kills=len(world.trace) == kill_at):
                assert len(world.trace) < MAX_STEPS
                kills = [choice for choice in possible if choice.kill]
                world.take(chance.choice(kills or possible))
            world.end()
            counts.runs += 1
            counts.steps += len(world.trace)
            counts.killed += any(actor.killed for actor in world.actors)
            yield world


class _deterministic:  # noqa: N801
    """While it lasts, calls and UUIDs are the world's."""

    def __init__(self, world: World) -> None:
        self._patch = pytest.MonkeyPatch()
        self._active = world.cloud.active()
        self._world = world

    def __enter__(self) -> None:
        self._patch.setattr(uuid, "uuid4", self._world.uuid4)
        self._active.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._active.__exit__(*error)
        self._patch.undo()
