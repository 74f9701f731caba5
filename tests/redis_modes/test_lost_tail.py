"""A failover to a replica that did not have the latest events: everyone is told, and what comes is delivered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher
from publisher.wire import meta_key
from tests.recovery.conftest import Behind, Team, behind_proxy, numbers
from tests.redis_modes.conftest import joined
from tests.support.client import Clients
from tests.support.proxy import Proxy
from tests.support.redis_cluster import ask, is_in_sync
from tests.support.redis_server import RedisServers
from tests.support.waiting import until

__all__ = ["behind_proxy"]

LOST = ("history_lost",)
HOUR_US = 3600 * 1_000_000


@pytest.fixture
def standby(redis_servers: RedisServers, redis_server: EmbeddedRedis) -> EmbeddedRedis:
    """A replica of `redis_server`."""
    return redis_servers(options=("--replicaof", f"127.0.0.1 {redis_server.port}"))


async def note(events: AsyncPublisher, team: Team, *some: int) -> None:
    for number in some:
        receipt = await events.emit(team.id, "test:event", {"n": number}, to=f"conversation:{team.talk}")
        assert receipt.offset


async def cut_off(standby: EmbeddedRedis, primary: EmbeddedRedis) -> None:
    """From here on the standby gets nothing; it had everything so far."""
    await until(lambda: asyncio.to_thread(is_in_sync, standby))
    client: Any = redis.asyncio.Redis.from_url(primary.url)
    async with client:
        await client.set("last", 1)
        assert await client.wait(1, 5000) == 1
    await asyncio.to_thread(ask, standby, "REPLICAOF", "NO", "ONE")


def fail_over(primary: EmbeddedRedis, standby: EmbeddedRedis, proxy: Proxy) -> None:
    primary.kill()
    proxy.point_to(standby.port)
    proxy.cut()


async def test_events_that_only_the_old_master_had_are_told_and_later_ones_delivered(
    redis_server: EmbeddedRedis, standby: EmbeddedRedis, behind_proxy: Behind, clients: Clients
) -> None:
    proxy, replica = await behind_proxy(redis_server.port, may_log=LOST)
    team = Team()
    client, away = await joined(clients, replica.url, team), await joined(clients, replica.url, team)
    async with AsyncPublisher.from_url(proxy.url) as events:
        await note(events, team, 1)
        await away.wait_for("test:event")
        away.drop()
        await cut_off(standby, redis_server)
        await note(events, team, 2)
        await client.wait_for("test:event", count=2)
        client.stay()
        fail_over(redis_server, standby, proxy)
        await until(lambda: client.recoveries == [False])
        away.stay()
        await until(lambda: away.recoveries == [False])
        for each in (client, away):
            greeting = (await each.wait_for("connected", count=2)).data
            assert greeting["reason"] == "epoch"
            await each.join(team.talk)
        await note(events, team, 3)
    for each, seen in ((client, [1, 2, 3]), (away, [1, 3])):
        await each.wait_for("test:event", count=len(seen))
        assert numbers(each) == seen
    assert len(replica.log_lines("history_lost")) == 1


async def test_a_new_master_whose_clock_is_behind_hides_nothing(
    redis_server: EmbeddedRedis, standby: EmbeddedRedis, behind_proxy: Behind, clients: Clients
) -> None:
    """Its seqs are below what was seen: without a new epoch each would be taken for an event of before."""
    proxy, replica = await behind_proxy(redis_server.port, may_log=LOST)
    team = Team()
    client = await joined(clients, replica.url, team)
    async with AsyncPublisher.from_url(proxy.url) as events:
        await note(events, team, 1)
        await cut_off(standby, redis_server)
        # As if the old master's clock were an hour ahead.
        seq = int(ask(redis_server, "HGET", meta_key(team.id), "seq")) + HOUR_US
        await asyncio.to_thread(ask, redis_server, "HSET", meta_key(team.id), "seq", seq)
        await note(events, team, 2)
        await client.wait_for("test:event", count=2)
        client.stay()
        fail_over(redis_server, standby, proxy)
        await until(lambda: client.recoveries == [False])
        await client.join(team.talk)
        await note(events, team, 3)
    await client.wait_for("test:event", count=3)
    assert numbers(client) == [1, 2, 3]


async def test_a_failover_that_loses_nothing_tells_nobody(
    redis_server: EmbeddedRedis, standby: EmbeddedRedis, behind_proxy: Behind, clients: Clients
) -> None:
    proxy, replica = await behind_proxy(redis_server.port)
    team = Team()
    client = await joined(clients, replica.url, team)
    async with AsyncPublisher.from_url(proxy.url) as events:
        await note(events, team, 1, 2)
        await client.wait_for("test:event", count=2)
        await cut_off(standby, redis_server)
        fail_over(redis_server, standby, proxy)
        await until(lambda: bool(replica.log_lines("tenant_resynced")))
        await note(events, team, 3)
    await client.wait_for("test:event", count=3)
    assert (numbers(client), client.recoveries) == ([1, 2, 3], [])
