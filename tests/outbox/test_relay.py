"""The relay with everything in good order: committed events arrive, once and in order, and their rows go."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
import redis.asyncio
from sqlalchemy import insert

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import Publisher, Room, campaign, conversation, organization, user, wire
from publisher.outbox import OutboxRelay, Relaying
from tests.outbox.conftest import Relays
from tests.outbox.databases import BackendDatabase
from tests.outbox.published import published
from tests.support.pytake import incoming_message
from tests.support.tokens import new_id
from tests.support.waiting import until

ENGINES = {
    "postgres": ["postgresql+psycopg", "postgresql+psycopg_async", "postgresql+asyncpg"],
    "sqlite": ["sqlite+pysqlite", "sqlite+aiosqlite"],
}


def number(database: BackendDatabase, tenant: str, room: Room, *numbers: int, **options: Any) -> None:
    """Commit events with numbers for their data."""
    with database.transaction() as events:
        for data in numbers:
            events.emit(tenant, "number", data, to=room, **options)


@pytest.mark.parametrize(
    ("kind", "driver"), [(kind, driver) for kind, drivers in ENGINES.items() for driver in drivers]
)
async def test_every_kind_of_engine_relays_what_was_committed(
    request: pytest.FixtureRequest, relays: Relays, redis_client: redis.asyncio.Redis, kind: str, driver: str
) -> None:
    database: BackendDatabase = request.getfixturevalue(kind)
    org = new_id()
    room = organization(org)
    relay = relays(driver + database.url[database.url.index(":") :])
    number(database, org, room, 1, 2)
    number(database, org, room, 3)
    await until(lambda: relay.counters.relayed == 3)
    assert database.is_empty()
    assert await published(redis_client, org, room) == [1, 2, 3]
    assert (relay.counters.duplicates, relay.counters.failures) == (0, 0)


async def test_what_was_rolled_back_is_never_published(
    database: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis
) -> None:
    org = new_id()
    room = organization(org)
    relays(database.async_url)
    with database.engine.connect() as connection:
        database.outbox.within(connection).emit(org, "number", 1, to=room)
        connection.rollback()
    number(database, org, room, 2)
    await until(database.is_empty)
    assert await published(redis_client, org, room) == [2]


async def test_a_message_and_what_its_inbox_is_told_are_committed_together_and_come_in_order(
    database: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis
) -> None:
    org, talk = new_id(), new_id()
    messages = [incoming_message(talk, text) for text in ("one", "two")]
    with database.transaction() as events:
        for message in messages:
            events.message_new(org, message, inbox=True)
    relay = relays(database.async_url, batch=1)
    await until(lambda: relay.counters.relayed == 4)
    said = [data["content"]["text"] for data in await published(redis_client, org, conversation(talk))]
    told = [data["preview"] for data in await published(redis_client, org, organization(org))]
    assert said == told == ["one", "two"]


async def test_progress_is_conflated_by_way_of_the_outbox_as_well(
    database: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis
) -> None:
    org, drive = new_id(), new_id()
    with database.transaction() as events:
        for share in (1, 50, 100):
            events.campaign_progress(org, drive, {"progress": share}, conflate=True)
    relay = relays(database.async_url)
    await until(lambda: relay.counters.relayed == 3)
    assert [data["progress"] for data in await published(redis_client, org, campaign(drive))] == [100]


async def test_a_backlog_of_many_batches_keeps_its_order(
    database: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis
) -> None:
    tenants = [new_id() for _ in range(5)]
    for data in range(20):
        for org in tenants:
            number(database, org, organization(org), data)
    relays(database.async_url, batch=7, tenants=2)
    await until(database.is_empty)
    for org in tenants:
        assert await published(redis_client, org, organization(org)) == list(range(20))


async def test_a_long_backlog_of_one_tenant_does_not_hold_up_another(
    database: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis
) -> None:
    busy, quiet = sorted([new_id(), new_id()])
    number(database, busy, organization(busy), *range(60))
    number(database, quiet, organization(quiet), 1)
    relay = relays(database.async_url, batch=2)
    await until(partial(published, redis_client, quiet, organization(quiet)))
    assert relay.counters.relayed < 30
    await until(database.is_empty)


async def test_a_natural_key_is_published_once_across_rows_and_publishers(
    database: BackendDatabase, relays: Relays, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> None:
    org, cid = new_id(), new_id()
    relay = relays(database.async_url)
    with Publisher.from_url(redis_server.url, strict=True, timeout_s=5) as direct:
        direct.message_new(org, {"id": "m1", "conversation_id": cid})
    for _ in range(2):
        with database.transaction() as events:
            events.message_new(org, {"id": "m1", "conversation_id": cid})
            events.message_new(org, {"id": "m2", "conversation_id": cid})
    await until(lambda: relay.counters.relayed == 4)
    found = await published(redis_client, org, conversation(cid))
    assert [message["id"] for message in found] == ["m1", "m2"]
    assert relay.counters.duplicates == 3


async def test_a_status_never_goes_back(
    database: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis
) -> None:
    org, cid, message = new_id(), new_id(), new_id()
    for status in ("sent", "read", "delivered"):
        with database.transaction() as events:
            events.message_status(org, cid, message, status)
    relays(database.async_url)
    await until(database.is_empty)
    found = await published(redis_client, org, conversation(cid))
    assert [data["status"] for data in found] == ["sent", "read"]


async def test_a_key_holds_long_while_its_row_is_there_and_then_as_usual(
    sqlite: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis
) -> None:
    org = new_id()
    once = wire.once_key(org, "k")
    number(sqlite, org, organization(org), 1, key="k")
    with sqlite.undeletable():
        relays(sqlite.async_url, keep_key_s=5000)
        await until(partial(ends_within, redis_client, once, 5000))
        assert not await ends_within(redis_client, once, 4900)
    await until(sqlite.is_empty)
    await until(partial(ends_within, redis_client, once, 600))


async def ends_within(client: redis.asyncio.Redis, key: str, seconds: int) -> bool:
    return 0 < await client.ttl(key) <= seconds


async def test_control_commands_are_carried_out(
    database: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis
) -> None:
    org, cid = new_id(), new_id()
    relays(database.async_url)
    async with redis_client.pubsub(ignore_subscribe_messages=True) as listener:
        await listener.subscribe(wire.channel(org, user("u1")))
        with database.transaction() as events:
            events.leave_room(org, "u1", conversation(cid))
            events.disconnect_user(org, "u1")
        bodies = [wire.parse_message(await _next(listener)).body for _ in range(2)]
    assert bodies == [b'{"do":"leave","room":"conversation:%s"}' % cid.encode(), b'{"do":"disconnect"}']
    assert set(await redis_client.hkeys(wire.revoked_key(org, "u1"))) == {
        f"conversation:{cid}".encode(),
        b"*",
        b"kept",
    }
    await until(database.is_empty)


async def _next(listener: Any) -> bytes:
    found = await until(lambda: listener.get_message(timeout=1.0))
    data: bytes = found["data"]
    return data


async def test_a_row_no_event_can_be_made_of_is_set_aside_and_holds_up_nothing(
    database: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    org = new_id()
    values = {"tenant": org, "kind": "riddle", "body": b"{}", "rooms": ""}
    with database.engine.begin() as connection:
        connection.execute(insert(database.table), values)
    number(database, org, organization(org), 1)
    relay = relays(database.async_url)
    await until(lambda: relay.counters.refused)
    await until(partial(published, redis_client, org, organization(org)))
    await until(lambda: relay.counters.relayed)
    (row,) = database.rows()
    assert "riddle" in row.refused
    assert "is set aside" in caplog.text


async def test_wake_saves_the_wait(
    sqlite: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis
) -> None:
    org = new_id()
    relay = relays(sqlite.async_url, poll_interval_s=3600)
    number(sqlite, org, organization(org), 1)

    async def arrived() -> Any:
        relay.wake()
        return await published(redis_client, org, organization(org))

    assert await until(arrived) == [1]


async def test_a_relay_that_is_stopped_finishes_what_it_holds(
    database: BackendDatabase, relays: Relays, redis_client: redis.asyncio.Redis
) -> None:
    org = new_id()
    room = organization(org)
    number(database, org, room, *range(100))
    relay = relays(database.async_url, batch=10)
    await until(lambda: relay.counters.relayed)
    relay.stop()
    await until(lambda: len(asyncio.all_tasks()) == 1)
    found = await published(redis_client, org, room)
    assert len(found) == relay.counters.relayed == 100 - database.count()


async def test_a_relay_that_is_cancelled_loses_and_doubles_nothing(
    database: BackendDatabase, relays: Relays, redis_server: EmbeddedRedis, redis_client: redis.asyncio.Redis
) -> None:
    org = new_id()
    number(database, org, organization(org), *range(120))
    for _ in range(3):
        relay = OutboxRelay.from_url(
            database.engine, redis_server.url, relaying=Relaying(batch=5, poll_interval_s=0.01)
        )
        task = asyncio.create_task(relay.run())
        await until(lambda relay=relay: relay.counters.relayed >= 10)  # type: ignore[misc]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    relays(database.async_url)
    await until(database.is_empty)
    assert await published(redis_client, org, organization(org)) == list(range(120))


def test_nonsense_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="batch"):
        Relaying(batch=0)
