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
from tests.recovery.conftest import Behind, Join, Team, numbers, type_both_ways
from tests.support.publisher_process import Publishers
from tests.support.replica import Replica, Replicas
from tests.support.tokens import new_id
from tests.support.waiting import SLACK_S, until

DEAF = ("redis_subscriber_deaf",)


def connected_to(server: EmbeddedRedis) -> Any:
    return redis.asyncio.Redis.from_url(server.url)


async def becomes(replica: Replica, status: int) -> None:
    """Wait for this readiness, and ask without holding up the loop, on which the proxies live."""

    async def has_become() -> bool:
        return (await asyncio.to_thread(replica.get, "/health/ready"))[0] == status

    await until(has_become, what=f"readiness {status}")


async def subscribers(client: Any) -> list[dict[str, str]]:
    """Return the subscribed connections of gateways."""
    return [found for found in await client.client_list(_type="pubsub") if found["name"] == "gateway"]


async def test_a_listener_that_is_killed_fifty_times_heals_and_counts_it(
    agent: Join, team: Team, redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers
) -> None:
    replica, backend = replicas(redis_server.url), publishers(redis_server.url)
    client = await agent(replica.url)
    async with connected_to(redis_server) as connection:
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
    async with connected_to(redis_server) as connection:
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
    await proxy.refuse(cut=False)  # or it might hear again before a busy machine has asked
    await team.note(backend, 1)
    await becomes(replica, 503)
    # And it does something about it.
    await proxy.start()
    await becomes(replica, 200)
    await client.wait_for("test:event")


async def test_silence_reconnects_nothing(agent: Join, redis_server: EmbeddedRedis, replicas: Replicas) -> None:
    replica = replicas(redis_server.url)
    client = await agent(replica.url)
    async with connected_to(redis_server) as connection:
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
    await type_both_ways(author, reader, team)
    other = Team(team.id)
    await asyncio.gather(author.join(other.talk), reader.join(other.talk))
    await other.note(backend, 2)
    for client in (author, reader):
        await client.wait_for("test:event", count=2)
    assert (author.recoveries, reader.recoveries) == ([], [])
