"""Redis, and the way there."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation, wire
from publisher.rooms import Room
from tests.recovery.conftest import Behind, Join, Team, numbers
from tests.support.proxy import Proxy
from tests.support.publisher_process import Publishers
from tests.support.redis_server import RedisServers
from tests.support.replica import Replica, Replicas
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S, SLACK_S, until

DEAF = ("redis_subscriber_deaf",)


def readiness(replica: Replica) -> int:
    return replica.get("/health/ready")[0]


async def readiness_of(replica: Replica) -> int:
    """Ask without holding up the loop, on which the proxies live."""
    return await asyncio.to_thread(readiness, replica)


async def becomes(replica: Replica, status: int, within_s: float = PATIENCE_S) -> None:
    async def has_become() -> bool:
        return await readiness_of(replica) == status

    await until(has_become, within_s, f"readiness {status}")


async def subscribers(client: Any) -> list[dict[str, str]]:
    """Return the subscribed connections of gateways."""
    return [found for found in await client.client_list(_type="pubsub") if found["name"] == "gateway"]


async def test_a_listener_that_is_killed_fifty_times_heals_and_counts_it(
    agent: Join, team: Team, redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers
) -> None:
    replica, backend = replicas(redis_server.url), publishers(redis_server.url)
    client = await agent(replica.url)
    connection: Any = redis.asyncio.Redis.from_url(redis_server.url)
    async with connection:
        for number in range(50):
            await connection.client_kill_filter(_type="pubsub")
            await team.note(backend, number)
            await client.wait_for("test:event", count=number + 1)
    assert numbers(client) == list(range(50))
    assert replica.health()["redis_reconnects"] == 50
    assert client.recoveries == []


async def test_a_message_beyond_the_output_buffer_limit_is_survived(
    agent: Join, team: Team, redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers
) -> None:
    replica, backend = replicas(redis_server.url), publishers(redis_server.url)
    client = await agent(replica.url)
    connection: Any = redis.asyncio.Redis.from_url(redis_server.url)
    async with connection:
        await connection.publish(wire.channel(team.id, Room(conversation(team.talk))), b"x" * (33 << 20))
    await team.note(backend, 1)
    await client.wait_for("test:event")
    assert client.recoveries == []
    # Redis may have ended the connection, or have written it all before it looked: both are fine, and counted.
    await becomes(replica, 200)
    assert replica.health()["redis_reconnects"] == len(replica.log_lines("redis_subscriber_lost"))
    assert replica.health()["status"] == "healthy"


async def test_a_replica_that_does_not_hear_is_not_ready(
    agent: Join, team: Team, redis_server: EmbeddedRedis, behind_proxy: Behind, publishers: Publishers
) -> None:
    proxy, replica = await behind_proxy(redis_server.port, may_log=DEAF)
    backend = publishers(redis_server.url)
    client = await agent(replica.url)
    proxy.abandon(proxy.links_that_asked(b"SUBSCRIBE"))
    await team.note(backend, 1)
    await becomes(replica, 503)
    # And it does something about it.
    await becomes(replica, 200)
    await client.wait_for("test:event")


async def test_silence_reconnects_nothing(agent: Join, redis_server: EmbeddedRedis, replicas: Replicas) -> None:
    replica = replicas(redis_server.url)
    client = await agent(replica.url)
    connection: Any = redis.asyncio.Redis.from_url(redis_server.url)
    async with connection:
        before = [found["id"] for found in await subscribers(connection)]
        await asyncio.sleep(6.5)  # redis-py's own default gives up after 5 s
        assert [found["id"] for found in await subscribers(connection)] == before
    assert replica.health()["redis_reconnects"] == 0
    assert client.connected


async def test_a_hundred_reconnects_leak_no_connection(
    agent: Join, team: Team, redis_server: EmbeddedRedis, behind_proxy: Behind, publishers: Publishers
) -> None:
    proxy, replica = await behind_proxy(redis_server.port)
    backend = publishers(redis_server.url)
    client = await agent(replica.url)
    files = Path(f"/proc/{replica.pid}/fd")
    before = len(list(files.iterdir()))
    for _ in range(100):
        goal = proxy.accepted + 2
        proxy.cut()
        await until(lambda goal=goal: proxy.accepted >= goal)  # type: ignore[misc]
    await becomes(replica, 200)
    await team.note(backend, 1)
    await client.wait_for("test:event")
    assert len(proxy.links) == 2
    assert len(list(files.iterdir())) <= before


async def test_delivery_resumes_within_5_s_of_the_network(
    agent: Join, team: Team, redis_server: EmbeddedRedis, behind_proxy: Behind, publishers: Publishers
) -> None:
    proxy, replica = await behind_proxy(redis_server.port, may_log=DEAF)
    backend = publishers(redis_server.url)
    client = await agent(replica.url)
    proxy.stall()
    for number in range(10):
        await team.note(backend, number)
    await becomes(replica, 503)
    assert numbers(client) == []
    began = time.monotonic()
    proxy.resume()
    await client.wait_for("test:event", count=10)
    assert time.monotonic() - began < 5.0 + SLACK_S
    assert numbers(client) == list(range(10))


async def _fail_over(primary: EmbeddedRedis, standby: EmbeddedRedis, proxy: Proxy) -> None:
    """Kill the primary and move its address to the standby, once that has everything."""
    first: Any = redis.asyncio.Redis.from_url(primary.url)
    second: Any = redis.asyncio.Redis.from_url(standby.url)
    async with first, second:
        assert await first.wait(1, 5000) == 1
        primary.kill()
        await second.execute_command("REPLICAOF", "NO", "ONE")
    proxy.point_to(standby.port)
    proxy.cut()


async def _standby_of(primary: EmbeddedRedis, redis_servers: RedisServers) -> EmbeddedRedis:
    standby = redis_servers(options=("--replicaof", f"127.0.0.1 {primary.port}"))
    client: Any = redis.asyncio.Redis.from_url(standby.url)

    async def is_in_sync() -> bool:
        found: dict[str, Any] = await client.info("replication")
        return bool(found["master_link_status"] == "up")

    async with client:
        await until(is_in_sync)
    return standby


async def test_a_failover_loses_nothing_that_the_standby_has(
    agent: Join, team: Team, redis_servers: RedisServers, behind_proxy: Behind, publishers: Publishers
) -> None:
    primary = redis_servers()
    standby = await _standby_of(primary, redis_servers)
    proxy, replica = await behind_proxy(primary.port)
    backend = publishers(proxy.url)
    client, away = await agent(replica.url), await agent(replica.url)
    away.drop()
    for number in range(10):
        await team.note(backend, number)
    await _fail_over(primary, standby, proxy)
    for number in range(10, 20):
        await team.note(backend, number)
    away.stay()
    for each in (client, away):
        await each.wait_for("test:event", count=20)
        assert numbers(each) == list(range(20))
    assert (client.recoveries, away.recoveries) == ([], [True])


async def test_every_subscription_is_there_again_after_a_failover(
    agent: Join, team: Team, redis_servers: RedisServers, behind_proxy: Behind, publishers: Publishers
) -> None:
    primary = redis_servers()
    standby = await _standby_of(primary, redis_servers)
    proxy, replica = await behind_proxy(primary.port)
    backend = publishers(proxy.url)
    client = await agent(replica.url)
    teams = [Team(team.id) for _ in range(150)]
    await asyncio.gather(*(client.join(each.talk) for each in teams))
    await _fail_over(primary, standby, proxy)
    await becomes(replica, 200)
    await asyncio.gather(*(each.note(backend, number) for number, each in enumerate(teams)))
    await client.wait_for("test:event", count=len(teams))
    assert numbers(client) == list(range(len(teams)))


async def test_both_directions_work_after_a_restart(
    agent: Join, team: Team, lasting_redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers
) -> None:
    here, there = replicas(lasting_redis_server.url), replicas(lasting_redis_server.url)
    backend = publishers(lasting_redis_server.url)
    author, reader = await agent(here.url), await agent(there.url, new_id())
    lasting_redis_server.stop()
    lasting_redis_server.start()
    for replica in (here, there):
        await becomes(replica, 200)
    await team.note(backend, 1)
    for client in (author, reader):
        await client.wait_for("test:event")
    author.emit("typing_start", {"conversation_id": team.talk})
    await reader.wait_for("user_typing")
    reader.emit("typing_start", {"conversation_id": team.talk})
    await author.wait_for("user_typing")
    other = Team(team.id)
    await asyncio.gather(author.join(other.talk), reader.join(other.talk))
    await other.note(backend, 2)
    for client in (author, reader):
        await client.wait_for("test:event", count=2)
    assert (author.recoveries, reader.recoveries) == ([], [])
