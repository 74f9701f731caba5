"""All replicas at a glance, from whichever answers."""

from __future__ import annotations

import time
from typing import Any

import redis.asyncio

from gateway.app.status import FIGURES
from gateway.console.overview import FRESH_S
from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.peers.keys import INDEX
from gateway.peers.registry import FORGOTTEN_S
from tests.console.conftest import ON, Reader
from tests.support.client import Clients
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint
from tests.support.waiting import until


def by_url(overview: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["url"]: node for node in overview["nodes"]}


async def seen_from(reader: Reader, url: str, urls: set[str], busy: str) -> dict[str, dict[str, Any]]:
    """Wait until a replica sees these replicas, and a socket at one of them."""

    async def seen() -> dict[str, dict[str, Any]]:
        nodes = by_url((await reader.get(f"{url}/console/api/overview")).body)
        return nodes if nodes.keys() == urls and nodes[busy]["sockets"] == 1 else {}

    return await until(seen, what="both replicas")


async def test_any_replica_answers_for_all(
    reader: Reader, redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients
) -> None:
    one, other = replicas(redis_server.url, **ON), replicas(redis_server.url, **ON)
    await clients(one.url, mint()).connect()
    for url in (one.url, other.url):
        nodes = await seen_from(reader, url, {one.url, other.url}, one.url)
        assert nodes[other.url]["sockets"] == 0
        assert (nodes[one.url]["ready"], nodes[one.url]["draining"]) == (True, False)
        assert nodes[one.url]["figures"].keys() == set(FIGURES)
        assert "socket" not in nodes[one.url]
    other.terminate()
    await other.ended()

    async def alone() -> bool:
        return by_url((await reader.get(f"{one.url}/console/api/overview")).body).keys() == {one.url}

    await until(alone, what="the replica that stopped to be gone")


async def test_histograms_come_with_their_bounds(reader: Reader, own_replica: Replica) -> None:
    overview = (await reader.get(f"{own_replica.url}/console/api/overview")).body
    (node,) = overview["nodes"]
    assert {"gateway_delivery_latency_seconds", "gateway_loop_lag_seconds"} < overview["bounds"].keys()
    for name, bounds in overview["bounds"].items():
        assert len(node["figures"][name]) == len(bounds) + 1


async def test_who_asks_often_costs_redis_nothing_more(reader: Reader, own_replica: Replica) -> None:
    begun = time.monotonic()
    at = {(await reader.get(f"{own_replica.url}/console/api/overview")).body["nodes"][0]["at"] for _ in range(10)}
    # On a slow machine they take longer than one look holds.
    assert len(at) <= 1 + (time.monotonic() - begun) / FRESH_S


async def test_without_redis_it_says_so(reader: Reader, redis_server: EmbeddedRedis, own_replica: Replica) -> None:
    redis_server.kill()

    async def refused() -> bool:
        answer = await reader.get(f"{own_replica.url}/console/api/overview")
        return answer.status == 503 and answer.body["code"] == "unavailable"

    await until(refused, what="503")


async def test_names_of_processes_that_ended_long_ago_are_forgotten(
    redis_server: EmbeddedRedis, replicas: Replicas, redis_client: redis.asyncio.Redis
) -> None:
    await redis_client.zadd(INDEX, {"long-ago": time.time() - 2 * FORGOTTEN_S, "just-now": time.time() - 5})
    replicas(redis_server.url, **ON)
    names = await redis_client.zrange(INDEX, 0, -1)
    assert b"long-ago" not in names
    assert b"just-now" in names
