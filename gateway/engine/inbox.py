"""A bounded queue of one socket's messages, which the upper layer handles in order, one at a time."""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Protocol

from gateway.engine.fairness import TURN, share
from gateway.engine.options import EngineOptions


class Handler(Protocol):
    """Port: the socket that an inbox belongs to."""

    def handle(self, data: str | bytes) -> Awaitable[object] | None:
        """Pass one message to the upper layer; return an awaitable if its handler waits, else None."""

    async def guard(self, waiting: Awaitable[object]) -> None:
        """Await a handler; its exception is not raised."""

    def resume(self) -> None:
        """Let the transport read again: the inbox has room."""


class Inbox:
    """The messages that arrive while a handler of this socket waits; exists only during that time.

    The handler runs in a task. When the queue is full, the transport stops reading. It continues when half of the
    queue is handled.
    """

    __slots__ = ("_bytes", "_options", "_queue", "_socket")

    def __init__(self, socket: Handler, options: EngineOptions) -> None:
        self._socket = socket
        self._options = options
        self._queue: deque[str | bytes] = deque()
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Return whether the transport should stop reading."""
        options = self._options
        return len(self._queue) >= options.inbox_messages or self._bytes >= options.inbox_bytes

    def put(self, data: str | bytes) -> None:
        """Queue a message until the handler is done."""
        self._queue.append(data)
        self._bytes += len(data)

    def clear(self) -> None:
        """Drop all queued messages."""
        self._queue.clear()
        self._bytes = 0

    async def drain(self, pending: Awaitable[object]) -> None:
        """Await `pending`, then handle queued messages until the queue is empty."""
        await self._socket.guard(pending)
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
        options = self._options
        if len(self._queue) <= options.inbox_messages // 2 and self._bytes <= options.inbox_bytes // 2:
            self._socket.resume()
