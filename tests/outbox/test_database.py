"""A connection that was opened is closed, whatever cancels whom and when."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import Connection

from publisher.outbox.database import Database
from tests.outbox.databases import BackendDatabase
from tests.support.waiting import until


async def test_a_cancelled_close_still_closes(sqlite: BackendDatabase) -> None:
    database = Database(sqlite.engine)
    used: list[Connection] = []
    jobs: list[asyncio.Task[bool]] = []
    thread_may_go_on, leaving = threading.Event(), asyncio.Event()

    def work(connection: Connection) -> bool:
        used.append(connection)
        return thread_may_go_on.wait()

    async def leave_while_the_thread_works() -> None:
        async with database.connect() as run:
            jobs.append(asyncio.create_task(run(work)))
            await until(lambda: used)
            leaving.set()

    task = asyncio.create_task(leave_while_the_thread_works())
    await leaving.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    thread_may_go_on.set()
    await asyncio.gather(*jobs)
    await database.aclose()
    assert used[0].closed
