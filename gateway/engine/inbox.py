"""A socket's messages on their way to the upper layer: in order, one at a time, bounded."""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from gateway.engine.fairness import TURN, share

if TYPE_CHECKING:
    from gateway.engine.socket import EngineSocket


class Inbox:
    """Exists only while a handler of this socket is waiting for something.

    The handler runs in one task; what arrives meanwhile queues here. When the queue is full the transport
    stops reading, and goes on when half of it is handled.
    """

    __slots__ = ("_bytes", "_queue", "_socket")

    def __init__(self, socket: "EngineSocket") -> None:
        self._socket = socket
        self._queue: deque[str | bytes] = deque()
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Return whether the transport should stop reading."""
        options = self._socket.context.options
        return len(self._queue) >= options.inbox_messages or self._bytes >= options.inbox_bytes

    def put(self, data: str | bytes) -> None:
        """Queue a message behind the one that is being handled."""
        self._queue.append(data)
        self._bytes += len(data)

    def clear(self) -> None:
        """Drop what waits."""
        self._queue.clear()
        self._bytes = 0

    async def drain(self, pending: Awaitable[object]) -> None:
        """See `pending` through, then each queued message, until nothing waits."""
        await self._socket.guard(pending)
        # What needs no waiting is handled in a row.
        in_a_row = 0
        while self._queue:
            data = self._queue.popleft()
            self._bytes -= len(data)
            waiting = self._socket.handle(data)
            in_a_row += share(data)
            if waiting is not None:
                await self._socket.guard(waiting)
                in_a_row = 0
            elif in_a_row >= TURN:
                await asyncio.sleep(0)
                in_a_row = 0
            self._relieve()

    def _relieve(self) -> None:
        options = self._socket.context.options
        if len(self._queue) <= options.inbox_messages // 2 and self._bytes <= options.inbox_bytes // 2:
            self._socket.resume()
