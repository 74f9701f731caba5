"""The outbox's database: an engine for its URL, and SQL functions run from asyncio on any engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

# Options of libpq: a database host that is lost is detected in half a minute instead of two hours.
_LIBPQ = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}

T = TypeVar("T")


def new_engine(database_url: str) -> Engine | AsyncEngine:
    """Return an engine for a URL in SQLAlchemy's form, asynchronous if its driver is.

    Raises `sqlalchemy.exc.ArgumentError` for a malformed URL, `ModuleNotFoundError` if its driver is missing.
    """
    url = make_url(database_url)
    if url.get_dialect().is_async:
        return create_async_engine(url)
    by_libpq = url.get_backend_name() == "postgresql" and url.get_driver_name().startswith("psycopg")
    return create_engine(url, connect_args=_LIBPQ if by_libpq else {})


class Run(Protocol):
    """Runs a function with a connection, and returns its result."""

    def __call__(self, function: Callable[[Connection], T], /) -> Coroutine[Any, Any, T]:
        """Run `function(connection)` and return its result."""


class Database:
    """An engine: an asynchronous one is awaited, a blocking one works in one thread of its own."""

    def __init__(self, engine: Engine | AsyncEngine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, "outbox")

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Run]:
        """Open a connection and yield its `Run`; uncommitted changes are rolled back at the end."""
        if isinstance(self._engine, AsyncEngine):
            async with self._engine.connect() as connection:

                async def awaited(function: Callable[[Connection], T], /) -> T:
                    return await connection.run_sync(function)

                yield awaited
            return
        # The one thread does its jobs in order, so the connection is idle before it is closed, even after a
        # cancellation.
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
            # Not `_in_thread`: a job that still waits for the thread would be cancelled with us, and never close.
            await asyncio.shield(asyncio.wrap_future(self._thread.submit(close)))

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def aclose(self) -> None:
        """Wait until the connection is closed and end the thread; the engine belongs to the caller."""
        await asyncio.to_thread(self._thread.shutdown)


def reason(error: Exception) -> str:
    """Return an error's first line; SQLAlchemy's own text also has the statement."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
