"""A limited number of turns at a time, shared fairly between keys, for example tenants."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class TooManyWaiting(Exception):
    """The key already has the largest allowed number of waiting callers."""


class Turns:
    """At most `total` turns at a time; a key may take one while it has fewer turns than are free.

    So one key alone gets half of them, and two get a third each. A new key finds a free turn or gets the next one.
    Callers with the same key are served in the order of arrival, the keys in rotation. A key has at most `each`
    turns and `most_waiting` waiting callers.
    """

    def __init__(self, total: int, most_waiting: int, each: int | None = None) -> None:
        self.waiting = 0
        """The number of waiting callers, of all keys."""
        self._free = total
        self._most_waiting = most_waiting
        self._each = total if each is None else each
        self._taken: dict[str, int] = {}
        self._queues: OrderedDict[str, dict[asyncio.Future[None], None]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it during the block; raises `TooManyWaiting`. Safe to cancel."""
        await self.acquire(key)
        try:
            yield
        finally:
            self.give_back(key)

    async def acquire(self, key: str) -> None:
        """Wait for a turn, and hold it until `give_back`; raises `TooManyWaiting`. Safe to cancel."""
        queue = self._queues.get(key)
        if queue is None and self._may_take(key):
            self._start(key)
            return
        if queue is None:
            queue = self._queues[key] = {}
        if len(queue) >= self._most_waiting:
            raise TooManyWaiting
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue[waiting] = None
        self.waiting += 1
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.cancelled():
                self._remove(key, waiting)
            else:  # it was granted in the same turn of the loop
                self.give_back(key)
            raise

    def give_back(self, key: str) -> None:
        """End a turn that `acquire` gave, and let the next ones in the queues begin."""
        left = self._taken.pop(key) - 1
        if left:
            self._taken[key] = left
        self._free += 1
        # The search is short: keys that are skipped have turns, so there are at most `total` of them.
        while (granted := next(filter(self._may_take, self._queues), None)) is not None:
            waiting = next(iter(self._queues[granted]))
            self._remove(granted, waiting)
            if not waiting.done():  # cancelled in the same turn of the loop
                self._start(granted)
                waiting.set_result(None)

    def _may_take(self, key: str) -> bool:
        return self._taken.get(key, 0) < min(self._free, self._each)

    def _start(self, key: str) -> None:
        self._free -= 1
        self._taken[key] = self._taken.get(key, 0) + 1

    def _remove(self, key: str, waiting: asyncio.Future[None]) -> None:
        queue = self._queues.get(key)
        if queue is None or waiting not in queue:
            return
        del queue[waiting]
        self.waiting -= 1
        if queue:
            self._queues.move_to_end(key)
        else:
            del self._queues[key]
