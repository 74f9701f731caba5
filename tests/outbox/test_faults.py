"""What may break, breaks: the relay, Redis, the database. Nothing is lost, nothing doubled, all in order."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import organization, wire
from tests.outbox.conftest import RelayProcesses, Relays
from tests.outbox.databases import BackendDatabase
from tests.outbox.postgres import PostgresServer
from tests.outbox.published import published
from tests.support.tokens import new_id
from tests.support.waiting import until

COUNT = 40


@pytest.fixture
def org() -> str:
    return new_id()


def add(database: BackendDatabase, org: str, *numbers: int) -> None:
    """Commit one event a transaction."""
    for number in numbers:
        with database.transaction() as events:
            events.emit(org, "number", number, to=organization(org))


async def test_a_relay_killed_between_publishing_and_deleting_doubles_nothing(
    database: BackendDatabase,
    relays: Relays,
    relay_processes: RelayProcesses,
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    org: str,
) -> None:
    add(database, org, *range(COUNT))
    log = wire.log_key(org, organization(org))
    with database.undeletable():
        doomed = relay_processes.on(database.url, redis_server.url)
        await until(partial(has_length, redis_client, log, COUNT))
        doomed.kill()
    assert database.count() == COUNT
    add(database, org, COUNT)
    heir = relays(database.async_url)
    await until(lambda: heir.counters.relayed == COUNT + 1)
    assert database.is_empty()
    assert heir.counters.duplicates == COUNT
    assert await published(redis_client, org, organization(org)) == list(range(COUNT + 1))


async def has_length(client: redis.asyncio.Redis, log: str, count: int) -> bool:
    return bool(await client.xlen(log) == count)


async def test_relays_killed_again_and_again_lose_and_double_nothing(
    postgres: BackendDatabase,
    relays: Relays,
    relay_processes: RelayProcesses,
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    org: str,
) -> None:
    log = wire.log_key(org, organization(org))
    for begin in (0, 100):
        add(postgres, org, *range(begin, begin + 100))
        victim = relay_processes.on(postgres.url, redis_server.url)
        await until(partial(is_longer, redis_client, log, begin))
        victim.kill()
    relays(postgres.async_url)
    await until(postgres.is_empty)
    assert await published(redis_client, org, organization(org)) == list(range(200))


async def is_longer(client: redis.asyncio.Redis, log: str, count: int) -> bool:
    return bool(await client.xlen(log) > count)


async def test_redis_away_and_back(
    database: BackendDatabase, relays: Relays, lasting_redis_server: EmbeddedRedis, org: str
) -> None:
    server = lasting_redis_server
    relay = relays(database.async_url, server.url, batch=4)
    add(database, org, *range(COUNT))
    await until(lambda: relay.counters.relayed)
    server.kill()
    add(database, org, *range(COUNT, 2 * COUNT))
    await until(lambda: relay.counters.failures >= 2)
    server.start()
    await until(database.is_empty)
    async with redis.asyncio.Redis.from_url(server.url) as client:
        assert await published(client, org, organization(org)) == list(range(2 * COUNT))


async def test_redis_without_its_scripts_gets_them_again(
    sqlite: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis, org: str
) -> None:
    relay = relays(sqlite.async_url)
    for number in range(3):
        await redis_client.script_flush()
        add(sqlite, org, number)
        await until(sqlite.is_empty)
    assert await published(redis_client, org, organization(org)) == [0, 1, 2]
    assert relay.counters.failures == 0


async def test_redis_that_takes_no_writes_is_waited_for_and_no_event_given_up(
    sqlite: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis, org: str
) -> None:
    await redis_client.config_set("maxmemory", 1)
    relay = relays(sqlite.async_url)
    add(sqlite, org, *range(COUNT))
    await until(lambda: relay.counters.failures >= 2)
    await redis_client.config_set("maxmemory", 0)
    await until(sqlite.is_empty)
    assert await published(redis_client, org, organization(org)) == list(range(COUNT))


async def test_a_row_stays_until_as_many_replicas_have_it_as_were_asked_for(
    sqlite: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis, org: str
) -> None:
    relay = relays(sqlite.async_url, wait_replicas=1)
    add(sqlite, org, 1)
    await until(lambda: relay.counters.failures)
    assert sqlite.count() == 1


async def test_redis_that_hangs_is_given_up_and_tried_again(
    sqlite: BackendDatabase,
    relays: Relays,
    redis_server: EmbeddedRedis,
    redis_client: redis.asyncio.Redis,
    org: str,
) -> None:
    relay = relays(sqlite.async_url, f"{redis_server.url}?socket_timeout=0.2")
    add(sqlite, org, 0)
    await until(sqlite.is_empty)
    os.kill(redis_server.pid, signal.SIGSTOP)
    add(sqlite, org, *range(1, COUNT))
    await until(lambda: relay.counters.failures)
    os.kill(redis_server.pid, signal.SIGCONT)
    await until(sqlite.is_empty)
    assert await published(redis_client, org, organization(org)) == list(range(COUNT))


@pytest.mark.parametrize("driver", ["psycopg", "psycopg_async", "asyncpg"])
async def test_postgresql_away_and_back(
    postgres: BackendDatabase,
    postgres_server: PostgresServer,
    relays: Relays,
    redis_client: redis.asyncio.Redis,
    org: str,
    driver: str,
) -> None:
    add(postgres, org, *range(COUNT))
    relay = relays(postgres.url.replace("+psycopg:", f"+{driver}:"), batch=4)
    await until(lambda: relay.counters.relayed)
    postgres_server.kill()
    try:
        await until(lambda: relay.counters.failures >= 2)
    finally:
        postgres_server.start()
    postgres.engine.dispose()
    add(postgres, org, COUNT)
    await until(postgres.is_empty)
    assert await published(redis_client, org, organization(org)) == list(range(COUNT + 1))


async def test_sqlite_locked_and_free_again(
    sqlite: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis, org: str
) -> None:
    add(sqlite, org, *range(COUNT))
    with sqlite.undeletable():
        relay = relays(f"{sqlite.async_url}?timeout=0.05")
        await until(lambda: relay.counters.failures >= 2)
    await until(sqlite.is_empty)
    assert await published(redis_client, org, organization(org)) == list(range(COUNT))


async def test_trouble_is_said_once_and_then_ever_more_rarely(
    sqlite: BackendDatabase, relays: Relays, org: str, caplog: pytest.LogCaptureFixture
) -> None:
    relay = relays(sqlite.async_url, "redis://127.0.0.1:1/0")
    add(sqlite, org, 1)
    await until(lambda: relay.counters.failures >= 3)
    lines = [record.getMessage() for record in caplog.records if record.name == "publisher.outbox"]
    assert len(lines) == 2
    assert "127.0.0.1:1" in lines[0]
