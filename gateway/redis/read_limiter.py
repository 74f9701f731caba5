"""A limit for what is read from Redis at the same time, so that all of it fits into our memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Assumed size of a reply before the first one has arrived.
FIRST_GUESS_BYTES = 4 << 20

Waiting = OrderedDict[object, asyncio.Future[None]]


class ReadLimiter:
    """Allows at most `most` reads at a time with `most_bytes` of replies together; one read is always allowed.

    `async with limiter.turn(key):` waits for its turn, in the order of arrival. `note` reports a reply's size.
    `hurry` moves a waiting turn, found by its key, in front of all turns that are not urgent.
    """

    def __init__(self, most_bytes: int, most: int) -> None:
        self._most_bytes = most_bytes
        self._most = most
        self._typical = FIRST_GUESS_BYTES
        self._under_way = 0
        self._urgent: Waiting = OrderedDict()
        self._others: Waiting = OrderedDict()

    def note(self, size: int) -> None:
        """Adjust the typical size of a reply in bytes: up at once, down by at most half."""
        self._typical = max(size, self._typical // 2, 1)

    def hurry(self, key: object) -> None:
        """Make the waiting turn of this key urgent; does nothing if no such turn waits."""
        turn = self._others.pop(key, None)
        if turn is not None:
            self._urgent[key] = turn

    @asynccontextmanager
    async def turn(self, key: object, *, is_urgent: bool = False) -> AsyncIterator[None]:
        """Wait for a turn, and hold it until the end of the `async with`; urgent turns come before the others.

        `key` names the turn for `hurry` while it waits, so two waiting turns must not have the same one.
        """
        if self._urgent or self._others or not self._fits():
            await self._wait(key, is_urgent=is_urgent)
        else:
            self._under_way += 1
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, key: object, *, is_urgent: bool) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._urgent if is_urgent else self._others)[key] = turn
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the turn had already begun
            for waiting in (self._urgent, self._others):
                if waiting.get(key) is turn:
                    del waiting[key]
            raise

    def _fits(self) -> bool:
        if not self._under_way:
            return True
        return self._under_way < self._most and (self._under_way + 1) * self._typical <= self._most_bytes

    def _leave(self) -> None:
        self._under_way -= 1
        while (waiting := self._urgent or self._others) and self._fits():
            _, turn = waiting.popitem(last=False)
            if not turn.done():
                self._under_way += 1
                turn.set_result(None)
