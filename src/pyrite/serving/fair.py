"""Turns among clients: who asks for much waits for it, and nobody else does.

Each client has used so much so far, and the one with the least is next: start-time fair queueing (Goyal, Vin and
Cheng, 1996). Within a client, its requests take turns.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

SHARE = 3
"""For each that is left free, one client holds so many at most: three quarters where it is alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Asker:
    """One request, and whose it is."""

    client: str
    """Its key's hash, or its address; see `Gate`."""


class Waiting(Protocol):
    """What waits in a queue."""

    @property
    def asker(self) -> Asker:
        """Who waits for it."""

    @property
    def weight(self) -> float:
        """What it uses, in any one unit."""

    @property
    def gone(self) -> bool:
        """Whether nobody waits for it any more."""


Item = TypeVar("Item", bound=Waiting)


@dataclass(slots=True, eq=False)
class _Client(Generic[Item]):
    used: float
    held: int = 0
    requests: dict[Asker, deque[Item]] = field(default_factory=dict)
    """The next one first."""


class FairQueue(Generic[Item]):
    """What waits, of which the client that has used least gets the next."""

    def __init__(self, *, most: float = float("inf")) -> None:
        """Take how many things of one client may be worked on at a time."""
        self._most = most
        self._clients: dict[str, _Client[Item]] = {}
        self._used = 0.0  # by the client that came last
        self._changed = asyncio.Event()

    def put(self, item: Item) -> None:
        """Let something wait."""
        # Who comes anew has used as much as those who wait: nobody saves up, or goes on paying for what is long done.
        client = self._clients.setdefault(item.asker.client, _Client(self._used))
        client.requests.setdefault(item.asker, deque()).append(item)
        self._changed.set()

    def take(self) -> Item | None:
        """Return the next, which is to be `done` with afterwards; `None` where nothing may be worked on now."""
        while ready := [one for one in self._clients.values() if one.requests and one.held < self._most]:
            client = min(ready, key=lambda one: one.used)
            asker, items = next(iter(client.requests.items()))
            item = items.popleft()
            del client.requests[asker]
            if items:
                client.requests[asker] = items  # Behind its client's other requests.
            client.held += 1
            if not item.gone:
                self._used = client.used
                return item
            self.done(asker, 0)
        return None

    def pop(self) -> Item | None:
        """Return the next, which nothing more is to be said of; `None` where there is none."""
        item = self.take()
        if item is not None:
            self.done(item.asker, item.weight)
        return item

    async def get(self) -> Item:
        """Return what `pop` does, as soon as there is one."""
        while (item := self.pop()) is None:
            self._changed.clear()
            await self._changed.wait()
        return item

    def done(self, asker: Asker, used: float) -> None:
        """Say that one that was taken is done with, and what it has used."""
        client = self._clients[asker.client]
        client.held -= 1
        client.used += used
        if not client.held and not client.requests:
            del self._clients[asker.client]
        self._changed.set()


@dataclass(slots=True, eq=False)
class _Turn:
    asker: Asker
    begun: asyncio.Future[float]
    weight: float = 0.0
    """Known afterwards."""

    @property
    def gone(self) -> bool:
        return self.begun.done()


class Turns:
    """Room for some to be at work at a time, while others wait for their turns."""

    def __init__(self, number: int, *, most: float = float("inf")) -> None:
        """Take how many at a time, and how many of one client."""
        self._free = number
        self._queue: FairQueue[_Turn] = FairQueue(most=most)

    @asynccontextmanager
    async def take(self, asker: Asker) -> AsyncIterator[None]:
        """Wait for a turn, and have it for a while; what it uses is time."""
        loop = asyncio.get_running_loop()
        turn = _Turn(asker, loop.create_future())
        self._queue.put(turn)
        self._begin()
        try:
            await turn.begun
            yield
        finally:
            # It may have begun in the same moment in which its asker went.
            if turn.begun.done() and not turn.begun.cancelled():
                self._queue.done(asker, loop.time() - turn.begun.result())
                self._free += 1
                self._begin()

    def _begin(self) -> None:
        while self._free and (turn := self._queue.take()):
            self._free -= 1
            turn.begun.set_result(asyncio.get_running_loop().time())
