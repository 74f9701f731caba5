"""An event that no socket can be given: its room is told of a gap, once, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation, wire
from tests.recovery.conftest import Join, Team, numbers
from tests.support.client import RawClient
from tests.support.publisher_process import PublisherProcess, Publishers
from tests.support.replica import Replica, Replicas
from tests.support.tokens import new_id
from tests.support.waiting import until

MAX_EVENT_BYTES = 32_768  # half of the smallest GATEWAY_MAX_BUFFER_BYTES

Oversized = Callable[..., None]


@pytest.fixture
def replica(replicas: Replicas, redis_server: EmbeddedRedis) -> Replica:
    return replicas(redis_server.url, GATEWAY_MAX_BUFFER_BYTES="65536")


@pytest.fixture
def backend(redis_server: EmbeddedRedis, publishers: Publishers) -> PublisherProcess:
    return publishers(redis_server.url)


@pytest.fixture
def oversized(redis_server: EmbeddedRedis, backend: PublisherProcess) -> Oversized:
    """Publish what a backend would that does not know the limit."""

    def publish(team: Team, size: int = 900_000, *, ephemeral: bool = False) -> None:
        with redis.Redis.from_url(redis_server.url) as server:
            known: Any = server.hget(wire.meta_key(team.id), "max_event_bytes")
            server.hdel(wire.meta_key(team.id), "max_event_bytes")
            event = "test:huge", {"text": "x" * size}
            backend.call("emit", team.id, *event, to=conversation(team.talk), ephemeral=ephemeral)
            if known:
                server.hset(wire.meta_key(team.id), "max_event_bytes", known)

    return publish


def slow_cut(replica: Replica) -> int:
    cut: int = replica.health()["slow_cut"]
    return cut


def outcomes(client: RawClient) -> list[tuple[bool, str | None]]:
    """Return what each `connected` said: whether it recovered, and why not."""
    return [(event.data["recovered"], event.data.get("reason")) for event in client.named("connected")]


async def test_the_gateway_says_how_large_an_event_may_be_beside_what_is_kept(
    replica: Replica, redis_server: EmbeddedRedis, agent: Join, team: Team
) -> None:
    await agent(replica.url)
    with redis.Redis.from_url(redis_server.url) as server:
        found: Any = server.hmget(wire.meta_key(team.id), "keep", "ttl", "max_event_bytes")
    assert found == [b"500", b"3600000", str(MAX_EVENT_BYTES).encode()]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_members_are_told_once_and_get_what_comes_after_it(
    replica: Replica, backend: PublisherProcess, agent: Join, team: Team, oversized: Oversized, transport: str
) -> None:
    client = await agent(replica.url, transport=transport)
    client.stay()
    await team.note(backend, 1)
    await client.wait_for("test:event")
    oversized(team)
    await client.wait_for("connected", count=2)
    await team.note(backend, 2)
    await client.wait_for("test:event", count=2)
    assert outcomes(client) == [(False, None), (False, "trimmed")]
    assert numbers(client) == [1, 2]
    assert not client.named("test:huge")
    assert slow_cut(replica) == 0


async def test_one_that_was_away_is_told_and_gets_what_comes_after_it(
    replica: Replica, backend: PublisherProcess, agent: Join, team: Team, oversized: Oversized
) -> None:
    client = await agent(replica.url)
    client.drop()
    await team.note(backend, 1)
    oversized(team)
    await team.note(backend, 2)
    await client.reconnect()
    await client.wait_for("connected", count=2)
    await team.note(backend, 3)
    await client.wait_for("test:event")
    assert outcomes(client) == [(False, None), (False, "trimmed")]
    assert numbers(client) == [3]
    assert slow_cut(replica) == 0


async def test_one_that_joins_with_an_offset_is_told(
    replica: Replica, backend: PublisherProcess, agent: Join, team: Team, oversized: Oversized
) -> None:
    client = await agent(replica.url)
    since = (await team.note(backend, 1)).offset
    oversized(team)
    await team.note(backend, 2)
    newcomer = await agent(replica.url, new_id())
    joined = await newcomer.join(team.talk, since=since)
    assert [event["data"]["n"] for event in joined["events"]] == [2]
    assert joined["complete"] is False
    client.drop()


async def test_one_that_is_ephemeral_is_dropped_and_cuts_nobody(
    replica: Replica, backend: PublisherProcess, agent: Join, team: Team, oversized: Oversized
) -> None:
    client = await agent(replica.url)
    oversized(team, ephemeral=True)
    await team.note(backend, 1)
    await client.wait_for("test:event")
    assert outcomes(client) == [(False, None)]
    assert "gateway_oversized_events_total 1.0" in replica.get("/metrics")[1].splitlines()


async def test_the_largest_that_fits_reaches_a_client_that_is_slow_and_was_away(
    replica: Replica, backend: PublisherProcess, agent: Join, team: Team, oversized: Oversized
) -> None:
    client = await agent(replica.url)
    client.drop()
    await until(lambda: not replica.health()["sockets"])
    for _ in range(40):
        oversized(team, MAX_EVENT_BYTES - 64)
    await client.reconnect()
    client.pause()
    await team.note(backend, 1)
    await until(lambda: "gateway_replayed_total 40" in replica.get("/metrics")[1])
    client.resume()
    await client.wait_for("test:event")
    assert len(client.named("test:huge")) == 40
    assert client.recoveries == [True]
    assert slow_cut(replica) == 0
