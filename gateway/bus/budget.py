"""How many large answers may be under way from Redis at a time.

Redis keeps an answer in its own memory until we have read it. Of 1,000 clients that return to a room with
10,000 entries of 10 KB each asks for megabytes, and all of them at once would have Redis hold gigabytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

# What Redis may hold for one replica.
MOST_BYTES = 16 << 20
# What an answer is taken to be while nothing is known: soon it is.
FIRST_GUESS_BYTES = 4 << 20


class Budget:
    """Lets reads go as long as their answers together stay within `most_bytes`; one always may go.

    `async with budget:` waits for its turn, first come first served; `note` tells it how large an answer was.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._typical = FIRST_GUESS_BYTES
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def note(self, size: int) -> None:
        """Learn from an answer: larger ones at once, smaller ones by and by."""
        self._typical = max(size, self._typical // 2, 1)

    async def __aenter__(self) -> None:
        if not self._waiting and self._fits():
            self._under_way += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # it was our turn already
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _fits(self) -> bool:
        return not self._under_way or (self._under_way + 1) * self._typical <= self._most

    def _leave(self) -> None:
        self._under_way -= 1
        while self._waiting and self._fits():
            turn = self._waiting.popleft()
            if not turn.done():
                self._under_way += 1
                turn.set_result(None)
