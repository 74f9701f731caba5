"""A limit for large replies under way from Redis at the same time.

Redis keeps a reply in memory until we have read it, and we keep it until clients got it. If 1,000 clients return
to a room with 10,000 entries of 10 KB, each reply has megabytes. All at once would be gigabytes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Most bytes of replies that Redis may hold for one replica.
MOST_BYTES = 16 << 20
# Assumed size of a reply before the first one has arrived.
FIRST_GUESS_BYTES = 4 << 20

Waiting = OrderedDict[object, asyncio.Future[None]]


class ReadLimiter:
    """Allows at most `most` reads at a time with `most_bytes` of replies together; one read is always allowed.

    `async with limiter.turn():` waits for its turn, in the order of arrival. `note` reports the size of a reply.
    `hurry` moves a waiting turn, found by its key, in front of all turns that are not urgent.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, most: float = float("inf")) -> None:
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
    async def turn(self, key: object = None, *, is_urgent: bool = False) -> AsyncIterator[None]:
        """Wait for a turn and hold it; a key must not be used again while its turn still waits."""
        if self._urgent or self._others or not self._fits():
            await self._wait(object() if key is None else key, is_urgent=is_urgent)
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
