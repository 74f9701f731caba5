"""One way to run SQL functions from asyncio, whichever kind of engine the backend has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")


class Run(Protocol):
    """Runs a function of a connection, and gives what it gives."""

    def __call__(self, function: Callable[[Connection], T], /) -> Coroutine[Any, Any, T]:
        """Run `function(connection)`."""


class Database:
    """An engine: an asynchronous one is awaited, any other works in a thread of its own."""

    def __init__(self, engine: Engine | AsyncEngine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, "outbox")

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Run]:
        """Return one connection's `Run`; what it leaves uncommitted is rolled back."""
        if isinstance(self._engine, AsyncEngine):
            async with self._engine.connect() as connection:

                async def awaited(function: Callable[[Connection], T], /) -> T:
                    return await connection.run_sync(function)

                yield awaited
            return
        # The one thread takes its jobs in order: also after a cancellation, the connection is closed only
        # once it is idle.
        engine, opened = self._engine, list[Connection]()

        async def threaded(function: Callable[[Connection], T], /) -> T:
            return await self._in_thread(lambda: function(opened[0]))

        def close() -> None:
            for connection in opened:
                connection.close()

        try:
            await self._in_thread(lambda: opened.append(engine.connect()))
            yield threaded
        finally:
            await self._in_thread(close)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def close(self) -> None:
        """Let the thread go; the engine is its owner's."""
        self._thread.shutdown(wait=False)


def reason(error: Exception) -> str:
    """Return an error in one line; SQLAlchemy's own text has the statement and more."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
