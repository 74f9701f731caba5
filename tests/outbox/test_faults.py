"""What may break, breaks: the relay, Redis, the database. Nothing is lost, nothing doubled, all in order."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import wire
from tests.outbox.conftest import Backend, RelayProcesses, on_postgres, on_sqlite
from tests.outbox.postgres import PostgresServer
from tests.outbox.published import published
from tests.support.waiting import until

COUNT = 40


def add(backend: Backend, *numbers: int) -> None:
    """Commit one event a transaction."""
    for number in numbers:
        backend.add(number)


async def test_a_relay_killed_between_publishing_and_deleting_doubles_nothing(
    backend: Backend, relay_processes: RelayProcesses, redis_server: EmbeddedRedis
) -> None:
    add(backend, *range(COUNT))
    log = wire.log_key(backend.org, backend.room)
    with backend.database.undeletable():
        doomed = relay_processes.on(backend.database.url, redis_server.url)
        await until(partial(is_longer, backend.redis, log, COUNT - 1))
        doomed.kill()
    assert backend.database.count() == COUNT
    add(backend, COUNT)
    heir = backend.relay()
    await until(lambda: heir.counters.relayed == COUNT + 1)
    assert backend.database.is_empty()
    assert heir.counters.duplicates == COUNT
    assert await backend.published() == list(range(COUNT + 1))


@on_postgres
async def test_relays_killed_again_and_again_lose_and_double_nothing(
    backend: Backend, relay_processes: RelayProcesses, redis_server: EmbeddedRedis
) -> None:
    log = wire.log_key(backend.org, backend.room)
    for begin in (0, 100):
        add(backend, *range(begin, begin + 100))
        victim = relay_processes.on(backend.database.url, redis_server.url)
        await until(partial(is_longer, backend.redis, log, begin))
        victim.kill()
    backend.relay()
    await until(backend.database.is_empty)
    assert await backend.published() == list(range(200))


async def is_longer(client: redis.asyncio.Redis, log: str, count: int) -> bool:
    return bool(await client.xlen(log) > count)


async def test_redis_away_and_back(backend: Backend, lasting_redis_server: EmbeddedRedis) -> None:
    server = lasting_redis_server
    relay = backend.relay(server.url, batch=4)
    add(backend, *range(COUNT))
    await until(lambda: relay.counters.relayed)
    server.kill()
    add(backend, *range(COUNT, 2 * COUNT))
    await until(lambda: relay.counters.failures >= 2)
    server.start()
    await until(backend.database.is_empty)
    async with redis.asyncio.Redis.from_url(server.url) as client:
        assert await published(client, backend.org, backend.room) == list(range(2 * COUNT))


@on_sqlite
async def test_redis_without_its_scripts_gets_them_again(backend: Backend) -> None:
    relay = backend.relay()
    for number in range(3):
        await backend.redis.script_flush()
        add(backend, number)
        await until(backend.database.is_empty)
    assert await backend.published() == [0, 1, 2]
    assert relay.counters.failures == 0


@on_sqlite
async def test_redis_that_takes_no_writes_is_waited_for_and_no_event_given_up(backend: Backend) -> None:
    await backend.redis.config_set("maxmemory", 1)
    relay = backend.relay()
    add(backend, *range(COUNT))
    await until(lambda: relay.counters.failures >= 2)
    await backend.redis.config_set("maxmemory", 0)
    await until(backend.database.is_empty)
    assert await backend.published() == list(range(COUNT))


@on_sqlite
async def test_a_row_stays_until_as_many_replicas_have_it_as_were_asked_for(backend: Backend) -> None:
    relay = backend.relay(wait_replicas=1)
    add(backend, 1)
    await until(lambda: relay.counters.failures)
    assert backend.database.count() == 1


@on_sqlite
async def test_redis_that_hangs_is_given_up_and_tried_again(backend: Backend, redis_server: EmbeddedRedis) -> None:
    relay = backend.relay(f"{redis_server.url}?socket_timeout=0.2")
    add(backend, 0)
    await until(backend.database.is_empty)
    os.kill(redis_server.pid, signal.SIGSTOP)
    add(backend, *range(1, COUNT))
    await until(lambda: relay.counters.failures)
    os.kill(redis_server.pid, signal.SIGCONT)
    await until(backend.database.is_empty)
    assert await backend.published() == list(range(COUNT))


@pytest.mark.parametrize("driver", ["psycopg", "psycopg_async", "asyncpg"])
@on_postgres
async def test_postgresql_away_and_back(backend: Backend, postgres_server: PostgresServer, driver: str) -> None:
    add(backend, *range(COUNT))
    relay = backend.relays(backend.database.url.replace("+psycopg:", f"+{driver}:"), batch=4)
    await until(lambda: relay.counters.relayed)
    postgres_server.kill()
    try:
        await until(lambda: relay.counters.failures >= 2)
    finally:
        postgres_server.start()
    backend.database.engine.dispose()
    add(backend, COUNT)
    await until(backend.database.is_empty)
    assert await backend.published() == list(range(COUNT + 1))


@on_sqlite
async def test_sqlite_locked_and_free_again(backend: Backend) -> None:
    add(backend, *range(COUNT))
    with backend.database.undeletable():
        relay = backend.relays(f"{backend.database.async_url}?timeout=0.05")
        await until(lambda: relay.counters.failures >= 2)
    await until(backend.database.is_empty)
    assert await backend.published() == list(range(COUNT))


@on_sqlite
async def test_trouble_is_said_once_and_then_ever_more_rarely(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    relay = backend.relay("redis://127.0.0.1:1/0")
    add(backend, 1)
    await until(lambda: relay.counters.failures >= 3)
    lines = [record.getMessage() for record in caplog.records if record.name == "publisher.outbox"]
    assert len(lines) == 2
    assert "127.0.0.1:1" in lines[0]
