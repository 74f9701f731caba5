"""The outbox in the simulation: a database in a file, the backends that write to it, and the relays that publish.

SQLite is the real one. No call waits for a lock: it fails at once, and the product's relay tries again later.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, select, text
from sqlalchemy.exc import OperationalError

from publisher import Room
from publisher.outbox import Outbox, OutboxRelay, Relaying, outbox_table
from tests.simulation.process import Process

# How often, and after which seconds, a backend begins a transaction again that found the database locked.
ATTEMPTS: Final = 20
RETRY_S: Final = 0.05


@dataclass(slots=True)
class Row:
    """One event that was written into the outbox."""

    ident: str
    tenant: str
    event: str
    rooms: tuple[Room, ...]
    data: dict[str, Any]
    how: dict[str, Any] = field(default_factory=dict)


class Database:
    """A backend's database. `committed` has the rows of all transactions, in the order of their commits."""

    def __init__(self, *, journal: str) -> None:
        self.table = outbox_table()
        self.outbox = Outbox(self.table)
        self.committed: list[Row] = []
        self.strangers = 0
        """Rows of another program: a relay sets them aside."""
        self._folder = tempfile.TemporaryDirectory(prefix="simulation-", ignore_cleanup_errors=True)
        self._url = f"sqlite:///{Path(self._folder.name, 'backend.db')}"
        self._connections: dict[str, list[Any]] = {}
        with self.engine("database").connect() as connection:
            connection.execute(text(f"pragma journal_mode={journal}"))
            self.table.metadata.create_all(connection)
            connection.commit()

    def engine(self, process: str) -> Engine:
        """Return an engine for a process."""
        engine = create_engine(self._url, connect_args={"timeout": 0, "check_same_thread": False})
        known = self._connections.setdefault(process, [])

        @event.listens_for(engine, "connect")
        def connected(connection: Any, _: Any) -> None:
            connection.execute("pragma synchronous=off")
            known.append(connection)

        return engine

    def release(self, process: str) -> None:
        """Undo what a process had not committed when it was killed."""
        for connection in self._connections.pop(process, []):
            connection.rollback()

    def waiting(self) -> int:
        """Return the number of rows that have yet to be published."""
        return self._count(self.table.c.refused.is_(None))

    def refused(self) -> int:
        """Return the number of rows that were set aside."""
        return self._count(self.table.c.refused.is_not(None))

    def _count(self, condition: Any) -> int:
        with self.engine("database").connect() as connection:
            return connection.scalar(select(func.count()).select_from(self.table).where(condition)) or 0

    def close(self) -> None:
        """Remove the file."""
        self._folder.cleanup()


class Writer:
    """A backend that writes events within its transactions."""

    def __init__(self, process: Process, database: Database) -> None:
        self.process = process
        self._database = database
        self._engine = database.engine(process.name)
        self._calls: dict[asyncio.Task[None], None] = {}

    @property
    def name(self) -> str:
        return self.process.name

    def transact(self, rows: Sequence[Row], seconds: float, *, commits: bool = True) -> None:
        """Write rows, with a pause behind each, in a transaction that is then committed or rolled back."""
        self.process.do(lambda: self._start(self._transact(rows, seconds / max(len(rows), 1), commits)))

    def take_room(self, tenant: str, user: str, room: Room) -> None:
        """Take a room from a user, in a transaction."""

        def taking(connection: Connection) -> None:
            self._database.outbox.within(connection).leave_room(tenant, user, room)

        self.process.do(lambda: self._at_once(taking))

    def write_strangely(self, tenant: str) -> None:
        """Write a row that no version of the relay knows."""
        values = {"tenant": tenant, "kind": "other", "body": b"{}", "rooms": ""}

        def writing(connection: Connection) -> None:
            connection.execute(insert(self._database.table), values)

        def write() -> None:
            self._database.strangers += self._at_once(writing)

        self.process.do(write)

    def kill(self) -> None:
        """End at once, maybe within a transaction."""
        self.process.kill()
        self._database.release(self.name)

    def _at_once(self, act: Callable[[Connection], object]) -> bool:
        """Return whether a transaction of one moment was committed."""
        with contextlib.suppress(OperationalError), self._engine.begin() as connection:
            act(connection)
            return True
        return False

    def _start(self, coroutine: Any) -> None:
        task = self.process.create_task(coroutine)
        self._calls[task] = None
        task.add_done_callback(lambda task: self._calls.pop(task))

    async def _transact(self, rows: Sequence[Row], pause_s: float, commits: bool) -> None:
        for _ in range(ATTEMPTS):
            try:
                await self._attempt(rows, pause_s, commits)
            except OperationalError:
                await asyncio.sleep(RETRY_S)
            else:
                break
        else:
            self._note("gives up", rows)

    async def _attempt(self, rows: Sequence[Row], pause_s: float, commits: bool) -> None:
        database = self._database
        with self._engine.connect() as connection:
            verbs = database.outbox.within(connection)
            for row in rows:
                verbs.emit(row.tenant, row.event, row.data, to=row.rooms, **row.how)
                if pause_s:
                    await asyncio.sleep(pause_s)
            if commits:
                connection.commit()
                database.committed += rows
            else:
                connection.rollback()
        self._note("commits" if commits else "rolls back", rows)

    def _note(self, what: str, rows: Sequence[Row]) -> None:
        world = self.process.world
        world.trace.note(world.now, f"{self.name} {what} {' '.join(row.ident for row in rows)}")


class Relay:
    """The product's relay, as `gateway relay` runs it, in a process of its own."""

    def __init__(self, process: Process, database: Database, url: str, relaying: Relaying) -> None:
        self.process = process
        self.has_ended = False
        self.is_leaving = False
        self._database = database
        self._url = url
        self._relaying = relaying
        self._relay: OutboxRelay | None = None
        process.begin(self._run)

    @property
    def name(self) -> str:
        return self.process.name

    def stop(self) -> None:
        """End in good order, as after SIGTERM."""
        self.is_leaving = True
        self.process.do(self._ask_to_stop)

    def kill(self) -> None:
        """End at once, maybe between publishing a row and deleting it."""
        self.process.kill()
        self._database.release(self.name)

    async def _run(self) -> None:
        database = self._database
        self._relay = OutboxRelay.from_url(
            database.engine(self.name), self._url, table=database.table, relaying=self._relaying
        )
        await self._relay.run()
        counters = self._relay.counters
        self.process.world.trace.note(self.process.world.now, f"{self.name} ends: {counters}")
        self.has_ended = True

    def _ask_to_stop(self) -> None:
        if self._relay is not None:
            self._relay.stop()
