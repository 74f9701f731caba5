"""The relay with everything in good order: committed events arrive, once and in order, and their rows go."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
import redis.asyncio
from sqlalchemy import insert

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import Publisher, campaign, conversation, user, wire
from publisher.outbox import OutboxRelay, Relaying
from tests.outbox.conftest import Backend, Relays, on_sqlite
from tests.support.pytake import incoming_message
from tests.support.tokens import new_id
from tests.support.waiting import until

ENGINES = [
    *(("postgres", f"postgresql+{driver}") for driver in ("psycopg", "psycopg_async", "asyncpg")),
    *(("sqlite", f"sqlite+{driver}") for driver in ("pysqlite", "aiosqlite")),
]


@pytest.mark.parametrize(("database", "driver"), ENGINES, indirect=["database"])
async def test_every_kind_of_engine_relays_what_was_committed(
    backend: Backend, relays: Relays, driver: str
) -> None:
    url = backend.database.url
    relay = relays(driver + url[url.index(":") :])
    backend.add(1, 2)
    backend.add(3)
    await until(lambda: relay.counters.relayed == 3)
    assert backend.database.is_empty()
    assert await backend.published() == [1, 2, 3]
    assert (relay.counters.duplicates, relay.counters.failures) == (0, 0)


async def test_what_was_rolled_back_is_never_published(backend: Backend) -> None:
    backend.relay()
    with backend.database.engine.connect() as connection:
        backend.database.outbox.within(connection).emit(backend.org, "number", 1, to=backend.room)
        connection.rollback()
    backend.add(2)
    await until(backend.database.is_empty)
    assert await backend.published() == [2]


async def test_a_message_and_what_its_inbox_is_told_are_committed_together_and_come_in_order(
    backend: Backend,
) -> None:
    talk = new_id()
    messages = [incoming_message(talk, text) for text in ("one", "two")]
    with backend.database.transaction() as events:
        for message in messages:
            events.message_new(backend.org, message, inbox=True)
    relay = backend.relay(batch=1)
    await until(lambda: relay.counters.relayed == 4)
    said = [data["content"]["text"] for data in await backend.published(conversation(talk))]
    told = [data["preview"] for data in await backend.published()]
    assert said == told == ["one", "two"]


async def test_progress_is_conflated_by_way_of_the_outbox_as_well(backend: Backend) -> None:
    drive = new_id()
    with backend.database.transaction() as events:
        for share in (1, 50, 100):
            events.campaign_progress(backend.org, drive, {"progress": share}, conflate=True)
    relay = backend.relay()
    await until(lambda: relay.counters.relayed == 3)
    assert [data["progress"] for data in await backend.published(campaign(drive))] == [100]


async def test_a_backlog_of_many_batches_keeps_its_order(backend: Backend) -> None:
    tenants = [new_id() for _ in range(5)]
    for data in range(20):
        for org in tenants:
            backend.add(data, org=org)
    backend.relay(batch=7, tenants=2)
    await until(backend.database.is_empty)
    for org in tenants:
        assert await backend.published(org=org) == list(range(20))


async def test_a_long_backlog_of_one_tenant_does_not_hold_up_another(backend: Backend) -> None:
    busy, quiet = sorted([new_id(), new_id()])
    backend.add(*range(60), org=busy)
    backend.add(1, org=quiet)
    relay = backend.relay(batch=2)
    await until(partial(backend.published, org=quiet))
    assert relay.counters.relayed < 30
    await until(backend.database.is_empty)


async def test_a_natural_key_is_published_once_across_rows_and_publishers(
    backend: Backend, redis_server: EmbeddedRedis
) -> None:
    cid = new_id()
    relay = backend.relay()
    with Publisher.from_url(redis_server.url, strict=True, timeout_s=5) as direct:
        direct.message_new(backend.org, {"id": "m1", "conversation_id": cid})
    for _ in range(2):
        with backend.database.transaction() as events:
            events.message_new(backend.org, {"id": "m1", "conversation_id": cid})
            events.message_new(backend.org, {"id": "m2", "conversation_id": cid})
    await until(lambda: relay.counters.relayed == 4)
    found = await backend.published(conversation(cid))
    assert [message["id"] for message in found] == ["m1", "m2"]
    assert relay.counters.duplicates == 3


async def test_a_status_never_goes_back(backend: Backend) -> None:
    cid, message = new_id(), new_id()
    for status in ("sent", "read", "delivered"):
        with backend.database.transaction() as events:
            events.message_status(backend.org, cid, message, status)
    backend.relay()
    await until(backend.database.is_empty)
    found = await backend.published(conversation(cid))
    assert [data["status"] for data in found] == ["sent", "read"]


@on_sqlite
async def test_a_key_holds_long_while_its_row_is_there_and_then_as_usual(backend: Backend) -> None:
    once = wire.once_key(backend.org, "k")
    backend.add(1, key="k")
    with backend.database.undeletable():
        backend.relay(keep_key_s=5000)
        await until(partial(ends_within, backend.redis, once, 5000))
        assert not await ends_within(backend.redis, once, 4900)
    await until(backend.database.is_empty)
    await until(partial(ends_within, backend.redis, once, 600))


async def ends_within(client: redis.asyncio.Redis, key: str, seconds: int) -> bool:
    return 0 < await client.ttl(key) <= seconds


async def test_control_commands_are_carried_out(backend: Backend) -> None:
    cid = new_id()
    backend.relay()
    async with backend.redis.pubsub(ignore_subscribe_messages=True) as listener:
        await listener.subscribe(wire.channel(backend.org, user("u1")))
        with backend.database.transaction() as events:
            events.leave_room(backend.org, "u1", conversation(cid))
            events.disconnect_user(backend.org, "u1")
        bodies = [wire.parse_message(await _next(listener)).body for _ in range(2)]
    assert bodies == [b'{"do":"leave","room":"conversation:%s"}' % cid.encode(), b'{"do":"disconnect"}']
    remembered = set(await backend.redis.hkeys(wire.revoked_key(backend.org, "u1")))
    assert remembered == {f"conversation:{cid}".encode(), b"*", b"kept"}
    await until(backend.database.is_empty)


async def _next(listener: Any) -> bytes:
    found = await until(lambda: listener.get_message(timeout=1.0))
    data: bytes = found["data"]
    return data


async def test_a_row_no_event_can_be_made_of_is_set_aside_and_holds_up_nothing(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    values = {"tenant": backend.org, "kind": "riddle", "body": b"{}", "rooms": ""}
    with backend.database.engine.begin() as connection:
        connection.execute(insert(backend.database.table), values)
    backend.add(1)
    relay = backend.relay()
    await until(lambda: relay.counters.refused)
    await until(backend.published)
    await until(lambda: relay.counters.relayed)
    (row,) = backend.database.rows()
    assert "riddle" in row.refused
    assert "is set aside" in caplog.text


@on_sqlite
async def test_wake_saves_the_wait(backend: Backend) -> None:
    relay = backend.relay(poll_interval_s=3600)
    backend.add(1)

    async def arrived() -> Any:
        relay.wake()
        return await backend.published()

    assert await until(arrived) == [1]


async def test_a_relay_that_is_stopped_finishes_what_it_holds(backend: Backend) -> None:
    backend.add(*range(100))
    relay = backend.relay(batch=10)
    await until(lambda: relay.counters.relayed)
    relay.stop()
    await until(lambda: len(asyncio.all_tasks()) == 1)
    found = await backend.published()
    assert len(found) == relay.counters.relayed == 100 - backend.database.count()


async def test_a_relay_that_is_cancelled_loses_and_doubles_nothing(
    backend: Backend, redis_server: EmbeddedRedis
) -> None:
    backend.add(*range(120))
    for _ in range(3):
        relaying = Relaying(batch=5, poll_interval_s=0.01)
        relay = OutboxRelay.from_url(backend.database.engine, redis_server.url, relaying=relaying)
        task = asyncio.create_task(relay.run())
        await until(lambda relay=relay: relay.counters.relayed >= 10)  # type: ignore[misc]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    backend.relay()
    await until(backend.database.is_empty)
    assert await backend.published() == list(range(120))


def test_nonsense_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="batch"):
        Relaying(batch=0)
