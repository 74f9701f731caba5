"""The limit of large answers that may be under way from Redis at a time, and the order of turns.

Redis keeps an answer in its own memory until we have read it, and what was read stays in ours until it is handed
out. Of 1,000 clients that return to a room with 10,000 entries of 10 KB each asks for megabytes, and all of them
at once would have Redis hold gigabytes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# What Redis may hold for one replica.
MOST_BYTES = 16 << 20
# What an answer is taken to be while nothing is known: soon it is.
FIRST_GUESS_BYTES = 4 << 20

Waiting = OrderedDict[object, asyncio.Future[None]]


class ReadLimiter:
    """Lets reads go, `most` at a time, as long as their answers stay within `most_bytes`; one always may go.

    `async with budget.turn():` waits for its turn, first come first served; `note` tells it how large an answer
    was. A turn that has a key can be hurried: it comes before all that are in no hurry.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, most: float = float("inf")) -> None:
        self._most_bytes = most_bytes
        self._most = most
        self._typical = FIRST_GUESS_BYTES
        self._under_way = 0
        self._urgent: Waiting = OrderedDict()
        self._others: Waiting = OrderedDict()

    def note(self, size: int) -> None:
        """Learn from an answer: larger ones at once, smaller ones by and by."""
        self._typical = max(size, self._typical // 2, 1)

    def hurry(self, key: object) -> None:
        """Have the turn of this key come next, if it has not come yet."""
        turn = self._others.pop(key, None)
        if turn is not None:
            self._urgent[key] = turn

    @asynccontextmanager
    async def turn(self, key: object = None, *, is_urgent: bool = False) -> AsyncIterator[None]:
        """Have one's turn; of two with the same key the first must have been cancelled."""
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
                self._leave()  # it was our turn already
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
