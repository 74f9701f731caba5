"""A storm of connects is metered, and nobody who is there already notices."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.limits.conftest import SOCKETIO, limited
from tests.support.browsers import Browsers
from tests.support.client import Clients
from tests.support.raw_http import upgrade
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint
from tests.support.waiting import SLACK_S, until
from tests.support.websocket import HandshakeRefused, Peer, opened

RETRY_S = 0.3


async def refusal(replica: Replica, transport: str = "polling") -> tuple[int, dict[str, str], dict[str, Any]]:
    """Ask for a session that is refused; return status, headers and body."""
    headers = upgrade() if transport == "websocket" else {}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{replica.url}{SOCKETIO}{transport}", headers=headers) as response,
    ):
        return response.status, dict(response.headers), await response.json()


@asynccontextmanager
async def strangers(replica: Replica, count: int) -> AsyncIterator[list[Peer]]:
    """So many websockets that have not authenticated."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened(replica.port, path="/socket.io/")) for _ in range(count)]


async def test_a_storm_is_metered_and_everybody_gets_in(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients
) -> None:
    replica = replicas(
        redis_server.url,
        GATEWAY_CONNECTS_PER_S="40",
        GATEWAY_EVENTS_PER_S="0",
        GATEWAY_PING_INTERVAL_S="0.5",
        GATEWAY_PING_TIMEOUT_S="20",
    )
    calm = await clients(replica.url, mint()).connect()
    refused: list[HandshakeRefused] = []

    async def arrive() -> None:
        client = clients(replica.url, mint())
        while not client.connected:
            try:
                await client.connect()
            except HandshakeRefused as refusal:
                refused.append(refusal)
                await asyncio.sleep(RETRY_S)

    began = time.monotonic()
    arriving = asyncio.gather(*(arrive() for _ in range(120)))
    slowest = 0.0
    while not arriving.done():
        asked = time.monotonic()
        await calm.call("ping")
        slowest = max(slowest, time.monotonic() - asked)
    await arriving
    # A full bucket, and one more for every 25 ms.
    assert time.monotonic() - began > 1.5
    assert {refusal.status for refusal in refused} == {503}
    assert {json.loads(refusal.body)["limit"] for refusal in refused} == {"connects_per_s"}
    assert limited(replica)["connects_per_s"] == len(refused)
    assert calm.connected
    assert slowest < SLACK_S
    assert len(replica.log_lines("connect_limited")) < 30


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_refusal_says_when_to_come_back(
    redis_server: EmbeddedRedis, replicas: Replicas, transport: str
) -> None:
    replica = replicas(redis_server.url, GATEWAY_CONNECTS_PER_S="0.01")
    async with strangers(replica, 1):
        status, headers, body = await refusal(replica, transport)
    assert (status, headers["Retry-After"]) == (503, "1")
    assert body == {"code": 8, "message": "Too many new connections", "limit": "connects_per_s"}


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
def test_browsers_come_back_by_themselves_and_get_in(
    redis_server: EmbeddedRedis, replicas: Replicas, browsers: Browsers, transports: list[str]
) -> None:
    replica = replicas(redis_server.url, GATEWAY_CONNECTS_PER_S="2")
    pages = [browsers(replica.url, mint(), transports=transports) for _ in range(12)]
    for page in pages:
        page.connected()
    assert any(page.seen("connect_error") for page in pages)


def test_who_comes_back_is_a_connect_like_any_other(
    redis_server: EmbeddedRedis, replicas: Replicas, browsers: Browsers
) -> None:
    replica = replicas(redis_server.url, GATEWAY_CONNECTS_PER_S="0.5")
    page = browsers(replica.url, mint())
    page.connected()
    for turn in range(2, 6):
        page.cut()
        assert page.connected(times=turn)["recovered"]
    assert limited(replica)["connects_per_s"] >= 1


async def test_sockets_that_have_not_authenticated_are_so_many_at_most(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients
) -> None:
    replica = replicas(redis_server.url, GATEWAY_MAX_PENDING_CONNECTS="5")
    for _ in range(10):
        await clients(replica.url, mint()).connect()
    async with strangers(replica, 5) as peers:
        with pytest.raises(HandshakeRefused, match="max_pending_connects"):
            await clients(replica.url, mint()).connect()
        peers[0].send("40" + json.dumps({"token": mint()}))
        await until(lambda: replica.health()["sockets"] == 11)
        await clients(replica.url, mint()).connect()
    assert limited(replica) == {"max_pending_connects": 1}


async def test_a_refused_socket_that_stays_is_pending_again(
    redis_server: EmbeddedRedis, replicas: Replicas
) -> None:
    replica = replicas(redis_server.url, GATEWAY_MAX_PENDING_CONNECTS="1")
    async with strangers(replica, 1) as (peer,):
        peer.send('40{"token":"nonsense"}')
        assert "token_invalid" in str(await peer.receive())
        assert (await refusal(replica))[2]["limit"] == "max_pending_connects"


async def test_an_address_has_so_many_sockets(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients
) -> None:
    replica = replicas(redis_server.url, GATEWAY_MAX_SOCKETS_PER_ADDRESS="2", GATEWAY_TRUSTED_PROXIES="127.0.0.1")

    def browser(address: str, transport: str = "websocket") -> Any:
        return clients(replica.url, mint(), transport=transport, headers={"X-Forwarded-For": address})

    first, _ = await browser("198.51.100.1").connect(), await browser("198.51.100.1", "polling").connect()
    with pytest.raises(HandshakeRefused, match="max_sockets_per_address"):
        await browser("198.51.100.1").connect()
    await browser("198.51.100.2").connect()
    first.drop()
    await until(lambda: replica.health()["sockets"] == 2)
    await browser("198.51.100.1").connect()
    assert limited(replica) == {"max_sockets_per_address": 1}


@pytest.mark.parametrize(
    ("trusted", "remote"), [("", "127.0.0.1"), ("10.0.0.0/8", "127.0.0.1"), ("127.0.0.0/8", "198.51.100.1")]
)
async def test_the_log_names_the_client_and_not_the_proxy(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients, trusted: str, remote: str
) -> None:
    replica = replicas(redis_server.url, GATEWAY_TRUSTED_PROXIES=trusted)
    headers = {"X-Forwarded-For": "6.6.6.6, 198.51.100.1:4711"}
    await clients(replica.url, mint(), headers=headers).connect()
    (line,) = replica.log_lines("socket_connected")
    assert line["remote"] == remote
