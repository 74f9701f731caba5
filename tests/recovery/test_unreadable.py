"""A tenant whose logs can't be read: it waits, and holds nobody else up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation, user, wire
from publisher.offsets import SEQ_PER_S
from publisher.rooms import Room
from tests.recovery.conftest import Behind, Team, numbers
from tests.recovery.test_redis import becomes
from tests.support.client import Clients
from tests.support.publisher_process import PublisherProcess, Publishers
from tests.support.replica import Replica
from tests.support.waiting import until

Client = Any  # redis.asyncio.Redis, whose commands are not typed


async def overwrite(client: Client, key: str) -> None:
    await client.set(key, "oops")


async def add_by_hand(client: Client, key: str) -> None:
    seconds, micros = await client.time()
    await client.xadd(key, {"what": "is this"}, id=f"{seconds * SEQ_PER_S + micros}-0")


async def tell(backend: PublisherProcess, team: Team, number: int) -> None:
    """Publish a numbered event to the agent alone."""
    await backend.acall("emit", team.id, "test:event", {"n": number}, to=user(team.agent))


async def unreadable(replica: Replica) -> float:
    """Return how many tenants the replica is in trouble with; it is asked without holding up the loop."""
    page: str = (await asyncio.to_thread(replica.get, "/metrics"))[1]
    return float(next(line.split()[1] for line in page.splitlines() if line.startswith("gateway_tenants_unread")))


@pytest.mark.parametrize("spoil", [overwrite, add_by_hand])
async def test_a_broken_log_is_its_tenants_matter_alone_until_it_is_mended(
    spoil: Callable[[Client, str], Awaitable[None]],
    clients: Clients,
    team: Team,
    redis_server: EmbeddedRedis,
    behind_proxy: Behind,
    publishers: Publishers,
) -> None:
    proxy, replica = await behind_proxy(redis_server.port)

    async def is_over() -> bool:
        return await unreadable(replica) == 0

    backend, broken = publishers(redis_server.url), Team()
    whole_client = await clients(replica.url, team.token()).connect()
    broken_client = await clients(replica.url, broken.token()).connect()
    for client, each in ((whole_client, team), (broken_client, broken)):
        await client.wait_for("connected")
        await client.join(each.talk)
    log = wire.log_key(broken.id, Room(conversation(broken.talk)))
    connection: Client = redis.asyncio.Redis.from_url(redis_server.url)
    async with connection:
        await proxy.refuse()
        await spoil(connection, log)
        for each in (broken, team):
            await tell(backend, each, 1)
        await proxy.start()
        await whole_client.wait_for("test:event")
        await becomes(replica, 200)
        for each in (broken, team):
            await tell(backend, each, 2)
        await whole_client.wait_for("test:event", count=2)
        assert (numbers(whole_client), numbers(broken_client)) == ([1, 2], [])
        assert await unreadable(replica) == 1
        await connection.delete(log)
        await broken_client.wait_for("test:event", count=2)
    assert numbers(broken_client) == [1, 2]
    assert (whole_client.recoveries, broken_client.recoveries) == ([], [])
    assert replica.health()["redis_reconnects"] == 2  # what asks and what hears, each once
    assert [line["tenant"] for line in replica.log_lines("tenant_unreadable")] == [broken.id]
    await until(is_over)
