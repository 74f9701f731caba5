"""`gateway relay`: it works, it ends well, and a mistake is one clear line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.cli.outbox import serve
from gateway.cli.reach import Target
from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.errors import StartError
from publisher.outbox import Outbox, Relaying, outbox_table
from tests.outbox.conftest import Backend, RelayProcesses, on_postgres
from tests.outbox.databases import BackendDatabase
from tests.support.tokens import new_id
from tests.support.waiting import until


@on_postgres
async def test_it_relays_until_sigterm_and_ends_well(
    backend: Backend, relay_processes: RelayProcesses, redis_server: EmbeddedRedis
) -> None:
    relay = relay_processes.on(backend.database.url, redis_server.url)
    backend.add(1)
    await until(backend.database.is_empty)
    status, output = relay.terminate()
    assert status == 0
    assert "'relayed': 1" in output
    assert "Traceback" not in output
    assert await backend.published() == [1]


async def test_a_table_of_another_name_in_a_schema(postgres: BackendDatabase, redis_server: EmbeddedRedis) -> None:
    table = outbox_table(name="events_out", schema="app")
    with postgres.engine.begin() as connection:
        connection.exec_driver_sql("create schema app")
        table.metadata.create_all(connection)
        Outbox(table).within(connection).disconnect_user(new_id(), "u1")
    task = asyncio.create_task(serve(postgres.url, Target(redis_server.url, {}), table, Relaying()))
    await until(lambda: _is_empty(postgres, "app.events_out"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def _is_empty(database: BackendDatabase, table: str) -> bool:
    with database.engine.connect() as connection:
        return connection.exec_driver_sql(f"select count(*) from {table}").scalar() == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:////nowhere/at/all.db", "the database can't be reached at sqlite:////nowhere/at/all.db"),
        ("sqlite:///empty.db", "the database has no table realtime_outbox"),
        ("postgresql+psycopg2://127.0.0.1/x", "driver is missing"),
        ("nonsense", "the database URL"),
        ("riddle://x", "the database URL"),
    ],
)
async def test_a_database_that_will_not_do_is_said_at_start(
    redis_server: EmbeddedRedis, url: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No database in memory: it is its thread's, and nobody else can close it.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StartError, match=said):
        await serve(url, Target(redis_server.url, {}), outbox_table(), Relaying())


async def test_redis_that_cannot_be_reached_is_said_at_start(sqlite: BackendDatabase) -> None:
    with pytest.raises(StartError, match="Redis can't be reached at redis://127"):
        await serve(sqlite.url, Target("redis://127.0.0.1:1/0", {}), outbox_table(), Relaying())


def test_a_mistake_is_one_clear_line_without_the_password(
    relay_processes: RelayProcesses, redis_server: EmbeddedRedis
) -> None:
    relay = relay_processes.on("postgresql+psycopg://someone:sesame@127.0.0.1:1/x", redis_server.url)
    status, output = relay.ended()
    assert status == 2
    assert output.startswith(
        "gateway: the database can't be reached at postgresql+psycopg://someone:***@127.0.0.1:1/x"
    )
    assert len(output.splitlines()) == 1
